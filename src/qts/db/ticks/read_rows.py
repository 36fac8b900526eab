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
    "SELECT kind, time, ns, seq, flags, price, size, bid, ask, bid_size, ask_size, volume, level, day, bids, asks "
    "FROM tick_data"
)
"""What :func:`values_of` reads, in the order of time, ns and seq."""

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


def values_of(symbol: str, rows: Sequence[Any]) -> TickBlock | None:
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
            levels = _levels(bids), _levels(asks)
            values.append(BookUpdate(symbol, ts_ns, *levels, bool(flags & SNAPSHOT), bool(flags & AFTER_GAP)))
        elif kind == b"I":
            values.append(IndexLevel(symbol, ts_ns, level, day))
        elif kind == b"V":
            values.append(VolatilityLevel(symbol, ts_ns, level, day))
        else:
            raise StorageError(f"tick_data: {symbol}, seq {seq}: this version does not know its kind {kind!r}")
    return TickBlock(seqs[0], tuple(values), tuple(seqs)) if values else None


def _levels(flat: Sequence[Decimal]) -> tuple[tuple[Decimal, Decimal], ...]:
    return tuple(zip(flat[::2], flat[1::2], strict=True))
