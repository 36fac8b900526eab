"""The layouts of the data frames of the KIS websocket: where each field of a record stands, and how many there are.

A record has as many fields as its header says in no place: the broker appends fields without a new name for the
frame. So a layout lists the numbers of fields that are known, and the least that its known fields need.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple

TRADES_KRX: Final = "H0STCNT0"
BOOK_KRX: Final = "H0STASP0"
STATUS_KRX: Final = "H0STMKO0"
TRADES_UNIFIED: Final = "H0UNCNT0"
BOOK_UNIFIED: Final = "H0UNASP0"
TRADES_NXT: Final = "H0NXCNT0"
BOOK_NXT: Final = "H0NXASP0"
NOTICES_LIVE: Final = "H0STCNI0"
NOTICES_PAPER: Final = "H0STCNI9"

SYMBOL: Final = 0
# trades: symbol, time, price, sign and amount of the day's change stand first, one after the other
PRICE, HIGH, LOW = 2, 8, 9
ASK, BID, SIZE, VOLUME = 10, 11, 12, 13
TAKER, DAY, MARKET_CLASS, ASK_SIZE, BID_SIZE = 21, 33, 34, 36, 37
# books
BOOK_TIME: Final = 1
LEVELS: Final = 10
ASKS, BIDS, ASK_SIZES, BID_SIZES, BOOK_SIDES_END = 3, 13, 23, 33, 43
# market status
STATUS_HALTED, STATUS_REASON, STATUS_PHASE, STATUS_STOCK, STATUS_VI = 1, 2, 3, 7, 8


class Kind(Enum):
    """The kinds of data frames whose records are market values."""

    TRADES = "trades"
    BOOK = "book"
    STATUS = "market status"


class Layout(NamedTuple):
    """The layout of one kind of frame: the numbers of fields that are known, and the least that can be read."""

    kind: Kind
    known: frozenset[int]
    least: int


_TRADES: Final = Layout(Kind.TRADES, frozenset({46, 47}), 46)
_BOOK: Final = Layout(Kind.BOOK, frozenset({59, 62, 63, 65}), 59)
LAYOUTS: Final[Mapping[str, Layout]] = {
    TRADES_KRX: _TRADES,
    TRADES_NXT: _TRADES,
    TRADES_UNIFIED: _TRADES,
    BOOK_KRX: _BOOK,
    BOOK_NXT: _BOOK,
    BOOK_UNIFIED: _BOOK,
    STATUS_KRX: Layout(Kind.STATUS, frozenset({11}), 9),
}
