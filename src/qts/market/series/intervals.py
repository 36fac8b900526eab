"""The intervals of bars: lengths of time, numbers of trades, volumes and values, and how they are written.

This is the one place that knows the texts. A feed's bars have any length of time ("1m", "2d"); the bars that QTS
builds have those that :func:`parse_interval` allows.
"""

from __future__ import annotations

import re
from decimal import Decimal
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

from qts.clock import NS_PER_S
from qts.errors import ContractError
from qts.money import ZERO, is_bounded

DAY: Final = "1d"
WEEK: Final = "1w"
MONTH: Final = "1mo"

MINUTE_NS: Final = 60 * NS_PER_S
HOUR_NS: Final = 60 * MINUTE_NS
DAY_NS: Final = 24 * HOUR_NS
WEEK_NS: Final = 7 * DAY_NS

ALLOWED: Final = (
    "allowed are a length of time below a day such as 30s, 5m or 1h, 1d, 1w, a number of trades such as 1000t, "
    "a volume such as 5e4v, and a value such as 1e8$"
)
_UNITS: Final = {"s": NS_PER_S, "m": MINUTE_NS, "h": HOUR_NS, "d": DAY_NS, "w": WEEK_NS}
_LENGTH: Final = re.compile(r"([1-9][0-9]{0,4})([smhdw])", re.ASCII)
_ANY_LENGTH: Final = re.compile(r"([0-9]+)([smhdw])", re.ASCII)
_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?(?:e[0-9]{1,2})?)([tv$])", re.ASCII)
_LONGEST_TEXT: Final = 24


class Unit(IntEnum):
    """A measure of what an interval counts; bars of one moment are told in this order."""

    TIME = 0
    TRADES = 1
    VOLUME = 2
    VALUE = 3


_SIZE_UNITS: Final = {"t": Unit.TRADES, "v": Unit.VOLUME, "$": Unit.VALUE}


class Interval(NamedTuple):
    """An interval by its text as it was written ("5m", "1000t").

    ``ns`` is the length of one of time (that of a month is 31 days), 0 for the others; ``size`` is how many trades,
    which volume or which value (price × size) ends a bar of the others, 0 for one of time.
    """

    name: str
    ns: int
    unit: Unit = Unit.TIME
    size: Decimal = ZERO

    @property
    def is_intraday(self) -> bool:
        """Return whether it is shorter than a day; no interval that counts trades, volume or value has a length."""
        return 0 < self.ns < DAY_NS

    @property
    def rank(self) -> tuple[int, int, Decimal, str]:
        """Return its place among intervals: time before trades, volume and value, and the shorter first."""
        return (self.unit.value, self.ns, self.size, self.name)


def parse_interval(text: object) -> Interval:
    """Return the interval that ``text`` writes. Raises ContractError, naming what is allowed, for all else."""
    if not isinstance(text, str):
        raise ContractError(f"interval {text!r:.40} is no text: {ALLOWED}")
    if len(text) > _LONGEST_TEXT:
        raise ContractError(
            f"interval {text[:_LONGEST_TEXT]!r}… is longer than {_LONGEST_TEXT} characters: {ALLOWED}"
        )
    if found := _ANY_LENGTH.fullmatch(text):
        return _of_time(text, int(found[1]), found[2])
    if found := _SIZE.fullmatch(text):
        return _of_size(text, Decimal(found[1]), _SIZE_UNITS[found[2]])
    raise ContractError(f"interval {text!r}: {ALLOWED}")


@lru_cache(maxsize=64)
def length_ns(text: str) -> int | None:
    """Return the length of a feed's interval such as "5m", "1h", "2d" in ns; None when its text is another."""
    found = _LENGTH.fullmatch(text)
    return int(found[1]) * _UNITS[found[2]] if found else None


def length_name(ns: int) -> str:
    """Return the name of a length of time: 30s, 1m, 4h."""
    for unit, name in ((DAY_NS, "d"), (HOUR_NS, "h"), (MINUTE_NS, "m"), (NS_PER_S, "s")):
        if ns % unit == 0:
            return f"{ns // unit}{name}"
    return f"{ns}ns"


def whole_second(ts_ns: int) -> int:
    """Return ``ts_ns`` rounded up to the second: sources write the end of a bar as its last millisecond too."""
    return -(-ts_ns // NS_PER_S) * NS_PER_S


def _of_time(text: str, count: int, unit: str) -> Interval:
    ns = count * _UNITS[unit]
    if not ns:
        raise ContractError(f"interval {text!r} is zero: {ALLOWED}")
    if text not in (DAY, WEEK) and ns >= DAY_NS:
        raise ContractError(f"interval {text!r} is as long as a day or longer and neither 1d nor 1w: {ALLOWED}")
    return Interval(text, ns)


def _of_size(text: str, size: Decimal, unit: Unit) -> Interval:
    if not size:
        raise ContractError(f"interval {text!r} is zero: {ALLOWED}")
    if not is_bounded(size):
        raise ContractError(f"interval {text!r} is 10^15 or more, or has more than 30 decimals: {ALLOWED}")
    if unit is Unit.TRADES and size != size.to_integral_value():
        raise ContractError(f"interval {text!r}: a number of trades is whole; {ALLOWED}")
    return Interval(text, 0, unit, size)
