"""What market values on a server cost: storing them, reading a day of a symbol, replaying a raw capture from it.

``python -m bench.ticks [--quick] [--json]`` starts a PostgreSQL of its own, its data on a disk, so it needs the
extras ``postgres`` and ``test``. With ``TIMESCALE_DSN``, the URL of an empty database with TimescaleDB, storing is
measured on a hypertable as well. The capture is that of ``QTS_SHARED``; without it nothing is replayed.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from time import perf_counter, process_time
from typing import Any

import asyncpg
import msgspec
from tests.servers import sql

from bench.figures import QUICK_RUNS, RUNS, about, machine, targets_table
from bench.store_book import server, target
from bench.suite import run_suite
from qts.clock import NS_PER_S, from_ns
from qts.db.adapter import END_NS, TickBlock
from qts.db.ticks.db_feed import Stored
from qts.db.ticks.tick_store import TickStore
from qts.market.contracts import MarketValue, Quote
from qts.market.files import open_feed
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options, SessionPlan
from qts.runtime.wiring.plans import replay_plan

COUNT, QUICK_COUNT = 100_000, 20_000
BATCH = 10_000
DAY_NS = 1_771_200_000 * NS_PER_S
"""2026-02-16 00:00 UTC."""
SYMBOL = "BTCUSDT"
CAPTURE = Path(os.environ.get("QTS_SHARED", "")) / "data" / "binance_usdm_btcusdt_20240808.gz"
_COLUMNS = ("symbol", "kind", "flags", "time", "ns", "seq", "bid", "ask", "bid_size", "ask_size")
_DAY_OF = "SELECT * FROM qts.tick_data WHERE symbol = $1 AND time >= $2 AND time < $3 ORDER BY time, ns, seq"

Measured = tuple[float, float]
"""Seconds by the clock, and of this process's processor time."""


def measure(*, quick: bool = False) -> dict[str, Any]:
    """Measure everything, the compared ones by turns."""
    runs, count = (QUICK_RUNS, QUICK_COUNT) if quick else (RUNS, COUNT)
    report: dict[str, Any] = {"machine": machine(), "runs": runs, "rows": count, "targets": []}
    with server() as started:
        _ingest(report, "plain", started.url(), runs, count)
        _read(report, started.url(), runs)
        if CAPTURE.is_file():
            _replay(report, started.url(), runs)
    if url := os.environ.get("TIMESCALE_DSN"):
        sql.migrate(url)
        _ingest(report, "hypertable", url, runs, count)
    return report


def show(report: dict[str, Any]) -> str:
    """The figures as a table, and what they are made of."""
    lines = [about(report), "", targets_table(report["targets"]), ""]
    lines += [
        f"{name}: " + ", ".join(f"{key} {value}" for key, value in report[name].items())
        for name in ("plain", "hypertable", "read", "replay")
        if name in report
    ]
    return "\n".join(lines)


# -- storing -----------------------------------------------------------------------------------------------------


def _ingest(report: dict[str, Any], name: str, url: str, runs: int, count: int) -> None:
    """Rows of four Decimals: by our binary COPY, and as asyncpg copies records to the same table."""
    quotes = _quotes(count)
    ours, theirs = asyncio.run(_ingested(url, quotes, runs))
    wall = statistics.median(b[0] / a[0] for a, b in zip(ours, theirs, strict=True))
    cpu = statistics.median(a[1] / b[1] for a, b in zip(ours, theirs, strict=True))
    report[name] = {
        "rows_per_s": [round(count / one[0]) for one in ours],
        "records_rows_per_s": [round(count / one[0]) for one in theirs],
        "rows_per_cpu_s": [round(count / one[1]) for one in ours],
    }
    report["targets"] += [
        target(f"{name}: rows per second ÷ copy_records_to_table", round(wall, 2), 1.3, at_least=True),
        target(f"{name}: client CPU ÷ copy_records_to_table", round(cpu, 2), 0.4),
    ]


def _quotes(count: int) -> list[Quote]:
    random = Random(7)
    quotes, cents = [], 6_180_000
    for n in range(count):
        cents += random.randint(-20, 20)
        bid, ask = Decimal(cents).scaleb(-2), Decimal(cents + 10).scaleb(-2)
        sizes = [Decimal(random.randint(1, 9_999)).scaleb(-3) for _ in range(2)]
        quotes.append(Quote(SYMBOL, DAY_NS + n * 400_000_123, bid, ask, *sizes))
    return quotes


async def _ingested(url: str, quotes: Sequence[Quote], runs: int) -> tuple[list[Measured], list[Measured]]:
    store = TickStore(partial(asyncpg.connect, url))
    connection = await asyncpg.connect(url)
    blocks = [TickBlock(n + 1, tuple(quotes[n : n + BATCH])) for n in range(0, len(quotes), BATCH)]
    records = [_records(block) for block in blocks]
    days = sorted({row[3].date() for rows in records for row in rows})
    ours: list[Measured] = []
    theirs: list[Measured] = []

    async def by_us() -> None:
        for block in blocks:
            assert await store.append(block) == len(block.values)

    async def by_records() -> None:
        for rows in records:
            await connection.copy_records_to_table("tick_data", schema_name="qts", columns=_COLUMNS, records=rows)

    halves: list[tuple[list[Measured], Callable[[], Awaitable[None]]]] = [(ours, by_us), (theirs, by_records)]
    await connection.execute("SELECT qts.qts_mark_tick_days($1::date[])", days)
    for run in range(runs + 1):  # the first one fills the caches of both
        for measured, work in halves if run % 2 == 0 else reversed(halves):
            await connection.execute("TRUNCATE qts.tick_data")
            await connection.execute("CHECKPOINT")
            measured.append(await _timed(work))
    await store.close()
    await connection.close()
    return ours[1:], theirs[1:]


def _records(block: TickBlock) -> list[tuple[Any, ...]]:
    return [
        (
            one.symbol,
            b"Q",
            0,
            from_ns(one.ts_ns),
            one.ts_ns % 1_000,
            seq,
            one.bid,
            one.ask,
            one.bid_size,
            one.ask_size,
        )
        for seq, one in enumerate(block.values, start=block.seq)
        if isinstance(one, Quote)
    ]


async def _timed(work: Callable[[], Awaitable[Any]]) -> Measured:
    begun, cpu = perf_counter(), process_time()
    await work()
    return perf_counter() - begun, process_time() - cpu


# -- reading -----------------------------------------------------------------------------------------------------


def _read(report: dict[str, Any], url: str, runs: int) -> None:
    """A day of a symbol as values, and its bare rows."""
    ours, theirs = asyncio.run(_fetched(url, runs))
    ratio = statistics.median(a[0] / b[0] for a, b in zip(ours, theirs, strict=True))
    report["read"] = {
        "ms": [round(one[0] * 1_000) for one in ours],
        "bare_ms": [round(one[0] * 1_000) for one in theirs],
    }
    report["targets"].append(target(f"{COUNT:,} ticks of a symbol-day ÷ bare fetch", round(ratio, 2), 1.3))


async def _fetched(url: str, runs: int) -> tuple[list[Measured], list[Measured]]:
    store = TickStore(partial(asyncpg.connect, url))
    connection = await asyncpg.connect(url)
    await connection.execute("TRUNCATE qts.tick_data")
    quotes = _quotes(COUNT)
    spaced = [msgspec.structs.replace(one, ts_ns=DAY_NS + n * 800_000_123) for n, one in enumerate(quotes)]
    for n in range(0, COUNT, BATCH):
        await store.append(TickBlock(n + 1, tuple(spaced[n : n + BATCH])))
    await connection.execute("VACUUM ANALYZE qts.tick_data")
    begin = from_ns(DAY_NS)
    ours: list[Measured] = []
    theirs: list[Measured] = []

    async def by_us() -> None:
        counted = 0
        async for block in store.ticks(SYMBOL, DAY_NS, END_NS):
            counted += len(block.values)
        assert counted == COUNT

    async def bare() -> None:
        rows = await connection.fetch(_DAY_OF, SYMBOL, begin, begin + timedelta(days=1))
        assert len(rows) == COUNT

    for run in range(runs + 1):
        for measured, work in ((ours, by_us), (theirs, bare)) if run % 2 else ((theirs, bare), (ours, by_us)):
            measured.append(await _timed(work))
    await store.close()
    await connection.close()
    return ours[1:], theirs[1:]


# -- replaying ---------------------------------------------------------------------------------------------------


def _replay(report: dict[str, Any], url: str, runs: int) -> None:
    """The first replay of the raw capture, which prepares it, and the replay of its values from the server."""
    asyncio.run(_store(url, list(open_feed(CAPTURE).values())))
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(runs):
        theirs.append(_session(lambda plan: plan))
        stored = Stored(lambda: TickStore(partial(asyncpg.connect, url)), "bench", SYMBOL, currency="USDT")
        ours.append(_session(lambda plan: msgspec.structs.replace(plan, open_feed=stored.open)))  # noqa: B023
    speed = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    report["replay"] = {"s": [round(one, 2) for one in ours], "raw_s": [round(one, 2) for one in theirs]}
    what = "replay from the server ÷ first replay of the raw capture, speed"
    report["targets"].append(target(what, round(speed, 2), 0.5, at_least=True))


async def _store(url: str, values: Sequence[MarketValue]) -> None:
    store = TickStore(partial(asyncpg.connect, url))
    connection = await asyncpg.connect(url)
    await connection.execute("TRUNCATE qts.tick_data")
    first = (await store.recording("bench", "USDT", NS_PER_S // 10)) << 40
    for n in range(0, len(values), BATCH):
        await store.append(TickBlock(first + n + 1, tuple(values[n : n + BATCH])))
    await connection.execute("VACUUM ANALYZE qts.tick_data")
    await store.close()
    await connection.close()


def _session(change: Callable[[SessionPlan], SessionPlan]) -> float:
    """Seconds of one session, with a cache directory of its own."""
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("XDG_CACHE_HOME")
        os.environ["XDG_CACHE_HOME"] = folder
        try:
            plan = change(replay_plan(Options(data_dir=Path(folder) / "run"), [CAPTURE], None))
            begun = perf_counter()
            result = run_session(plan, progress=lambda share, moment_ns: None, stop=StopFlag())
            took = perf_counter() - begun
        finally:
            os.environ.pop("XDG_CACHE_HOME")
            if before is not None:
                os.environ["XDG_CACHE_HOME"] = before
        assert result.finished
    return took


def main(argv: list[str]) -> int:
    return run_suite("ticks", __doc__, "fewer runs and rows", argv, measure, show)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
