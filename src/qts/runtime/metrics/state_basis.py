"""Records on what the operating state was judged: the source, since when each metric is known, and on how many
trading days no entry was possible. For people; no rule reads it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final, Literal

import msgspec

from qts.runtime.metrics.volatility import VolatilityReading
from qts.state.contracts import TransitionMetrics
from qts.state.transition import known

MEASURED: Final = (
    "drawdown_pct",
    "vix",
    "consecutive_scalp_losses",
    "daily_loss_pct",
    "market_circuit_breaker",
    "consecutive_profitable_days",
    "cagr",
    "capital_growth_pct",
    "win_rate_30d",
)
"""The metrics of the rules' conditions, in the order in which they are shown."""


class StateBasis:
    """A record of every hourly evaluation. For the session's thread alone; part of the checkpoint."""

    def __init__(self, *, judged_by: Literal["account", "index"]) -> None:
        self._judged_by = judged_by
        self._reading: VolatilityReading | None = None
        self._measured_since: str | None = None
        self._known_since: dict[str, str] = {}
        self._day = ""
        self._days = self._days_without_entry = 0
        self._possible_today = False

    def on_evaluation(
        self, day: date, metrics: TransitionMetrics, volatility: VolatilityReading, *, may_enter: bool
    ) -> None:
        """Add one evaluation of the trading day ``day``; ``may_enter``: both states allow entries now."""
        today = day.isoformat()
        if today != self._day:
            self._day, self._possible_today = today, False
            self._days += 1
            self._days_without_entry += 1
        if may_enter and not self._possible_today:
            self._possible_today = True
            self._days_without_entry -= 1
        self._reading = volatility
        if volatility.measured and self._measured_since is None:
            self._measured_since = today
        if len(self._known_since) == len(MEASURED):
            return
        for name in MEASURED:
            if name in self._known_since or (name == "vix" and not volatility.measured):
                continue
            if known(name, getattr(metrics, name)) is not None:
                self._known_since[name] = today

    def values(self) -> dict[str, Any]:
        """Return the result's ``state_basis``: plain values, dates as ISO texts, None where nothing was known."""
        seen = self._reading
        return {
            "judged_by": self._judged_by,
            "volatility": {
                "source": "none" if seen is None else seen.source,
                "value": None if seen is None else seen.value,
                "measured": seen is not None and seen.measured,
                "measured_since": self._measured_since,
            },
            "known_since": {name: self._known_since.get(name) for name in MEASURED},
            "trading_days": self._days,
            "days_without_entry": self._days_without_entry,
        }

    def export_state(self) -> dict[str, Any]:
        """Return the record for a checkpoint."""
        return {
            "judged_by": self._judged_by,
            "reading": None if self._reading is None else msgspec.to_builtins(self._reading),
            "measured_since": self._measured_since,
            "known_since": dict(self._known_since),
            "day": self._day,
            "days": self._days,
            "days_without_entry": self._days_without_entry,
            "possible_today": self._possible_today,
        }

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Continue from :meth:`export_state`."""
        self._reading = None if saved["reading"] is None else VolatilityReading(**saved["reading"])
        self._measured_since = saved["measured_since"]
        self._known_since = dict(saved["known_since"])
        self._day, self._possible_today = saved["day"], saved["possible_today"]
        self._days, self._days_without_entry = saved["days"], saved["days_without_entry"]


def waiting_for_prices(metrics: TransitionMetrics, holdings: Mapping[str, object], limit: float) -> str:
    """Return why DEFENSIVE continues for an account with ``holdings``; "" when it does not wait for their prices.

    ``limit``: the drawdown below which DEFENSIVE may end, a fraction.
    """
    if not holdings:
        return ""
    held = ", ".join(sorted(holdings))
    if metrics.drawdown_pct is None:
        return f"drawdown_pct is unknown until there is a price of what is held: {held}"
    if metrics.drawdown_pct < limit:
        return ""
    return (
        f"drawdown_pct {metrics.drawdown_pct:.3g} must fall below {limit:g}: "
        f"that waits for the prices of what is held: {held}"
    )
