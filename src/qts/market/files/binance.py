"""``binance-raw``: a raw websocket capture, one ``<local nanoseconds> <json>`` a line.

The local stamp is the time of the replay. The exchange's own time is data: its offset from the local stamp is
the median over the first 1,000 rows, and a row is refused when it is more than a second beyond that. A line
without ``stream`` is a REST depth snapshot: it seeds the book.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import median_low
from typing import Any, Final

import msgspec

from qts.clock import NS_PER_MS, NS_PER_S
from qts.market.contracts import BookUpdate, MarketValue, Quote, Tick
from qts.market.files.levels import levels_of, read_levels
from qts.market.files.lines import OverlongLine, shown
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
from qts.market.files.symbols import Grid, SymbolTable
from qts.market.files.times import JUMP_NS, TimeOrder

FUTURE_NS: Final = NS_PER_S
OFFSET_ROWS: Final = 1_000
MAX_HOLES: Final = 64
"""Trade ids skipped so far that may still arrive late, per symbol."""
MAX_PREFIXES: Final = 1_024

_STAMP: Final = 19
"""Digits of a nanosecond stamp from 2001 to 2286."""


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
    u: int = -1
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


class _Newest:
    """The newest row of one kind: its update id and its text, or after a resume the text's checksum."""

    __slots__ = ("checksum", "key", "text")

    def __init__(self) -> None:
        self.key = -1
        self.text: bytes | None = None
        self.checksum: int | None = None

    def is_repeated_by(self, text: bytes) -> bool:
        if self.text is not None:
            return text == self.text
        return self.checksum is not None and zlib.crc32(text) == self.checksum

    def state(self) -> list[int | None]:
        return [self.key, self.checksum if self.text is None else zlib.crc32(self.text)]

    def restore(self, state: Sequence[Any]) -> None:
        self.key, self.checksum = state
        self.text = None


class _TradeIds:
    """Which trades were seen: all up to ``highest`` but the remembered holes."""

    __slots__ = ("highest", "holes")

    def __init__(self) -> None:
        self.highest = -1
        self.holes: dict[int, None] = {}

    def has(self, trade_id: int) -> bool:
        return trade_id <= self.highest and trade_id not in self.holes

    def add(self, trade_id: int) -> None:
        highest = self.highest
        if trade_id < highest:
            del self.holes[trade_id]
            return
        if highest >= 0 and trade_id != highest + 1:
            for missed in range(max(highest + 1, trade_id - MAX_HOLES), trade_id):
                self.holes[missed] = None
            while len(self.holes) > MAX_HOLES:
                del self.holes[next(iter(self.holes))]
        self.highest = trade_id


class _Seen:
    """What is remembered of one symbol."""

    __slots__ = ("depth", "quote", "symbol", "trades")

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.quote = _Newest()
        self.depth = _Newest()
        self.trades = _TradeIds()

    def state(self) -> list[Any]:
        return [self.quote.state(), self.depth.state(), self.trades.highest, list(self.trades.holes)]

    def restore(self, state: Sequence[Any]) -> None:
        self.quote.restore(state[0])
        self.depth.restore(state[1])
        self.trades.highest = state[2]
        self.trades.holes = dict.fromkeys(state[3])


class Head:
    """What the first rows of a capture tell: the clock offset, the symbols and their grids."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self.grids: dict[str, Grid] = {}
        offsets: list[int] = []
        for stamp, message in _messages(lines):
            data = message.get("data", message)
            if not isinstance(data, dict):
                continue
            event_ms = data.get("E")
            if type(event_ms) is int and len(offsets) < OFFSET_ROWS:
                offsets.append(event_ms * NS_PER_MS - stamp)
            if isinstance(message.get("stream"), str) and isinstance(data.get("s"), str):
                _count_decimals(data, self.grids.setdefault(data["s"], Grid()))
        self.offset_ns = median_low(offsets) if offsets else 0

    @property
    def only_symbol(self) -> str | None:
        """Whom a snapshot without a symbol belongs to: the one symbol of the capture."""
        return next(iter(self.grids)) if len(self.grids) == 1 else None


class BinanceRows:
    """Parser of ``binance-raw``.

    Duplicates: a trade id seen before, or the same message again (also with a new local stamp).
    """

    def __init__(self, head: Head, symbols: SymbolTable, order: TimeOrder) -> None:
        self.order = order
        self.symbols = symbols
        self._latest_ns = head.offset_ns + FUTURE_NS
        self._snapshot_symbol = head.only_symbol
        self._seen: dict[str, _Seen] = {}
        self._prices = PriceTable()
        self._sizes = SizeTable()
        self._handlers: dict[bytes, Callable[[int, bytes], MarketValue]] = {}
        self._decode_quote = msgspec.json.Decoder(_QuoteRow).decode
        self._decode_trade = msgspec.json.Decoder(_TradeRow).decode
        self._decode_depth = msgspec.json.Decoder(_DepthRow).decode
        self._decode_snapshot = msgspec.json.Decoder(_SnapshotRow).decode
        self._decode_envelope = msgspec.json.Decoder(_Envelope).decode

    def parse(self, row: bytes) -> MarketValue:
        stamp = row[:_STAMP]
        if not stamp.isdigit() or row[_STAMP : _STAMP + 1] != b" ":
            raise _unstamped(row)
        ts_ns = int(stamp)
        order = self.order
        if ts_ns < order.last_ns:
            raise RowRefused(TIME_BACKWARDS)
        if ts_ns > order.soon_ns:
            order.check_jump(ts_ns, self.time_of)
        try:
            # The text up to the first comma names the stream: one lookup instead of decoding it.
            handler = self._handlers.get(row[20 : row.find(b",", 20)]) or self._find_handler(row)
            value = handler(ts_ns, row[20:])
        except msgspec.ValidationError:
            raise RowRefused(WRONG_TYPE) from None
        except (msgspec.DecodeError, RecursionError):
            raise RowRefused(MALFORMED) from None
        except UnicodeDecodeError:
            raise RowRefused(INVALID_UTF8) from None
        if order.not_after_ns is None:
            order.last_ns = ts_ns
            order.soon_ns = ts_ns + JUMP_NS
        else:
            order.accept(ts_ns)
        return value

    def time_of(self, row: bytes) -> int | None:
        stamp = row[:_STAMP]
        return int(stamp) if stamp.isdigit() and len(stamp) == _STAMP else None

    def show(self, row: bytes) -> bytes:
        return shown(row)

    def state(self) -> dict[str, Any]:
        return {
            "last_ns": self.order.last_ns,
            "seen": {symbol: seen.state() for symbol, seen in self._seen.items()},
            "late": self.symbols.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.symbols.restore(state["late"])
        self._seen = {symbol: _Seen(symbol) for symbol in state["seen"]}
        for symbol, stored in state["seen"].items():
            self._seen[symbol].restore(stored)
        if state["last_ns"]:
            self.order.accept(state["last_ns"])

    def _quote(self, ts_ns: int, text: bytes) -> MarketValue:
        row = self._decode_quote(text).data
        if row.E * NS_PER_MS - ts_ns > self._latest_ns:
            raise RowRefused(FUTURE)
        seen = self._seen.get(row.s) or self._first_of(row.s, (row.b, row.a), (row.B, row.A))
        newest = seen.quote
        if row.u == newest.key and newest.is_repeated_by(text):
            raise RowRefused(DUPLICATE)
        prices = self._prices
        sizes = self._sizes
        bid = prices[row.b]
        ask = prices[row.a]
        if bid > ask:
            raise RowRefused(CROSSED_BOOK, f"{row.b} > {row.a}")
        value = Quote(seen.symbol, ts_ns, bid, ask, sizes[row.B], sizes[row.A])
        newest.key = row.u
        newest.text = text
        return value

    def _trade(self, ts_ns: int, text: bytes) -> MarketValue:
        row = self._decode_trade(text).data
        if row.E * NS_PER_MS - ts_ns > self._latest_ns:
            raise RowRefused(FUTURE)
        seen = self._seen.get(row.s) or self._first_of(row.s, (row.p,), (row.q,))
        trades = seen.trades
        if trades.has(row.t):
            raise RowRefused(DUPLICATE, f"trade {row.t}")
        price = self._prices[row.p]
        size = self._sizes[row.q]
        if not size:
            raise RowRefused(NONPOSITIVE_SIZE, row.q)
        trades.add(row.t)
        return Tick(seen.symbol, ts_ns, price, size, row.m)

    def _depth(self, ts_ns: int, text: bytes) -> MarketValue:
        row = self._decode_depth(text).data
        if row.E * NS_PER_MS - ts_ns > self._latest_ns:
            raise RowRefused(FUTURE)
        seen = self._seen.get(row.s) or self._first_of(row.s, (), ())
        newest = seen.depth
        if row.u == newest.key and newest.is_repeated_by(text):
            raise RowRefused(DUPLICATE)
        value = BookUpdate(
            seen.symbol,
            ts_ns,
            levels_of(bytes(row.b), self._prices, self._sizes),
            levels_of(bytes(row.a), self._prices, self._sizes),
        )
        newest.key = row.u
        newest.text = text
        return value

    def _snapshot(self, ts_ns: int, text: bytes) -> MarketValue:
        row = self._decode_snapshot(text)
        if row.E * NS_PER_MS - ts_ns > self._latest_ns:
            raise RowRefused(FUTURE)
        symbol = row.symbol or self._snapshot_symbol
        if symbol is None:
            raise RowRefused(UNKNOWN_SYMBOL, "a depth snapshot that does not say of which symbol")
        seen = self._seen.get(symbol) or self._first_of(symbol, (), ())
        newest = seen.depth
        if row.lastUpdateId == newest.key and newest.is_repeated_by(text):
            raise RowRefused(DUPLICATE)
        bids = read_levels(bytes(row.bids), self._prices, self._sizes)
        asks = read_levels(bytes(row.asks), self._prices, self._sizes)
        if bids and asks and max(bids)[0] > min(asks)[0]:
            raise RowRefused(CROSSED_BOOK, f"{max(bids)[0]} > {min(asks)[0]}")
        newest.key = row.lastUpdateId
        newest.text = text
        return BookUpdate(seen.symbol, ts_ns, bids, asks, snapshot=True)

    def _first_of(self, symbol: str, prices: Sequence[str], sizes: Sequence[str]) -> _Seen:
        """Meet a symbol; its instrument is made now unless the head of the file had it."""

        def grid() -> Grid:
            for text in prices:
                self._prices[text]
            for text in sizes:
                self._sizes[text]
            seen = Grid()
            _add_all(seen.prices.add, prices)
            _add_all(seen.sizes.add, sizes)
            return seen

        seen = self._seen[symbol] = _Seen(self.symbols.admit(symbol, grid))
        return seen

    def _find_handler(self, row: bytes) -> Callable[[int, bytes], MarketValue]:
        stream = self._decode_envelope(row[20:]).stream
        if stream is None:
            return self._snapshot
        kind = stream.partition("@")[2]
        if kind == "bookTicker":
            handler = self._quote
        elif kind == "trade":
            handler = self._trade
        elif kind == "depth" or kind.startswith("depth@"):  # depth5, depth10, depth20 are no changes
            handler = self._depth
        else:
            raise RowRefused(UNKNOWN_STREAM, stream)
        prefix = row[20 : row.find(b",", 20)]
        if prefix == b'{"stream":"%s"' % stream.encode() and len(self._handlers) < MAX_PREFIXES:
            self._handlers[prefix] = handler
        return handler


def _unstamped(row: bytes) -> RowRefused:
    if isinstance(row, OverlongLine):
        return RowRefused(OVERLONG)
    if not row.strip():
        return BlankRow()
    return RowRefused(MALFORMED, row[:40].decode("utf-8", "backslashreplace"))


def _messages(lines: Iterable[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
    for line in lines:
        stamp = line[:_STAMP]
        if len(stamp) == _STAMP and stamp.isdigit():
            try:
                message = msgspec.json.decode(line[_STAMP:])
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            if isinstance(message, dict):
                yield int(stamp), message


def _count_decimals(data: dict[str, Any], grid: Grid) -> None:
    bids, asks = data.get("b"), data.get("a")
    if isinstance(bids, list) and isinstance(asks, list):
        pairs = [pair for pair in (*bids, *asks) if isinstance(pair, list) and len(pair) == 2]
        _add_all(grid.prices.add, [pair[0] for pair in pairs])
        _add_all(grid.sizes.add, [pair[1] for pair in pairs])
    elif "p" in data:
        _add_all(grid.trades.add, [data.get("p")])
        _add_all(grid.sizes.add, [data.get("q")])
    else:
        _add_all(grid.prices.add, [bids, asks])
        _add_all(grid.sizes.add, [data.get("B"), data.get("A")])


def _add_all(add: Callable[[str], None], texts: Iterable[Any]) -> None:
    for text in texts:
        if isinstance(text, str):
            add(text)
