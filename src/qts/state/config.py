"""Settings of the operating state: every threshold and property (file ``config/state.yaml``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from qts.money import sum_of
from qts.state.contracts import (
    AggressiveProperties,
    BalancedProperties,
    DefensiveProperties,
    OperatingState,
    StateProperties,
)

_Struct = msgspec.Struct

UNLIMITED = 1_000_000_000
"""The count that stands for "no limit": no account reaches it."""

Drawdown = Annotated[float, msgspec.Meta(gt=0, lt=1, description="drawdown from the peak, fraction")]
Vix = Annotated[float, msgspec.Meta(gt=0, le=200, description="volatility index, points")]
Loss = Annotated[float, msgspec.Meta(gt=0, lt=1, description="loss of the day, fraction")]
Losses = Annotated[int, msgspec.Meta(ge=0, le=1000, description="scalp losses in a row; more than this")]
ProfitableDays = Annotated[int, msgspec.Meta(ge=0, le=365, description="profitable days in a row, at least")]
HeldDays = Annotated[float, msgspec.Meta(ge=0, le=365, description="elapsed 24-hour days in the state")]
Growth = Annotated[float, msgspec.Meta(ge=0, le=10, description="growth of capital, fraction; above it")]
WinRate = Annotated[float, msgspec.Meta(ge=0, le=1, description="win rate of 30 days; above it")]


class AggressiveToBalancedConfig(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Thresholds from AGGRESSIVE to BALANCED: any of them, strictly above."""

    drawdown_pct: Drawdown = 0.05
    vix: Vix = 25.0
    consecutive_scalp_losses: Losses = 5
    daily_loss_pct: Loss = 0.02


class BalancedToDefensiveConfig(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Thresholds from BALANCED to DEFENSIVE: any of them, strictly above.

    A market circuit breaker or safety WARNING or worse lead there too.
    """

    drawdown_pct: Drawdown = 0.10
    vix: Vix = 30.0


class DefensiveToBalancedConfig(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Thresholds from DEFENSIVE to BALANCED: drawdown and vix strictly below, days at least, all of them.

    Safety must be NORMAL.
    """

    drawdown_pct: Drawdown = 0.05
    vix: Vix = 20.0
    profitable_days: ProfitableDays = 3
    held_days: HeldDays = 5.0


class BalancedToAggressiveConfig(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Thresholds from BALANCED to AGGRESSIVE: growth and win rate strictly above, vix strictly below, all of them.

    The cagr must be above its target and safety NORMAL.
    """

    vix: Vix = 15.0
    capital_growth_pct: Growth = 0.10
    win_rate_30d: WinRate = 0.60
    held_days: HeldDays = 10.0


class PropertiesConfig(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The properties of each operating state: what it allows."""

    aggressive: Annotated[AggressiveProperties, msgspec.Meta(description="in AGGRESSIVE")] = AggressiveProperties()
    balanced: Annotated[BalancedProperties, msgspec.Meta(description="in BALANCED")] = BalancedProperties()
    defensive: Annotated[DefensiveProperties, msgspec.Meta(description="in DEFENSIVE")] = DefensiveProperties()


class MinHoldDays(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The shortest stay in each state; moving to DEFENSIVE skips it."""

    aggressive: HeldDays = 7.0
    balanced: HeldDays = 5.0
    defensive: HeldDays = 3.0


class StateConfig(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of the operating state: its transitions and what each state allows."""

    enabled: Annotated[
        bool,
        msgspec.Meta(
            description="whether the operating state rules what may be traded; false: it stays the default state, "
            "asks no confidence, sets no limits and moves no capital (for plain backtests)"
        ),
    ] = True
    default_state: Annotated[
        OperatingState, msgspec.Meta(description="state of the first start: AGGRESSIVE, BALANCED or DEFENSIVE")
    ] = OperatingState.BALANCED
    flat_rebase_days: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            le=250,
            description="trading days in a row that end in DEFENSIVE and flat, after which drawdown counts from "
            "the present equity and days without a loss count as profitable",
        ),
    ] = 10
    override_max_duration_days: Annotated[
        float, msgspec.Meta(gt=0, le=7, description="longest manual override in days; a longer one is refused")
    ] = 7.0
    cooldown_hours: Annotated[
        float,
        msgspec.Meta(ge=0, le=720, description="hours without another transition (not to DEFENSIVE)"),
    ] = 24.0
    confirmation_cycles: Annotated[
        int, msgspec.Meta(ge=1, le=100, description="evaluations that must meet a condition, the first included")
    ] = 2
    confirmation_hours: Annotated[
        float, msgspec.Meta(ge=0, le=240, description="hours a condition must last since its window opened")
    ] = 2.0
    min_hold_days: Annotated[MinHoldDays, msgspec.Meta(description="shortest stay in each state")] = MinHoldDays()
    aggressive_to_balanced: Annotated[
        AggressiveToBalancedConfig, msgspec.Meta(description="from AGGRESSIVE to BALANCED: any of these")
    ] = AggressiveToBalancedConfig()
    balanced_to_defensive: Annotated[
        BalancedToDefensiveConfig, msgspec.Meta(description="from BALANCED to DEFENSIVE: any of these")
    ] = BalancedToDefensiveConfig()
    defensive_to_balanced: Annotated[
        DefensiveToBalancedConfig, msgspec.Meta(description="from DEFENSIVE to BALANCED: all of these")
    ] = DefensiveToBalancedConfig()
    balanced_to_aggressive: Annotated[
        BalancedToAggressiveConfig, msgspec.Meta(description="from BALANCED to AGGRESSIVE: all of these")
    ] = BalancedToAggressiveConfig()
    properties: Annotated[PropertiesConfig, msgspec.Meta(description="what each state allows")] = PropertiesConfig()
    history_limit: Annotated[
        int, msgspec.Meta(ge=10, le=10_000, description="records kept in memory; the store keeps all of them")
    ] = 200

    @property
    def table(self) -> dict[OperatingState, StateProperties]:
        """Return what each state allows: the settings, or no limit at all where ``enabled`` is false."""
        return self.columns if self.enabled else dict.fromkeys(OperatingState, self._unlimited())

    def _unlimited(self) -> StateProperties:
        """Return properties that refuse nothing; the pools' ranges are those of the default state."""
        return msgspec.structs.replace(
            self.columns[self.default_state],
            risk_tolerance_multiplier=1.0,
            entry_signal_threshold=0.0,
            max_positions=UNLIMITED,
            max_daily_trades=UNLIMITED,
            rebalancing_enabled=False,
            new_entry_enabled=True,
            scalp_engine_active=True,
            swing_engine_active=True,
        )

    @property
    def columns(self) -> dict[OperatingState, StateProperties]:
        """Return the properties by state as they are set."""
        return {
            OperatingState.AGGRESSIVE: self.properties.aggressive,
            OperatingState.BALANCED: self.properties.balanced,
            OperatingState.DEFENSIVE: self.properties.defensive,
        }

    def hold_days(self, state: OperatingState) -> float:
        """Return the shortest stay in ``state``, in elapsed 24-hour days."""
        days: float = getattr(self.min_hold_days, state.value.lower())
        return days

    def problems(self) -> list[tuple[str, str]]:
        """Return combinations that contradict each other, as (dotted field, message)."""
        return [
            *_overlapping("vix", self.balanced_to_aggressive.vix, self.aggressive_to_balanced.vix, _BALANCED_PAIR),
            *_overlapping("vix", self.defensive_to_balanced.vix, self.balanced_to_defensive.vix, _DEFENSIVE_PAIR),
            *_overlapping(
                "drawdown_pct",
                self.defensive_to_balanced.drawdown_pct,
                self.balanced_to_defensive.drawdown_pct,
                _DEFENSIVE_PAIR,
            ),
            *_bad_ranges(self.columns),
            *_bad_order(self.columns),
        ]


_BALANCED_PAIR = ("balanced_to_aggressive", "aggressive_to_balanced")
_DEFENSIVE_PAIR = ("defensive_to_balanced", "balanced_to_defensive")
_RANGES = ("scalp_allocation_range", "swing_allocation_range", "portfolio_allocation_range")

RELOADABLE: frozenset[str] = frozenset(
    {
        "flat_rebase_days",
        "override_max_duration_days",
        "cooldown_hours",
        "confirmation_cycles",
        "confirmation_hours",
        *(f"min_hold_days.{name}" for name in MinHoldDays.__struct_fields__),
        *(f"aggressive_to_balanced.{name}" for name in AggressiveToBalancedConfig.__struct_fields__),
        *(f"balanced_to_defensive.{name}" for name in BalancedToDefensiveConfig.__struct_fields__),
        *(f"defensive_to_balanced.{name}" for name in DefensiveToBalancedConfig.__struct_fields__),
        *(f"balanced_to_aggressive.{name}" for name in BalancedToAggressiveConfig.__struct_fields__),
        *(
            f"properties.{state}.{name}"
            for state in PropertiesConfig.__struct_fields__
            for name in StateProperties.__struct_fields__
        ),
    }
)


def _overlapping(name: str, bolder: float, calmer: float, rules: tuple[str, str]) -> list[tuple[str, str]]:
    if bolder <= calmer:
        return []
    return [(f"{rules[0]}.{name}", f"must not be above {rules[1]}.{name} ({calmer}), got {bolder}: it would flap")]


def _bad_ranges(table: Mapping[OperatingState, StateProperties]) -> list[tuple[str, str]]:
    found = []
    for state, allowed in table.items():
        where = f"properties.{state.value.lower()}"
        for name in _RANGES:
            low, high = getattr(allowed, name)
            if low > high:
                found.append((f"{where}.{name}", f"lowest must not be above highest, got {low}–{high}"))
        ranges = allowed.allocation_ranges().values()
        low_sum, high_sum = sum_of(low for low, _ in ranges), sum_of(high for _, high in ranges)
        if low_sum > 1 or high_sum < 1:
            found.append((where, f"the three ranges must be able to add up to 1, got {low_sum} to {high_sum}"))
    return found


def _bad_order(table: Mapping[OperatingState, StateProperties]) -> list[tuple[str, str]]:
    found = []
    aggressive, balanced, defensive = (table[state] for state in OperatingState)
    for name, bolder, calmer in (("balanced", aggressive, balanced), ("defensive", balanced, defensive)):
        if calmer.risk_tolerance_multiplier > bolder.risk_tolerance_multiplier:
            found.append((f"properties.{name}.risk_tolerance_multiplier", "must not exceed that of a bolder state"))
        if calmer.entry_signal_threshold < bolder.entry_signal_threshold:
            found.append((f"properties.{name}.entry_signal_threshold", "must not be below that of a bolder state"))
    if defensive.new_entry_enabled:
        found.append(("properties.defensive.new_entry_enabled", "must be false: DEFENSIVE only exits"))
    return found


def property_rows(config: StateConfig | None = None) -> list[tuple[str, ...]]:
    """Return what each state allows, for the generated reference: property, AGGRESSIVE, BALANCED, DEFENSIVE."""
    aggressive, balanced, defensive = ((config or StateConfig()).columns[state] for state in OperatingState)
    return [
        (name, *(_shown(getattr(column, name)) for column in (aggressive, balanced, defensive)))
        for name in StateProperties.__struct_fields__
    ]


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return "–".join(f"{part:.2f}" for part in value)
    return str(value)
