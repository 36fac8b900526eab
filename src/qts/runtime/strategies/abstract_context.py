"""The part of a strategy's context that does not depend on where the strategy runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from decimal import Decimal
from typing import Final

from qts.clock import from_ns
from qts.errors import ContractError
from qts.indicators.contracts import Indicator
from qts.market.series.book import BarSeries
from qts.runtime.strategies.plots import PlotPoint, plot_point
from qts.runtime.strategies.strategy_bars import StrategyBars
from qts.strategy.timer import Timer, timer_at, timer_every
from qts.strategy.tracked import Tracked

MAX_LINES: Final = 10_000
"""Lines of one strategy in the session's log, in one start of the session."""
_MAX_LINE: Final = 1_000


class AbstractContext(ABC):
    """The part of a :class:`~qts.strategy.contracts.Context` that is the same on the loop and in a worker process.

    ``bars`` None: the class declares none, and is shown those of the feed. A subclass knows the account, and where
    plots, timers and lines for the log go.
    """

    __slots__ = ("bars", "is_starting", "warming_ns")

    def __init__(self, bars: StrategyBars | None) -> None:
        self.bars = bars
        self.is_starting = False
        """Whether ``on_start`` runs: what the strategy tracks is asked for then."""
        self.warming_ns: int | None = None
        """The end of the bar of the past that it is shown; None: it is shown the present."""

    @property
    def now(self) -> datetime:
        return from_ns(self._now_ns())

    @property
    def warming(self) -> bool:
        return self.warming_ns is not None

    def ready(self, symbol: str) -> bool:
        return self.bars is None or self.bars.is_ready(symbol)

    def history(self, symbol: str, interval: str, n: int) -> BarSeries:
        return self._declared_bars("history").history(symbol, interval, n)

    def track(self, indicator: Indicator, interval: str) -> Tracked:
        bars = self._declared_bars("track")
        if not self.is_starting:  # a resumed session would not ask for it again
            raise ContractError(
                f"track {indicator!r:.80}: call ctx.track in on_start, which is called at every start"
            )
        return bars.track(indicator, interval)

    def is_flat(self, symbol: str) -> bool:
        return not self.holding(symbol)

    def plot(self, name: str, value: float | Decimal, pane: str = "") -> None:
        point = plot_point(name, value, pane, self._now_ns())
        if point is not None:
            self.add_point(point)

    def at(self, when: str, name: str) -> None:
        self.set_timer(timer_at(when, name))

    def every(self, interval: str, name: str) -> None:
        self.set_timer(timer_every(interval, name))

    def log(self, text: str) -> None:
        self.add_line(_checked_line(text))

    @abstractmethod
    def holding(self, symbol: str) -> Decimal:
        """Return the quantity that the strategy holds; 0: it is flat."""

    @abstractmethod
    def add_point(self, point: PlotPoint) -> None:
        """Add a point to what is plotted."""

    @abstractmethod
    def set_timer(self, timer: Timer) -> None:
        """Set a checked timer. Raises ContractError in a strategy without ``on_timer``."""

    @abstractmethod
    def add_line(self, text: str) -> None:
        """Add a checked line for the session's log."""

    @abstractmethod
    def _present_ns(self) -> int:
        """Return the session's time, ns since 1970 UTC."""

    def _now_ns(self) -> int:
        """Return the time that the strategy is shown, ns: the present, or in the warm-up that of its bar."""
        return self._present_ns() if self.warming_ns is None else self.warming_ns

    def _declared_bars(self, method: str) -> StrategyBars:
        if self.bars is None:
            raise ContractError(
                f'{method}: the class declares no bars; write for example bars = {{"5m": 200}} in it'
            )
        return self.bars


def no_on_timer(timer: Timer) -> ContractError:
    """Return the error of a timer that no hook would hear of."""
    return ContractError(f"timer {timer.name!r}: the class has no on_timer(self, ctx, name) that could be called")


def _checked_line(text: object) -> str:
    """Return the first 1,000 characters of a line for the log. Raises ContractError for what is no text."""
    if not isinstance(text, str):
        raise ContractError(f"log: give a text, got {type(text).__name__}")
    return str(text)[:_MAX_LINE].encode("utf-8", "replace").decode()
