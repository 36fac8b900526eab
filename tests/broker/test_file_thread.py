"""The gateway's loop never waits for the disk: a thread does, in order, and once for all that wait for the same."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from qts.broker.gateway.file_thread import Done, FileThread
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


def asked(work: Callable[[Done], None]) -> asyncio.Future[None]:
    """Ask for work; the future is done when the work is, or has failed."""
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def done(failure: Exception | None) -> None:
        assert threading.current_thread() is own, "it is told where it was asked for"
        if failure is None:
            answer.set_result(None)
        else:
            answer.set_exception(failure)

    own = threading.current_thread()
    work(done)
    return answer


async def test_syncs_that_wait_while_the_disk_works_share_the_next_one(tmp_path: Path) -> None:
    disk = SlowDisk(tmp_path)
    thread = FileThread(disk.file)
    first = asked(thread.sync)
    await until(lambda: disk.begun == 1)
    later = [asked(thread.sync) for _ in range(3)]

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
    first = asked(thread.sync)
    await until(lambda: disk.begun == 1)
    later = [asked(work) for work in (partial(thread.compact, 7), thread.sync, thread.sync)]

    disk.gate.release(2)
    await asyncio.gather(first, *later)

    assert disk.done == ["sync", "compact 7", "sync"]
    thread.end()


async def test_everything_that_waits_is_told_of_a_failure_which_ends_nothing(tmp_path: Path) -> None:
    disk = SlowDisk(tmp_path)
    thread = FileThread(disk.file)
    disk.fails = True
    first = asked(thread.sync)
    await until(lambda: disk.begun == 1)
    later = [asked(thread.sync) for _ in range(2)]
    disk.gate.release(2)
    for one in (first, *later):
        with pytest.raises(StorageError, match="did not confirm"):
            await one

    disk.fails = False
    disk.gate.release()
    await asked(thread.sync)
    thread.end()


async def test_it_ends_when_it_has_done_what_was_asked(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    disk = SlowDisk(tmp_path)
    thread = FileThread(disk.file)
    (made,) = set(threading.enumerate()) - before
    last = asked(thread.sync)
    thread.end()

    disk.gate.release()
    await last

    await until(lambda: not made.is_alive())
    assert disk.done == ["sync"]
