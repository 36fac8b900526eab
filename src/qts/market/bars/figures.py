"""Prices and volumes of bars: columns of texts to whole numbers of a decimal step, never through a binary float.

Plain columns (digits and a point) are converted by whole columns. Everything else that vendors write goes cell by
cell: thousands separators, a decimal comma, a currency sign, volumes such as 12.3M, words for an unknown value.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import repeat
from operator import itemgetter, mul
from typing import Final, NamedTuple

from qts.market.files.noise import CLEAN_DECIMALS, denoised
from qts.market.files.numbers import number_of
from qts.market.files.refusals import NOT_A_NUMBER, OUT_OF_RANGE, RowRefused
from qts.money import MAX_DECIMALS, MAX_WHOLE_DIGITS, power_of_ten, times, without_zeros

THOUSANDS: Final = "thousands"
DECIMAL: Final = "decimal"

UNKNOWN: Final = frozenset({"", "-", "--", "null", "nan", "none", "n/a", "na", "#n/a", "nat", "<na>"})
"""Words for a value that is not known, in small letters."""

_DIGITS: Final = b"0123456789.\n"
NOISY: Final = 15
"""From so many characters on a number may carry the noise of a binary float."""
_THOUSANDS_SHOWN: Final = re.compile(r"[0-9]{1,3}(,[0-9]{3})*\.[0-9]+|[0-9]{1,3}(,[0-9]{3}){2,}", re.ASCII)
_DECIMAL_SHOWN: Final = re.compile(
    r"[0-9]+,([0-9]{1,2}|[0-9]{4,})|[0-9]{4,},[0-9]+|0,[0-9]+|[0-9]{1,3}(\.[0-9]{3})+,[0-9]+", re.ASCII
)
_UNSETTLED: Final = re.compile(r"[0-9]{1,3},[0-9]{3}", re.ASCII)
_WITH_THOUSANDS: Final = re.compile(r"-?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?[KMBkmb]?", re.ASCII)
_WITH_COMMA: Final = re.compile(r"-?([0-9]{1,3}(\.[0-9]{3})+|[0-9]+)(,[0-9]*)?[KMBkmb]?", re.ASCII)
_CURRENCY: Final = "$₩￦€£¥"
_SHARES: Final = {"K": 10**3, "M": 10**6, "B": 10**9}
_FLOAT32: Final = struct.Struct("<f")
_FLOAT32_DIGITS: Final = range(6, 10)
_MIN_FLOAT_DIGITS: Final = 12


class Scaled(NamedTuple):
    """Numbers as whole multiples of 10 to the power of -``decimals``."""

    numbers: list[int]
    decimals: int

    def at(self, decimals: int) -> list[int]:
        """Return the numbers in a step of at least as many ``decimals``."""
        if decimals == self.decimals:
            return self.numbers
        return list(map(mul, self.numbers, repeat(10 ** (decimals - self.decimals))))


class Signs(NamedTuple):
    """The way in which a file writes its numbers: the meaning of a comma ("" for none), and what else was seen."""

    comma: str = ""

    def number(self, text: str, *, volume: bool = False) -> Decimal | None:
        """Return the number of one cell; None when it is not known. Raises RowRefused for what is no number."""
        bare = text.strip()
        if bare.lower() in UNKNOWN:
            return None
        bare = bare.strip(_CURRENCY).removesuffix("원").strip()
        if self.comma == DECIMAL or "," in bare:
            bare = self._without_comma(bare, text)
        many = _SHARES.get(bare[-1:].upper(), 1) if volume else 1
        number = number_of(denoised(bare[:-1] if many > 1 else bare))
        return _single(number) if many == 1 else times(number, Decimal(many))

    def _without_comma(self, bare: str, text: str) -> str:
        if self.comma == DECIMAL and _WITH_COMMA.fullmatch(bare):
            return bare.replace(".", "").replace(",", ".")
        if self.comma == THOUSANDS and _WITH_THOUSANDS.fullmatch(bare):
            return bare.replace(",", "")
        raise RowRefused(NOT_A_NUMBER, text)


def comma_of(texts: Iterable[str]) -> str | None:
    """Return what a comma means in these cells; "" when none has one, None when they leave it open."""
    is_open = False
    for text in texts:
        if "," not in text:
            continue
        bare = text.strip().strip(_CURRENCY).lstrip("-+").rstrip("KMBkmb%").strip()
        if _THOUSANDS_SHOWN.fullmatch(bare):
            return THOUSANDS
        if _DECIMAL_SHOWN.fullmatch(bare):
            return DECIMAL
        is_open = is_open or _UNSETTLED.fullmatch(bare) is not None
    return None if is_open else ""


def plain_column(texts: Sequence[str]) -> Scaled | None:
    """Return the numbers of a column of plain decimals; None when one of them is anything else."""
    joined = "\n".join(texts)
    if not joined.isascii() or joined.encode().translate(None, _DIGITS):
        return None
    try:
        if "." not in joined:
            return Scaled(list(map(int, texts)), 0)
        first = texts[0]
        decimals = len(first) - first.find(".") - 1
        points = joined.count(".")
        if "." in first and points == len(texts) and decimals <= CLEAN_DECIMALS and _is_uniform(texts, decimals):
            return Scaled(list(map(int, joined.replace(".", "").split("\n"))), decimals)
        if max(map(len, texts)) > NOISY:
            return None  # more decimals than a market writes: it may be the text of a binary float
        parts = [text.partition(".") for text in texts]
        if not all(part[0] for part in parts):
            return None  # an empty cell is unknown, never zero
        decimals = max(len(part[2]) for part in parts)
        return Scaled([int(whole + rest.ljust(decimals, "0")) for whole, _, rest in parts], decimals)
    except ValueError:
        return None


def scaled(numbers: Sequence[Decimal]) -> Scaled:
    """Return Decimals as whole numbers of their finest step."""
    decimals = max((decimals_of(number) for number in numbers), default=0)
    return Scaled([whole(number, decimals) for number in numbers], decimals)


def whole(number: Decimal, decimals: int) -> int:
    """Return ``number`` in steps of 10 to the power of -``decimals``, of which it must be a multiple."""
    return int(times(number, power_of_ten(decimals)))


def decimals_of(number: Decimal) -> int:
    """Return the digits behind the point that ``number`` needs. Raises RowRefused above what we compute with."""
    exponent = without_zeros(number).as_tuple().exponent
    assert isinstance(exponent, int)
    if -exponent > MAX_DECIMALS:
        raise RowRefused(OUT_OF_RANGE, f"{number}")
    return max(-exponent, 0)


def is_bounded(column: Scaled) -> bool:
    """Return whether every number of a column is one that a market can show."""
    return not column.numbers or max(column.numbers) < 10 ** (MAX_WHOLE_DIGITS + column.decimals)


def _is_uniform(texts: Sequence[str], decimals: int) -> bool:
    """Return whether every text has so many digits behind a point."""
    try:
        return set(map(itemgetter(-decimals - 1), texts)) == {"."}
    except IndexError:
        return False


def _single(number: Decimal) -> Decimal:
    """Return the short decimal of which ``number`` is the exact 32-bit float (150.77000427246094: 150.77).

    Programs that keep prices in 32 bits write them so; a number that is no such float is returned as it is.
    """
    _, digits, _ = number.as_tuple()
    if len(digits) < _MIN_FLOAT_DIGITS:
        return number
    as_float = float(number)
    try:
        if _FLOAT32.unpack(_FLOAT32.pack(as_float))[0] != as_float:
            return number
    except OverflowError:
        return number
    for count in _FLOAT32_DIGITS:
        short = f"{as_float:.{count}g}"
        if _FLOAT32.unpack(_FLOAT32.pack(float(short)))[0] == as_float:
            return Decimal(short)
    return number
