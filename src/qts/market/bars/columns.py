"""The bars of one symbol, ready to be given: columns of whole numbers, which become values block by block."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from itertools import chain, repeat
from typing import Final

import msgspec

from qts.market.contracts import Bar
from qts.money import power_of_ten, times

BLOCK: Final = 64
"""Bars that are made at once; a universe holds so many values of each symbol at most."""


class BarColumns(msgspec.Struct, frozen=True):
    """The bars of ``symbol``, their times rising. ``days`` are ordinals of their session days.

    ``prices`` (open, high, low, close) and ``adjusted`` (the adjusted close, None where the file has none) are
    multiples of 10 to the power of minus ``price_decimals`` and ``adjusted_decimals``, ``volume`` of minus
    ``size_decimals``. ``files`` are the names of its files.
    """

    symbol: str
    interval: str
    known_ns: array[int]
    days: array[int]
    prices: Sequence[Sequence[int]]
    price_decimals: int
    volume: Sequence[int]
    size_decimals: int
    files: tuple[str, ...] = ()
    adjusted: Sequence[int] | None = None
    adjusted_decimals: int = 0

    def __len__(self) -> int:
        return len(self.known_ns)

    @property
    def first_day(self) -> date:
        """Return the session day of the first bar."""
        return date.fromordinal(self.days[0])

    @property
    def last_day(self) -> date:
        """Return the session day of the last bar."""
        return date.fromordinal(self.days[-1])

    def close(self, at: int) -> Decimal:
        """Return the close of the bar number ``at`` (from 0)."""
        return self.price(self.prices[3][at])

    def price(self, number: int) -> Decimal:
        """Return the price that ``number`` of a column of ``prices`` stands for."""
        return times(Decimal(number), power_of_ten(-self.price_decimals))

    def bars(self, first: int = 0) -> Iterator[Bar]:
        """Return the bars from number ``first`` (from 0) on."""
        return chain.from_iterable(map(self._block, range(first, len(self), BLOCK)))

    def _block(self, start: int) -> list[Bar]:
        part = slice(start, start + BLOCK)
        columns = [_decimals(column[part], self.price_decimals) for column in self.prices]
        made = map(
            Bar,
            repeat(self.symbol),
            self.known_ns[part],
            *columns,
            _decimals(self.volume[part], self.size_decimals),
            repeat(self.interval),
            map(_iso, self.days[part]),
        )
        return list(made)  # at once: a universe comes back to each series only after all others


class _IsoDays(dict[int, str]):
    """ISO dates by their ordinal; at most as many as there are days."""

    def __missing__(self, ordinal: int) -> str:
        text = self[ordinal] = date.fromordinal(ordinal).isoformat()
        return text


_iso = _IsoDays().__getitem__


def _decimals(numbers: Sequence[int], decimals: int) -> Iterator[Decimal]:
    whole = map(Decimal, numbers)
    return map(times, whole, repeat(power_of_ten(-decimals))) if decimals else whole
