"""Arguments of the shipped strategies, checked and converted."""

from __future__ import annotations

from collections.abc import Sequence

from qts.clock import NS_PER_S
from qts.errors import ContractError


def nanoseconds(seconds: float, name: str) -> int:
    """Convert ``seconds`` (finite, ≥ 0) to whole nanoseconds. Raises ContractError naming the parameter."""
    if not 0.0 <= seconds < float("inf"):
        raise ContractError(f"{name} must be a finite number of seconds, 0 or more, got {seconds!r}")
    return round(seconds * NS_PER_S)


def check_above(name: str, value: float, floor: float) -> None:
    """Raise ContractError unless ``value`` > ``floor`` and finite (NaN fails)."""
    if not floor < value < float("inf"):
        raise ContractError(f"{name} must be a finite number above {floor}, got {value!r}")


def symbols_of(symbols: Sequence[str]) -> tuple[str, ...]:
    """Return the symbols as a tuple. Raises ContractError for a single text, read letter by letter."""
    if isinstance(symbols, str):
        raise ContractError(f"symbols must be a list of symbols, got the text {symbols!r}; write ({symbols!r},)")
    return tuple(symbols)
