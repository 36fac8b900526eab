"""The slow trend on daily bars, for months: buy in steps while the price is above its mean, leave when it broke."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from qts.capital.contracts import Pool
from qts.errors import ContractError
from qts.market.contracts import Bar, Quote
from qts.state.contracts import OperatingState
from qts.strategy.arguments import check_above, symbols_of
from qts.strategy.contracts import Context, FillView, Intent, Side

NOTHING: tuple[Intent, ...] = ()


class Portfolio:
    """Buys one step every ``pace_days`` bars while the close is above its ``trend_days`` mean and money is left.

    Leaves after ``confirm_days`` closes in a row more than ``tolerance`` (a fraction) under the mean; in DEFENSIVE,
    where nothing new is bought, half as many are enough. Confidence is the share of the last ``pace_days`` closes
    that stood above the mean of their day; half of them or fewer are no trend and give no signal.
    """

    def __init__(
        self,
        *,
        trend_days: int = 60,
        pace_days: int = 10,
        confirm_days: int = 6,
        tolerance: float = 0.03,
        name: str = "portfolio",
        pool: Pool = Pool.PORTFOLIO,
        symbols: Sequence[str] = (),
    ) -> None:
        for label, value in (("trend_days", trend_days), ("pace_days", pace_days), ("confirm_days", confirm_days)):
            check_above(label, value, 1)
        if not 0 <= tolerance < 1:
            raise ContractError(f"tolerance must be a fraction from 0 to below 1, got {tolerance!r}")
        self.name = name
        self.pool = pool
        self.symbols = symbols_of(symbols)
        self._trend_days = trend_days
        self._pace_days = pace_days
        self._confirm_days = confirm_days
        self._tolerance = tolerance
        self._closes: dict[str, deque[float]] = {}
        self._above: dict[str, deque[bool]] = {}
        self._broken_days: dict[str, int] = {}
        self._days_since_step: dict[str, int] = {}

    def on_start(self, ctx: Context) -> None:
        """Do nothing: there is nothing to prepare."""

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        """Return nothing: only closes count."""
        return NOTHING

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        """Return a step into the holding while closes are above the mean, or the exit after some below it."""
        symbol, close = bar.symbol, float(bar.close)
        closes = self._closes.setdefault(symbol, deque(maxlen=self._trend_days))
        closes.append(close)
        if len(closes) < self._trend_days:
            return NOTHING
        mean = sum(closes) / len(closes)
        above = self._above.setdefault(symbol, deque(maxlen=self._pace_days))
        above.append(close > mean)
        broken = close < mean * (1.0 - self._tolerance)
        self._broken_days[symbol] = self._broken_days.get(symbol, 0) + 1 if broken else 0
        self._days_since_step[symbol] = self._days_since_step.get(symbol, self._pace_days - 1) + 1
        if ctx.working(symbol):
            return NOTHING
        return self._leave(ctx, symbol) or self._step_in(ctx, bar, close > mean)

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        """Do nothing: steps are paced by what was asked, not by what was filled."""

    def _leave(self, ctx: Context, symbol: str) -> Iterable[Intent]:
        needed = self._confirm_days // 2 if ctx.state is OperatingState.DEFENSIVE else self._confirm_days
        days = self._broken_days[symbol]
        if days < max(needed, 1) or not ctx.holding(symbol) > 0:
            return NOTHING
        return (Intent(symbol, Side.SELL, 1.0, reason=f"{days} closes under the {self._trend_days}-day mean"),)

    def _step_in(self, ctx: Context, bar: Bar, is_above: bool) -> Iterable[Intent]:
        symbol, above = bar.symbol, self._above[bar.symbol]
        due = self._days_since_step[symbol] >= self._pace_days
        # One close above the mean is no trend: it takes the greater part of the last ones.
        settled = len(above) == self._pace_days and 2 * sum(above) > self._pace_days
        if not (is_above and due and settled and ctx.budget > 0):
            return NOTHING
        self._days_since_step[symbol] = 0
        share = sum(above) / len(above)
        reason = f"{sum(above)} of {len(above)} closes above the {self._trend_days}-day mean"
        return (Intent(symbol, Side.BUY, share, reason=reason),)
