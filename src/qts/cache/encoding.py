"""Values as a cache holds them, and back: one text for each field, under the name that the value's class gives it.

Amounts have all their digits and no exponent, times are whole numbers, None is a field that is not there, and
fields that are not known are ignored, so that a newer writer may add some. A parameter of a strategy is the field
``param.NAME``. Other programs may write to a cache as well, so fields are taken for a value only when all that it
needs is there and in this form; nothing is guessed, and nothing in them can be executed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec

from qts.cache.contracts import (
    BookValue,
    CacheValue,
    Fields,
    Kind,
    Level,
    LevelsRead,
    OrderValue,
    PositionValue,
    PriceValue,
    RiskValue,
    StrategyValue,
    ViewValue,
)
from qts.clock import NEVER_NS
from qts.errors import ContractError
from qts.money import PRECISION

KIND_OF: Final[Mapping[type[CacheValue], Kind]] = {
    PriceValue: Kind.PRICE,
    PositionValue: Kind.POSITION,
    BookValue: Kind.BOOK,
    RiskValue: Kind.RISK,
    OrderValue: Kind.ORDER,
    StrategyValue: Kind.STRATEGY,
    ViewValue: Kind.VIEW,
}
"""The kind of a value, by its class."""
PARAMETER: Final = "param."
V = TypeVar("V", PriceValue, PositionValue, BookValue, RiskValue, OrderValue, StrategyValue, ViewValue)
_NUMBER: Final = re.compile(rf"-?[0-9]{{1,{PRECISION}}}(?:\.[0-9]{{1,{PRECISION}}})?").fullmatch
_INTEGER: Final = re.compile(r"-?[0-9]{1,19}").fullmatch


def fields_of(value: CacheValue) -> dict[str, str]:
    """Return the fields of a value; those of a book are without its levels, see :func:`levels_of`.

    Raises ContractError for an amount that is not finite, or larger or finer than exact arithmetic makes them.
    """
    found = {}
    for name in _FORMS[type(value)]:
        one = getattr(value, name)
        if isinstance(one, Decimal):
            found[name] = _text_of(one, name)
        elif one is not None:
            found[name] = str(one)
    if isinstance(value, StrategyValue):
        found |= {PARAMETER + name: text for name, text in value.parameters.items()}
    return found


def levels_of(levels: tuple[Level, ...], most: int) -> list[tuple[str, str]]:
    """Return at most ``most`` levels as texts of price and volume. Raises ContractError as :func:`fields_of`."""
    return [(_text_of(one.price, "price"), _text_of(one.volume, "volume")) for one in levels[:most]]


def value_of(of: type[V], fields: Fields) -> V | None:
    """Return the value of ``fields``; None for what is none: a field is missing, or its text is in another form."""
    made = _parsed(of, fields)
    if made is None:
        return None
    if of is StrategyValue:
        start = len(PARAMETER)
        found = {name[start:]: text for name, text in fields.items() if name.startswith(PARAMETER)}
        if any(_unicode(one) is None for pair in found.items() for one in pair):
            return None
        made["parameters"] = found
    return of(**made)


def book_of(read: LevelsRead) -> BookValue | None:
    """Return the book of its levels and fields; None as :func:`value_of`.

    The levels are sorted here: a server keeps the price of a level as a binary float, and others may write there.
    """
    made = _parsed(BookValue, read.fields)
    if made is None:
        return None
    bids, asks = _levels(read.bids), _levels(read.asks)
    if bids is None or asks is None:
        return None
    bids.sort(key=_price, reverse=True)
    asks.sort(key=_price)
    return BookValue(**made, bids=tuple(bids), asks=tuple(asks))


def _levels(texts: Any) -> list[Level] | None:
    made = []
    for price_text, volume_text in texts:
        price, volume = _number(price_text), _number(volume_text)
        if price is None or volume is None:
            return None
        made.append(Level(price, volume))
    return made


def _price(level: Level) -> Decimal:
    return level.price


def _parsed(of: type[CacheValue], fields: Fields) -> dict[str, Any] | None:
    made: dict[str, Any] = {}
    for name, (parse, required) in _FORMS[of].items():
        text = fields.get(name)
        if text is not None:
            one = made[name] = parse(text)
            if one is None:
                return None
        elif required:
            return None
    return made


def _text_of(number: Decimal, name: str) -> str:
    if number.is_finite() and abs(number.adjusted()) < PRECISION and _NUMBER(text := f"{number:f}"):
        return text
    raise ContractError(f"{name} is no amount that a cache can hold: {number}")


def _number(text: str) -> Decimal | None:
    return Decimal(text) if _NUMBER(text) else None


def _whole(text: str) -> int | None:
    if not _INTEGER(text):
        return None
    number = int(text)
    return number if -NEVER_NS <= number <= NEVER_NS else None


def _unicode(text: str) -> str | None:
    """Return a text as it is; None for bytes that were none, which clients give as lone surrogates."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return None
    return text


def _form(of: type[CacheValue]) -> dict[str, tuple[Callable[[str], Any], bool]]:
    """Return how each field of a class is parsed, and whether it has to be there."""
    form: dict[str, tuple[Callable[[str], Any], bool]] = {}
    for field in msgspec.structs.fields(of):
        for kind, parse in ((int, _whole), (Decimal, _number), (str, _unicode)):
            if field.type in (kind, kind | None):
                form[field.name] = (parse, field.required)
    return form


_FORMS: Final = {of: _form(of) for of in KIND_OF}
