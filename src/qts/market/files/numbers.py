"""Text to Decimal at the speed of a dictionary lookup, with every check paid once per distinct text.

Prices and sizes of a market repeat: a table remembers the Decimal of each text it has checked. Only plain
ASCII decimals pass (``Decimal`` itself would take ``1_000``, Arabic digits, ``NaN`` and spaces).
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from qts.market.files.refusals import (
    NEGATIVE_SIZE,
    NONPOSITIVE_PRICE,
    NOT_A_NUMBER,
    NOT_FINITE,
    OUT_OF_RANGE,
    RowRefused,
)
from qts.money import MAX_WHOLE_DIGITS, ZERO

MAX_NUMBER: Final = Decimal(10**MAX_WHOLE_DIGITS)
"""From here on a price or size is a fault of the source, such as 1e308."""
MIN_NUMBER: Final = Decimal("1E-12")
MAX_TEXTS: Final = 65_536
"""Texts a table remembers before it starts afresh; bounds its memory to about 10 MB."""
MAX_DIGITS: Final = 40

_PLAIN: Final = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_SHORT: Final = 12
_NOT_FINITE: Final = frozenset({"nan", "snan", "inf", "infinity"})


class NumberTable(dict[str, Decimal]):
    """Decimals by their text; a text that is refused raises :class:`RowRefused` and is not remembered."""

    __slots__ = ()

    def remember(self, text: str, number: Decimal) -> Decimal:
        """Keep the number of a checked text; a full table starts again."""
        if len(self) >= MAX_TEXTS:
            self.clear()
        self[text] = number
        return number


class PriceTable(NumberTable):
    """Prices: above zero."""

    __slots__ = ()

    def __missing__(self, text: str) -> Decimal:
        number = number_of(text)
        if number <= ZERO:
            raise RowRefused(NONPOSITIVE_PRICE, text)
        return self.remember(text, number)


class SizeTable(NumberTable):
    """Sizes and volumes: zero (an empty level, no trade yet) or above."""

    __slots__ = ()

    def __missing__(self, text: str) -> Decimal:
        number = number_of(text)
        if number.is_signed():
            raise RowRefused(NEGATIVE_SIZE, text)
        return self.remember(text, number)


def number_of(text: str) -> Decimal:
    """Return a finite Decimal of sane magnitude from plain decimal text; raises :class:`RowRefused` otherwise."""
    if len(text) <= _SHORT and text.isascii() and text.replace(".", "", 1).isdigit():
        return Decimal(text)  # too short to be out of range
    if len(text) > MAX_DIGITS or not _PLAIN.fullmatch(text):
        bare = text.strip().lstrip("+-").lower()
        if bare in _NOT_FINITE:
            raise RowRefused(NOT_FINITE, text)
        raise RowRefused(OUT_OF_RANGE if _PLAIN.fullmatch(text) else NOT_A_NUMBER, text)
    number = Decimal(text)
    if number and not MIN_NUMBER <= number.copy_abs() < MAX_NUMBER:
        raise RowRefused(OUT_OF_RANGE, text)
    return number
