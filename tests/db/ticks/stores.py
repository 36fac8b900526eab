"""A store of market values on a real server, with the newest schema, and values to put into it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import asyncpg

from qts.clock import NS_PER_S
from qts.db.adapter import END_NS, TickBlock
from qts.db.postgres.migrate import migrate
from qts.db.ticks.tick_store import TickStore
from qts.market.contracts import MarketValue, Quote, Tick

DAY_START_NS = 20_500 * 86_400 * NS_PER_S
"""2026-02-16 00:00 UTC."""


def trade(seconds: str, price: str, size: str = "1", symbol: str = "S") -> Tick:
    """A trade so many seconds after the start of the day."""
    return Tick(symbol, at(seconds), Decimal(price), Decimal(size))


def quote(seconds: str, bid: str, ask: str, symbol: str = "S") -> Quote:
    """A quote of sizes 1 and 2 so many seconds after the start of the day."""
    return Quote(symbol, at(seconds), Decimal(bid), Decimal(ask), Decimal(1), Decimal(2))


def at(seconds: str) -> int:
    """Return the moment so many seconds (up to 9 decimals) after the start of the day, ns."""
    return DAY_START_NS + int(Decimal(seconds) * NS_PER_S)


async def migrated(url: str, *, afresh: bool = False) -> None:
    """Make the newest schema; ``afresh`` drops the one that is there."""
    connection = await asyncpg.connect(url)
    try:
        if afresh:
            await connection.execute("DROP SCHEMA IF EXISTS qts CASCADE")
        await migrate(connection, "test")
    finally:
        await connection.close()


@asynccontextmanager
async def store_at(url: str, *, afresh: bool = False) -> AsyncIterator[TickStore]:
    """Give a store on the newest schema of the database."""
    await migrated(url, afresh=afresh)
    store = TickStore(lambda: asyncpg.connect(url))
    try:
        yield store
    finally:
        await store.close()


async def read(store: TickStore, symbol: str = "S", start_ns: int = 0, end_ns: int = END_NS) -> list[MarketValue]:
    """Return the values of a symbol."""
    return [value async for block in store.ticks(symbol, start_ns, end_ns) for value in block.values]


async def numbers(store: TickStore, symbol: str = "S") -> list[int]:
    """Return the numbers of the values of a symbol."""
    return [seq async for block in store.ticks(symbol, 0, END_NS) for seq in block.seqs]


def block(first: int, *values: MarketValue) -> TickBlock:
    """Return values numbered from ``first`` on."""
    return TickBlock(first, values)


def shown(values: Any) -> list[str]:
    """Return values with all their digits, which equality of Decimals does not see."""
    return [repr(value) for value in values]
