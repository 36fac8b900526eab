"""Makes market values of the rows of ``tick_data``, as they were before :mod:`qts.db.ticks.copy_rows` wrote them.

A connection that reads them has codecs of its own (:func:`set_codecs`): a number's bytes are looked up, and a time
stays a count of µs. They hold for the whole connection, so it is used for nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from qts.clock import NS_PER_US
from qts.db.adapter import TickBlock
from qts.db.ticks.copy_rows import AFTER_GAP, BUYER_IS_MAKER, EPOCH_US, SNAPSHOT
from qts.errors import StorageError
from qts.market.contracts import BookUpdate, IndexLevel, MarketValue, Quote, Tick, VolatilityLevel

SELECT: Final = (
    "SELECT kind, time, ns, seq, part, flags, price, size, bid, ask, bid_size, ask_size, volume, level, day "
    "FROM tick_data"
)
"""What :class:`ReadRows` reads, in the order of time, ns, seq and part."""

_KEPT: Final = 65_536
_EPOCH_NS: Final = EPOCH_US * NS_PER_US
_NEGATIVE: Final = 0x4000
_head = struct.Struct(">HhHH").unpack_from


class _Numbers(dict[bytes, Decimal]):
    """The numbers by their bytes; one that is not there is decoded. It holds at most so many."""

    def __missing__(self, key: bytes) -> Decimal:
        if len(self) >= _KEPT:
            self.clear()
        number = self[key] = decoded(key)
        return number


def decoded(coded: bytes) -> Decimal:
    """Return the number that PostgreSQL's type numeric has as ``coded``, with the same digits."""
    count, weight, sign, scale = _head(coded)
    if sign not in (0, _NEGATIVE):
        raise StorageError("a market value on the server is not finite")
    number = 0
    for group in struct.unpack_from(f">{count}H", coded, 8):
        number = number * 10_000 + group
    decimals = 4 * (count - weight - 1) if count else 0  # of the number as it stands
    if decimals > scale:
        number //= 10 ** (decimals - scale)
    else:
        number *= 10 ** (scale - decimals)
    return Decimal((1 if sign else 0, tuple(map(int, str(number))), -scale))


async def set_codecs(connection: Any) -> None:
    """Set the codecs of a connection that reads market values and nothing else."""
    await connection.set_type_codec(
        "numeric", schema="pg_catalog", format="binary", encoder=bytes, decoder=_Numbers().__getitem__
    )
    pack, unpack = struct.Struct(">q").pack, struct.Struct(">q").unpack
    await connection.set_type_codec(
        "timestamptz", schema="pg_catalog", format="binary", encoder=pack, decoder=unpack
    )


def microseconds(ts_ns: int) -> tuple[int, int]:
    """Return a time in ns since 1970 as µs since 2000, for a parameter of such a connection, and the ns behind."""
    return divmod(ts_ns - _EPOCH_NS, NS_PER_US)


class ReadRows:
    """A reader of the rows of one symbol, page by page; a change of a book may go over the end of a page."""

    def __init__(self, symbol: str) -> None:
        self._symbol = symbol
        self._book: list[Any] | None = None
        """The change of a book whose rows may not all be read: ts_ns, seq, flags, bids, asks."""

    def take(self, rows: Sequence[Any]) -> TickBlock | None:
        """Return the values that are complete after these rows; None when there is none."""
        symbol = self._symbol
        seqs: list[int] = []
        values: list[MarketValue] = []
        for kind, (us,), ns, seq, part, flags, price, size, *quoted, level, day in rows:
            ts_ns = _EPOCH_NS + us * NS_PER_US + ns
            if kind == b"T":
                value: MarketValue = Tick(
                    symbol, ts_ns, price, size, None if not flags else bool(flags & BUYER_IS_MAKER)
                )
            elif kind == b"Q":
                bid, ask, bid_size, ask_size, volume = quoted
                value = Quote(symbol, ts_ns, bid, ask, bid_size, ask_size, price, size, volume)
            elif kind in (b"B", b"A"):
                if part == 0:
                    self._end_book(seqs, values)
                    self._book = [ts_ns, seq, flags, [], []]
                elif self._book is None or self._book[1] != seq:
                    raise StorageError(
                        f"tick_data: {symbol}, seq {seq}: the change of a book has lost its beginning"
                    )
                self._book[3 if kind == b"B" else 4].append((price, size))
                continue
            else:
                value = _other(kind, symbol, ts_ns, flags, level, day)
            if self._book is not None:
                self._end_book(seqs, values)
            seqs.append(seq)
            values.append(value)
        return _block(seqs, values)

    def finish(self) -> TickBlock | None:
        """Return what is complete because no row follows; None when there is nothing."""
        seqs: list[int] = []
        values: list[MarketValue] = []
        self._end_book(seqs, values)
        return _block(seqs, values)

    def _end_book(self, seqs: list[int], values: list[MarketValue]) -> None:
        if self._book is None:
            return
        ts_ns, seq, flags, bids, asks = self._book
        self._book = None
        seqs.append(seq)
        values.append(
            BookUpdate(
                self._symbol, ts_ns, tuple(bids), tuple(asks), bool(flags & SNAPSHOT), bool(flags & AFTER_GAP)
            )
        )


def _other(kind: bytes, symbol: str, ts_ns: int, flags: int, level: float, day: str) -> MarketValue:
    if kind == b"N":
        return BookUpdate(symbol, ts_ns, (), (), bool(flags & SNAPSHOT), bool(flags & AFTER_GAP))
    if kind == b"I":
        return IndexLevel(symbol, ts_ns, level, day)
    if kind == b"V":
        return VolatilityLevel(symbol, ts_ns, level, day)
    raise StorageError(f"tick_data: {symbol}: a row has a kind {kind!r}, which this version does not know")


def _block(seqs: list[int], values: list[MarketValue]) -> TickBlock | None:
    return TickBlock(seqs[0], tuple(values), tuple(seqs)) if values else None
