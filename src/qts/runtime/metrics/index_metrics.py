"""Metrics of an index and a volatility index, on which the operating state is judged instead of the account."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from qts.capital.contracts import Pool
from qts.market.contracts import IndexLevel
from qts.runtime.metrics.account_metrics import METRIC_MAX_AGE_NS
from qts.runtime.metrics.capital_move import CapitalMove
from qts.runtime.metrics.freshness import freshness_ends_ns, is_fresh
from qts.runtime.metrics.volatility import VolatilitySource
from qts.state.contracts import UNKNOWN_METRICS, TransitionMetrics
from qts.state.index_performance import IndexPerformance


class IndexMetrics:
    """Metrics by the convention of ``qts state backtest``, each from the moment its close is known.

    A close older than 26 h (VIX 30 h) is unknown: on a Monday morning nothing is known, and no rule that needs
    knowledge moves the state.
    """

    def __init__(self, *, target_cagr: float, volatility: VolatilitySource) -> None:
        self._performance = IndexPerformance(target_cagr)
        self._closed_ns = 0
        self._volatility = volatility

    def on_index(self, value: IndexLevel) -> None:
        self._performance.add(value.level)
        self._closed_ns = value.ts_ns

    def on_closed_trade(self, pool: Pool, *, lost: bool, now_ns: int) -> None:
        """Ignore the trade: the index alone counts."""

    def on_day_end(self, equity: Decimal, now_ns: int) -> None:
        """Ignore the account's day: the index alone counts."""

    def on_capital_moved(self, move: CapitalMove) -> None:
        """Ignore capital that moved: the index judges."""

    def metrics(self, now_ns: int) -> TransitionMetrics:
        vix = self._volatility.reading(now_ns).value
        if not is_fresh(self._closed_ns, now_ns, METRIC_MAX_AGE_NS):
            return msgspec.structs.replace(UNKNOWN_METRICS, vix=vix)
        return self._performance.metrics(vix)

    def steady_until_ns(self, now_ns: int) -> int:
        return min(
            freshness_ends_ns(self._closed_ns, now_ns, METRIC_MAX_AGE_NS), self._volatility.steady_until_ns(now_ns)
        )

    def export_state(self) -> dict[str, Any]:
        return {
            "course": self._performance.export_state(),
            "closed_ns": self._closed_ns,
        }

    def import_state(self, saved: dict[str, Any]) -> None:
        self._performance.import_state(saved["course"])
        self._closed_ns = saved["closed_ns"]
