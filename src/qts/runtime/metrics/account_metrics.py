"""What the operating state is judged by: the account's own course, or an index that stands for the market.

Unknown and too old are both ``None`` (volatility after 30 hours, everything else after 26); a rule never takes None
for good news.
"""

from __future__ import annotations

import sys
from array import array
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Protocol

from qts.capital.contracts import Pool
from qts.clock import NS_PER_S
from qts.market.contracts import IndexLevel
from qts.money import ONE, ZERO, minus, ratio
from qts.runtime.metrics.volatility import VolatilitySource
from qts.state.contracts import TransitionMetrics

METRIC_MAX_AGE_NS = 26 * 3600 * NS_PER_S
_MONTH_NS = 30 * 24 * 3600 * NS_PER_S
_YEAR_DAYS = 252
_HALF_YEAR_DAYS = 126
_KEPT_TRADES = 10_000


class MetricsSource(Protocol):
    """Gives the metrics of the moment; fed by the kernel."""

    def on_index(self, value: IndexLevel) -> None:
        """Take a level of the index the feed gives. Called by the handler of the value, on the loop."""
        ...

    def on_closed_trade(self, pool: Pool, *, lost: bool, now_ns: int) -> None:
        """Take a round trip of ``pool`` that ended at ``now_ns`` (ns of the session) with or without a loss."""
        ...

    def on_day_end(self, equity: Decimal, now_ns: int) -> None:
        """Take the equity at the close of a trading day, once a day, in the account's currency."""
        ...

    def metrics(self, now_ns: int) -> TransitionMetrics:
        """Return what the operating state is judged on at ``now_ns``; None in a field that is not known."""
        ...

    def export_state(self) -> dict[str, Any]:
        """Return plain data for a checkpoint, from which :meth:`import_state` goes on exactly."""
        ...

    def import_state(self, saved: dict[str, Any]) -> None:
        """Go on where :meth:`export_state` was called."""
        ...


class ClosedTrades:
    """When the newest 10,000 trades were closed, and whether they won.

    A closing fill's checkpoint takes all of them, so they are kept as they are written: one integer each,
    2 × ns + won, which holds until the year 2116.
    """

    def __init__(self) -> None:
        self._packed = array("q")
        self._start = 0

    def __len__(self) -> int:
        return len(self._packed) - self._start

    def add(self, now_ns: int, *, won: bool) -> None:
        self._packed.append(2 * now_ns + won)
        self._start += len(self) > _KEPT_TRADES
        self._forget()

    def drop_before(self, ns: int) -> None:
        while self._start < len(self._packed) and self._packed[self._start] >> 1 < ns:
            self._start += 1
        self._forget()

    def won(self) -> int:
        return sum(trade & 1 for trade in self._packed[self._start :])

    def export_state(self) -> bytes:
        """Little-endian, whatever machine this is."""
        trades = self._packed[self._start :]
        if sys.byteorder == "big":
            trades.byteswap()
        return trades.tobytes()

    def import_state(self, saved: bytes) -> None:
        self._packed, self._start = array("q"), 0
        self._packed.frombytes(saved)
        if sys.byteorder == "big":
            self._packed.byteswap()

    def _forget(self) -> None:
        """Give back what lies before the start once it is as much as what is kept."""
        if self._start > _KEPT_TRADES:
            del self._packed[: self._start]
            self._start = 0


class AccountMetrics:
    """Metrics of the account itself: drawdown of equity, losses of the scalp pool, days in profit.

    An account that may not enter and holds nothing can neither make a profit nor a smaller drawdown. After
    ``flat_rebase_days`` trading days in a row that ended so, its drawdown is counted from its present equity, and
    from then on days without a loss are profitable ones, until it holds something or may enter again.

    ``is_flat``: nothing is held and no order works; its equity is then known without any price. ``may_enter``: the
    operating state lets positions be opened.
    """

    def __init__(
        self,
        *,
        target_cagr: float,
        equity: Callable[[], Decimal],
        highest: Callable[[], Decimal],
        day_open: Callable[[], Decimal],
        marks_ns: Callable[[], int],
        volatility: VolatilitySource,
        is_flat: Callable[[], bool],
        may_enter: Callable[[], bool],
        flat_rebase_days: Callable[[], int],
    ) -> None:
        self._target = target_cagr
        self._equity = equity
        self._day_open = day_open
        self._marks_ns = marks_ns
        self._volatility = volatility
        self._is_flat = is_flat
        self._may_enter = may_enter
        self._flat_rebase_days = flat_rebase_days
        self._flat_days = 0
        self._highest = highest
        self._peak, self._left_behind = equity(), ZERO
        self._closes: deque[Decimal] = deque(maxlen=_YEAR_DAYS + 1)
        self._trades = ClosedTrades()
        self._scalp_losses = 0
        self._profitable_days = 0

    def on_index(self, value: IndexLevel) -> None:
        """The account is judged by itself."""

    def on_closed_trade(self, pool: Pool, *, lost: bool, now_ns: int) -> None:
        if pool is Pool.SCALP:
            self._scalp_losses = self._scalp_losses + 1 if lost else 0
        self._trades.add(now_ns, won=not lost)

    def on_day_end(self, equity: Decimal, now_ns: int) -> None:
        self._see_peak(equity)
        self._flat_days = self._flat_days + 1 if self._is_flat() and not self._may_enter() else 0
        judged_anew = self._flat_days >= self._flat_rebase_days()
        if judged_anew:
            self._peak, self._left_behind = equity, self._highest()
        earned = equity > self._day_open() or (judged_anew and equity == self._day_open())
        self._profitable_days = self._profitable_days + 1 if earned else 0
        self._closes.append(equity)

    def metrics(self, now_ns: int) -> TransitionMetrics:
        equity, day_open = self._equity(), self._day_open()
        self._see_peak(equity)
        known = day_open > 0 and (self._is_flat() or is_fresh(self._marks_ns(), now_ns, METRIC_MAX_AGE_NS))
        return TransitionMetrics(
            drawdown_pct=float(minus(ONE, ratio(equity, self._peak))) if known and self._peak > 0 else None,
            vix=self._volatility.reading(now_ns).value,
            consecutive_scalp_losses=self._scalp_losses,
            daily_loss_pct=max(0.0, float(minus(ONE, ratio(equity, day_open)))) if known else None,
            market_circuit_breaker=None,
            consecutive_profitable_days=self._profitable_days,
            cagr=self._growth_over(_YEAR_DAYS, equity) if known else None,
            target_cagr=self._target,
            capital_growth_pct=self._growth_over(_HALF_YEAR_DAYS, equity) if known else None,
            win_rate_30d=self._win_rate(now_ns),
        )

    def export_state(self) -> dict[str, Any]:
        return {
            "peak": str(self._peak),
            "left_behind": str(self._left_behind),
            "closes": [str(close) for close in self._closes],
            "trades": self._trades.export_state(),
            "scalp_losses": self._scalp_losses,
            "profitable_days": self._profitable_days,
            "flat_days": self._flat_days,
        }

    def import_state(self, saved: dict[str, Any]) -> None:
        self._peak, self._left_behind = Decimal(saved["peak"]), Decimal(saved["left_behind"])
        self._closes = deque((Decimal(close) for close in saved["closes"]), maxlen=_YEAR_DAYS + 1)
        self._trades.import_state(saved["trades"])
        self._scalp_losses = saved["scalp_losses"]
        self._profitable_days = saved["profitable_days"]
        self._flat_days = saved["flat_days"]

    def _see_peak(self, equity: Decimal) -> None:
        """Count the highest equity between two calls too, but none from before the account was judged anew."""
        highest = self._highest()
        self._peak = max(self._peak, equity, highest if highest > self._left_behind else equity)

    def _growth_over(self, days: int, equity: Decimal) -> float | None:
        if len(self._closes) < days or self._closes[-days] <= 0:
            return None
        return float(minus(ratio(equity, self._closes[-days]), ONE))

    def _win_rate(self, now_ns: int) -> float | None:
        self._trades.drop_before(now_ns - _MONTH_NS)
        return self._trades.won() / len(self._trades) if len(self._trades) else None


def is_fresh(ts_ns: int, now_ns: int, max_age_ns: int) -> bool:
    """Known, not from the future, not too old."""
    return ts_ns > 0 and 0 <= now_ns - ts_ns <= max_age_ns
