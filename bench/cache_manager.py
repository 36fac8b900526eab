"""What judging and decoding a cache's values cost beside the client's own reads, in memory and on a server.

Everything is measured by turns: a lookup in a dict, a read of the client, the manager's of the same
value; on the server also the bare HGETALL of redis-py, alone and in a pipeline of many.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from time import perf_counter_ns
from typing import Any

import redis.asyncio
from tests.servers.valkey import Valkey

from bench.cache_clients import PATIENT
from bench.figures import QUICK_RUNS, RUNS, latency_us, median_ratio, percentile
from bench.store_book import target
from qts.cache.access import parse
from qts.cache.config import CacheConfig
from qts.cache.contracts import CacheClient, Kind, PriceValue
from qts.cache.manager import CacheManager
from qts.cache.memory import MemoryCache
from qts.cache.redis_cache import RedisCache
from qts.clock import SystemClock

READS, QUICK_READS = 2_000, 500
SYMBOLS = 1_000
MANY, QUICK_MANY = 50, 10
LIFETIME_MS = 3_600_000
"""So that no value ends while it is measured."""
BAR = 1.3
Read = Callable[[], Awaitable[object]]


def measure(*, quick: bool = False) -> dict[str, Any]:
    """Measure everything."""
    runs, reads, many = (QUICK_RUNS, QUICK_READS, QUICK_MANY) if quick else (RUNS, READS, MANY)
    symbols = [f"{number:06}" for number in range(SYMBOLS)]
    report: dict[str, Any] = {"reads": reads, "symbols": len(symbols), "targets": []}
    with Valkey() as server:
        asyncio.run(_measure(report, server.url(), runs, reads, many, symbols))
    return report


async def _measure(
    report: dict[str, Any], url: str, runs: int, reads: int, many: int, symbols: Sequence[str]
) -> None:
    memory = _manager(MemoryCache(SystemClock()))
    server = _manager(RedisCache(parse(url, {}), limits=PATIENT))
    for manager in (memory[0], server[0]):
        await manager.open()
        assert await manager.put([(symbol, _price()) for symbol in symbols])
    bare = redis.asyncio.Redis.from_url(url, decode_responses=True)
    key, keys = (
        server[0].keys.of(Kind.PRICE, symbols[0]),
        [server[0].keys.of(Kind.PRICE, symbol) for symbol in symbols],
    )
    table = {key: {"bid": "71200"}}

    async def lookup() -> object:
        return table.get(key)

    async def pipeline() -> object:
        asked = bare.pipeline(transaction=False)
        for one in keys:
            asked.hgetall(one)
        return await asked.execute()

    report["memory"] = await _by_turns(
        runs, reads, {"dict": lookup, "client": lambda: memory[1].get(key), "manager": _one(memory[0], symbols[0])}
    )
    report["server"] = await _by_turns(
        runs,
        reads,
        {
            "bare": lambda: bare.hgetall(key),
            "client": lambda: server[1].get(key),
            "manager": _one(server[0], symbols[0]),
        },
    )
    report["many"] = await _by_turns(
        runs,
        many,
        {
            "bare": pipeline,
            "client": lambda: server[1].get_many(keys),
            "manager": lambda: server[0].read_many(PriceValue, symbols),
        },
    )
    for where, share in (("server", "p99"), ("many", "p50")):
        ratio = report[where]["ratios"]["manager"][share]
        report["targets"].append(target(f"manager, {_SHOWN[where]}: {share}, times a bare read", ratio, BAR))
    await bare.aclose()
    for manager in (memory[0], server[0]):
        await manager.close()


def _manager(client: CacheClient) -> tuple[CacheManager, CacheClient]:
    config = CacheConfig(price_ms=LIFETIME_MS)
    return CacheManager(client, SystemClock(), config, account="bench"), client


def _price() -> PriceValue:
    at_ns = SystemClock().time_ns()
    prices = dict(zip(("bid", "ask", "last"), map(Decimal, ("71200", "71300", "71250.5")), strict=True))
    return PriceValue(at_ns=at_ns, timestamp_ms=at_ns // 10**6, volume=Decimal("1234567"), **prices)


def _one(manager: CacheManager, symbol: str) -> Read:
    async def read() -> object:
        value = await manager.get(PriceValue, symbol)
        assert value is not None
        return value

    return read


async def _by_turns(runs: int, reads: int, ways: dict[str, Read]) -> dict[str, Any]:
    """Read each way ``reads`` times in each run, the ways changing places read by read."""
    taken: dict[str, list[list[int]]] = {name: [] for name in ways}
    gc.disable()  # its pauses are those of the process, and fall on any way
    try:
        for _ in range(runs):
            for name in ways:
                taken[name].append([])
            for _ in range(reads):
                for name, read in ways.items():
                    begun = perf_counter_ns()
                    await read()
                    taken[name][-1].append(perf_counter_ns() - begun)
            gc.collect()
    finally:
        gc.enable()
    first = next(iter(ways))
    shares = {"p50": 0.50, "p99": 0.99}
    ratios = {
        name: {
            share: median_ratio(
                [percentile(sorted(run), at) for run in taken[name]],
                [percentile(sorted(run), at) for run in taken[first]],
            )
            for share, at in shares.items()
        }
        for name in ways
        if name != first
    }
    return {"us": {name: latency_us(lists) for name, lists in taken.items()}, "ratios": ratios}


_SHOWN = {"memory": "one value in memory", "server": "one value on the server", "many": "many on the server"}


def show(report: dict[str, Any]) -> str:
    """What the figures are made of."""
    lines = []
    for where, text in _SHOWN.items():
        one = report[where]
        first, *_ = one["us"]
        lines.append(f"{text}, {report['symbols']} symbols:" if where == "many" else f"{text}:")
        for name, us in one["us"].items():
            times = (
                ""
                if name == first
                else "  "
                + ", ".join(f"{share} {ratio:.2f} × {first}" for share, ratio in one["ratios"][name].items())
            )
            lines.append(f"  {name:8} p50 {us['p50']:9.2f} µs  p99 {us['p99']:9.2f} µs{times}")
    return "\n".join(lines)
