"""Runs a session for the command line: progress while it runs, then the summary, the JSON and the report."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from qts.cli.console import Screen
from qts.cli.output import reader_may_leave
from qts.cli.summary import print_summary
from qts.clock import from_ns
from qts.db.find_run import DEFAULT_ROOT
from qts.errors import InvariantBreach
from qts.report.place import require_place
from qts.report.session_report import require_report_extra, write_report
from qts.runtime.drive import StopFlag
from qts.runtime.launch import run_session, session_facts
from qts.runtime.plan import SessionPlan
from qts.runtime.prints import prints_aside, unfailing_stderr

STOPPED = 130
Tell = Callable[[float | None, int], None]


def run_and_show(plan: SessionPlan, args: argparse.Namespace) -> int:
    """The whole command. Exit code 0; 4 when an invariant broke; 130 when it was stopped (it can be resumed)."""
    if args.report is not None:
        # Before the work, not after it.
        require_report_extra()
        require_place("the report", args.report, made=args.data_dir or DEFAULT_ROOT / plan.command)
    stop = StopFlag()
    # Standard output is the result's; what a user's strategy prints goes to standard error.
    with _stop_on_signals(stop), _progress() as tell, prints_aside():
        result = run_session(plan, progress=tell, stop=stop)
    if args.report is not None:
        write_report(session_facts(result), args.report)
        result.values["report"] = str(args.report)
    with reader_may_leave():
        if args.json:
            print(result.to_json())
        else:
            print_summary(Screen(), result)
    if any(row["ok"] is False for row in result.values["invariants"].values()):
        return InvariantBreach.exit_code
    return 0 if result.finished else STOPPED


@contextmanager
def _progress() -> Iterator[Tell]:
    """A bar on the terminal, on standard error so that standard output stays clean."""
    # The library keeps what it could not write and tries all of it again with every line that follows.
    console = Console(file=unfailing_stderr(), stderr=True)
    if not console.is_terminal:  # nobody watches; the library would still print an empty line
        yield lambda share, moment_ns: None
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

        def tell(share: float | None, moment_ns: int) -> None:
            bar.update(task, completed=share, description=f"{from_ns(moment_ns):%Y-%m-%d %H:%M}")

        yield tell
        bar.update(task, completed=1.0)


@contextmanager
def _stop_on_signals(stop: StopFlag) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM stops after the value in hand; the second takes the default way (crash path)."""

    def handle(number: int, frame: FrameType | None) -> None:
        print("stopping after the event in hand; once more to stop at once", file=sys.stderr)
        stop.request()
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, before[each])

    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    for each in before:
        signal.signal(each, handle)
    try:
        yield
    finally:
        for each, former in before.items():
            signal.signal(each, former)
