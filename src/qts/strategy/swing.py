"""Breakouts on daily bars, for days to weeks: buy a new high, leave on a new low, on a trailing stop or in time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from qts.capital.contracts import Pool
from qts.errors import ContractError
from qts.indicators import ema_weight, true_range
from qts.market.contracts import Bar, Quote
from qts.state.contracts import OperatingState
from qts.strategy.arguments import check_above, symbols_of
from qts.strategy.contracts import Context, FillView, Intent, Side
from qts.strategy.strength import confidence_of

NOTHING: tuple[Intent, ...] = ()
HALF_STRENGTH = 1.3
"""Height over the window's mean, in mean ranges, that gives confidence 0.5 (0.7 at 2.3, 0.9 at 4.3)."""


class Swing:
    """Buys a close above every close of the last ``entry_days``; leaves on one under those of ``exit_days``.

    Also leaves when the close is ``stop_ranges`` mean daily ranges under the highest since entry (half of that in
    DEFENSIVE) and after ``max_days`` bars. Confidence is the height over the mean of the entry window, measured
    in mean daily ranges: a new high in a strong trend counts more than one in a flat market.
    """

    def __init__(
        self,
        *,
        entry_days: int = 20,
        exit_days: int = 10,
        stop_ranges: float = 3.0,
        max_days: int = 40,
        name: str = "swing",
        pool: Pool = Pool.SWING,
        symbols: Sequence[str] = (),
    ) -> None:
        if not 1 < exit_days <= entry_days:
            raise ContractError(f"Swing needs 1 < exit_days <= entry_days, got {exit_days!r} and {entry_days!r}")
        check_above("stop_ranges", stop_ranges, 0)
        check_above("max_days", max_days, 0)
        self.name = name
        self.pool = pool
        self.symbols = symbols_of(symbols)
        self._entry_days = entry_days
        self._exit_days = exit_days
        self._stop_ranges = stop_ranges
        self._max_days = max_days
        self._range_weight = ema_weight(entry_days)
        self._closes: dict[str, deque[float]] = {}
        self._range: dict[str, float] = {}
        self._highest: dict[str, float] = {}
        self._days: dict[str, int] = {}

    def on_start(self, ctx: Context) -> None:
        """Do nothing: there is nothing to prepare."""

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        """Return nothing: only closes count."""
        return NOTHING

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        """Return an entry or an exit after a close."""
        symbol, close = bar.symbol, float(bar.close)
        closes = self._closes.setdefault(symbol, deque(maxlen=self._entry_days))
        answer = self._answer(ctx, symbol, close, closes)
        # The day's own range counts after the answer: a jump must not make itself look usual.
        if closes:
            self._learn_range(symbol, true_range(float(bar.high), float(bar.low), closes[-1]))
        closes.append(close)
        return answer

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        """Start the high and the count of days of a new holding; forget those of a closed one."""
        symbol = fill.symbol
        if fill.side is Side.BUY:
            self._highest.setdefault(symbol, float(fill.price))
            self._days.setdefault(symbol, 0)
        elif not ctx.holding(symbol) > 0:
            self._highest.pop(symbol, None)
            self._days.pop(symbol, None)

    def _learn_range(self, symbol: str, newest: float) -> None:
        known = self._range.get(symbol, newest)
        self._range[symbol] = known + self._range_weight * (newest - known)

    def _answer(self, ctx: Context, symbol: str, close: float, closes: deque[float]) -> Iterable[Intent]:
        holding = ctx.holding(symbol) > 0
        if holding:
            self._days[symbol] = self._days.get(symbol, 0) + 1
            self._highest[symbol] = max(self._highest.get(symbol, close), close)
        if len(closes) < self._entry_days or ctx.working(symbol):
            return NOTHING
        return self._leave(ctx, symbol, close, closes) if holding else self._enter(symbol, close, closes)

    def _enter(self, symbol: str, close: float, closes: deque[float]) -> Iterable[Intent]:
        mean_range = self._range[symbol]
        if close <= max(closes) or mean_range <= 0.0:
            return NOTHING
        strength = (close - sum(closes) / len(closes)) / mean_range
        reason = f"highest close of {self._entry_days} days, {strength:.2f} ATR above the mean"
        return (Intent(symbol, Side.BUY, confidence_of(strength, HALF_STRENGTH), reason=reason),)

    def _leave(self, ctx: Context, symbol: str, close: float, closes: deque[float]) -> Iterable[Intent]:
        ranges = self._stop_ranges / 2 if ctx.state is OperatingState.DEFENSIVE else self._stop_ranges
        if close <= self._highest[symbol] - ranges * self._range[symbol]:
            reason = f"{ranges:g} ranges under the high {self._highest[symbol]:.6g}"
        elif close < min(list(closes)[-self._exit_days :]):
            reason = f"lowest close of {self._exit_days} days"
        elif self._days[symbol] >= self._max_days:
            reason = f"held {self._days[symbol]} days"
        else:
            return NOTHING
        return (Intent(symbol, Side.SELL, 1.0, reason=reason),)
