"""Records what a strategy wants, in which call it was, how long each call took, and its fills."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from qts.clock import stopwatch_ns
from qts.strategy.contracts import AnyIntent, FillView, Strategy
from qts.strategy.user_code import Run
from qts.workbench.check.call_times import HookTimes
from qts.workbench.check.trial_feed import TrialFeed
from qts.workbench.check.watch import CallWatch

MOST_INTENTS: Final = 100_000
"""Intents, and fills, of one run that are kept and compared."""
_NO_HOOKS: Final = frozenset({"iter", "next", "close", "setattr", "save_state", "load_state"})
"""What the session calls beside hooks: the steps of a hook's answer, and the memory."""

T = TypeVar("T")


class Said(msgspec.Struct, frozen=True):
    """An intent and where it was said: row (counted from 1; 0: before the first), moment, strategy.

    ``after_end``: no further row came. It is kept as the strategy gave it, whatever became of it.
    """

    row: int
    ts_ns: int
    strategy: str
    intent: AnyIntent
    after_end: bool = False


class Filled(msgspec.Struct, frozen=True):
    """A fill as the strategy was told it, and the row at which it was."""

    row: int
    fill: FillView

    @property
    def key(self) -> tuple[object, ...]:
        """Return what two runs share of a fill; ids carry the run's."""
        fill = self.fill
        return fill.ts_ns, fill.symbol, fill.side, fill.qty, fill.price


class Recorder:
    """A :class:`~qts.runtime.strategies.observer.StrategyObserver` that keeps what it sees of one run.

    A run that is stopped and resumed has one recorder, and a feed for each part (:attr:`feed`). ``watch`` is in
    force during each call; None: nothing is watched.
    """

    def __init__(self, feed: TrialFeed, watch: CallWatch | None = None) -> None:
        self.feed = feed
        self.said: list[Said] = []
        self.filled: list[Filled] = []
        self.times: dict[str, HookTimes] = {}
        self.warmed = 0
        """Calls with values from before the session."""
        self.unkept = 0
        """Intents that were not kept, because they were too many."""
        self._watch = watch
        self._hook = ""
        self._spent_ns = self._at_ns = 0

    def runner(self, strategy: Strategy, run: Run) -> Run:
        """Return ``run`` with a stopwatch around each call."""

        def timed(function: Callable[..., T], /, *arguments: Any, **named: Any) -> T:
            name = getattr(function, "__name__", "")
            if name not in _NO_HOOKS:
                self._begin(name, arguments)
            watch = self._watch
            started = stopwatch_ns()
            if watch is None:
                try:
                    return run(function, *arguments, **named)
                finally:
                    self._spent_ns += stopwatch_ns() - started
            with watch.during(self.feed.now_ns):
                return run(function, *arguments, **named)

        return timed

    def on_intent(self, strategy: Strategy, intent: AnyIntent, now_ns: int) -> None:
        """Keep an intent."""
        if len(self.said) >= MOST_INTENTS:
            self.unkept += 1
            return
        feed = self.feed
        self.said.append(Said(feed.given, now_ns, strategy.name, intent, feed.is_ended))

    def finish(self) -> None:
        """Count the last call."""
        self._begin("", ())

    def _begin(self, hook: str, arguments: tuple[Any, ...]) -> None:
        """Count the call that went before, and begin that of ``hook``."""
        if self._hook:
            self.times.setdefault(self._hook, HookTimes()).add(self._spent_ns, self._at_ns)
        shown = arguments[-1] if arguments else None
        self._hook, self._spent_ns = hook, 0
        self._at_ns = getattr(shown, "ts_ns", 0) or self.feed.now_ns
        if arguments and getattr(arguments[0], "warming", False):
            self.warmed += 1
        if isinstance(shown, FillView) and len(self.filled) < MOST_INTENTS:
            self.filled.append(Filled(self.feed.given, shown))
