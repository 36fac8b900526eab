"""Settings of indicators: what they mean, and the checks of the constructors."""

from __future__ import annotations

from typing import Final

from qts.errors import ContractError
from qts.indicators.candle import FIELDS

LENGTH: Final = "number of updates it looks back over"
BARS: Final = "number of bars it looks back over"
OF: Final = "what it reads of a bar"
SMOOTHED: Final = "length of Wilder's average: each value weighs 1 / `length`"

MAX_LENGTH: Final = 100_000
"""The longest window: what one indicator may keep, in numbers."""
MAX_FACTOR: Final = 1e6
"""The greatest multiple of a deviation or a range."""


def check_length(kind: str, name: str, value: int, least: int = 1) -> int:
    """Return the length ``value`` of a window. Raises ContractError, naming it, unless an int from ``least`` on."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_LENGTH:
        raise ContractError(f"{kind}: {name} must be a whole number from {least} to {MAX_LENGTH}, got {value!r}")
    return value


def check_factor(kind: str, name: str, value: float, most: float = MAX_FACTOR) -> float:
    """Return ``value`` as a float.

    Raises ContractError, naming it, unless it is a number above 0 and at most ``most``.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 < value <= most:
        raise ContractError(f"{kind}: {name} must be a number above 0 and at most {most:g}, got {value!r}")
    return float(value)


def check_field(kind: str, of: str) -> str:
    """Return ``of``. Raises ContractError unless it names what an indicator may read of a bar."""
    if of not in FIELDS:
        raise ContractError(f"{kind}: of must be one of {', '.join(FIELDS)}, got {of!r}")
    return of
