"""Price, quantity and amount: the door that no binary float passes.

All three are :class:`decimal.Decimal`. Amounts of a currency are whole multiples of its quantum
(1 for KRW, 0.01 for USDT by default); shares of a split are whole quanta and the remainder goes to one
named part, so that sums never drift.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_DOWN, ROUND_FLOOR, Decimal, InvalidOperation
from typing import Final, TypeVar

from qts.errors import ContractError

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
K = TypeVar("K")


def decimal_of(value: str | int | Decimal, name: str = "value") -> Decimal:
    """A finite Decimal from text, an integer or a Decimal.

    Raises :class:`~qts.errors.ContractError` for a float, a bool, NaN, an infinity or text that is no number.
    """
    if isinstance(value, float | bool) or not isinstance(value, str | int | Decimal):
        raise ContractError(f"{name} must be text, an int or a Decimal, not {type(value).__name__} {value!r}")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ContractError(f"{name} is not a number: {value!r}") from None
    if not number.is_finite():
        raise ContractError(f"{name} must be finite, got {value!r}")
    return number


def positive(value: str | int | Decimal, name: str = "value") -> Decimal:
    """Like :func:`decimal_of`, and > 0."""
    number = decimal_of(value, name)
    if number <= 0:
        raise ContractError(f"{name} must be above 0, got {number}")
    return number


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """The largest multiple of ``step`` that is not above ``value`` (lots, ticks)."""
    return (value / step).to_integral_value(rounding=ROUND_FLOOR) * step


def truncate_to(value: Decimal, quantum: Decimal) -> Decimal:
    """``value`` cut toward zero to a multiple of ``quantum`` (fees and taxes: spec krx, won, truncated)."""
    return (value / quantum).to_integral_value(rounding=ROUND_DOWN) * quantum


def is_multiple(value: Decimal, step: Decimal) -> bool:
    """Whether ``value`` lies on the grid of ``step``."""
    return value % step == 0


def split(total: Decimal, weights: Mapping[K, Decimal], quantum: Decimal, remainder_to: K) -> dict[K, Decimal]:
    """Split ``total`` by ``weights`` into whole quanta that sum exactly to it.

    Every part is floored to the quantum; what is left goes to ``remainder_to``. Weights need not sum to 1.
    Raises :class:`~qts.errors.ContractError` when the weights are negative or all zero, when
    ``remainder_to`` is not among them or when ``total`` is negative.
    """
    whole = sum(weights.values(), ZERO)
    if total < 0 or whole <= 0 or min(weights.values()) < 0 or remainder_to not in weights:
        raise ContractError(f"cannot split {total} by {dict(weights)!r} with the remainder to {remainder_to!r}")
    parts = {key: floor_to(total * weight / whole, quantum) for key, weight in weights.items()}
    parts[remainder_to] += total - sum(parts.values(), ZERO)
    return parts
