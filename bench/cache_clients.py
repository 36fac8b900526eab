"""What the clients of a cache cost, beside the least that could do the same: a dict, and bare redis-py."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from time import perf_counter_ns
from typing import Any

from redis.asyncio import Redis
from tests.servers.valkey import Valkey

from bench.figures import QUICK_RUNS, RUNS, latency_us, median_ratio, micros
from bench.store_book import target
from qts.cache.access import parse
from qts.cache.contracts import HashWrite
from qts.cache.memory import MemoryCache
from qts.cache.redis_cache import RedisCache
from qts.cache.server.limits import Limits
from qts.clock import SystemClock

SYMBOLS = [f"qts:bench:price:{{{number:06}}}" for number in range(1_000)]
FIELDS = {"at_ns": "1767312000000000000", "timestamp_ms": "1767312000000", "bid": "71200", "ask": "71300"}
WRITES = [HashWrite(key, FIELDS, 600_000) for key in SYMBOLS]
PATIENT = Limits(call_s=5.0, connect_s=5.0)
"""A late answer is a figure here, and no failure."""
SAMPLES, QUICK_SAMPLES = 400, 40
READS, QUICK_READS = 3_000, 200
CALLS, QUICK_CALLS = 40, 4
Work = Callable[[], Awaitable[Any]]


# -- memory ------------------------------------------------------------------------------------------------------


def measure_memory(*, quick: bool = False) -> dict[str, Any]:
    """Medians of samples of 1,000 reads and 1,000 lookups by turns, each without the loop around it."""
    runs, samples = (QUICK_RUNS, QUICK_SAMPLES) if quick else (RUNS, SAMPLES)
    found = [asyncio.run(_memory(samples)) for _ in range(runs)]
    ratio = median_ratio([read for read, _ in found], [lookup for _, lookup in found])
    return {
        "read_ns": [round(read, 1) for read, _ in found],
        "lookup_ns": [round(lookup, 1) for _, lookup in found],
        "targets": [target("cache in memory: read p50 ÷ dict lookup", ratio, 25)],
    }


async def _memory(samples: int) -> tuple[float, float]:
    """Nanoseconds of a read and of a lookup."""
    cache = MemoryCache(SystemClock())
    await cache.put(WRITES)
    plain = dict.fromkeys(SYMBOLS, FIELDS)
    reads, lookups, loops = [], [], []
    get = cache.get
    for _ in range(samples):
        begun = perf_counter_ns()
        for key in SYMBOLS:
            await get(key)
        between = perf_counter_ns()
        for key in SYMBOLS:
            plain[key]
        then = perf_counter_ns()
        for _key in SYMBOLS:
            pass
        ended = perf_counter_ns()
        reads.append(between - begun)
        lookups.append(then - between)
        loops.append(ended - then)
    loop = statistics.median(loops)
    return (statistics.median(reads) - loop) / len(SYMBOLS), (statistics.median(lookups) - loop) / len(SYMBOLS)


def show_memory(found: dict[str, Any]) -> str:
    return f"memory, ns: reads {found['read_ns']}, lookups {found['lookup_ns']}"


# -- a server --------------------------------------------------------------------------------------------------


def measure_read(*, quick: bool = False) -> dict[str, Any]:
    """One read after the other, by turns with a bare HGETALL."""
    runs, reads = (QUICK_RUNS, QUICK_READS) if quick else (RUNS, READS)

    async def run(cache: RedisCache, bare: Redis) -> list[tuple[list[int], list[int]]]:
        key = SYMBOLS[7]
        return [await _by_turns(lambda: cache.get(key), lambda: bare.hgetall(key), reads) for _ in range(runs)]

    found = _on_a_server(run)
    ours, theirs = [latency_us([run]) for run, _ in found], [latency_us([run]) for _, run in found]
    ratio = median_ratio([one["p99"] for one in ours], [one["p99"] for one in theirs])
    return {
        "read_us": latency_us([run for run, _ in found]),
        "hgetall_us": latency_us([run for _, run in found]),
        "targets": [target("cache on a server: read p99 ÷ bare HGETALL", ratio, 1.3)],
    }


def show_read(found: dict[str, Any]) -> str:
    shown = [f"{name}: p50 {micros(found[key]['p50'])}, p99 {micros(found[key]['p99'])}" for name, key in _READ]
    return "\n".join(shown)


_READ = (("read", "read_us"), ("bare HGETALL", "hgetall_us"))


def measure_many(*, quick: bool = False) -> dict[str, Any]:
    """1,000 symbols in one call, by turns with a bare pipeline that reads, or replaces and lets expire, as many."""
    runs, calls = (QUICK_RUNS, QUICK_CALLS) if quick else (RUNS, CALLS)

    async def run(cache: RedisCache, bare: Redis) -> dict[str, list[tuple[list[int], list[int]]]]:
        async def bare_read() -> None:
            async with bare.pipeline(transaction=False) as pipeline:
                for key in SYMBOLS:
                    pipeline.hgetall(key)
                assert len(await pipeline.execute()) == len(SYMBOLS)

        async def bare_write() -> None:
            async with bare.pipeline(transaction=False) as pipeline:
                for key in SYMBOLS:
                    pipeline.delete(key)
                    pipeline.hset(key, mapping=FIELDS)
                    pipeline.pexpire(key, 600_000)
                await pipeline.execute()

        return {
            "read": [await _by_turns(lambda: cache.get_many(SYMBOLS), bare_read, calls) for _ in range(runs)],
            "write": [await _by_turns(lambda: cache.put(WRITES), bare_write, calls) for _ in range(runs)],
        }

    found = _on_a_server(run)
    report: dict[str, Any] = {"targets": []}
    for name, pairs in found.items():
        ours = [statistics.median(run) / 1_000 for run, _ in pairs]
        theirs = [statistics.median(run) / 1_000 for _, run in pairs]
        report[f"{name}_us"], report[f"bare_{name}_us"] = statistics.median(ours), statistics.median(theirs)
        ratio = median_ratio(ours, theirs)
        report["targets"].append(target(f"1,000 symbols: {name} in one call ÷ bare pipeline", ratio, 1.3))
    return report


def show_many(found: dict[str, Any]) -> str:
    shown = [
        f"1,000 symbols: {name} {micros(found[f'{name}_us'])}, bare pipeline {micros(found[f'bare_{name}_us'])}"
        for name in ("read", "write")
    ]
    return "\n".join(shown)


def _on_a_server(run: Callable[[RedisCache, Redis], Awaitable[Any]]) -> Any:
    """Return what ``run`` measures on a Valkey of its own that holds all symbols."""

    async def measure(server: Valkey) -> Any:
        cache = RedisCache(parse(server.url(), {}), limits=PATIENT)
        await cache.open()
        try:
            await cache.put(WRITES)
            async with Redis(port=server.port, protocol=3, decode_responses=True) as bare:
                return await run(cache, bare)
        finally:
            await cache.close()

    with Valkey() as server:
        return asyncio.run(measure(server))


async def _by_turns(ours: Work, theirs: Work, times: int) -> tuple[list[int], list[int]]:
    """Nanoseconds of each call, the two taking turns who is first."""
    taken: tuple[list[int], list[int]] = ([], [])
    works = (ours, theirs)
    for number in range(times + 2):
        for place in (0, 1) if number % 2 else (1, 0):
            begun = perf_counter_ns()
            await works[place]()
            taken[place].append(perf_counter_ns() - begun)
    return taken[0][2:], taken[1][2:]  # the first ones connect
