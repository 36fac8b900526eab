"""The gateway's loop never waits for the disk: a thread does, in order, and once for all that wait for the same."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from qts.broker.gateway.file_thread import FileThread
from qts.errors import StorageError
from tests.broker.gateway_rig import sent_file
from tests.event.support import until


class SlowDisk:
    """The file on a disk that is let go by hand; ``done`` is what it has done, in order."""

    def __init__(self, directory: Path) -> None:
        self.file = sent_file(directory)
        self.done: list[str] = []
        self.begun = 0
        self.gate = threading.Semaphore(0)
        self.fails = False
        self.file.sync, self.file.compact = self._sync, self._compact  # type: ignore[method-assign]

    def _sync(self) -> None:
        self.begun += 1
        assert self.gate.acquire(timeout=60)
        self.done.append("sync")
        if self.fails:
            raise StorageError("the disk did not confirm")

    def _compact(self, now_ns: int) -> None:
        self.done.append(f"compact {now_ns}")


async def begins(work: object) -> asyncio.Task[None]:
    task = asyncio.ensure_future(work)  # type: ignore[call-overload]
    await asyncio.sleep(0)
    return task


async def test_syncs_that_wait_while_the_disk_works_share_the_next_one(tmp_path: Path) -> None:
    disk = SlowDisk(tmp_path)
    thread = FileThread(disk.file)
    first = await begins(thread.sync())
    await until(lambda: disk.begun == 1)
    later = [await begins(thread.sync()) for _ in range(3)]

    disk.gate.release()
    await first
    await until(lambda: disk.begun == 2)
    assert not any(task.done() for task in later), "what they wait for is not on disk yet"
    disk.gate.release()
    await asyncio.gather(*later)

    assert disk.done == ["sync", "sync"]
    thread.end()


async def test_what_is_asked_is_done_in_order(tmp_path: Path) -> None:
    disk = SlowDisk(tmp_path)
    thread = FileThread(disk.file)
    first = await begins(thread.sync())
    await until(lambda: disk.begun == 1)
    later = [await begins(work) for work in (thread.compact(7), thread.sync(), thread.sync())]

    disk.gate.release(2)
    await asyncio.gather(first, *later)

    assert disk.done == ["sync", "compact 7", "sync"]
    thread.end()


async def test_a_failure_is_raised_in_everything_that_waits_for_it_and_ends_nothing(tmp_path: Path) -> None:
    disk = SlowDisk(tmp_path)
    thread = FileThread(disk.file)
    disk.fails = True
    first, cut_off = await begins(thread.sync()), await begins(thread.sync())
    cut_off.cancel()
    disk.gate.release(2)
    with pytest.raises(StorageError, match="did not confirm"):
        await first

    disk.fails = False
    disk.gate.release()
    await thread.sync()
    thread.end()


async def test_it_ends_when_it_has_done_what_was_asked(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    disk = SlowDisk(tmp_path)
    thread = FileThread(disk.file)
    (made,) = set(threading.enumerate()) - before
    last = await begins(thread.sync())
    thread.end()

    disk.gate.release()
    await last

    await until(lambda: not made.is_alive())
    assert disk.done == ["sync"]
