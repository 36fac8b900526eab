"""A fill's batch on a server, beside a bare one-row autocommit insert, and its round trips on the wire."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from decimal import Decimal
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import asyncpg
from tests.servers import sql
from tests.servers.proxy import Proxy

from bench.figures import QUICK_RUNS, RUNS, latency_us
from bench.store_book import Fills, server, target
from qts.db.access import parse
from qts.db.timescale import TimescaleDBAdapter

FILLS, QUICK_FILLS = 1_000, 200
WARM = 50
P50, P99, TRIPS = 1.3, 2.0, 1
COUNTED = 10


def measure(*, quick: bool) -> dict[str, Any]:
    """Apply a batch, insert a row, and so on by turns, on one server."""
    runs, fills = (QUICK_RUNS, QUICK_FILLS) if quick else (RUNS, FILLS)
    with server() as started, tempfile.TemporaryDirectory() as folder:
        sql.execute(started.url(), "CREATE TABLE bare (id bigint PRIMARY KEY, amount numeric, note text)")
        found = [asyncio.run(_by_turns(started.url(), Path(folder), run, fills)) for run in range(runs)]
        with Proxy(started.port) as proxy:
            trips = asyncio.run(_trips(started.url(port=proxy.port), Path(folder), proxy))
    shares = [(latency_us([ours]), latency_us([bare])) for ours, bare in found]
    p50, p99 = (round(statistics.median(a[at] / b[at] for a, b in shares), 2) for at in ("p50", "p99"))
    return {
        "batch_us": latency_us([ours for ours, _ in found]),
        "insert_us": latency_us([bare for _, bare in found]),
        "targets": [
            target("fill batch p50, times a bare insert", p50, P50),
            target("fill batch p99, times a bare insert", p99, P99),
            target("round trips of a fill batch", trips, TRIPS),
        ],
    }


async def _opened(url: str, book: Fills) -> TimescaleDBAdapter:
    adapter = TimescaleDBAdapter(parse(url, {}), live=True)
    await adapter.open()
    await adapter.claim(book.run, whole_account=True)
    await adapter.put_run(book.run, (), ())
    return adapter


async def _by_turns(url: str, folder: Path, run: int, fills: int) -> tuple[list[int], list[int]]:
    book = Fills(folder / f"{run}.sqlite", f"{run:016x}")
    for _ in range(fills + WARM):
        book.fill()
    adapter = await _opened(url, book)
    connection = await asyncpg.connect(url)
    insert = await connection.prepare("INSERT INTO bare VALUES ($1, $2, $3)")
    ours: list[int] = []
    bare: list[int] = []
    for number, batch in enumerate(book.batches()):
        begun = perf_counter_ns()
        await adapter.apply([batch])
        between = perf_counter_ns()
        await insert.fetchval(run * 1_000_000 + number, Decimal("71200.50"), "a note of twenty-one")
        ended = perf_counter_ns()
        if number > WARM:
            ours.append(between - begun)
            bare.append(ended - between)
    await connection.close()
    await adapter.close()
    book.store.close()
    return ours, bare


async def _trips(url: str, folder: Path, proxy: Proxy) -> float:
    book = Fills(folder / "trips.sqlite", "f" * 16)
    for _ in range(2 * COUNTED):
        book.fill()
    adapter = await _opened(url, book)
    batches = book.batches()
    await adapter.apply(batches[:COUNTED])
    before = proxy.round_trips
    for batch in batches[COUNTED : 2 * COUNTED]:
        await adapter.apply([batch])
    trips = proxy.round_trips - before
    await adapter.close()
    book.store.close()
    return trips / COUNTED
