"""The wait for the answer to a command, and for what goes on behind it."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from qts.db.find_run import FoundRun
    from qts.runtime.control.commands import Answer

NOT_DONE, REFUSED = 1, 2
_LOOK_EVERY_S: Final = 0.02


def add_wait(parser: argparse.ArgumentParser, default_s: float) -> None:
    """Add the option ``--wait``."""
    parser.add_argument(
        "--wait",
        type=seconds_of,
        default=default_s,
        metavar="S",
        help=f"seconds to wait until it is done (default {default_s:g})",
    )


def seconds_of(text: str) -> float:
    """Return the seconds of an option, 0 to a day. Raises ArgumentTypeError for anything else."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 86400")
    return value


def wait_for(
    run: FoundRun, path: Path, wait_s: float, on_change: Callable[[Answer], object] = lambda answer: None
) -> tuple[Answer | None, bool]:
    """Wait until the command is done, its session has ended or ``wait_s`` are over.

    Return the newest answer, None while there is none, and whether the session was running. ``on_change`` is called
    with each answer that differs from the one before.
    """
    from qts.clock import NS_PER_S, PacedClock, SystemClock
    from qts.db.find_run import run_in

    clock = PacedClock(SystemClock().now())
    until_ns = clock.time_ns() + round(wait_s * NS_PER_S)
    answer = _read(path)
    looked_ns, live = clock.time_ns(), True
    while live and not _is_over(answer) and clock.time_ns() < until_ns:
        clock.wait_until_ns(clock.time_ns() + round(_LOOK_EVERY_S * NS_PER_S), lambda: False)
        newest = _read(path) or answer
        if newest is not None and newest != answer:
            on_change(newest)
        answer = newest
        if clock.time_ns() - looked_ns >= NS_PER_S:
            looked_ns, live = clock.time_ns(), run_in(run.directory).live
    return answer, live


def print_unanswered(run: FoundRun, what: str, *, live: bool) -> int:
    """Print that there is no answer to the command ``what``; return the exit code."""
    why = "the session has not answered yet" if live else "the session has ended before it answered"
    print(f"{why}; the {what} waits in {run.directory}")
    return NOT_DONE


def print_session(run: FoundRun) -> None:
    """Print which session was given the command, and what it trades with at a real broker."""
    from qts.errors import StorageError
    from qts.runtime.session.session_view import MONEY, read_view

    mode = ""
    with suppress(StorageError):  # the command was given; status says what is wrong with the file
        view = read_view(run.directory)
        mode = "" if view is None else view.mode
    pid = f", pid {run.pid}" if run.pid is not None else ""
    print(f"session in {run.directory}{pid}{f': {MONEY[mode]}' if mode in MONEY else ''}")


def _is_over(answer: Answer | None) -> bool:
    if answer is None:
        return False
    return not answer.done or answer.progress is None or answer.progress.complete


def _read(path: Path) -> Answer | None:
    """Return the newest answer; None while there is none. The session replaces the file as a whole."""
    import msgspec

    from qts.runtime.control.commands import Answer

    try:
        return msgspec.json.decode(path.read_bytes(), type=Answer)
    except FileNotFoundError:
        return None
