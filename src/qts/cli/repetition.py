"""Repeats a recorded session for the command line, and says whether it decided, ordered and booked the same."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import msgspec

from qts.cli.console import Screen
from qts.cli.output import closed_pipe_ignored
from qts.cli.session import stop_on_signals, unexpected_in_a_sentence
from qts.errors import InputError
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.drivers.standard_output import redirected_output
from qts.runtime.session.repetition import Repetition, repeat_session
from qts.runtime.session.session_plan import Options
from qts.wording import counted

DIFFERS = 1


def repeat_and_show(options: Options, path: Path, args: argparse.Namespace) -> int:
    """Repeat the session in ``path``, show the outcome and return the exit code: 0 for the same, 1 for different.

    Raises InputError for options that a repetition does not have, and as
    :func:`~qts.runtime.session.repetition.repeat_session`.
    """
    for option, given in (("--report", args.report), ("--resume", args.resume), ("--speed", args.speed)):
        if given:
            raise InputError(
                f"{option} is not for doing what a session did again; leave it out, or give --simulate to trade "
                "through its prices"
            )
    stop = StopFlag()
    with (
        unexpected_in_a_sentence(shown=args.verbose or os.environ.get("QTS_DEBUG") == "1"),
        stop_on_signals(stop),
        redirected_output(None),
    ):
        found = repeat_session(options, path, progress=lambda share, moment_ns: None, stop=stop)
    with closed_pipe_ignored():
        if args.json:
            print(msgspec.json.encode(found).decode())
        else:
            Screen().print("\n".join(lines_of(found)), soft_wrap=True, markup=False, highlight=False)
    return 0 if found.difference is None else DIFFERS


def lines_of(found: Repetition) -> list[str]:
    """Return the outcome in lines for people."""
    rows = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in found.rows.items() if count)
    lines = [f"repeated {counted(found.steps, 'step')} into {found.directory}"]
    if found.until:
        lines.append(f"it ends {found.until}")
    if found.difference is None:
        lines.append(f"same: {rows or 'nothing was stored'}")
    else:
        lines.append(f"DIFFERENT {found.difference.text}")
    return lines
