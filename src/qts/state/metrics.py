"""The operating state for Prometheus: where it is, for how long, and what would move it next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qts.exposition import prometheus_core
from qts.state.contracts import OperatingState
from qts.state.operating_state import OperatingStateManager


class StateMetrics:
    """A collector to register with Prometheus: ``prometheus_client.REGISTRY.register(StateMetrics(manager))``.

    Raises :class:`~qts.errors.MissingExtraError` without the extra ``metrics``.
    """

    def __init__(self, manager: OperatingStateManager) -> None:
        self._manager = manager
        self._core = prometheus_core()

    def collect(self) -> Iterator[Any]:
        """Yield the metric families; ``prometheus_client`` calls it on the thread of a scrape."""
        snapshot, numbers = self._manager.get_snapshot(), self._manager.statistics()
        state = self._gauge("qts_operating_state", "1 for the state in force.", "state")
        days = self._gauge("qts_operating_state_days", "Days spent in each state so far.", "state")
        for one in OperatingState:
            state.add_metric([one.value], float(one is snapshot.state))
            days.add_metric([one.value], numbers.days_in_state[one.value])
        yield state
        yield days
        yield self._plain(
            "qts_operating_state_held_days", "Days in the present state.", snapshot.state_duration_days
        )
        yield self._plain(
            "qts_operating_state_override", "1 while an operator's override holds.", snapshot.has_override
        )
        yield self._plain("qts_state_transitions_30d", "Transitions in the last 30 days.", numbers.transitions_30d)
        if numbers.average_duration_days is not None:
            mean = numbers.average_duration_days
            yield self._plain("qts_state_average_stay_days", "Mean length of the finished stays.", mean)
        for name, text, count in (
            ("qts_state_transitions", "Transitions so far.", numbers.transitions_total),
            ("qts_state_forced_transitions", "Of these forced by safety.", numbers.forced_total),
        ):
            yield self._core.CounterMetricFamily(name, text, value=count)
        yield from self._forecast()

    def _forecast(self) -> Iterator[Any]:
        met = self._gauge("qts_state_rule_met", "1 while the rule's whole condition holds.", "rule", "to_state")
        holds = self._gauge("qts_state_clause_holds", "1 while this part of it holds.", "rule", "clause")
        gap = self._gauge("qts_state_clause_gap", "How much the value must change to flip it.", "rule", "clause")
        for rule in self._manager.forecast():
            met.add_metric([rule.rule, rule.to_state.value], float(rule.met))
            for clause in rule.clauses:
                holds.add_metric([rule.rule, clause.name], float(clause.holds))
                if clause.gap is not None:
                    gap.add_metric([rule.rule, clause.name], clause.gap)
        yield met
        yield holds
        yield gap

    def _gauge(self, name: str, text: str, *labels: str) -> Any:
        return self._core.GaugeMetricFamily(name, text, labels=labels)

    def _plain(self, name: str, text: str, value: float) -> Any:
        return self._core.GaugeMetricFamily(name, text, value=float(value))
