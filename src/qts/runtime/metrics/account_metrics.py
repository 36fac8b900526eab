"""Metrics on which the operating state is judged: their port, and the metrics of the account itself.

A metric that is unknown or too old is None (volatility after 30 hours, everything else after 26); a rule never
treats None as favourable.
"""

from __future__ import annotations

import sys
from array import array
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Protocol

from qts.capital.contracts import Pool
from qts.clock import NEVER_NS, NS_PER_S
from qts.market.contracts import IndexLevel
from qts.money import ONE, ZERO, minus, ratio
from qts.runtime.metrics.capital_move import CapitalMove
from qts.runtime.metrics.freshness import freshness_ends_ns, is_fresh
from qts.runtime.metrics.volatility import VolatilitySource
from qts.state.contracts import TransitionMetrics

METRIC_MAX_AGE_NS = 26 * 3600 * NS_PER_S
"""A metric whose data is older is unknown."""
_MONTH_NS = 30 * 24 * 3600 * NS_PER_S
_YEAR_DAYS = 252
_HALF_YEAR_DAYS = 126
_KEPT_TRADES = 10_000


class MetricsSource(Protocol):
    """A source of the metrics on which the operating state is judged.

    Every method is called by the session on its thread, must not wait, and ends the session when it raises.
    """

    def on_index(self, value: IndexLevel) -> None:
        """Accept a level of the feed's index, in points. Called by the handler of market values for each one."""
        ...

    def on_closed_trade(self, pool: Pool, *, lost: bool, now_ns: int) -> None:
        """Accept a closing trade of ``pool`` at ``now_ns`` (ns of the session's clock), with or without a loss.

        Called while the fill is booked, once for each sale that was filled.
        """
        ...

    def on_day_end(self, equity: Decimal, now_ns: int) -> None:
        """Accept the equity at the close of a trading day, in the account's currency.

        Called once for each trading day, at ``now_ns`` (ns of the session's clock).
        """
        ...

    def on_capital_moved(self, move: CapitalMove) -> None:
        """Accept that capital came into the account or left it, without any result.

        Called when it has, before anything else is asked. Equity before it is compared by ``move.carried``.
        """
        ...

    def metrics(self, now_ns: int) -> TransitionMetrics:
        """Return the metrics at ``now_ns`` (ns of the session's clock); a field is None when it is not known.

        Called at each evaluation of the operating state and when a view of the session is made.
        """
        ...

    def steady_until_ns(self, now_ns: int) -> int:
        """Return the moment before which time alone does not change the metrics of ``now_ns``.

        Anything else that changes them is accepted by the other methods, or is a fill, an order, a price of what is
        held or a new day's opening. Called after each evaluation.
        """
        ...

    def export_state(self) -> dict[str, Any]:
        """Return plain data for a checkpoint, from which :meth:`import_state` continues exactly."""
        ...

    def import_state(self, saved: dict[str, Any]) -> None:
        """Continue from :meth:`export_state`, before any other call."""
        ...


class TradeOutcomes:
    """The closing times of the newest 10,000 trades, and whether each won.

    Each checkpoint of a closing fill contains all of them, so they are kept in the stored form: one 64-bit integer
    each, 2 × ns + won, which suffices until the year 2116.
    """

    def __init__(self) -> None:
        self._packed = array("q")
        self._start = 0

    def __len__(self) -> int:
        return len(self._packed) - self._start

    def add(self, now_ns: int, *, won: bool) -> None:
        """Add a trade closed at ``now_ns``, and drop the oldest above 10,000."""
        self._packed.append(2 * now_ns + won)
        self._start += len(self) > _KEPT_TRADES
        self._forget()

    def drop_before(self, ns: int) -> None:
        """Drop the trades closed before ``ns``."""
        while self._start < len(self._packed) and self._packed[self._start] >> 1 < ns:
            self._start += 1
        self._forget()

    @property
    def oldest_ns(self) -> int | None:
        """Return when the oldest trade was closed; None for no trade."""
        return self._packed[self._start] >> 1 if len(self) else None

    def wins(self) -> int:
        """Return the number of trades that won."""
        return sum(trade & 1 for trade in self._packed[self._start :])

    def export_state(self) -> bytes:
        """Return the trades as little-endian bytes, on any machine."""
        trades = self._packed[self._start :]
        if sys.byteorder == "big":
            trades.byteswap()
        return trades.tobytes()

    def import_state(self, saved: bytes) -> None:
        """Continue from :meth:`export_state`."""
        self._packed, self._start = array("q"), 0
        self._packed.frombytes(saved)
        if sys.byteorder == "big":
            self._packed.byteswap()

    def _forget(self) -> None:
        """Release the memory before the start once it is as large as the part in use."""
        if self._start > _KEPT_TRADES:
            del self._packed[: self._start]
            self._start = 0


class AccountMetrics:
    """Metrics of the account itself: drawdown of equity, losses of the scalp pool, days in profit.

    An account that may not enter and holds nothing can neither make a profit nor reduce its drawdown. After
    ``flat_rebase_days`` consecutive trading days that ended so, its drawdown is measured from its present equity,
    and from then on days without a loss count as profitable, until it holds something or may enter again.

    ``is_flat`` returns whether nothing is held and no order works; equity is then known without any price.
    ``may_enter`` returns whether the operating state allows entries. Amounts are in the account's currency.
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
        self._peak, self._ignored_peak = equity(), ZERO
        self._closes: deque[Decimal] = deque(maxlen=_YEAR_DAYS + 1)
        self._trades = TradeOutcomes()
        self._scalp_losses = 0
        self._profitable_days = 0

    def on_index(self, value: IndexLevel) -> None:
        """Ignore the index: the account is judged by itself."""

    def on_closed_trade(self, pool: Pool, *, lost: bool, now_ns: int) -> None:
        """Count the trade, and the scalp pool's losses in a row."""
        if pool is Pool.SCALP:
            self._scalp_losses = self._scalp_losses + 1 if lost else 0
        self._trades.add(now_ns, won=not lost)

    def on_day_end(self, equity: Decimal, now_ns: int) -> None:
        """Count the day as profitable or not, and measure from the present equity after enough flat days."""
        self._update_peak(equity)
        self._flat_days = self._flat_days + 1 if self._is_flat() and not self._may_enter() else 0
        is_rebased = self._flat_days >= self._flat_rebase_days()
        if is_rebased:
            self._peak, self._ignored_peak = equity, self._highest()
        earned = equity > self._day_open() or (is_rebased and equity == self._day_open())
        self._profitable_days = self._profitable_days + 1 if earned else 0
        self._closes.append(equity)
        self._trades.drop_before(now_ns - _MONTH_NS)

    def on_capital_moved(self, move: CapitalMove) -> None:
        """Carry peak and closes over: neither a drawdown nor growth comes from capital that moved."""
        self._peak, self._ignored_peak = move.carried(self._peak), move.carried(self._ignored_peak)
        self._closes = deque(map(move.carried, self._closes), maxlen=_YEAR_DAYS + 1)

    def metrics(self, now_ns: int) -> TransitionMetrics:
        """Return the metrics of the account; those of equity are None while prices of what is held are too old."""
        equity, day_open = self._equity(), self._day_open()
        self._update_peak(equity)
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

    def steady_until_ns(self, now_ns: int) -> int:
        """Return when prices of what is held or the volatility become too old, or a trade leaves the month."""
        oldest_ns = self._trades.oldest_ns
        return min(
            NEVER_NS if self._is_flat() else freshness_ends_ns(self._marks_ns(), now_ns, METRIC_MAX_AGE_NS),
            self._volatility.steady_until_ns(now_ns),
            NEVER_NS if oldest_ns is None else oldest_ns + _MONTH_NS + 1,
        )

    def export_state(self) -> dict[str, Any]:
        """Return everything that the metrics remember."""
        return {
            "peak": str(self._peak),
            "left_behind": str(self._ignored_peak),
            "closes": [str(close) for close in self._closes],
            "trades": self._trades.export_state(),
            "scalp_losses": self._scalp_losses,
            "profitable_days": self._profitable_days,
            "flat_days": self._flat_days,
        }

    def import_state(self, saved: dict[str, Any]) -> None:
        """Continue from :meth:`export_state`."""
        self._peak, self._ignored_peak = Decimal(saved["peak"]), Decimal(saved["left_behind"])
        self._closes = deque((Decimal(close) for close in saved["closes"]), maxlen=_YEAR_DAYS + 1)
        self._trades.import_state(saved["trades"])
        self._scalp_losses = saved["scalp_losses"]
        self._profitable_days = saved["profitable_days"]
        self._flat_days = saved["flat_days"]

    def _update_peak(self, equity: Decimal) -> None:
        """Raise the peak to the highest equity since the last call, but not to one from before a rebase."""
        highest = self._highest()
        self._peak = max(self._peak, equity, highest if highest > self._ignored_peak else equity)

    def _growth_over(self, days: int, equity: Decimal) -> float | None:
        if len(self._closes) < days or self._closes[-days] <= 0:
            return None
        return float(minus(ratio(equity, self._closes[-days]), ONE))

    def _win_rate(self, now_ns: int) -> float | None:
        self._trades.drop_before(now_ns - _MONTH_NS)
        return self._trades.wins() / len(self._trades) if len(self._trades) else None
