"""Guards: small pure rules that examine the account's health and name what is wrong.

Each guard takes the health and the limits in force and yields (code, detail) pairs; it changes nothing. The
caller hands the codes to :meth:`~qts.safety.state.SafetyStateManager.apply_code`. Beyond the fail-safe bounds
the fail-safe is named *instead of* the guardrail.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Final, TypeAlias

import msgspec

from qts.money import decimal_fraction, magnitude, minus, ratio, times
from qts.safety.config import SafetyConfig

Finding: TypeAlias = tuple[str, str]


class GuardLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits as fractions of equity, after the operating state's multiplier."""

    exposure: Decimal = Decimal("0.95")
    symbol_weight: Decimal = Decimal("0.15")
    daily_loss_warning: Decimal = Decimal("0.03")
    daily_loss: Decimal = Decimal("0.05")


class AccountHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The account at one moment, amounts in its currency; None is unknown (`unknown-is-unsafe`).

    ``day_open_equity``: equity at the day's opening, corrected by deposits and withdrawals since.
    ``exposure``: marked value of all holdings, absolute. ``symbol_values``: the same by symbol.
    ``lowest_equity`` and ``highest_exposure`` (with the equity of its moment): the worst since the last check of
    the account; None where only this moment is known.
    ``position_differences``: (symbol, quantity by the ledger, quantity by the broker) where they differ.
    ``sells_without_position`` and ``conflicting_symbols``: symbols. Cycle times in milliseconds.
    """

    equity: Decimal | None
    day_open_equity: Decimal | None
    exposure: Decimal | None
    lowest_equity: Decimal | None = None
    highest_exposure: tuple[Decimal, Decimal] | None = None
    symbol_values: tuple[tuple[str, Decimal | None], ...] = ()
    position_differences: tuple[tuple[str, Decimal, Decimal], ...] = ()
    sells_without_position: tuple[str, ...] = ()
    conflicting_symbols: tuple[str, ...] = ()
    critical_only: bool = False
    cycle_ms: float | None = None
    expected_cycle_ms: float | None = None
    cycle_limit_ms: float | None = None


Guard: TypeAlias = Callable[[AccountHealth, GuardLimits, SafetyConfig], Iterator[Finding]]

DEFAULT_LIMITS: Final = GuardLimits()
_DEFAULT_CONFIG: Final = SafetyConfig()


def account_guards(
    health: AccountHealth, limits: GuardLimits = DEFAULT_LIMITS, config: SafetyConfig = _DEFAULT_CONFIG
) -> tuple[Finding, ...]:
    """Return everything wrong with ``health`` as (code, detail), in the order of the guards; () when well."""
    return tuple(finding for guard in GUARDS for finding in guard(health, limits, config))


def is_surely_well(
    equity: Decimal,
    exposure: Decimal,
    *,
    lowest: Decimal,
    worst: tuple[Decimal, Decimal],
    opening: Decimal,
    limits: GuardLimits,
) -> bool:
    """Return True only where :func:`account_guards` finds nothing wrong; False: the guards have to judge.

    The amounts are those of :class:`AccountHealth`: ``lowest`` equity, ``worst`` exposure with the equity of its
    moment, and the day's ``opening``. No symbol is worth more than the whole ``exposure``.
    """
    for amount in (equity, exposure, lowest, *worst, opening):
        if not amount.is_finite():
            return False
    if lowest <= 0 or equity <= 0 or opening <= 0:
        return False
    loss = minus(opening, min(lowest, equity))
    return (
        loss < times(opening, min(limits.daily_loss_warning, limits.daily_loss))
        and exposure <= times(equity, min(limits.exposure, limits.symbol_weight))
        and worst[0] <= times(worst[1], limits.exposure)
    )


def unusable_numbers(health: AccountHealth, limits: GuardLimits, config: SafetyConfig) -> Iterator[Finding]:
    """Yield FS030 for an amount that could not be computed, FS020 for one that is NaN or infinite."""
    for name, value in _amounts(health):
        if value is None:
            yield "FS030", f"{name} is unknown"
        elif not value.is_finite():
            yield "FS020", f"{name} is {value}"


def equity_gone(health: AccountHealth, limits: GuardLimits, config: SafetyConfig) -> Iterator[Finding]:
    """Yield FS050 for equity ≤ 0, now or since the last check."""
    equity = _lowest(health)
    if equity is not None and equity <= 0:
        yield "FS050", f"equity {equity} ≤ 0"


def exposure_high(health: AccountHealth, limits: GuardLimits, config: SafetyConfig) -> Iterator[Finding]:
    """Yield FS051 above 1.2 × the limit, GR001 above the limit (of equity), now or since the last check."""
    moments = [(health.exposure, health.equity), health.highest_exposure or (None, None)]
    known = [(e, q) for e, q in ((_usable(e), _usable(q)) for e, q in moments) if e is not None and q and q > 0]
    if not known:
        return
    exposure, equity = max(known, key=lambda moment: ratio(*moment))
    limit = times(equity, limits.exposure)
    factor = decimal_fraction(repr(config.exposure_fail_safe_factor))
    if exposure > times(limit, factor):
        yield "FS051", f"exposure {exposure} > {factor} × limit {limit}"
    elif exposure > limit:
        yield "GR001", f"exposure {exposure} > limit {limit}"


def symbol_heavy(health: AccountHealth, limits: GuardLimits, config: SafetyConfig) -> Iterator[Finding]:
    """Yield GR010 for every symbol above its weight."""
    equity = _usable(health.equity)
    if equity is None or equity <= 0:
        return
    limit = times(equity, limits.symbol_weight)
    for symbol, value in health.symbol_values:
        if (held := _usable(value)) is not None and magnitude(held) > limit:
            yield "GR010", f"{symbol} {held} > limit {limit}"


def day_lost(health: AccountHealth, limits: GuardLimits, config: SafetyConfig) -> Iterator[Finding]:
    """Yield FS052 for a loss beyond its limit (> 5 % of the opening equity), GR020 from the warning on (≥ 3 %).

    The lowest equity since the last check counts.
    """
    equity, opening = _lowest(health), _usable(health.day_open_equity)
    if equity is None or opening is None or opening <= 0:
        return
    loss = minus(opening, equity)
    if loss > times(opening, limits.daily_loss):
        yield "FS052", f"loss of the day {loss} > {limits.daily_loss} of {opening}"
    elif loss >= times(opening, limits.daily_loss_warning):
        yield "GR020", f"loss of the day {loss} ≥ {limits.daily_loss_warning} of {opening}"


def positions_differ(health: AccountHealth, limits: GuardLimits, config: SafetyConfig) -> Iterator[Finding]:
    """Yield FS070 for every symbol whose ledger and broker quantities differ."""
    for symbol, ours, theirs in health.position_differences:
        if ours != theirs:
            yield "FS070", f"{symbol}: ledger {ours}, broker {theirs}"


def signals_odd(health: AccountHealth, limits: GuardLimits, config: SafetyConfig) -> Iterator[Finding]:
    """Yield GR030 for conflicting signals, GR040 for sells without a position, GR090 for critical-only mode."""
    for symbol in health.conflicting_symbols:
        yield "GR030", symbol
    for symbol in health.sells_without_position:
        yield "GR040", f"{symbol}: sell without a position"
    if health.critical_only:
        yield "GR090", "only risk-reducing work goes on"


def cycle_slow(health: AccountHealth, limits: GuardLimits, config: SafetyConfig) -> Iterator[Finding]:
    """Yield FS060 above the cycle's limit, else AN040 from 3 × the expected time on."""
    took = health.cycle_ms
    if took is None:
        return
    if math.isnan(took):
        yield "FS020", "cycle time is NaN"
    elif health.cycle_limit_ms is not None and took > health.cycle_limit_ms:
        yield "FS060", f"cycle took {took:g} ms > {health.cycle_limit_ms:g} ms"
    elif health.expected_cycle_ms is not None and took >= health.expected_cycle_ms * config.cycle_jump_factor:
        yield "AN040", f"cycle took {took:g} ms, expected {health.expected_cycle_ms:g} ms"


GUARDS: Final[tuple[Guard, ...]] = (
    unusable_numbers,
    equity_gone,
    exposure_high,
    symbol_heavy,
    day_lost,
    positions_differ,
    signals_odd,
    cycle_slow,
)


def _amounts(health: AccountHealth) -> Iterator[tuple[str, Decimal | None]]:
    yield "equity", health.equity
    yield "day_open_equity", health.day_open_equity
    yield "exposure", health.exposure
    for symbol, value in health.symbol_values:
        yield f"value of {symbol}", value


def _lowest(health: AccountHealth) -> Decimal | None:
    """Return the lowest equity known since the last check, this moment included."""
    known = [value for value in map(_usable, (health.equity, health.lowest_equity)) if value is not None]
    return min(known, default=None)


def _usable(value: Decimal | None) -> Decimal | None:
    return value if value is not None and value.is_finite() else None
