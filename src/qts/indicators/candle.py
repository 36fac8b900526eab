"""A bar as floats: what indicators read, converted once for all that follow one series."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from qts.errors import ContractError
from qts.market.contracts import Bar

LIMIT: Final = 1e100
"""Bound of every number that an indicator takes: products and sums of such numbers stay finite."""


class Candle(msgspec.Struct, frozen=True, gc=False):
    """Open, high, low, close and volume of a bar as floats; ``day`` is the bar's trading day, "" when not told.

    Raises :class:`~qts.errors.ContractError` for a number that is not finite or beyond ±1e100, for a high below the
    low and for a volume below 0.
    """

    open: float
    high: float
    low: float
    close: float
    volume: float = 0.0
    day: str = ""

    def __post_init__(self) -> None:
        # One chain of comparisons is False for NaN as well as for what is out of bounds.
        if not (
            -LIMIT < self.low <= self.high < LIMIT
            and -LIMIT < self.open < LIMIT
            and -LIMIT < self.close < LIMIT
            and 0.0 <= self.volume < LIMIT
        ):
            raise ContractError(
                f"a bar's numbers must be finite, the high not below the low and the volume not below 0, got {self}"
            )


def candle_of(bar: Bar) -> Candle:
    """Return ``bar`` as floats. Raises ContractError for numbers that no indicator takes."""
    return Candle(float(bar.open), float(bar.high), float(bar.low), float(bar.close), float(bar.volume), bar.day)


def typical_price(candle: Candle) -> float:
    """Return the mean of high, low and close; that of three equal prices is the price, exactly."""
    low = candle.low
    return low + ((candle.high - low) + (candle.close - low)) / 3.0


FIELDS: Final[dict[str, Callable[[Candle], float]]] = {
    "open": lambda candle: candle.open,
    "high": lambda candle: candle.high,
    "low": lambda candle: candle.low,
    "close": lambda candle: candle.close,
    "volume": lambda candle: candle.volume,
    "hl2": lambda candle: (candle.high + candle.low) / 2.0,
    "hlc3": typical_price,
    "ohlc4": lambda candle: (candle.open + candle.high + candle.low + candle.close) / 4.0,
}
"""What an indicator may read of a bar (its ``of``): a price, the volume, or a mean of prices."""
