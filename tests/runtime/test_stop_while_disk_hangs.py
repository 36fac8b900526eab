"""A stop acts while the disk does not answer, and no release from before it undoes it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from qts.cli.kill_signals import kill_by_signal
from qts.event import journal_writer
from qts.runtime.control.command_files import write_command
from qts.runtime.control.commands import Release
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session import run_session
from tests.event.support import until
from tests.event.test_journal import Disk
from tests.runtime.test_stop_ways import Busy, Way, by_command, by_file, by_signal, paper


class HangingDisk(Disk):
    """Returns whether a caller waits for it."""

    hangs = False

    def fdatasync(self, fd: int) -> None:
        self.hangs = not self.go.is_set()
        super().fdatasync(fd)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[HangingDisk]:
    stand_in = HangingDisk()
    monkeypatch.setattr(journal_writer, "os", stand_in)
    yield stand_in
    stand_in.go.set()


@pytest.mark.parametrize("way", [by_command, by_file, by_signal])
def test_a_stop_acts_while_the_disk_hangs(way: Way, tmp_path: Path, disk: HangingDisk) -> None:
    busy, stop = Busy(), StopFlag()
    operators = list[asyncio.Task[None]]()
    released = list[Path]()

    async def operator() -> None:
        try:
            # Given a session whose disk hangs, and a release that it has not received yet
            disk.go.clear()
            await until(lambda: disk.hangs)
            release = Release(operator="kim", reason="looks well")
            released.append(write_command(tmp_path, release))
            # when it is stopped
            way(tmp_path, False)
            # then the gate is shut before the disk answers
            log = tmp_path / "session.log.jsonl"
            await until(lambda: "safety NORMAL -> LOCKDOWN" in log.read_text("utf-8"), seconds=10)
            assert not disk.go.is_set()
            # and when the disk answers, the release that was given before is refused
            disk.go.set()
            await until(released[0].exists)
        finally:
            disk.go.set()
            stop.request()

    def progress(share: float | None, moment_ns: int) -> None:
        if busy.held and not operators:
            operators.append(asyncio.get_running_loop().create_task(operator()))

    with kill_by_signal(stop.kill, listens=True):
        result = run_session(paper(tmp_path, busy), progress=progress, stop=stop)
    operators[0].result()
    assert result.values.safety_state == "LOCKDOWN"
    answer = json.loads(released[0].read_text("utf-8"))
    assert answer["done"] is False
    assert "a stop came at the same time: nothing is released" in answer["answer"]
