"""What a hang leaves in ``hang.txt``, and whom the next session takes for its cause."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from qts.errors import InputError, StorageError
from qts.runtime.drivers.hang_file import HangFile, UserCall, stack_of, user_call
from tests.runtime.rig import Rig, ScriptedStrategy, kst


class StackTaker(ScriptedStrategy):
    """Looks at the stack while it is shown a quote."""

    def __init__(self, name: str = "looked") -> None:
        super().__init__()
        self.name = name
        self.stack = ""
        self.call: UserCall | None = None

    def on_quote(self, ctx: Any, quote: Any) -> Any:
        self.deeper()
        return super().on_quote(ctx, quote)

    def deeper(self) -> None:
        frame: FrameType = sys._getframe()
        self.stack, self.call = stack_of(frame), user_call(frame)


class StackWhileYielding(StackTaker):
    """Looks between two intents, as most strategies are written: its code runs when the next one is asked for."""

    def on_quote(self, ctx: Any, quote: Any) -> Any:
        yield from ()
        self.deeper()


class Other(StackTaker):
    def on_quote(self, ctx: Any, quote: Any) -> Any:
        return ()


@pytest.fixture(params=[StackTaker, StackWhileYielding])
def taker(request: pytest.FixtureRequest, rig_of: Any) -> StackTaker:
    strategy: StackTaker = request.param()
    rig: Rig = rig_of(strategy)
    rig.quotes(kst(10), 1)
    return strategy


@pytest.fixture
def file(tmp_path: Path) -> Iterator[HangFile]:
    with closing(HangFile(tmp_path)) as file:
        yield file


def test_the_strategy_and_its_callback_are_named(taker: StackTaker) -> None:
    assert taker.call == UserCall("looked", "on_quote")
    assert taker.stack.splitlines()[1].endswith("in deeper")
    assert user_call(sys._getframe()) is None


def test_nothing_is_left_when_nothing_hangs(file: HangFile) -> None:
    assert file.read([]) is None

    file.write("a stack\n")
    file.clear()
    assert file.read([]) is None
    assert file.size == 0


def test_what_the_watchdog_ended_is_named(file: HangFile, taker: StackTaker) -> None:
    file.write(taker.stack)
    file.end(UserCall("looked", "on_fill"))

    hang = file.read([taker])

    assert hang is not None
    assert hang.strategies == ("looked",)
    assert hang.text == "the previous session hung in on_fill of strategy looked"


def test_a_hang_in_our_own_code_halts_no_strategy(file: HangFile, taker: StackTaker) -> None:
    file.end(UserCall("", ""))
    hang = file.read([taker])

    assert hang is not None
    assert hang.strategies == ()


def test_whom_the_stack_of_a_killed_session_shows_is_found_by_its_code(file: HangFile, taker: StackTaker) -> None:
    """As the fault handler writes it; two strategies stand in the same file."""
    file.write(f"Stack (most recent call first):\n{taker.stack}")

    hang = file.read([Other("other"), taker])

    assert hang is not None
    assert hang.strategies == ("looked",)


def test_a_stack_without_a_strategy_halts_none(file: HangFile, taker: StackTaker) -> None:
    file.write('  File "/lib/python/threading.py", line 1 in wait\n')

    hang = file.read([taker])

    assert hang is not None
    assert hang.strategies == ()


def test_a_file_that_is_none_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "hang.txt").mkdir()

    with pytest.raises(InputError, match=r"hang\.txt: cannot be used \(Is a directory\); move it away"):
        HangFile(tmp_path)


def test_a_fifo_is_refused_with_one_advice(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "hang.txt")

    with pytest.raises(InputError, match=r"hang\.txt: cannot be used \(it is not a regular file; move it away\)$"):
        HangFile(tmp_path)


def test_a_full_table_of_open_files_is_no_reason_to_move_it_away(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(StorageError, match=r"\(Too many open files\); raise the limit \(ulimit -n\)"):
            HangFile(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# -- a disk that fails ---------------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_written_raises_nothing(file: HangFile) -> None:
    # Given a disk that is full
    full = os.open("/dev/full", os.O_RDWR)
    os.dup2(full, file.handle)
    os.close(full)
    # when the watchdog reports a stall, ends the session or finds that it moves again
    # then none of it raises: the thread has to go on
    file.write("Most recent call first:\n")
    file.end(UserCall("looked", "on_quote"))
    file.clear()
    assert file.size == 0


def test_a_line_that_was_cut_off_does_not_keep_the_run_from_being_resumed(
    file: HangFile, taker: StackTaker
) -> None:
    # Given a stack in a strategy, and behind it an end that a full disk has cut off
    file.write(taker.stack)
    os.write(file.handle, b'ended: {"strategy":"loo')
    # when the session is resumed, then the stack names the strategy
    hang = file.read([taker])
    assert hang is not None
    assert hang.strategies == ("looked",)
