"""``binance-raw``: a raw websocket capture, one ``<local nanoseconds> <json>`` a line.

The local stamp is the time of the replay. The exchange's own time is data: its offset from the local stamp is
the median over the first 1,000 rows, and a row is refused when it is more than a second beyond that. A line
without ``stream`` is a REST depth snapshot: it seeds the book.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec

from qts.clock import NS_PER_MS, NS_PER_S
from qts.market.contracts import BookUpdate, MarketValue, Quote, Tick
from qts.market.depth import read_levels, sides_of
from qts.market.files.binance_duplicates import SymbolHistory
from qts.market.files.binance_probe import STAMP_DIGITS, CaptureProbe, add_all
from qts.market.files.line_source import OverlongLine, shown
from qts.market.files.numbers import PriceTable, SizeTable
from qts.market.files.refusals import (
    CROSSED_BOOK,
    DUPLICATE,
    FUTURE,
    INVALID_UTF8,
    MALFORMED,
    NONPOSITIVE_SIZE,
    OVERLONG,
    TIME_BACKWARDS,
    UNKNOWN_STREAM,
    UNKNOWN_SYMBOL,
    WRONG_TYPE,
    BlankRow,
    RowRefused,
)
from qts.market.files.row_memory import CaptureMemory
from qts.market.files.symbols import Grid, SymbolTable
from qts.market.files.times import TimeOrder

FUTURE_NS: Final = NS_PER_S
MAX_PREFIXES: Final = 1_024

_BEGINNING: Final = 40
"""Bytes behind the stamp that name the stream when its name ends among them; no number begins so early."""
_STAMP: Final = STAMP_DIGITS
_FIRST_STAMP: Final = 10 ** (_STAMP - 1)
_Handler: TypeAlias = Callable[[int, bytes], MarketValue]


class _QuoteData(msgspec.Struct, gc=False):
    s: str
    b: str
    B: str
    a: str
    A: str
    u: int = -1
    E: int = 0


class _QuoteRow(msgspec.Struct, gc=False):
    data: _QuoteData


class _TradeData(msgspec.Struct, gc=False):
    s: str
    t: int
    p: str
    q: str
    m: bool | None = None
    E: int = 0


class _TradeRow(msgspec.Struct, gc=False):
    data: _TradeData


class _DepthData(msgspec.Struct, gc=False):
    s: str
    b: msgspec.Raw
    a: msgspec.Raw
    U: int = -1
    u: int = -1
    pu: int = -1
    E: int = 0


class _DepthRow(msgspec.Struct, gc=False):
    data: _DepthData


class _SnapshotRow(msgspec.Struct, gc=False):
    bids: msgspec.Raw
    asks: msgspec.Raw
    lastUpdateId: int = -1
    symbol: str | None = None
    E: int = 0


class _Envelope(msgspec.Struct, gc=False):
    stream: str | None = None


class _ExchangeClock:
    """Tells exchange times in the future: more than a second beyond the usual offset from the local stamp.

    Up to ``soon_ms`` a time certainly is not: local time only goes on. So most rows need one comparison.
    """

    __slots__ = ("_latest_ns", "_order", "soon_ms")

    def __init__(self, offset_ns: int, order: TimeOrder) -> None:
        self._latest_ns = offset_ns + FUTURE_NS
        self._order = order
        self.soon_ms = 0

    def check(self, event_ms: int, ts_ns: int) -> None:
        """Check the time of a row; ``event_ms`` 0 is unknown. Raises :class:`RowRefused`."""
        if event_ms and event_ms * NS_PER_MS - ts_ns > self._latest_ns:
            raise RowRefused(FUTURE)
        self.soon_ms = (self._order.last_ns + self._latest_ns) // NS_PER_MS


class BinanceRows:
    """Parser of ``binance-raw``.

    Duplicates: a trade id seen before, or the same message again (also with a new local stamp).
    """

    def __init__(self, probe: CaptureProbe, symbols: SymbolTable, order: TimeOrder) -> None:
        self.memory = CaptureMemory(symbols, order)
        self._order = order
        self._symbols = symbols
        self._exchange = _ExchangeClock(probe.offset_ns, order)
        self._snapshot_symbol = probe.only_symbol
        self._histories = self.memory.histories
        self._prices = PriceTable()
        self._sizes = SizeTable()
        self._handlers: dict[bytes, _Handler] = {}  # by the text up to the first comma
        self._beginnings: dict[bytes, _Handler] = {}  # by the first bytes of the text
        self._quote = self._quote_handler()
        self._trade = self._trade_handler()
        self.parse = self._parser()
        self._decode_depth = msgspec.json.Decoder(_DepthRow).decode
        self._decode_snapshot = msgspec.json.Decoder(_SnapshotRow).decode
        self._decode_envelope = msgspec.json.Decoder(_Envelope).decode

    def _parser(self) -> Callable[[bytes], MarketValue]:
        """Return the hot path as a closure: local names are read faster than attributes, row for row."""
        order = self._order
        handler_of = self._beginnings.get
        find_handler = self._find_handler
        time_of = self.time_of

        def parse(row: bytes) -> MarketValue:
            try:
                ts_ns = int(row[:_STAMP])
                if not order.last_ns <= ts_ns <= order.soon_ns:  # one look suffices for nearly every row
                    if ts_ns < order.last_ns or ts_ns < _FIRST_STAMP:
                        raise _unordered(row, ts_ns)
                    order.check_jump(ts_ns, time_of)
                text = row[_STAMP:]
                # How the text begins names the stream: one lookup instead of decoding it.
                value = (handler_of(text[:_BEGINNING]) or find_handler(row))(ts_ns, text)
            except msgspec.ValidationError:
                raise RowRefused(WRONG_TYPE) from None
            except (msgspec.DecodeError, RecursionError):
                raise RowRefused(MALFORMED) from None
            except UnicodeDecodeError:
                raise RowRefused(INVALID_UTF8) from None
            except ValueError:
                raise _unstamped(row) from None
            order.last_ns = ts_ns
            return value

        return parse

    def time_of(self, row: bytes) -> int | None:
        """Return the time of a row in ns; None when it cannot be read."""
        stamp = row[:_STAMP]
        return int(stamp) if stamp.isdigit() and len(stamp) == _STAMP else None

    def checksum(self, row: bytes) -> int:
        """Return the CRC-32 of the message in a row."""
        return zlib.crc32(row[_STAMP:])

    def show(self, row: bytes) -> bytes:
        """Return the row for a message."""
        return shown(row)

    def column_of(self, row: bytes, value: str) -> str:
        """Return the name of the member of the message whose text is to blame."""
        try:
            message = msgspec.json.decode(row[_STAMP:])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return ""
        data = message.get("data", message) if isinstance(message, dict) else {}
        members = data.items() if isinstance(data, dict) else ()
        return next((f"data.{name}" for name, text in members if text == value), "") if value else ""

    def _quote_handler(self) -> _Handler:
        decode = msgspec.json.Decoder(_QuoteRow).decode
        exchange = self._exchange
        memory = self.memory
        history_of = memory.histories.get
        prices = self._prices
        sizes = self._sizes

        def handle(ts_ns: int, text: bytes) -> MarketValue:
            row = decode(text).data
            if exchange.soon_ms < row.E:
                exchange.check(row.E, ts_ns)
            history = history_of(row.s) or self._first_of(row.s, (row.b, row.a), (row.B, row.A))
            newest = history.quote
            if row.u == newest.key and newest.is_repeated_by(text):
                raise RowRefused(DUPLICATE)
            bid = prices[row.b]
            ask = prices[row.a]
            if bid > ask:
                raise RowRefused(CROSSED_BOOK, f"{row.b} > {row.a}")
            value = Quote(history.symbol, ts_ns, bid, ask, sizes[row.B], sizes[row.A])
            newest.key = row.u
            newest.text = text
            if memory.keys is not None:
                memory.keys.append(row.u)
            return value

        return handle

    def _trade_handler(self) -> _Handler:
        decode = msgspec.json.Decoder(_TradeRow).decode
        exchange = self._exchange
        memory = self.memory
        history_of = memory.histories.get
        prices = self._prices
        sizes = self._sizes

        def handle(ts_ns: int, text: bytes) -> MarketValue:
            row = decode(text).data
            if exchange.soon_ms < row.E:
                exchange.check(row.E, ts_ns)
            history = history_of(row.s) or self._first_of(row.s, (row.p,), (row.q,))
            trades = history.trades
            trade_id = row.t
            is_next = trade_id == trades.highest + 1
            if not is_next and trades.has(trade_id):
                raise RowRefused(DUPLICATE, f"trade {trade_id}")
            price = prices[row.p]
            size = sizes[row.q]
            if not size:
                raise RowRefused(NONPOSITIVE_SIZE, row.q)
            if is_next:
                trades.highest = trade_id
            else:
                trades.add(trade_id)
            if memory.keys is not None:
                memory.keys.append(trade_id)
            return Tick(history.symbol, ts_ns, price, size, row.m)

        return handle

    def _depth(self, ts_ns: int, text: bytes) -> MarketValue:
        row = self._decode_depth(text).data
        self._exchange.check(row.E, ts_ns)
        history = self._histories.get(row.s) or self._first_of(row.s, (), ())
        newest = history.depth
        if row.u == newest.key and newest.is_repeated_by(text):
            raise RowRefused(DUPLICATE)
        bids, asks = sides_of(bytes(row.b), bytes(row.a), self._prices, self._sizes)
        newest.key = row.u
        newest.text = text
        if self.memory.keys is not None:
            self.memory.keys.append(row.u)
        return BookUpdate(
            history.symbol, ts_ns, bids, asks, after_gap=history.depth_chain.take(row.U, row.u, row.pu)
        )

    def _snapshot(self, ts_ns: int, text: bytes) -> MarketValue:
        row = self._decode_snapshot(text)
        self._exchange.check(row.E, ts_ns)
        symbol = row.symbol or self._snapshot_symbol
        if symbol is None:
            raise RowRefused(UNKNOWN_SYMBOL, "a depth snapshot without a symbol")
        history = self._histories.get(symbol) or self._first_of(symbol, (), ())
        newest = history.depth
        if row.lastUpdateId == newest.key and newest.is_repeated_by(text):
            raise RowRefused(DUPLICATE)
        bids = read_levels(bytes(row.bids), self._prices, self._sizes)
        asks = read_levels(bytes(row.asks), self._prices, self._sizes)
        if bids and asks and max(bids)[0] > min(asks)[0]:
            raise RowRefused(CROSSED_BOOK, f"{max(bids)[0]} > {min(asks)[0]}")
        newest.key = row.lastUpdateId
        newest.text = text
        if self.memory.keys is not None:
            self.memory.keys.append(row.lastUpdateId)
        return BookUpdate(history.symbol, ts_ns, bids, asks, snapshot=True)

    def _first_of(self, symbol: str, prices: Sequence[str], sizes: Sequence[str]) -> SymbolHistory:
        """Make the history of a symbol; its instrument is made now unless the probe of the file had it."""

        def grid() -> Grid:
            for text in prices:
                self._prices[text]
            for text in sizes:
                self._sizes[text]
            first = Grid()
            add_all(first.prices.add, prices)
            add_all(first.sizes.add, sizes)
            return first

        return self.memory.begin(symbol, self._symbols.admit(symbol, grid))

    def _find_handler(self, row: bytes) -> _Handler:
        text = row[_STAMP:]
        prefix = text[: text.find(b",")]
        handler = self._handlers.get(prefix)
        if handler is None:
            if text[:1] != b" ":
                raise _unstamped(row)
            stream = self._decode_envelope(text).stream
            handler = self._handler_of(stream)
            if stream is None or prefix != b' {"stream":"%s"' % stream.encode():
                return handler
            if len(self._handlers) < MAX_PREFIXES:
                self._handlers[prefix] = handler
        if len(prefix) < _BEGINNING and len(self._beginnings) < MAX_PREFIXES:
            self._beginnings[text[:_BEGINNING]] = handler
        return handler

    def _handler_of(self, stream: str | None) -> _Handler:
        if stream is None:
            return self._snapshot
        kind = stream.partition("@")[2]
        if kind == "bookTicker":
            return self._quote
        if kind == "trade":
            return self._trade
        if kind == "depth" or kind.startswith("depth@"):  # depth5, depth10, depth20 are no changes
            return self._depth
        raise RowRefused(UNKNOWN_STREAM, stream)


def _unordered(row: bytes, ts_ns: int) -> RowRefused:
    # int() also takes blanks and underscores, but then gives fewer digits.
    is_stamp = ts_ns >= _FIRST_STAMP and row[_STAMP : _STAMP + 1] == b" "
    return RowRefused(TIME_BACKWARDS) if is_stamp else _unstamped(row)


def _unstamped(row: bytes) -> RowRefused:
    if isinstance(row, OverlongLine):
        return RowRefused(OVERLONG)
    if not row.strip():
        return BlankRow()
    return RowRefused(MALFORMED, row[:40].decode("utf-8", "backslashreplace"))
