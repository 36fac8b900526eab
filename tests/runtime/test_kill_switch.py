"""The kill switch: what presses it, what does not, and that it needs no descriptor and no second look."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from qts.runtime.control.command_files import write_command
from qts.runtime.control.kill_switch import KillSwitch, Press, is_stop, stop_files_in
from qts.runtime.control.operator_inbox import stop_of_file
from tests.runtime.rig import command


def switch_on(directory: Path, *settled: str) -> KillSwitch:
    """A switch for which 5 ms pass between any two looks at its stopwatch."""
    beats = count(0, 5_000_000)
    kill = KillSwitch(stopwatch=lambda: next(beats))
    kill.watch(directory, settled.__contains__)
    return kill


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_presses_are_handed_over_once_and_in_their_order() -> None:
    kill = KillSwitch()
    assert not kill.is_pressed()
    kill.press(liquidate=False, by="signal SIGUSR1")
    kill.press(liquidate=True, by="signal SIGUSR2")
    assert kill.is_pressed()
    assert kill.take() == [Press(False, "signal SIGUSR1"), Press(True, "signal SIGUSR2")]
    assert kill.is_pressed(), "no order may leave before they are begun"
    kill.on_stop_begun()
    assert kill.is_pressed()
    kill.on_stop_in_force()
    assert not kill.is_pressed()
    assert kill.take() == []


def test_a_directory_that_is_not_there_yet_holds_no_stop(tmp_path: Path) -> None:
    assert not switch_on(tmp_path / "operator").is_pressed()


@pytest.mark.parametrize("name", ["stop-keep", "stop-sell", "stop-0123456789ab.asked"])
def test_a_stop_in_the_directory_presses_it_until_it_is_gone(name: str, tmp_path: Path) -> None:
    kill = switch_on(tmp_path)
    assert not kill.is_pressed()
    (tmp_path / name).touch()
    assert kill.is_pressed()
    assert kill.is_pressed(), "not only at the look that found it"
    (tmp_path / name).unlink()
    assert not kill.is_pressed()


@pytest.mark.parametrize(
    "name", ["stop", "stop-sell~", ".stop-sell.swp", "stop-1.answered", ".stop-1", "override-1.asked", "STOP-SELL"]
)
def test_other_files_do_not_press_it(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    assert not is_stop(name)
    assert not switch_on(tmp_path).is_pressed()
    assert stop_files_in(tmp_path) == []


def test_every_stop_that_is_left_by_command_is_known_by_its_name(tmp_path: Path) -> None:
    for wanted in (command("stop"), command("override", state="DEFENSIVE")):
        write_command(tmp_path, wanted)
    names = sorted(os.listdir(tmp_path / "operator"))
    assert [is_stop(name) for name in names] == [False, True]


def test_a_stop_that_was_carried_out_but_could_not_be_removed_does_not_press_it(tmp_path: Path) -> None:
    (tmp_path / "stop-keep").touch()
    kill = switch_on(tmp_path, "stop-keep")
    assert not kill.is_pressed()


def test_a_stop_within_the_same_tick_of_the_file_system_is_seen(tmp_path: Path) -> None:
    # Given a directory that was just looked at because something else had come
    kill = switch_on(tmp_path)
    (tmp_path / "override-1.asked").touch()
    status = tmp_path.stat()
    assert not kill.is_pressed()
    # when a stop comes and the directory shows the same time
    (tmp_path / "stop-sell").touch()
    os.utime(tmp_path, ns=(status.st_atime_ns, status.st_mtime_ns))
    # then it presses the switch all the same
    assert kill.is_pressed()


def test_without_a_descriptor_an_unknown_change_counts_as_a_stop(tmp_path: Path) -> None:
    kill = switch_on(tmp_path)
    assert not kill.is_pressed()
    (tmp_path / "override-1.asked").touch()
    with no_descriptor_left():
        assert kill.is_pressed()
        assert kill.is_pressed(), "as long as the directory could not be read"
    assert not kill.is_pressed()


def test_a_dropped_file_is_found_and_understood_without_a_descriptor(tmp_path: Path) -> None:
    (tmp_path / "stop-sell").touch()
    with no_descriptor_left():
        (path,) = stop_files_in(tmp_path)
        command = stop_of_file(path)
    assert command is not None
    assert (command.liquidate, command.is_scoped) == (True, False)


def test_the_directory_is_looked_at_no_more_often_than_every_five_ms(tmp_path: Path) -> None:
    moments = iter([0, 4_999_999, 5_000_000])
    kill = KillSwitch(stopwatch=lambda: next(moments))
    kill.watch(tmp_path, lambda name: False)
    assert not kill.is_pressed()
    (tmp_path / "stop-keep").touch()
    assert not kill.is_pressed()
    assert kill.is_pressed()
