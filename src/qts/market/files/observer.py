"""``observer-jsonl``: snapshots of KRX symbols, one JSON object a line.

The last price is the row's close, ``volume`` the day's cumulative volume; bid and ask are mostly null.
Before the open a row carries yesterday's close with open, high and low 0: that price is real and is kept
(no volume, so nothing can trade on it). A row whose close is 0 or absent is refused.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from decimal import Decimal

import msgspec

from qts.market.contracts import MarketValue, Quote
from qts.market.files.line_source import OverlongLine, shown
from qts.market.files.numbers import NumberTable, PriceTable, SizeTable, number_of
from qts.market.files.refusals import (
    CROSSED_BOOK,
    INVALID_UTF8,
    MALFORMED,
    NO_PRICE,
    OVERLONG,
    WRONG_TYPE,
    BlankRow,
    RowRefused,
)
from qts.market.files.row_memory import MomentMemory
from qts.market.files.symbols import Grid, SymbolTable
from qts.market.files.times import IsoTimes, TimeOrder

_NULL = msgspec.Raw(b"null")


class _Price(msgspec.Struct, gc=False):
    close: msgspec.Raw = _NULL


class _Snapshot(msgspec.Struct, gc=False):
    ts: str
    symbol: str
    price: _Price | None = None
    volume: msgspec.Raw = _NULL
    bid_price: msgspec.Raw = _NULL
    ask_price: msgspec.Raw = _NULL


class _Stamp(msgspec.Struct, gc=False):
    ts: str


class _Symbol(msgspec.Struct, gc=False):
    symbol: str


class ObserverRows:
    """Parser of ``observer-jsonl``. Numbers are taken from their text, never through a float."""

    def __init__(self, symbols: SymbolTable, order: TimeOrder) -> None:
        self._order = order
        self._symbols = symbols
        self._times = IsoTimes()
        self._ahead = IsoTimes()
        self.memory = MomentMemory(symbols, order)
        self._moment = self.memory.moment
        self._prices = PriceTable()
        self._sizes = SizeTable()
        self._decode = msgspec.json.Decoder(_Snapshot).decode
        self._decode_stamp = msgspec.json.Decoder(_Stamp).decode

    def parse(self, row: bytes) -> MarketValue:
        """Return the value of a row; raises RowRefused."""
        snapshot = self._decoded(row)
        ts_ns = self._times.ns(snapshot.ts)
        self._order.check(ts_ns, self.time_of)
        checksum = zlib.crc32(row)
        self._moment.check(ts_ns, snapshot.symbol, checksum)
        quote = self._quote(ts_ns, snapshot)
        self._moment.accept(ts_ns, quote.symbol, checksum)
        self._order.accept(ts_ns)
        return quote

    def time_of(self, row: bytes) -> int | None:
        """Return the time of a row in ns; None when it cannot be read."""
        try:
            return self._ahead.ns(self._decode_stamp(row).ts)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, RowRefused):
            return None

    def checksum(self, row: bytes) -> int:
        """Return the CRC-32 of a row."""
        return zlib.crc32(row)

    def show(self, row: bytes) -> bytes:
        """Return the row for a message."""
        return shown(row)

    def column_of(self, row: bytes, value: str) -> str:
        """Return the name of the member whose value is to blame; texts are compared as they stand in the row."""
        try:
            snapshot = self._decode(row)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return ""
        price = _Price() if snapshot.price is None else snapshot.price
        members = {
            "ts": snapshot.ts,
            "symbol": snapshot.symbol,
            "price.close": _text(price.close),
            "volume": _text(snapshot.volume),
            "bid_price": _text(snapshot.bid_price),
            "ask_price": _text(snapshot.ask_price),
        }
        return next((name for name, text in members.items() if text == value), "") if value else ""

    def _decoded(self, row: bytes) -> _Snapshot:
        try:
            return self._decode(row)
        except msgspec.ValidationError:
            raise RowRefused(WRONG_TYPE) from None
        except (msgspec.DecodeError, RecursionError):
            if not row.strip():
                raise BlankRow from None
            raise RowRefused(OVERLONG if isinstance(row, OverlongLine) else MALFORMED) from None
        except UnicodeDecodeError:
            raise RowRefused(INVALID_UTF8) from None

    def _quote(self, ts_ns: int, row: _Snapshot) -> Quote:
        last = self._last(row.price)
        bid = _optional(row.bid_price, self._prices)
        ask = _optional(row.ask_price, self._prices)
        if bid is not None and ask is not None and bid > ask:
            raise RowRefused(CROSSED_BOOK, f"{bid} > {ask}")
        volume = _optional(row.volume, self._sizes)
        symbol = self._symbols.admit(row.symbol)
        return Quote(symbol, ts_ns, bid, ask, None, None, last, None, volume)

    def _last(self, price: _Price | None) -> Decimal:
        close = "null" if price is None else _text(price.close)
        if close == "null" or close == "0":
            raise RowRefused(NO_PRICE, close)
        if close not in self._prices and number_of(close) == 0:
            raise RowRefused(NO_PRICE, close)
        return self._prices[close]


def symbols_in(lines: Iterable[bytes]) -> dict[str, Grid]:
    """List the symbols of the head of a file, in order of appearance."""
    decode = msgspec.json.Decoder(_Symbol).decode
    found: dict[str, Grid] = {}
    for line in lines:
        try:
            found.setdefault(decode(line).symbol, Grid())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
    return found


def _text(raw: msgspec.Raw) -> str:
    return bytes(raw).decode("utf-8", "replace")


def _optional(raw: msgspec.Raw, table: NumberTable) -> Decimal | None:
    text = _text(raw)
    return None if text == "null" else table[text]
