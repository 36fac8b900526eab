"""Binary noise in decimal columns: a file written from floats has 2310.4799999999996 for 2310.48.

Recognised is only what a binary float writes (15 to 17 digits, more than eight behind the point) so close to a
number of at most eleven digits that both are the same float or neighbours. Eight decimals and fewer are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

from qts.market.files.numbers import PriceTable, SizeTable, number_of
from qts.market.files.refusals import RowRefused
from qts.money import magnitude, minus, own_context, times, without_zeros
from qts.notes import Note

CLEAN_DECIMALS: Final = 8
"""Exchanges write no more; a lot of full binary floats is taken to have as many."""
_FLOAT_LOT: Final = "0.00000001"
FLOAT_DIGITS: Final = range(15, 18)
"""Significant digits of a float that is no short decimal."""
_NOISY_LENGTH: Final = 17
_SHORT: Final = own_context(11)
_NEAR: Final = Decimal("4.5E-16")
"""Two steps of a 53-bit float, as a share of the number."""


class Noise:
    """The noise in the head of a file: how many numbers carry it, and which sizes are full floats."""

    def __init__(self) -> None:
        self.rows = self.numbers = self.noisy = 0
        self._example: tuple[int, str, str] | None = None
        self._float_sizes: dict[str, list[int]] = {}
        self._size_example: dict[str, tuple[int, str]] = {}

    def look(self, rows: Iterable[tuple[int, Sequence[str | None]]]) -> Noise:
        """Count the numbers of ``rows``, each with its line."""
        for line, (_, symbol, bid, ask, bid_size, ask_size, last, size, *_) in rows:
            self.rows += 1
            for text in (bid, ask, last, bid_size, ask_size, size):
                if text:
                    self._count(line, text)
            for text in (bid_size, ask_size, size):
                if text and symbol:
                    self._count_size(line, symbol, text)
        return self

    def _count(self, line: int, text: str) -> None:
        self.numbers += 1
        clean = denoised(text)
        if clean != text:
            self.noisy += 1
            self._example = self._example or (line, text, clean)

    def _count_size(self, line: int, symbol: str, text: str) -> None:
        counts = self._float_sizes.setdefault(symbol, [0, 0])
        counts[1] += 1
        try:
            number = number_of(denoised(text))
        except RowRefused:
            return
        if is_full_float(number):
            counts[0] += 1
            self._size_example.setdefault(symbol, (line, text))

    def notes(self, own: Iterable[str] = ()) -> list[Note]:
        """Return what a report must say; symbols in ``own`` have a lot that the user has given."""
        found = []
        if self._example is not None:
            line, was, now = self._example
            found.append(
                Note.of(
                    "input-binary-noise",
                    noisy=self.noisy,
                    numbers=self.numbers,
                    rows=self.rows,
                    line=line,
                    was=was,
                    now=now,
                )
            )
        given = set(own)
        for symbol, (floats, all_of_them) in self._float_sizes.items():
            if floats * 2 > all_of_them and symbol not in given:
                line, was = self._size_example[symbol]
                found.append(Note.of("input-float-sizes", symbol=symbol, line=line, was=was, lot=_FLOAT_LOT))
        return found


class CleanPrices(PriceTable):
    """Prices without binary noise."""

    __slots__ = ()

    def __missing__(self, text: str) -> Decimal:
        return self.remember(text, super().__missing__(denoised(text)))


class CleanSizes(SizeTable):
    """Sizes without binary noise."""

    __slots__ = ()

    def __missing__(self, text: str) -> Decimal:
        return self.remember(text, super().__missing__(denoised(text)))


def denoised(text: str) -> str:
    """Return the short decimal of which ``text`` is the binary float; ``text`` itself when it is none."""
    if len(text) < _NOISY_LENGTH:
        return text
    try:
        number = number_of(text)
    except RowRefused:
        return text
    short = _SHORT.plus(number)
    if not is_full_float(number) or magnitude(minus(number, short)) > times(magnitude(number), _NEAR):
        return text
    return f"{without_zeros(short):f}"


def is_full_float(number: Decimal) -> bool:
    """Return whether ``number`` has the digits that a binary float writes when it is no short decimal."""
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    return -exponent > CLEAN_DECIMALS and len(digits) in FLOAT_DIGITS
