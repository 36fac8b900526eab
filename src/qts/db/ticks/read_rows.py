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
from qts.market.depth import Pairs, PriceLevel, UnreadLevels, pairs_of

SELECT: Final = (
    "SELECT kind, time, ns, seq, flags, price, size, bid, ask, bid_size, ask_size, volume, level, day, "
    "array_send(bids), array_send(asks) "
    "FROM qts.tick_data"
)
"""What :func:`values_of` reads, in the order of time, ns and seq."""

_KEPT: Final = 65_536
_EPOCH_NS: Final = EPOCH_US * NS_PER_US
_NEGATIVE: Final = 0x4000
_ARRAY_HEAD: Final = 20
"""The bytes before the first element of an array that has one."""
_length = struct.Struct(">i").unpack_from
_head = struct.Struct(">HhHH").unpack_from


class Numbers(dict[bytes, Decimal]):
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


async def set_codecs(connection: Any, numbers: Numbers) -> None:
    """Set the codecs of a connection that reads market values and nothing else."""
    await connection.set_type_codec(
        "numeric", schema="pg_catalog", format="binary", encoder=bytes, decoder=numbers.__getitem__
    )
    pack, unpack = struct.Struct(">q").pack, struct.Struct(">q").unpack
    await connection.set_type_codec(
        "timestamptz", schema="pg_catalog", format="binary", encoder=pack, decoder=unpack
    )


class StoredLevels(UnreadLevels):
    """Levels of a book that stay the bytes of an array of numerics until they are read."""

    __slots__ = ("_levels", "_numbers", "_stored")

    def __init__(self, stored: bytes, numbers: Numbers) -> None:
        self._stored = stored
        self._numbers = numbers
        self._levels: tuple[PriceLevel, ...] | None = None

    def pairs(self) -> Pairs:
        """Return what :func:`qts.market.depth.pairs_of` returns: the bytes of numbers."""
        if self._levels is not None:
            return pairs_of(self._levels)
        return self._coded(), self._numbers, self._numbers

    def read(self) -> tuple[PriceLevel, ...]:
        """Return the levels; the bytes are dropped."""
        if self._levels is None:
            number = self._numbers.__getitem__
            self._levels = tuple([(number(price), number(size)) for price, size in self._coded()])
            self._stored = b""
        return self._levels

    def _coded(self) -> list[tuple[bytes, bytes]]:
        stored, at, flat = self._stored, _ARRAY_HEAD, []
        end = len(stored)
        while at < end:
            begin = at + 4
            at = begin + _length(stored, at)[0]
            flat.append(stored[begin:at])
        return list(zip(flat[::2], flat[1::2], strict=True))


def microseconds(ts_ns: int) -> tuple[int, int]:
    """Return a time in ns since 1970 as µs since 2000, for a parameter of such a connection, and the ns behind."""
    return divmod(ts_ns - _EPOCH_NS, NS_PER_US)


def values_of(symbol: str, rows: Sequence[Any], numbers: Numbers) -> TickBlock | None:
    """Return the values of a symbol's rows; None when there is no row."""
    seqs: list[int] = []
    values: list[MarketValue] = []
    for kind, (us,), ns, seq, flags, price, size, *quoted, level, day, bids, asks in rows:
        ts_ns = _EPOCH_NS + us * NS_PER_US + ns
        seqs.append(seq)
        if kind == b"T":
            maker = None if not flags else bool(flags & BUYER_IS_MAKER)
            values.append(Tick(symbol, ts_ns, price, size, maker))
        elif kind == b"Q":
            bid, ask, bid_size, ask_size, volume = quoted
            values.append(Quote(symbol, ts_ns, bid, ask, bid_size, ask_size, price, size, volume))
        elif kind == b"B":
            levels = _levels(bids, numbers), _levels(asks, numbers)
            values.append(BookUpdate(symbol, ts_ns, *levels, bool(flags & SNAPSHOT), bool(flags & AFTER_GAP)))
        elif kind == b"I":
            values.append(IndexLevel(symbol, ts_ns, level, day))
        elif kind == b"V":
            values.append(VolatilityLevel(symbol, ts_ns, level, day))
        else:
            raise StorageError(f"tick_data: {symbol}, seq {seq}: this version does not know its kind {kind!r}")
    return TickBlock(seqs[0], tuple(values), tuple(seqs)) if values else None


def _levels(stored: bytes, numbers: Numbers) -> Sequence[PriceLevel]:
    return StoredLevels(stored, numbers) if len(stored) > _ARRAY_HEAD else ()
