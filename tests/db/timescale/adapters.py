"""Adapters on the servers of the tests, and what they are asked to write."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from qts.db.access import parse
from qts.db.batch import Batch, body_of, rows_of
from tests.db.books import CONFIGS, FILES, Book

if TYPE_CHECKING:
    from qts.db.timescale import TimescaleDBAdapter


def adapter_at(url: str, *, live: bool = True, most: int = 20) -> TimescaleDBAdapter:
    """Return an adapter that is not open, with as few connections as it needs."""
    from qts.db.timescale import TimescaleDBAdapter

    return TimescaleDBAdapter(parse(url, {}), live=live, pool_least=1, pool_most=most)


@asynccontextmanager
async def opened(url: str, *, live: bool = True, most: int = 20) -> AsyncIterator[TimescaleDBAdapter]:
    """Open an adapter for a block."""
    adapter = adapter_at(url, live=live, most=most)
    await adapter.open()
    try:
        yield adapter
    finally:
        await adapter.close()


async def begin(adapter: TimescaleDBAdapter, book: Book) -> int:
    """Claim and write down the run of a book, as a follower does before its first batch; return the epoch."""
    number = await adapter.claim(book.run, whole_account=False)
    await adapter.put_run(book.run, FILES, CONFIGS)
    return number


def with_value(batch: Batch, table: str, row: int, place: int, value: object) -> Batch:
    """Return the batch with another value at one place of one row of its body."""
    body = rows_of(batch.body)
    body[table][row][place] = value
    return msgspec.structs.replace(batch, body=body_of(body))
