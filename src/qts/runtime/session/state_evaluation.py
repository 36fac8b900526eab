"""Evaluates the operating state once an hour, and reports what keeps it in DEFENSIVE."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qts.clock import from_ns
from qts.event.contracts import Event
from qts.runtime.metrics.state_basis import waiting_for_prices
from qts.runtime.session.session_counters import SessionCounters
from qts.runtime.shared_components import SharedComponents
from qts.state.contracts import OperatingState


class StateEvaluation:
    """An evaluator of the operating state on the present metrics. For the session's thread alone."""

    def __init__(
        self, shared: SharedComponents, counters: SessionCounters, log: Callable[[str, str], None]
    ) -> None:
        self._shared = shared
        self._counters = counters
        self._log = log
        self._waits = ""

    async def on_event(self, event: Event) -> None:
        """Evaluate the state now; the P2 handler of RISK_EVALUATE."""
        self._counters.evaluations += 1
        self.evaluate(self._shared.clock.time_ns())

    def evaluate(self, now_ns: int) -> None:
        """Evaluate the operating state at ``now_ns`` (ns of the session's clock)."""
        p = self._shared
        p.safety.tick()
        metrics = p.metrics.metrics(now_ns)
        if p.config.state.enabled:
            p.state.evaluate_transition(metrics, p.safety.current_state)
        day, volatility = p.calendar.local_date(from_ns(now_ns)), p.volatility.reading(now_ns)
        rules = p.config.state.table[p.state.current_state]
        may_enter = rules.new_entry_enabled and p.safety.is_trading_allowed
        p.basis.on_evaluation(day, metrics, volatility, may_enter=may_enter)
        waits = self.waiting_reason()
        if waits and not self._waits:  # logged once while it lasts
            self._log("WARNING", f"DEFENSIVE goes on: {waits}")
        self._waits = waits

    @property
    def last_waiting_reason(self) -> str:
        """Return why DEFENSIVE waited for prices at the last evaluation, "" when it did not; changes nothing."""
        return self._waits

    def waiting_reason(self) -> str:
        """Return why DEFENSIVE waits for prices of holdings now, "" when it does not; updates the metrics."""
        p = self._shared
        if not p.config.state.enabled or p.state.current_state is not OperatingState.DEFENSIVE:
            return ""
        metrics = p.metrics.metrics(p.clock.time_ns())
        return waiting_for_prices(metrics, p.account.positions(), p.config.state.defensive_to_balanced.drawdown_pct)

    def export_state(self) -> dict[str, Any]:
        """Return what DEFENSIVE waited for, for a checkpoint."""
        return {"waits": self._waits}

    def import_state(self, saved: dict[str, Any]) -> None:
        """Continue from :meth:`export_state`."""
        self._waits = saved["waits"]
