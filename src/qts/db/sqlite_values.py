"""Market values in a file of many runs, and the bars that are made of them.

All run on the thread of the :class:`~qts.db.sqlite_adapter.SqliteAdapter`, on its connection.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import msgspec

from qts.db.adapter import END_NS, TickBlock
from qts.db.market_values import MOST_DECIMALS, MOST_DIGITS, bar_of, length_of
from qts.errors import BatchRefused, ContractError
from qts.market.contracts import Bar, BookUpdate, MarketValue, Quote, Tick
from qts.market.series.intervals import DAY_NS
from qts.money import volume_and_value

VALUES: Final = 4_096
"""Values that are read at once."""
_MONDAY_NS: Final = 4 * DAY_NS
"""1970-01-05, from which bars of several days are counted."""
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(MarketValue).decode
_SQL_ADD: Final = (
    "INSERT INTO market_values (symbol, time, seq, value) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (symbol, time, seq) DO NOTHING"
)
_SQL_READ: Final = (
    "SELECT time, seq, value FROM market_values WHERE symbol = ? AND (time, seq) > (?, ?) AND time < ? "  # noqa: S608 - our own number
    f"ORDER BY time, seq LIMIT {VALUES}"
)
_Trade = tuple[int, Decimal, Decimal]
"""Number, price and size of a trade."""


def append(connection: sqlite3.Connection, block: TickBlock) -> int:
    """Store the values of a block in one transaction and return how many were new."""
    rows = [_row(number, value) for number, value in block.numbered()]
    before = connection.total_changes
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany(_SQL_ADD, rows)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return connection.total_changes - before


def page(
    connection: sqlite3.Connection, symbol: str, after: tuple[int, int], end_ns: int
) -> tuple[TickBlock | None, tuple[int, int] | None]:
    """Return the next values behind (time, seq), None for none, and where they end, None for the end of all."""
    rows = connection.execute(_SQL_READ, (symbol, *after, end_ns)).fetchall()
    if not rows:
        return None, None
    seqs = tuple(seq for _, seq, _ in rows)
    block = TickBlock(seqs[0], tuple(_as_sent(_decode(value)) for *_, value in rows), seqs)
    return block, rows[-1][:2] if len(rows) == VALUES else None


def bars(connection: sqlite3.Connection, symbol: str, interval: timedelta, start_ns: int, end_ns: int) -> list[Bar]:
    """Return the bars that begin at ``start_ns`` or later and before ``end_ns``; every trade is still stored.

    Raises InputError for an interval below a second, with a part of a second, or of days and a part of a day.
    """
    length = length_of(interval)
    trades: dict[int, list[_Trade]] = {}
    for seq, value in _values(connection, symbol, start_ns, end_ns + length):
        price, size = _trade_of(value)
        begin = _begin(value.ts_ns, length)
        if price is not None and size is not None and size > 0 and start_ns <= begin < end_ns:
            trades.setdefault(begin, []).append((seq, price, size))
    return [_bar(symbol, begin, length, sorted(rows)) for begin, rows in sorted(trades.items())]


def _row(seq: int, value: MarketValue) -> tuple[str, int, int, bytes]:
    value = _as_sent(value)
    try:
        if isinstance(value, Bar):
            raise ContractError("a bar is made of market values and not stored as such")
        if value.ts_ns < 0 or "\0" in value.symbol:
            raise ContractError("a time is after 1970, and a symbol has no U+0000")
        for number in _numbers(value):
            _refuse_unfit(number)
        return (value.symbol, value.ts_ns, seq, _encode(value))
    except (ContractError, UnicodeEncodeError) as error:
        raise BatchRefused(
            f"market value {seq} of {value.symbol!r} at {value.ts_ns}: {error}; nothing of its block was written"
        ) from error


def _numbers(value: object) -> Iterator[Decimal | float]:
    if isinstance(value, Decimal | float):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, msgspec.Struct):
        yield from _numbers(msgspec.structs.astuple(value))


def _refuse_unfit(number: Decimal | float) -> None:
    if not math.isfinite(number):
        raise ContractError(f"{number} is not finite")
    if isinstance(number, Decimal):
        exponent = number.as_tuple().exponent
        assert isinstance(exponent, int), "a finite number has one"
        if exponent < -MOST_DECIMALS:
            raise ContractError(f"{number} has more than {MOST_DECIMALS} decimals")
        if number.adjusted() >= MOST_DIGITS:
            raise ContractError(f"{number:.3E} has more than {MOST_DIGITS} digits")


def _as_sent(value: MarketValue) -> MarketValue:
    """Return the value with the levels of a book as tuples: they may be read only when first looked at."""
    if not isinstance(value, BookUpdate):
        return value
    sides: dict[str, Any] = {"bids": tuple(map(tuple, value.bids)), "asks": tuple(map(tuple, value.asks))}
    return msgspec.structs.replace(value, **sides)


def _values(
    connection: sqlite3.Connection, symbol: str, start_ns: int, end_ns: int
) -> Iterator[tuple[int, MarketValue]]:
    after: tuple[int, int] | None = (start_ns, -1)
    while after is not None:
        block, after = page(connection, symbol, after, min(end_ns, END_NS))
        if block is not None:
            yield from block.numbered()


def _begin(ts_ns: int, length: int) -> int:
    """Return when the interval of a moment began: up to a day from midnight UTC, several days from a Monday."""
    origin = ts_ns - ts_ns % DAY_NS if length <= DAY_NS else _MONDAY_NS
    return ts_ns - (ts_ns - origin) % length


def _trade_of(value: MarketValue) -> tuple[Decimal | None, Decimal | None]:
    """Return price and size of the trade that a value tells of; None for none."""
    if isinstance(value, Tick):
        return value.price, value.size
    return (value.last, value.last_size) if isinstance(value, Quote) else (None, None)


def _bar(symbol: str, begin: int, length: int, trades: Sequence[_Trade]) -> Bar:
    """Return the bar of trades in the order of their numbers."""
    prices, sizes = [price for _, price, _ in trades], [size for _, _, size in trades]
    volume, value = volume_and_value(sizes, prices)
    ends = prices[0], max(prices), min(prices), prices[-1]
    return bar_of(symbol, begin, length, ends, volume, value, len(trades))
