"""Dates and times of bars: the form is seen from the first one, and from others where the first leaves a doubt.

A time is kept as it is written (its wall clock in nanoseconds, as if it were UTC), and beside it in UTC where the
file itself names the offset. A date is a time at midnight.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from itertools import compress, repeat
from operator import is_, itemgetter
from typing import Final, NamedTuple

from qts.clock import NS_PER_S, to_ns
from qts.market.files.reading import EPOCHS, EXCEL, DeclaredTimes, ReadAs

DAY_NS: Final = 86_400 * NS_PER_S
EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
DAY_FIRST: Final = "day first"
MONTH_FIRST: Final = "month first"

LATEST_YEAR: Final = 2199
"""Nanoseconds are counted in 64 bits, which end in 2262, and a session looks ahead to its next days."""

_EPOCH_OF_DIGITS: Final = {10: "epoch_s", 13: "epoch_ms", 16: "epoch_us", 19: "epoch_ns"}
_YEAR_FIRST: Final = re.compile(
    r"([0-9]{4})(?:[-/.] ?([0-9]{1,2})[-/.] ?([0-9]{1,2})\.?|([0-9]{2})([0-9]{2}))", re.ASCII
)
_YEAR_LAST: Final = re.compile(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4})", re.ASCII)
_DAY_MONTH_NAME: Final = re.compile(r"([0-9]{1,2})[- ]([A-Za-z]{3})[a-z]*[- ,]+([0-9]{4})", re.ASCII)
_MONTH_NAME_DAY: Final = re.compile(r"([A-Za-z]{3})[a-z]*\.? ([0-9]{1,2}),? ([0-9]{4})", re.ASCII)
_CLOCK: Final = re.compile(
    r"T?([0-9]{2}):?([0-9]{2})(?::?([0-9]{2})(?:\.([0-9]{1,9}))?)? ?(Z|UTC|[+-][0-9]{2}:?(?:[0-9]{2})?)?", re.ASCII
)
_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_FORMS: Final[Sequence[tuple[re.Pattern[str], Callable[[re.Match[str]], date]]]] = (
    (_YEAR_FIRST, lambda m: date(int(m[1]), int(m[2] or m[4]), int(m[3] or m[5]))),
    (_DAY_MONTH_NAME, lambda m: date(int(m[3]), _month(m[2]), int(m[1]))),
    (_MONTH_NAME_DAY, lambda m: date(int(m[3]), _month(m[1]), int(m[2]))),
)


class Stamp(NamedTuple):
    """A time in ns since 1970: on the clock for which it is written, and in UTC (None: the text does not tell)."""

    wall_ns: int
    utc_ns: int | None


class Stamps:
    """The times of the rows of one symbol in one file; ``utc`` is empty where the texts name no offset."""

    __slots__ = ("utc", "wall")

    def __init__(self) -> None:
        self.wall: array[int] = array("q")
        self.utc: array[int] = array("q")

    def __len__(self) -> int:
        return len(self.wall)

    def extend(self, stamps: Sequence[Stamp]) -> None:
        """Add times, at least one. Raises ValueError when some have an offset and others have none."""
        self.wall.fromlist([stamp[0] for stamp in stamps])
        if self.utc or any(stamp[1] is not None for stamp in (stamps[0], stamps[-1])):
            self.utc.fromlist([stamp[1] for stamp in stamps if stamp[1] is not None])
        elif not all(map(is_, map(itemgetter(1), stamps), repeat(None))):
            raise ValueError("some times have an offset from UTC, others have none")
        if self.utc and len(self.utc) != len(self.wall):
            raise ValueError("some times have an offset from UTC, others have none")

    def reverse(self) -> None:
        """Turn the order round."""
        self.wall.reverse()
        self.utc.reverse()

    def keep(self, flags: Sequence[bool]) -> None:
        """Keep the times whose flag is true."""
        self.wall = array("q", compress(self.wall, flags))
        self.utc = array("q", compress(self.utc, flags))

    @property
    def sortable(self) -> array[int]:
        """Return the times in UTC, or as they are written where no offset is known."""
        return self.utc or self.wall

    @property
    def are_dates(self) -> bool:
        """Return whether every time is a midnight as it is written."""
        return not any(map(DAY_NS.__rmod__, self.wall))


class DateTable(dict[str, Stamp]):
    """Stamps by their text; remembers each distinct text, and starts again when it holds many.

    Raises :class:`~qts.market.files.refusals.RowRefused` or ValueError for a text that is no time of the form.
    """

    MOST: Final = 65_536

    def __init__(self, parse: Callable[[str], Stamp]) -> None:
        super().__init__()
        self._parse = parse

    def __missing__(self, text: str) -> Stamp:
        if len(self) >= self.MOST:
            self.clear()
        stamp = self[text] = self._parse(text.strip())
        return stamp


def order_shown(text: str) -> str:
    """Return which comes first in a date like 25/12/2024: :data:`DAY_FIRST`, :data:`MONTH_FIRST`; "" when open."""
    found = _YEAR_LAST.match(text)
    if found is None:
        return ""
    first, second = int(found[1]), int(found[3])
    if first > 12 >= second:
        return DAY_FIRST
    return MONTH_FIRST if second > 12 >= first else ""


def is_year_last(text: str) -> bool:
    """Return whether a date has the form 03/04/2024, in which the order of day and month must be known."""
    return _YEAR_LAST.match(text) is not None


def is_date(text: str) -> bool:
    """Return whether ``text`` is a date or time of any form that is understood."""
    try:
        stamp_of(text, DAY_FIRST)
    except ValueError:
        return False
    return True


def stamp_of(text: str, order: str = "") -> Stamp:
    """Return the stamp of a date or time; ``order`` says what comes first in 03/04/2024.

    Raises ValueError for what is none.
    """
    if text.isascii() and text.isdigit() and len(text) in _EPOCH_OF_DIGITS:
        ns = int(text) * EPOCHS[_EPOCH_OF_DIGITS[len(text)]]
        return Stamp(ns, ns)
    day, rest = _day(text, order)
    if day.year > LATEST_YEAR:
        raise ValueError(f"not within what is counted: {text}")
    wall_ns = (day.toordinal() - EPOCH_ORDINAL) * DAY_NS
    if not rest:
        return Stamp(wall_ns, None)
    clock = _CLOCK.fullmatch(rest)
    if clock is None or int(clock[1]) > 23 or int(clock[2]) > 59 or int(clock[3] or 0) > 59:
        raise ValueError(f"no time: {text}")
    seconds = int(clock[1]) * 3_600 + int(clock[2]) * 60 + int(clock[3] or 0)
    wall_ns += seconds * NS_PER_S + int((clock[4] or "").ljust(9, "0"))
    return Stamp(wall_ns, None if clock[5] is None else wall_ns - _offset_ns(clock[5]))


def declared(wanted: ReadAs) -> Callable[[str], Stamp]:
    """Return the reader of times in the form that ``wanted`` declares (its ``date_format``)."""
    form = wanted.date_format
    assert form is not None
    times = DeclaredTimes(ReadAs(timezone="UTC", date_format=form))

    def parse(text: str) -> Stamp:
        """Return the stamp of one text."""
        if form in EPOCHS:
            ns = times.parse(text)
            return Stamp(ns, ns)
        if form == EXCEL:
            return Stamp(times.parse(text), None)
        moment = datetime.strptime(text, form)  # noqa: DTZ007 - an offset is in the text or is not known
        wall_ns = to_ns(moment.replace(tzinfo=UTC))
        return Stamp(wall_ns, None if moment.tzinfo is None else to_ns(moment))

    return parse


def _day(text: str, order: str) -> tuple[date, str]:
    """Return the date at the start of ``text``, and what follows it."""
    for form, read in _FORMS:
        found = form.match(text)
        if found is not None:
            return read(found), text[found.end() :].strip()
    found = _YEAR_LAST.match(text)
    if found is None or not order:
        raise ValueError(f"no date: {text}")
    first, second, year = int(found[1]), int(found[3]), int(found[4])
    day = date(year, second, first) if order == DAY_FIRST else date(year, first, second)
    return day, text[found.end() :].strip()


def _month(name: str) -> int:
    try:
        return _MONTHS[name.lower()]
    except KeyError:
        raise ValueError(f"no month: {name}") from None


def _offset_ns(text: str) -> int:
    if text in ("Z", "UTC"):
        return 0
    digits = text[1:].replace(":", "").ljust(4, "0")
    seconds = int(digits[:2]) * 3_600 + int(digits[2:]) * 60
    return (-seconds if text[0] == "-" else seconds) * NS_PER_S
