"""Evaluates the operating state once an hour where that can change something, and reports what keeps it in
DEFENSIVE."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeAlias

from qts.clock import NEVER_NS, from_ns, to_ns
from qts.event.contracts import Event
from qts.runtime.metrics.state_basis import waiting_for_prices
from qts.runtime.session.session_counters import SessionCounters
from qts.runtime.shared_components import SharedComponents
from qts.safety.contracts import SafetyState
from qts.state.contracts import OperatingState

_Inputs: TypeAlias = tuple[int, int, int, int, str, str]


class StateEvaluation:
    """An evaluator of the operating state on the present metrics. For the session's thread alone."""

    def __init__(
        self, shared: SharedComponents, counters: SessionCounters, log: Callable[[str, str], None]
    ) -> None:
        self._shared = shared
        self._counters = counters
        self._log = log
        self._waits = ""
        self._steady_until_ns = 0
        self._inputs: _Inputs | None = None

    async def on_event(self, event: Event) -> None:
        """Evaluate the state now; the P2 handler of RISK_EVALUATE."""
        self._counters.evaluations += 1
        self.evaluate(self._shared.clock.time_ns())

    def steady_until_ns(self) -> int:
        """Return the time (ns) before which an evaluation gives what the last one gave, unless something happens.

        0 when anything that it depends on has changed since.
        """
        return self._steady_until_ns if self._present_inputs() == self._inputs else 0

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
        self._inputs = self._present_inputs()
        self._steady_until_ns = min(
            to_ns(p.calendar.at(day + timedelta(days=1), 0)),  # each trading day is counted by its first evaluation
            p.metrics.steady_until_ns(now_ns),
            self._state_steady_until_ns(),
        )

    def _state_steady_until_ns(self) -> int:
        """Return the time before which neither state changes by time alone; safety does in any state but NORMAL."""
        p = self._shared
        if p.safety.current_state is not SafetyState.NORMAL:
            return 0
        return p.state.quiet_until_ns if p.config.state.enabled else NEVER_NS

    def _present_inputs(self) -> _Inputs:
        """Return what shows any change, time aside, of what an evaluation depends on.

        Both states, the index and the account's days, the book, the prices of what is held or ordered, the day's
        opening and the configuration.
        """
        p, counters = self._shared, self._counters
        is_flat = not p.extremes.held and not len(p.orders)
        return (
            counters.changes,
            counters.metrics_fed,
            p.record.book_revision,
            0 if is_flat else p.last.feed_ts_ns,
            str(p.day.open_equity),
            p.gate.config_hash,
        )

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
        """Return what DEFENSIVE waited for, and how long the last evaluation holds, for a checkpoint."""
        return {"waits": self._waits, "steady_until_ns": self._steady_until_ns, "inputs": self._inputs}

    def import_state(self, saved: dict[str, Any]) -> None:
        """Continue from :meth:`export_state`; one of an earlier version makes the next evaluation due."""
        self._waits = saved["waits"]
        self._steady_until_ns = saved.get("steady_until_ns", 0)
        self._inputs = tuple(saved["inputs"]) if saved.get("inputs") else None
