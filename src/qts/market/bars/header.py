"""The columns of a file of bars, found by the names that vendors give them, in whatever case."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from qts.errors import DataError

DATE: Final = "date"
TIME: Final = "time"
SYMBOL: Final = "symbol"
ADJUSTED: Final = "adj_close"
VOLUME: Final = "volume"
PRICES: Final = ("open", "high", "low", "close")
NEEDED: Final = (DATE, *PRICES, VOLUME)

_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    DATE: (
        "date",
        "datetime",
        "timestamp",
        "ts",
        "opentime",
        "indexlevel0",
        "일자",
        "날짜",
        "일시",
        "기준일",
        "거래일",
        "거래일자",
    ),
    TIME: ("time", "시간", "시각"),
    SYMBOL: ("symbol", "ticker", "code", "종목코드", "단축코드", "티커"),
    "open": ("open", "o", "시가", "오픈"),
    "high": ("high", "h", "고가"),
    "low": ("low", "l", "저가"),
    "close": ("close", "c", "last", "closelast", "종가", "현재가"),
    ADJUSTED: ("adjclose", "adjustedclose", "closeadj", "수정종가"),
    VOLUME: ("volume", "vol", "v", "거래량"),
}
"""Names of a column without blanks and signs, in small letters; the first that a file has is taken."""
_SIGNS: Final = re.compile(r"[\s<>_./()\-*\"']+")
_PRICE: Final = "price"
_EPOCH: Final = re.compile(r"[0-9]{13}|[0-9]{16}", re.ASCII)
_KLINES: Final = ("date", "open", "high", "low", "close", "volume")
_FEWEST: Final = 6


class Columns(msgspec.Struct, frozen=True):
    """The places of the columns, from 0; ``adjusted``, ``time`` and ``symbol`` are None where a file has none.

    ``names`` are all names of the file, for messages.
    """

    date: int
    prices: tuple[int, int, int, int]
    volume: int
    time: int | None
    symbol: int | None
    adjusted: int | None
    names: tuple[str, ...]


def places_of(names: Sequence[str]) -> dict[str, int]:
    """Return the place of every column that is known by its name."""
    plain = [plain_name(name) for name in names]
    found: dict[str, int] = {}
    for column, known in _NAMES.items():
        place = next((plain.index(name) for name in known if name in plain), None)
        if place is not None:
            found[column] = place
    if "close" not in found and _PRICE in plain:  # investing.com
        found["close"] = plain.index(_PRICE)
    if DATE not in found and TIME in found:
        found[DATE] = found.pop(TIME)
    if DATE not in found and plain and not plain[0]:  # an index without a name
        found[DATE] = 0
    return found


def looks_like_bars(names: Sequence[str]) -> bool:
    """Return whether the names are those of a file of bars, even of one that lacks a column."""
    found = places_of(names)
    prices = sum(name in found for name in (*PRICES, ADJUSTED))
    return DATE in found and ("open" in found or "high" in found or "low" in found) and prices >= 2


def is_klines(cells: Sequence[str]) -> bool:
    """Return whether a first line is already a row: that of Binance's klines, which have no header."""
    return len(cells) >= _FEWEST and _EPOCH.fullmatch(cells[0].strip()) is not None


def klines(width: int) -> Columns:
    """Return the columns of klines without a header."""
    names = (*_KLINES, *(f"column {number}" for number in range(len(_KLINES) + 1, width + 1)))
    return Columns(0, (1, 2, 3, 4), 5, None, None, None, names)


def columns_of(names: Sequence[str], place: str) -> Columns:
    """Return the columns by their names. Raises DataError naming ``place`` and what is missing."""
    found = places_of(names)
    missing = [name for name in NEEDED if name not in found]
    have = ", ".join(name.strip() for name in names if name.strip())
    if missing == ["close"] and ADJUSTED in found:
        raise DataError(
            f"{place}: the only close is the adjusted one, beside an open, high and low of which the file does not "
            "tell how they were adjusted; add the close as traded in a column close"
        )
    if missing == [VOLUME]:
        raise DataError(
            f"{place}: no column volume (found: {have}); orders fill at most a share of the volume, so add one; "
            "where the market has none, a large number in each row fills every order"
        )
    if missing:
        raise DataError(
            f"{place}: a file of bars needs date, open, high, low, close and volume; missing here: "
            f"{', '.join(missing)} (found: {have}); name the column so in the first line"
        )
    doubled = doubled_in(names)
    if doubled:
        raise DataError(f"{place}: the column {doubled!r} appears twice; keep one of them")
    return Columns(
        found[DATE],
        (found["open"], found["high"], found["low"], found["close"]),
        found[VOLUME],
        found.get(TIME),
        found.get(SYMBOL),
        found.get(ADJUSTED),
        tuple(name.strip() for name in names),
    )


def doubled_in(names: Iterable[str]) -> str:
    """Return a name of a column of bars that appears twice; "" for none."""
    seen: set[str] = set()
    for name in map(plain_name, names):
        if name in seen and any(name in known for known in _NAMES.values()):
            return name
        seen.add(name)
    return ""


def plain_name(name: str) -> str:
    """Return a name in small letters without blanks and signs: "Adj Close" is "adjclose"."""
    return _SIGNS.sub("", name.strip().lower().lstrip("\ufeff"))
