"""Mean reversion on quotes, for minutes: buy an unusual dip, leave at a small profit, a small loss or in time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qts.capital.contracts import Pool
from qts.clock import to_ns
from qts.errors import ContractError
from qts.indicators import ema_weight
from qts.market.contracts import Bar, Quote
from qts.state.contracts import OperatingState
from qts.strategy.arguments import check_above, nanoseconds, symbols_of
from qts.strategy.contracts import Context, FillView, Intent, Side
from qts.strategy.strength import confidence_of, mid_of

NOTHING: tuple[Intent, ...] = ()
HALF_STRENGTH = 1.15
"""Dip in mean gaps that gives confidence 0.5; 1.5 gives 0.60 (enough in AGGRESSIVE), 2 gives 0.70."""
DEEPER_BY = 0.5
"""A dip gives another signal only when it is deeper by this much: a weak signal can grow into a strong one."""


class Scalp:
    """Buys when the mid is ``entry_deviation`` mean gaps (mean distances from the mean) under its mean.

    Leaves at +``take_profit`` or −``stop_loss`` (fractions of the average cost) or ``time_limit_s`` after the last
    entry fill. In DEFENSIVE holdings are to go: the time limit is a quarter. Confidence grows with the dip.
    """

    def __init__(
        self,
        *,
        samples: int = 30,
        every_s: float = 1.0,
        entry_deviation: float = 1.5,
        take_profit: float = 0.008,
        stop_loss: float = 0.005,
        time_limit_s: float = 1_800.0,
        name: str = "scalp",
        pool: Pool = Pool.SCALP,
        symbols: Sequence[str] = (),
    ) -> None:
        check_above("samples", samples, 1)
        check_above("entry_deviation", entry_deviation, 0)
        check_above("take_profit", take_profit, 0)
        if not 0 < stop_loss < 1:
            raise ContractError(f"stop_loss must be a fraction between 0 and 1, got {stop_loss!r}")
        self.name = name
        self.pool = pool
        self.symbols = symbols_of(symbols)
        self._weight = ema_weight(samples)
        self._warm_up = samples
        self._every_ns = nanoseconds(every_s, "every_s")
        self._entry = entry_deviation
        self._take_profit = take_profit
        self._stop_loss = stop_loss
        self._time_limit_ns = nanoseconds(time_limit_s, "time_limit_s")
        self._next_ns: dict[str, int] = {}
        self._samples: dict[str, int] = {}
        self._mean: dict[str, float] = {}
        self._usual: dict[str, float] = {}
        self._told: dict[str, float] = {}
        self._entered_ns: dict[str, int] = {}

    def on_start(self, ctx: Context) -> None:
        """Do nothing: there is nothing to prepare."""

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        """Return an entry below the mean, or an exit from a holding; at most one look per sampling interval."""
        symbol = quote.symbol
        if quote.ts_ns < self._next_ns.get(symbol, 0):
            return NOTHING
        price = mid_of(quote)
        if price is None:
            return NOTHING
        self._next_ns[symbol] = quote.ts_ns + self._every_ns
        dip = self._dip(symbol, price)
        if ctx.working(symbol):
            return NOTHING
        if ctx.holding(symbol) > 0:
            return self._leave(ctx, symbol, price)
        if quote.bid is None or quote.ask is None:
            return NOTHING  # no entry without seeing both sides; leaving is always allowed
        return self._enter(symbol, dip)

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        """Return nothing: bars are too slow for it."""
        return NOTHING

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        """Start the time limit again at the newest entry fill."""
        if fill.side is Side.BUY:
            self._entered_ns[fill.symbol] = fill.ts_ns
        elif not ctx.holding(fill.symbol) > 0:
            self._entered_ns.pop(fill.symbol, None)

    def _dip(self, symbol: str, price: float) -> float:
        """Return how far the price is under its mean, in mean gaps, before it is added to them."""
        count = self._samples.get(symbol, 0)
        self._samples[symbol] = count + 1
        if count == 0:
            self._mean[symbol], self._usual[symbol] = price, 0.0
            return 0.0
        mean, usual = self._mean[symbol], self._usual[symbol]
        self._mean[symbol] = mean + self._weight * (price - mean)
        self._usual[symbol] = usual + self._weight * (abs(price - mean) - usual)
        return (mean - price) / usual if count >= self._warm_up and usual > 0.0 else 0.0

    def _enter(self, symbol: str, dip: float) -> Iterable[Intent]:
        if dip < DEEPER_BY:
            self._told.pop(symbol, None)
            return NOTHING
        if dip < max(self._entry, self._told.get(symbol, 0.0) + DEEPER_BY):
            return NOTHING
        self._told[symbol] = dip
        reason = f"{dip:.2f} × mean gap under the mean"
        return (Intent(symbol, Side.BUY, confidence_of(dip, HALF_STRENGTH), reason=reason),)

    def _leave(self, ctx: Context, symbol: str, price: float) -> Iterable[Intent]:
        cost = ctx.average_cost(symbol)
        change = price / float(cost) - 1.0 if cost else 0.0
        if change >= self._take_profit:
            reason = f"profit {change:+.4f}"
        elif change <= -self._stop_loss:
            reason = f"stop {change:+.4f}"
        elif self._held_too_long(ctx, symbol):
            reason = f"time limit {change:+.4f}"
        else:
            return NOTHING
        return (Intent(symbol, Side.SELL, 1.0, reason=reason),)

    def _held_too_long(self, ctx: Context, symbol: str) -> bool:
        # A holding whose entry this object never saw is old.
        entered = self._entered_ns.get(symbol)
        limit = self._time_limit_ns // 4 if ctx.state is OperatingState.DEFENSIVE else self._time_limit_ns
        return entered is None or to_ns(ctx.now) - entered >= limit
