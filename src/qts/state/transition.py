"""The four transition rules: which conditions move the state, and by how much each one holds or fails.

A rule is a list of clauses. A clause compares one measured value with one threshold, exactly as written
(``>`` is not ``≥``). Unknown (None, NaN, a negative vix) makes its clause false. The rules are total over the
safety states: LOCKDOWN evaluates nothing, and an unknown safety state counts as FAIL.

Every clause has the same three methods: ``holds`` returns whether the condition is met, ``forecast`` the value,
threshold and distance, ``text`` the comparison in words. ``days`` is the time in the state in elapsed 24-hour days.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import msgspec

from qts.safety.contracts import SafetyState
from qts.state.config import StateConfig
from qts.state.contracts import ClauseForecast, OperatingState, TransitionMetrics

_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">": operator.gt,
    "<": operator.lt,
    "≥": operator.ge,
}


class MetricClause(msgspec.Struct, frozen=True):
    """A comparison of the metric ``field`` with ``threshold``. ``danger``: an infinite value meets it too.

    ``against`` names another metric that takes the place of the threshold (cagr against target_cagr).
    """

    field: str
    comparison: str
    threshold: float
    danger: bool = False
    against: str = ""

    def holds(self, metrics: TransitionMetrics, safety: SafetyState, days: float) -> bool:
        """Return whether the condition is met; unknown is not met."""
        value = known(self.field, getattr(metrics, self.field))
        limit = self.limit(metrics)
        if value is None or limit is None or (not self.danger and math.isinf(value)):
            return False
        return _COMPARE[self.comparison](value, limit)

    def limit(self, metrics: TransitionMetrics) -> float | None:
        """Return the value that ``field`` is compared with; None when it is unknown."""
        if not self.against:
            return self.threshold
        other = known(self.against, getattr(metrics, self.against))
        return other if other is not None and math.isfinite(other) else None

    def forecast(self, metrics: TransitionMetrics, safety: SafetyState, days: float) -> ClauseForecast:
        """Return value, threshold and distance of the condition."""
        value = known(self.field, getattr(metrics, self.field))
        limit = self.limit(metrics)
        gap = limit - value if value is not None and limit is not None and math.isfinite(value) else None
        shown = self.against if self.against and limit is None else limit
        return ClauseForecast(
            name=self.field,
            holds=self.holds(metrics, safety, days),
            value=value,
            comparison=self.comparison,
            threshold=shown if shown is not None else self.threshold,
            gap=gap,
            text=self.text(metrics, safety, days),
        )

    def text(self, metrics: TransitionMetrics, safety: SafetyState, days: float) -> str:
        """Return the comparison in words."""
        value = known(self.field, getattr(metrics, self.field))
        limit = self.limit(metrics)
        measured = "unknown" if value is None else f"{value:.6g}"
        against = f"{self.against} " if self.against else ""
        return (
            f"{self.field} {measured} {self.comparison} {against}{'unknown' if limit is None else f'{limit:.6g}'}"
        )


class BreakerClause(msgspec.Struct, frozen=True):
    """The condition that the market's circuit breaker is on."""

    def holds(self, metrics: TransitionMetrics, safety: SafetyState, days: float) -> bool:
        """Return whether the condition is met; unknown is not met."""
        return metrics.market_circuit_breaker is True

    def forecast(self, metrics: TransitionMetrics, safety: SafetyState, days: float) -> ClauseForecast:
        """Return value, threshold and distance of the condition."""
        on = metrics.market_circuit_breaker
        value = "unknown" if on is None else "on" if on else "off"
        text = f"market_circuit_breaker {value}"
        return ClauseForecast(
            "market_circuit_breaker", self.holds(metrics, safety, days), value, "is", "on", None, text
        )

    def text(self, metrics: TransitionMetrics, safety: SafetyState, days: float) -> str:
        """Return the comparison in words."""
        return self.forecast(metrics, safety, days).text


class SafetyClause(msgspec.Struct, frozen=True):
    """The condition that safety is NORMAL (``normal``), or that it is WARNING or worse."""

    normal: bool

    def holds(self, metrics: TransitionMetrics, safety: SafetyState, days: float) -> bool:
        """Return whether the condition is met; unknown is not met."""
        return (safety is SafetyState.NORMAL) is self.normal

    def forecast(self, metrics: TransitionMetrics, safety: SafetyState, days: float) -> ClauseForecast:
        """Return value, threshold and distance of the condition."""
        wanted = "NORMAL" if self.normal else "WARNING or worse"
        text = f"safety {safety.value} is {wanted}"
        return ClauseForecast("safety", self.holds(metrics, safety, days), safety.value, "is", wanted, None, text)

    def text(self, metrics: TransitionMetrics, safety: SafetyState, days: float) -> str:
        """Return the comparison in words."""
        return f"safety {safety.value}"


class HeldClause(msgspec.Struct, frozen=True):
    """The condition that the state has lasted at least ``days`` elapsed 24-hour days."""

    days: float

    def holds(self, metrics: TransitionMetrics, safety: SafetyState, days: float) -> bool:
        """Return whether the condition is met; unknown is not met."""
        return days >= self.days

    def forecast(self, metrics: TransitionMetrics, safety: SafetyState, days: float) -> ClauseForecast:
        """Return value, threshold and distance of the condition."""
        held = self.holds(metrics, safety, days)
        return ClauseForecast(
            "held_days", held, days, "≥", self.days, self.days - days, self.text(metrics, safety, days)
        )

    def text(self, metrics: TransitionMetrics, safety: SafetyState, days: float) -> str:
        """Return the comparison in words."""
        return f"held {days:.4g} ≥ {self.days:g} days"


Clause: TypeAlias = MetricClause | BreakerClause | SafetyClause | HeldClause


class TransitionRule:
    """A transition from one state to another: its clauses, and whether "any" or "all" of them must hold."""

    __slots__ = ("_others", "_waits", "clauses", "from_state", "mode", "name", "to_state")

    def __init__(
        self,
        name: str,
        from_state: OperatingState,
        to_state: OperatingState,
        mode: str,
        clauses: tuple[Clause, ...],
    ) -> None:
        self.name = name
        self.from_state = from_state
        self.to_state = to_state
        self.mode = mode
        self.clauses = clauses
        self._waits = tuple(clause.days for clause in clauses if isinstance(clause, HeldClause))
        self._others = tuple(clause for clause in clauses if not isinstance(clause, HeldClause))

    def evaluate(
        self, metrics: TransitionMetrics, safety_state: SafetyState, state_duration_days: float = 0.0
    ) -> bool:
        """Return whether the condition is met. LOCKDOWN meets none; an unknown safety state counts as FAIL."""
        safety = SafetyState.of(safety_state)
        if safety is SafetyState.LOCKDOWN:
            return False
        is_any = self.mode == "any"
        for clause in self.clauses:
            if clause.holds(metrics, safety, state_duration_days) is is_any:
                return is_any
        return not is_any

    def met_from_days(self, metrics: TransitionMetrics, safety_state: SafetyState) -> float | None:
        """Return after how many days in the state the condition is met on these metrics and this safety state.

        0 when it is met at any time; None when time alone never meets it.
        """
        safety = SafetyState.of(safety_state)
        if safety is SafetyState.LOCKDOWN:
            return None
        is_any = self.mode == "any"
        for clause in self._others:
            if clause.holds(metrics, safety, 0.0) is is_any:
                return 0.0 if is_any else None
        return min(self._waits, default=None) if is_any else max(self._waits, default=0.0)

    def reason(
        self,
        metrics: TransitionMetrics,
        safety_state: SafetyState | None = None,
        state_duration_days: float | None = None,
    ) -> str:
        """Return why the rule applies, with numbers: ``AggressiveToBalanced: vix 26 > 25``.

        Without safety state and duration their clauses are named only where nothing measured explains it.
        """
        safety = SafetyState.NORMAL if safety_state is None else SafetyState.of(safety_state)
        days = math.inf if state_duration_days is None else state_duration_days
        texts = [
            clause.text(metrics, safety, days)
            for clause in self.clauses
            if clause.holds(metrics, safety, days)
            and not (isinstance(clause, SafetyClause) and safety_state is None)
            and not (isinstance(clause, HeldClause) and state_duration_days is None)
        ]
        return f"{self.name}: {', '.join(texts) if texts else 'safety state'}"

    def forecast(
        self, metrics: TransitionMetrics, safety_state: SafetyState, state_duration_days: float
    ) -> tuple[ClauseForecast, ...]:
        """Return every clause with its value, threshold and distance."""
        safety = SafetyState.of(safety_state)
        return tuple(clause.forecast(metrics, safety, state_duration_days) for clause in self.clauses)


class AggressiveToBalanced(TransitionRule):
    """The rule AGGRESSIVE → BALANCED.

    Any of: drawdown > 0.05, vix > 25, consecutive_scalp_losses > 5, daily_loss > 0.02.
    """

    __slots__ = ()

    def __init__(self, config: StateConfig | None = None) -> None:
        limits = (config or StateConfig()).aggressive_to_balanced
        super().__init__(
            "AggressiveToBalanced",
            OperatingState.AGGRESSIVE,
            OperatingState.BALANCED,
            "any",
            (
                MetricClause("drawdown_pct", ">", limits.drawdown_pct, danger=True),
                MetricClause("vix", ">", limits.vix, danger=True),
                MetricClause("consecutive_scalp_losses", ">", limits.consecutive_scalp_losses, danger=True),
                MetricClause("daily_loss_pct", ">", limits.daily_loss_pct, danger=True),
            ),
        )


class BalancedToDefensive(TransitionRule):
    """The rule BALANCED → DEFENSIVE, any of: drawdown > 0.10, vix > 30, market_circuit_breaker,
    safety WARNING or worse.
    """

    __slots__ = ()

    def __init__(self, config: StateConfig | None = None) -> None:
        limits = (config or StateConfig()).balanced_to_defensive
        super().__init__(
            "BalancedToDefensive",
            OperatingState.BALANCED,
            OperatingState.DEFENSIVE,
            "any",
            (
                MetricClause("drawdown_pct", ">", limits.drawdown_pct, danger=True),
                MetricClause("vix", ">", limits.vix, danger=True),
                BreakerClause(),
                SafetyClause(normal=False),
            ),
        )


class DefensiveToBalanced(TransitionRule):
    """The rule DEFENSIVE → BALANCED, all of: drawdown < 0.05, vix < 20, profitable days ≥ 3,
    safety NORMAL, held ≥ 5 days.
    """

    __slots__ = ()

    def __init__(self, config: StateConfig | None = None) -> None:
        limits = (config or StateConfig()).defensive_to_balanced
        super().__init__(
            "DefensiveToBalanced",
            OperatingState.DEFENSIVE,
            OperatingState.BALANCED,
            "all",
            (
                MetricClause("drawdown_pct", "<", limits.drawdown_pct),
                MetricClause("vix", "<", limits.vix),
                MetricClause("consecutive_profitable_days", "≥", limits.profitable_days),
                SafetyClause(normal=True),
                HeldClause(limits.held_days),
            ),
        )


class BalancedToAggressive(TransitionRule):
    """The rule BALANCED → AGGRESSIVE, all of: cagr > target_cagr, vix < 15, growth > 0.10, win_rate_30d > 0.60,
    safety NORMAL, held ≥ 10 days.
    """

    __slots__ = ()

    def __init__(self, config: StateConfig | None = None) -> None:
        limits = (config or StateConfig()).balanced_to_aggressive
        super().__init__(
            "BalancedToAggressive",
            OperatingState.BALANCED,
            OperatingState.AGGRESSIVE,
            "all",
            (
                MetricClause("cagr", ">", 0.0, against="target_cagr"),
                MetricClause("vix", "<", limits.vix),
                MetricClause("capital_growth_pct", ">", limits.capital_growth_pct),
                MetricClause("win_rate_30d", ">", limits.win_rate_30d),
                SafetyClause(normal=True),
                HeldClause(limits.held_days),
            ),
        )


def rules_of(config: StateConfig) -> tuple[TransitionRule, ...]:
    """Return the rules under ``config``, those that move to a more cautious state first."""
    return (
        AggressiveToBalanced(config),
        BalancedToDefensive(config),
        DefensiveToBalanced(config),
        BalancedToAggressive(config),
    )


RULES: Final = rules_of(StateConfig())
"""The rules with the default thresholds."""


def find_applicable_rule(
    state: OperatingState,
    metrics: TransitionMetrics,
    safety_state: SafetyState,
    state_duration_days: float,
    rules: tuple[TransitionRule, ...] = RULES,
) -> TransitionRule | None:
    """Return the first rule that starts in ``state`` and whose condition is met, or None.

    ``state_duration_days`` is elapsed 24-hour days. Rules to a more cautious state come first.
    """
    for rule in rules:
        if rule.from_state == state and rule.evaluate(metrics, safety_state, state_duration_days):
            return rule
    return None


def rule_rows(config: StateConfig | None = None) -> list[tuple[str, str, str, str, str]]:
    """Return the rules for the generated reference: name, from, to, any/all, conditions."""
    return [
        (rule.name, rule.from_state.value, rule.to_state.value, rule.mode, "; ".join(map(_condition, rule.clauses)))
        for rule in rules_of(config or StateConfig())
    ]


def known(field: str, value: float | None) -> float | None:
    """Return ``value`` as a float, or None when it is unknown: None, NaN, a negative vix."""
    if value is None or value != value or (field == "vix" and value < 0):
        return None
    return float(value)


def _condition(clause: Clause) -> str:
    if isinstance(clause, MetricClause):
        return f"{clause.field} {clause.comparison} {clause.against or format(clause.threshold, 'g')}"
    if isinstance(clause, HeldClause):
        return f"held ≥ {clause.days:g} days"
    if isinstance(clause, SafetyClause):
        return "safety NORMAL" if clause.normal else "safety WARNING or worse"
    return "market_circuit_breaker"
