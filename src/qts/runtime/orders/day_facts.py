"""Reads for the limits that count what they have to know of the trading day."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from qts.capital.contracts import Pool
from qts.clock import NS_PER_S
from qts.runtime.metrics.day_results import DayResults
from qts.runtime.shared_components import SharedComponents

_QUARTER_NS: Final = 900 * NS_PER_S
"""Dates of all time zones begin with a quarter of an hour of UTC."""


class SessionDayFacts:
    """Reads of the session's memory for :class:`~qts.broker.gateway.limits.count_rules.DayFacts`."""

    def __init__(self, shared: SharedComponents, results: DayResults) -> None:
        self._shared = shared
        self._results = results
        self._date = -1, ""
        """A quarter of an hour and its date: it is asked of every message."""

    def trade_date(self, ts_ns: int) -> str:
        """Return the market's own date (ISO) of a moment; any thread."""
        quarter, date = self._date
        if quarter != ts_ns // _QUARTER_NS:
            quarter, date = self._date = ts_ns // _QUARTER_NS, self._shared.trade_date(ts_ns)
        return date

    def day_opening_equity(self) -> Decimal:
        """Return the equity at which the day began."""
        return self._shared.day.open_equity

    def day_result_of_strategy(self, strategy: str) -> Decimal | None:
        """Return what a strategy has earned today; None: not known."""
        return self._results.of_strategy(strategy)

    def day_result_of_pool(self, pool: Pool) -> Decimal | None:
        """Return what the strategies of a pool have earned today; None: not known."""
        return self._results.of_pool(pool)
