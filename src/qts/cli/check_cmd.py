"""``qts check``: look for what would make the backtest of a strategy untrue."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from qts.cli.session_cmd import (
    add_adjust,
    add_history,
    add_param,
    add_reading,
    add_rules,
    add_seed,
    add_window,
    options_of,
)
from qts.cli.settings import add_settings

FAILED = 1
_MOST_CUTS = 1_000
_TOLD_FROM_S = 5.0
"""Seconds from which on the length of a check is told before it is made."""


def add_parser(commands: Any) -> None:
    check = commands.add_parser(
        "check",
        help="look for what makes a backtest untrue: look-ahead, lost memory, chance, slow calls",
        description="Runs a strategy many times over the same data and compares what it wants: with the data cut, "
        "stopped and resumed, with another seed; and watches what it reads beside the data. Exit code 1 when a "
        "check fails.",
    )
    check.add_argument("place", metavar="FILE.py:Class", help="the strategy to check")
    check.add_argument(
        "files",
        metavar="DATA",
        nargs="+",
        type=Path,
        help="files of bars or a folder of them (a universe), or one recording",
    )
    check.add_argument(
        "--cuts",
        type=_cuts,
        default=20,
        metavar="N",
        help="places at which the data is cut and a run restarted (default 20); fewer take less time",
    )
    add_param(check)
    add_window(check)
    add_history(check)
    add_reading(check, "DATA")
    add_seed(check)
    check.add_argument("--json", action="store_true", help="print one JSON object instead of the summary")
    check.add_argument(
        "--verbose", action="store_true", help="show the traceback of an unexpected error of the session"
    )
    add_adjust(check)
    add_rules(check)
    add_settings(check)
    check.set_defaults(func=_check, strategy=[], speed=None, data_dir=None, resume=False, strict=False, report=None)


def _cuts(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST_CUTS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {_MOST_CUTS:,}")
    return int(text)


def _check(args: argparse.Namespace) -> int:
    import msgspec

    from qts.cli.check_summary import print_check
    from qts.cli.console import Screen
    from qts.cli.kill_signals import kill_by_signal
    from qts.cli.session import STOPPED, stop_on_signals, unexpected_in_a_sentence
    from qts.runtime.control.stop_flag import StopFlag
    from qts.runtime.drivers.standard_output import redirected_output
    from qts.runtime.session.run_inputs import with_params
    from qts.runtime.wiring.plans import check_plan
    from qts.workbench.check.strategy_check import StrategyCheck
    from qts.workbench.check.trials import StoppedByUser

    args.plain = not args.rules
    (spec,) = with_params((args.place,), args.param)
    args.param = []
    stop = StopFlag()
    with (
        unexpected_in_a_sentence(shown=args.verbose or os.environ.get("QTS_DEBUG") == "1"),
        stop_on_signals(stop),
        kill_by_signal(stop.kill, listens=False),
        redirected_output(lambda: not stop.requested) as aside,
        _progress(aside) as (show, tell),
    ):
        check = StrategyCheck(
            lambda options: check_plan(options, args.files, args.format),
            options_of(args),
            spec,
            cuts=args.cuts,
            user=stop,
            on_progress=show,
            on_estimate=tell,
        )
        try:
            report = check.run()
        except StoppedByUser:
            return STOPPED
    if args.json:
        print(msgspec.json.encode(report).decode())
    else:
        print_check(Screen(), report)
    return 0 if report.passed else FAILED


@contextmanager
def _progress(
    stream: TextIO | None,
) -> Iterator[tuple[Callable[[float, str], object], Callable[[int, float], object]]]:
    """Yield what shows the progress, a bar on a terminal, and what tells how long the check will take."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from qts.runtime.drivers.standard_output import say
    from qts.wording import counted

    def tell(runs: int, seconds: float) -> None:
        if seconds >= _TOLD_FROM_S:
            length = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
            say(f"{counted(runs, 'run')}, about {length}; fewer with --cuts, shorter with --from and --to")

    console = Console(file=stream, stderr=True)
    if not console.is_terminal:  # the library would still print an empty line
        yield (lambda share, doing: None), tell
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=1.0)
        yield (lambda share, doing: bar.update(task, completed=share, description=doing)), tell
