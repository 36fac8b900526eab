"""Run a session for the command line: progress while it runs, then the summary, the JSON and the report."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from qts.cli.console import Screen
from qts.cli.kill_signals import kill_by_signal
from qts.cli.output import NO_ROOM, OUT_OF_FILES, closed_pipe_ignored, held_terminal_ignored
from qts.cli.summary import print_summary
from qts.clock import Clock, from_ns
from qts.config.tree import QtsConfig
from qts.db.find_run import DEFAULT_ROOT
from qts.errors import DefectError, HalfDoneError, InvariantBreach, QtsError
from qts.market.contracts import Feed
from qts.report.output_path import require_output_path
from qts.report.session_report import require_report_extra, write_report
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.drivers.standard_output import redirected_output, say
from qts.runtime.session.defect import defect_message
from qts.runtime.session.live_source import LiveSource
from qts.runtime.session.progress import Progress as Receiver
from qts.runtime.session.session import run_session, session_facts
from qts.runtime.session.session_plan import AnyFeed, SessionPlan
from qts.strategy.contracts import Strategy

STOPPED = 130
HALTED = 5


def run_and_show(plan: SessionPlan, args: argparse.Namespace) -> int:
    """Run ``plan``, show its result and return the exit code.

    0: done; 4: an invariant broke; 5: a strategy was halted, or with ``--strict`` failed; 130: the session was
    stopped and can be resumed.
    """
    if args.report is not None:
        # Before the work, not after it.
        require_report_extra(plan.options.profile.value)
        require_output_path("the report", args.report, made=args.data_dir or DEFAULT_ROOT / plan.command)
    stop = StopFlag()
    # Standard output is the result's; what a user's strategy prints goes to standard error.
    # In real time the session waits for no reader; on the virtual clock it does.
    market = _MarketClock(plan)
    patience = None if plan.paced else lambda: not stop.requested
    with (
        unexpected_in_a_sentence(shown=args.verbose or os.environ.get("QTS_DEBUG") == "1"),
        stop_on_signals(stop),
        kill_by_signal(stop.kill, listens=plan.paced),
        redirected_output(patience) as aside,
        _progress(aside, market) as show,
    ):
        result = run_session(market.plan, progress=show, stop=stop)
    if args.report is not None:
        write_report(session_facts(result), args.report)
        result = result.with_report(os.fsencode(args.report).decode(errors="replace"))  # a name need not be text
    with held_terminal_ignored(stopped=stop.requested), closed_pipe_ignored():
        if args.json:
            print(result.to_json())
        else:
            print_summary(Screen(), result, verbose=args.verbose)
    if any(row["ok"] is False for row in result.values.invariants.values()):
        return InvariantBreach.exit_code
    if args.strict and any(one["errors"] for one in result.values.strategies):
        return HALTED
    if not result.finished:
        return STOPPED
    return HALTED if result.values.halted_strategies else 0


@contextmanager
def unexpected_in_a_sentence(*, shown: bool) -> Iterator[None]:
    """Raise DefectError for an unexpected error of a session, which is in its log; ``shown``: print it as well."""
    try:
        yield
    except Exception as error:  # the edge of the command: an unexpected error becomes one sentence
        text = "" if isinstance(error, QtsError) or _is_no_room(error) else defect_message(error)
        if shown and (text or isinstance(error, HalfDoneError)):
            traceback.print_exception(error, file=sys.stderr)
        if not text:
            raise
        raise DefectError(text) from error


def _is_no_room(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in NO_ROOM | OUT_OF_FILES


class _MarketClock:
    """The clock of the market that ``plan`` trades; UTC until its feed is open and has an instrument."""

    def __init__(self, plan: SessionPlan) -> None:
        self._plan = plan
        self._feed: AnyFeed | None = None
        self.plan = msgspec.structs.replace(
            plan, open_feed=self._open_feed, open_live=None if plan.open_live is None else self._open_live
        )
        """The plan to run, from which the clock learns the feed."""
        self.money = ""
        """What a session at a real broker trades with, with a dot behind it; "" for others."""

    def minute(self, ns: int) -> str:
        """Return a moment (ns since 1970, UTC) to the minute, with its zone."""
        moment = from_ns(ns)
        for instrument in () if self._feed is None else self._feed.instruments.values():
            return f"{instrument.calendar.local_time(moment):%Y-%m-%d %H:%M %Z}"
        return f"{moment:%Y-%m-%d %H:%M %Z}"

    def _open_feed(self) -> Feed:
        self._feed = feed = self._plan.open_feed()
        return feed

    def _open_live(self, config: QtsConfig, strategies: Sequence[Strategy], machine: Clock) -> LiveSource:
        assert self._plan.open_live is not None  # else this one is not asked for
        live = self._plan.open_live(config, strategies, machine)
        self._feed = live.feed
        self.money = f"{live.money} · " if live.money else ""
        return live


@contextmanager
def _progress(stream: TextIO | None, market: _MarketClock) -> Iterator[Receiver]:
    """Show a bar on the terminal, on standard error so that standard output stays clean."""
    console = Console(file=stream, stderr=True)
    if not console.is_terminal:  # the library would still print an empty line
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

        def show(share: float | None, moment_ns: int) -> None:
            bar.update(task, completed=share, description=f"{market.money}{market.minute(moment_ns)}")

        yield show
        bar.update(task, completed=1.0)


@contextmanager
def stop_on_signals(stop: StopFlag) -> Iterator[None]:
    """Stop after the current value at the first Ctrl-C or SIGTERM; the second ends the process (crash path)."""

    def handle(number: int, frame: FrameType | None) -> None:
        stop.request()
        for each in before:  # what Python makes of Ctrl-C is an exception, and a strategy may catch it
            signal.signal(each, signal.SIG_DFL)
        say("stopping after the current event; press Ctrl-C again to stop immediately")

    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    for each in before:
        signal.signal(each, handle)
    try:
        yield
    finally:
        for each, former in before.items():
            signal.signal(each, former)
