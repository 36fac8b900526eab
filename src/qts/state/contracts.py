"""Values and ports of the operating state, which decides how boldly to trade.

The three states, what each allows, what a transition is decided on, what an evaluation answers, and the port
through which state and history survive kill -9. Fractions are fractions (0.05 = 5 %); times are nanoseconds
since the epoch unless they are aware datetimes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Annotated, Any, Protocol, TypeAlias

import msgspec

from qts.money import decimal_fraction
from qts.safety.contracts import SafetyState


class OperatingState(str, Enum):
    """The operating state: how boldly the session trades. Safety always takes precedence (`authority`)."""

    AGGRESSIVE = "AGGRESSIVE"
    BALANCED = "BALANCED"
    DEFENSIVE = "DEFENSIVE"

    @property
    def boldness(self) -> int:
        """Return the rank of the state: 0 for DEFENSIVE, 1 for BALANCED, 2 for AGGRESSIVE."""
        return _CAUTIOUS_FIRST.index(self)


_CAUTIOUS_FIRST = (OperatingState.DEFENSIVE, OperatingState.BALANCED, OperatingState.AGGRESSIVE)

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
AllocationRange = Annotated[
    tuple[Share, Share], msgspec.Meta(description="lowest and highest share of equity in the pool")
]
Multiplier = Annotated[
    float,
    msgspec.Meta(
        gt=0, le=2, description="times the base position, weight and loss limits", extra={"looser": "higher"}
    ),
]
Confidence = Annotated[
    float, msgspec.Meta(ge=0, le=1, description="confidence an entry needs; below it the signal is dropped")
]
PositionCount = Annotated[
    int, msgspec.Meta(ge=1, le=1000, description="open positions at most", extra={"looser": "higher"})
]
TradeCount = Annotated[
    int, msgspec.Meta(ge=1, le=100_000, description="entries a day at most", extra={"looser": "higher"})
]
Rebalancing = Annotated[bool, msgspec.Meta(description="whether pools are moved to their targets")]
NewEntries = Annotated[bool, msgspec.Meta(description="whether entries are allowed; exits always are")]
ScalpActive = Annotated[bool, msgspec.Meta(description="whether scalp strategies may enter")]
SwingActive = Annotated[bool, msgspec.Meta(description="whether swing strategies work (exits go in any case)")]


class StateProperties(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The properties of an operating state: what it allows, as limits, thresholds and switches.

    The ratios are floats as configured; where they meet money take :attr:`multiplier` and
    :meth:`allocation_ranges`, which are exact Decimals.
    """

    scalp_allocation_range: AllocationRange
    swing_allocation_range: AllocationRange
    portfolio_allocation_range: AllocationRange
    risk_tolerance_multiplier: Multiplier
    entry_signal_threshold: Confidence
    max_positions: PositionCount
    max_daily_trades: TradeCount
    rebalancing_enabled: Rebalancing
    new_entry_enabled: NewEntries
    scalp_engine_active: ScalpActive
    swing_engine_active: SwingActive

    @property
    def multiplier(self) -> Decimal:
        """Return ``risk_tolerance_multiplier`` as the Decimal that was written (1.2, not its binary neighbour)."""
        return decimal_fraction(repr(self.risk_tolerance_multiplier))

    def allocation_ranges(self) -> dict[str, tuple[Decimal, Decimal]]:
        """Return the lowest and highest share of equity (0..1) by pool name, as exact Decimals."""
        ranges = (self.scalp_allocation_range, self.swing_allocation_range, self.portfolio_allocation_range)
        return {
            name: (decimal_fraction(repr(low)), decimal_fraction(repr(high)))
            for name, (low, high) in zip(("SCALP", "SWING", "PORTFOLIO"), ranges, strict=True)
        }


class AggressiveProperties(StateProperties, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The defaults of AGGRESSIVE."""

    scalp_allocation_range: AllocationRange = (0.60, 0.80)
    swing_allocation_range: AllocationRange = (0.15, 0.30)
    portfolio_allocation_range: AllocationRange = (0.05, 0.10)
    risk_tolerance_multiplier: Multiplier = 1.2
    entry_signal_threshold: Confidence = 0.60
    max_positions: PositionCount = 20
    max_daily_trades: TradeCount = 50
    rebalancing_enabled: Rebalancing = False
    new_entry_enabled: NewEntries = True
    scalp_engine_active: ScalpActive = True
    swing_engine_active: SwingActive = True


class BalancedProperties(StateProperties, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The defaults of BALANCED."""

    scalp_allocation_range: AllocationRange = (0.30, 0.50)
    swing_allocation_range: AllocationRange = (0.30, 0.40)
    portfolio_allocation_range: AllocationRange = (0.20, 0.30)
    risk_tolerance_multiplier: Multiplier = 1.0
    entry_signal_threshold: Confidence = 0.70
    max_positions: PositionCount = 15
    max_daily_trades: TradeCount = 30
    rebalancing_enabled: Rebalancing = True
    new_entry_enabled: NewEntries = True
    scalp_engine_active: ScalpActive = True
    swing_engine_active: SwingActive = True


class DefensiveProperties(StateProperties, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The defaults of DEFENSIVE: exits and rebalancing only."""

    scalp_allocation_range: AllocationRange = (0.05, 0.15)
    swing_allocation_range: AllocationRange = (0.15, 0.25)
    portfolio_allocation_range: AllocationRange = (0.60, 0.80)
    risk_tolerance_multiplier: Multiplier = 0.5
    entry_signal_threshold: Confidence = 0.90
    max_positions: PositionCount = 10
    max_daily_trades: TradeCount = 10
    rebalancing_enabled: Rebalancing = True
    new_entry_enabled: NewEntries = False
    scalp_engine_active: ScalpActive = False
    swing_engine_active: SwingActive = True


STATE_PROPERTIES: Mapping[OperatingState, StateProperties] = MappingProxyType(
    {
        OperatingState.AGGRESSIVE: AggressiveProperties(),
        OperatingState.BALANCED: BalancedProperties(),
        OperatingState.DEFENSIVE: DefensiveProperties(),
    }
)
"""The defaults by state; a running system takes them from its configuration (``StateConfig.table``)."""


class TransitionMetrics(msgspec.Struct, frozen=True):
    """The measured values that transitions are decided on. None is unknown (or too old) and makes its clause false.

    The defaults mean "measured and calm", for library use; the runtime always passes every field.
    ``vix`` in index points; drawdown, loss, growth, cagr and win rate are fractions (0.05 = 5 %).
    """

    drawdown_pct: float | None = 0.0
    vix: float | None = 0.0
    consecutive_scalp_losses: float | None = 0
    daily_loss_pct: float | None = 0.0
    market_circuit_breaker: bool | None = False
    consecutive_profitable_days: float | None = 0
    cagr: float | None = 0.0
    target_cagr: float | None = 0.10
    capital_growth_pct: float | None = 0.0
    win_rate_30d: float | None = 0.0


UNKNOWN_METRICS = TransitionMetrics(None, None, None, None, None, None, None, None, None, None)
"""Metrics of which nothing is known: no rule on metrics can apply."""


class TransitionResult(msgspec.Struct, frozen=True):
    """The answer of every evaluation, with its evidence.

    ``to_state`` is where the rule would go; ``applied`` is whether it went. ``reason`` is
    ``no_transition_needed``, ``manual_override_active``, ``confirmation_pending: 1/2``,
    ``min_duration_not_met: 3.0/7 days``, ``cooldown_period`` or, when applied, the rule's own.
    ``meta`` holds the metrics, the clauses and the numbers the answer was made of.
    """

    from_state: OperatingState
    to_state: OperatingState
    applied: bool
    reason: str
    meta: Mapping[str, Any] = {}


class ManualOverride(msgspec.Struct, frozen=True):
    """An operator's order to be in ``override_state`` until ``expiry_time`` (at most 7 days after its start).

    It ends by itself in ``auto_revert_state``; None stays where it is and leaves the rest to the rules.
    Times are aware datetimes.
    """

    override_state: OperatingState
    override_reason: str
    operator_id: str
    override_time: datetime
    expiry_time: datetime
    auto_revert_state: OperatingState | None = None


class TransitionKind(str, Enum):
    """The origin of a history record."""

    RULE = "RULE"
    SAFETY = "SAFETY"
    LOCKDOWN_RELEASE = "LOCKDOWN_RELEASE"
    OVERRIDE = "OVERRIDE"
    OVERRIDE_EXPIRED = "OVERRIDE_EXPIRED"
    OVERRIDE_CLEARED = "OVERRIDE_CLEARED"
    OVERRIDE_BEATEN = "OVERRIDE_BEATEN"  # an override that safety ended


class TransitionRecord(msgspec.Struct, frozen=True):
    """One line of the history; ``from_state`` equals ``to_state`` where only an override began or ended.

    ``actor`` is "rule", "safety" or the operator's id. ``seq`` counts from 1.
    """

    seq: int
    ts_ns: int
    from_state: OperatingState
    to_state: OperatingState
    kind: TransitionKind
    reason: str
    actor: str = "rule"
    meta: dict[str, Any] = {}

    @property
    def is_transition(self) -> bool:
        """Return True when the state changed, False when only an override began or ended."""
        return self.from_state is not self.to_state

    @property
    def forced(self) -> bool:
        """Return True when safety, not a rule or an operator, made the record."""
        return self.kind in (TransitionKind.SAFETY, TransitionKind.LOCKDOWN_RELEASE)


class PendingConfirmation(msgspec.Struct, frozen=True):
    """An open confirmation window: which rule, since when (ns), and how many evaluations have met it."""

    rule: str
    to_state: OperatingState
    opened_ns: int
    evaluations: int


class ClauseForecast(msgspec.Struct, frozen=True):
    """One condition of a rule at present: whether it holds, its value, its threshold and the distance between them.

    ``gap`` is how much ``value`` has to change for the condition to flip (None when unknown or not a number).
    """

    name: str
    holds: bool
    value: float | str | None
    comparison: str
    threshold: float | str
    gap: float | None
    text: str


class RuleForecast(msgspec.Struct, frozen=True):
    """One rule out of the present state: whether its condition is met, its clauses, and what holds it back.

    ``mode`` is "any" or "all" (of the clauses). ``held_back_by`` is () when nothing keeps it from being applied.
    """

    rule: str
    from_state: OperatingState
    to_state: OperatingState
    mode: str
    met: bool
    clauses: tuple[ClauseForecast, ...]
    held_back_by: tuple[str, ...]


class OperatingStateSnapshot(msgspec.Struct, frozen=True):
    """The operating state at ``as_of``, complete for a screen or a log. Times are aware UTC datetimes.

    ``previous_state`` is None before the first transition, ``cooldown_until`` when no transition was made,
    ``pending`` when no confirmation is open. ``hold_until`` is the end of the shortest stay.
    """

    state: OperatingState
    previous_state: OperatingState | None
    properties: StateProperties
    entered_at: datetime
    as_of: datetime
    state_duration_days: float
    safety_state: SafetyState
    halted: bool
    has_override: bool
    override: ManualOverride | None
    pending: PendingConfirmation | None
    hold_until: datetime
    cooldown_until: datetime | None
    transitions_total: int
    last_record: TransitionRecord | None


class StateStatistics(msgspec.Struct, frozen=True):
    """Statistics of the operating state: elapsed 24-hour days in each state, counts of transitions, the last ten.

    ``average_duration_days`` is the mean length of the finished stays, None before the first transition.
    ``forced_total`` counts the transitions that safety made.
    """

    days_in_state: dict[str, float]
    transitions_30d: int
    transitions_total: int
    forced_total: int
    average_duration_days: float | None
    last: tuple[TransitionRecord, ...]


class StateStore(Protocol):
    """A store of one snapshot and an append-only history of records; both survive kill -9.

    The manager calls it on its own thread, one call at a time.
    """

    def load(self) -> dict[str, Any] | None:
        """Return the newest saved snapshot with the newest records under ``"history"``; None before the first save.

        The manager calls it once, before the first evaluation. Raises StorageError when it cannot be read.
        """
        ...

    def save(self, snapshot: Mapping[str, Any], record: Mapping[str, Any] | None = None) -> None:
        """Save ``snapshot``, and append ``record`` to the history; None: there is no new record.

        The manager calls it after every change, with plain values. Returns when both are on disk; raises
        StorageError when that cannot be done.
        """
        ...


StateListener: TypeAlias = Callable[[TransitionRecord], None]
"""A callback for every history record, called on the manager's thread; see ``add_listener`` for what it may raise.
"""
