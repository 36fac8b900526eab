"""Two exponential means of the price: buy when the fast one crosses above the slow one, leave when it is below.

The default of ``qts replay``. It samples the mid at most once per ``every_s`` seconds and symbol, so the same
settings work on a feed of a thousand quotes a second and on one snapshot every ten minutes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qts.capital.contracts import Pool
from qts.errors import ContractError
from qts.indicators import ema_weight
from qts.market.contracts import Bar, Quote
from qts.strategy.arguments import check_above, nanoseconds, symbols_of
from qts.strategy.contracts import Context, FillView, Intent, Side
from qts.strategy.strength import confidence_of, mid_of

NOTHING: tuple[Intent, ...] = ()
HALF_STRENGTH = 0.3
"""Distance from the slow mean, in mean gaps, that gives confidence 0.5 (0.7 at 0.52, 0.9 at 1.0)."""


class TwoEma:
    """``fast`` and ``slow`` in samples; ``slow`` samples of warm-up; ``every_s`` 0 samples every quote.

    Confidence is how far the price stands above the slow mean, measured in its mean gap from it: a
    crossing that creeps is weak, one that leaps is strong. Raises ContractError unless 0 < fast < slow.
    """

    def __init__(
        self,
        *,
        fast: int = 5,
        slow: int = 15,
        every_s: float = 0.5,
        name: str = "two-ema",
        pool: Pool = Pool.SCALP,
        symbols: Sequence[str] = (),
    ) -> None:
        if not 0 < fast < slow:
            raise ContractError(f"TwoEma needs 0 < fast < slow, got fast {fast!r} and slow {slow!r}")
        check_above("slow", slow, 1)
        self.name = name
        self.pool = pool
        self.symbols = symbols_of(symbols)
        self._fast_weight = ema_weight(fast)
        self._slow_weight = ema_weight(slow)
        self._warm_up = slow
        self._every_ns = nanoseconds(every_s, "every_s")
        self._next_ns: dict[str, int] = {}
        self._samples: dict[str, int] = {}
        self._fast: dict[str, float] = {}
        self._slow: dict[str, float] = {}
        self._usual: dict[str, float] = {}

    def on_start(self, ctx: Context) -> None:
        """Do nothing: there is nothing to prepare."""

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        """Return an entry or an exit where the two means cross; at most one look per sampling interval."""
        symbol = quote.symbol
        if quote.ts_ns < self._next_ns.get(symbol, 0):
            return NOTHING
        price = mid_of(quote)
        if price is None:
            return NOTHING
        self._next_ns[symbol] = quote.ts_ns + self._every_ns
        return self._sample(ctx, symbol, price)

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        """Return nothing: quotes are what it follows."""
        return NOTHING

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        """Do nothing: the context is asked for holdings when they matter."""

    def _sample(self, ctx: Context, symbol: str, price: float) -> Iterable[Intent]:
        count = self._samples.get(symbol, 0) + 1
        self._samples[symbol] = count
        if count == 1:
            self._fast[symbol] = self._slow[symbol] = price
            self._usual[symbol] = 0.0
            return NOTHING
        fast, slow, usual = self._fast[symbol], self._slow[symbol], self._usual[symbol]
        was_above = fast > slow
        self._fast[symbol] = fast = fast + self._fast_weight * (price - fast)
        self._slow[symbol] = slow = slow + self._slow_weight * (price - slow)
        self._usual[symbol] = usual = usual + self._slow_weight * (abs(price - slow) - usual)
        if count < self._warm_up:
            return NOTHING
        if fast < slow:
            return self._leave(ctx, symbol, fast, slow)
        if was_above or fast == slow or usual <= 0.0:
            return NOTHING
        return self._enter(ctx, symbol, (price - slow) / usual)

    def _enter(self, ctx: Context, symbol: str, strength: float) -> Iterable[Intent]:
        if strength <= 0.0 or ctx.holding(symbol) > 0 or ctx.working(symbol):
            return NOTHING
        confidence = confidence_of(strength, HALF_STRENGTH)
        return (Intent(symbol, Side.BUY, confidence, reason=f"crossed up, {strength:.2f} × mean gap"),)

    def _leave(self, ctx: Context, symbol: str, fast: float, slow: float) -> Iterable[Intent]:
        if not ctx.holding(symbol) > 0 or ctx.working(symbol):
            return NOTHING
        return (Intent(symbol, Side.SELL, 1.0, reason=f"fast mean {fast:.6g} below slow {slow:.6g}"),)
