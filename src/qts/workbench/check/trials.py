"""Runs one strategy again and again over the same data: whole, cut, stopped and resumed, with another seed."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from qts.clock import NS_PER_S, from_ns, stopwatch_ns
from qts.errors import StateError
from qts.ids import shared_randomness
from qts.market.contracts import Feed
from qts.market.feed_view import reread
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.result import failures_of
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options, SessionPlan
from qts.strategy.contracts import Strategy
from qts.strategy.loading import StrategySpec, load_strategy, make_strategy
from qts.strategy.user_code import load_apart
from qts.workbench.check.recorder import Recorder, Said
from qts.workbench.check.trial_feed import TrialFeed
from qts.workbench.check.watch import CallWatch

NO_STRATEGIES: Final = {"runtime.strategies": "[]"}
"""The check makes the strategy itself; one that the configuration names is not run beside it."""


class StoppedByUser(Exception):
    """The user stopped the check: its result would be that of half of it."""


class Trial(msgspec.Struct, frozen=True):
    """One run: what was recorded, the number of rows, the failures of the strategy, the seconds it took."""

    recorder: Recorder
    rows: int
    failures: tuple[str, ...]
    took_s: float

    @property
    def said(self) -> Sequence[Said]:
        """Return the intents in the order in which they were said."""
        return self.recorder.said


class Trials:
    """The runs of one strategy over one input, each in a temporary directory of its own.

    ``plan`` is that of a backtest; ``user`` stops the whole check. ``on_progress`` is called with the rows
    that the present run has read so far. What the first run prints is shown, unless all is to be ``is_quiet``; what
    the others print is dropped.
    """

    def __init__(
        self,
        plan: SessionPlan,
        spec: StrategySpec,
        user: StopFlag,
        on_progress: Callable[[int], object],
        *,
        is_quiet: bool = False,
    ) -> None:
        self.spec = spec
        self.count = 0
        self._plan = plan
        self._is_quiet = is_quiet
        self._user = user
        self._on_progress = on_progress
        self._feed: Feed | None = plan.open_feed()
        self._first = self._feed
        self._class: type | None = None

    @property
    def strategy_class(self) -> type:
        """Return the class as the newest run loaded it; object before the first."""
        return self._class or object

    @property
    def feed(self) -> Feed:
        """Return the feed of the input, for what it knows beside its values."""
        return self._first

    def moment_text(self, ns: int) -> str:
        """Return a moment (ns since 1970, UTC) on the clock of the market, to the second, with its zone."""
        calendar = next(iter(self._first.instruments.values())).calendar
        return f"{calendar.local_time(from_ns(ns)):%Y-%m-%d %H:%M:%S %Z}"

    def run(
        self,
        *,
        is_fresh: bool = True,
        until_ns: int | None = None,
        stops: Sequence[int] = (),
        seed: int | None = None,
        watch: CallWatch | None = None,
        bars: Mapping[str, int] | None = None,
    ) -> Trial:
        """Run the strategy over the input.

        ``is_fresh``: its file is loaded again, as a new process would; else another object of the class of the run
        before is made. ``until_ns`` cuts the input; ``stops`` are rows at which the run is stopped and resumed,
        with its file loaded again. ``seed`` None: that of the options. ``bars`` are declared in place of those of
        the class. Raises StoppedByUser, and what a session raises.
        """
        self.count += 1
        with tempfile.TemporaryDirectory(prefix="qts-check-") as directory:
            made = partial(self._made, is_fresh=is_fresh, watch=watch, bars=bars)
            return self._run(Path(directory), made, until_ns, stops, seed, watch)

    def _run(
        self,
        directory: Path,
        made: Callable[[], Strategy],
        until_ns: int | None,
        stops: Sequence[int],
        seed: int | None,
        watch: CallWatch | None,
    ) -> Trial:
        options = msgspec.structs.replace(
            self._plan.options,
            data_dir=directory,
            strategies=(),
            params=(),
            overrides={**self._plan.options.overrides, **NO_STRATEGIES},
            outputs={},
            seed=self._plan.options.seed if seed is None else seed,
        )
        recorder: Recorder | None = None
        started, given = stopwatch_ns(), 0
        for stop_at in (*stops, None):
            stop = StopFlag()
            feed = TrialFeed(
                self._opened(), stop, self._user, until_ns=until_ns, stop_at=stop_at, given_before=given
            )
            recorder = recorder or Recorder(feed, watch)
            recorder.feed = feed
            failures = self._part(options, feed, recorder, stop, made)
            given = feed.given
            options = msgspec.structs.replace(options, resume=True)
            if feed.is_ended:
                break
        assert recorder is not None
        recorder.finish()
        return Trial(recorder, given, failures, (stopwatch_ns() - started) / NS_PER_S)

    def _part(
        self,
        options: Options,
        feed: TrialFeed,
        recorder: Recorder,
        stop: StopFlag,
        made: Callable[[], Strategy],
    ) -> tuple[str, ...]:
        """Run the session from where it is to the end of ``feed`` or to its stop; return the failures."""
        quiet: AbstractContextManager[object] = (
            nullcontext() if self.count == 1 and not self._is_quiet else contextlib.redirect_stdout(_Dropped())
        )
        feeds: list[Feed] = [feed]

        def open_feed() -> Feed:
            return feeds.pop() if feeds else self._plan.open_feed()  # a session opens it again for its history

        plan = msgspec.structs.replace(
            self._plan,
            options=options,
            open_feed=open_feed,
            default_strategies=lambda: (made(),),
            own_identity=self.spec.identity,
            reads_again=False,
            observer=recorder,
        )

        def progress(share: float | None, moment_ns: int, /) -> None:
            self._on_progress(feed.given)

        with quiet, shared_randomness(options.seed):
            result = run_session(plan, progress=progress, stop=stop)
        if self._user.requested:
            raise StoppedByUser
        return tuple(text for text, _ in failures_of(result.values.strategies))

    def _made(self, *, is_fresh: bool, watch: CallWatch | None, bars: Mapping[str, int] | None) -> Strategy:
        with nullcontext() if watch is None else watch.during():
            if is_fresh or self._class is None:
                made = load_strategy(self.spec.place, self.spec.params)
                self._class = type(made)
                if bars is not None:
                    self._class.bars = bars  # type: ignore[attr-defined]
                return made
            return load_apart(make_strategy, self._class, self.spec.place, self.spec.params)

    def _opened(self) -> Feed:
        """Return the input from its beginning: the one opened before where it is in memory."""
        opened, self._feed = self._feed, None
        if opened is not None:
            return opened
        again = reread(self._first) or self._plan.open_feed()
        if again.source_id != self._first.source_id:
            raise StateError(f"{self._first.name} has changed while it was checked; start again")
        return again


class _Dropped(io.TextIOBase):
    """A text stream that keeps nothing."""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return len(text)
