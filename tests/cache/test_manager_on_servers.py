"""A manager over memory and over a real server, which is killed, cut off, wiped and written to by others."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from qts.cache.breaker import BreakerState
from qts.cache.contracts import BookValue, CacheClient, Kind, PositionValue, PriceValue
from qts.cache.encoding import KIND_OF
from qts.cache.manager import CacheManager
from qts.cache.memory import MemoryCache
from qts.cache.stats import Result, Written
from qts.clock import SystemClock
from qts.errors import CacheStaleDataError
from tests.cache.reading_process import LIFETIME_MS
from tests.cache.rig import SYMBOL, VALUES, CountedSource, Told, clock_at, manager_of, position
from tests.cache.servers import PATIENT_S
from tests.effort import examples
from tests.servers.proxy import Proxy
from tests.servers.valkey import Valkey

MINUTE = timedelta(minutes=1)
KEY = "qts:A1:pos:{005930}"
LIVE_LONG = {
    "price_ms": 60_000,
    "position_ms": LIFETIME_MS,
    "book_ms": 60_000,
    "risk_ms": 60_000,
    "view_ms": 60_000,
}
"""Lifetimes in which no value ends while a test runs: a server's time goes on."""


def client_of(url: str, call_s: float = PATIENT_S) -> CacheClient:
    from qts.cache.access import parse
    from qts.cache.redis_cache import RedisCache
    from qts.cache.server.limits import Limits

    return RedisCache(parse(url, {}), limits=Limits(call_s=call_s, connect_s=PATIENT_S, least=1))


@asynccontextmanager
async def closing(manager: CacheManager) -> AsyncIterator[CacheManager]:
    try:
        yield manager
    finally:
        await manager.close()


class Outage:
    """A manager with a source that has 50, over a server whose cache has 120."""

    def __init__(self, url: str, call_s: float = PATIENT_S) -> None:
        self.clock = clock_at()
        self.source = CountedSource(position(50))
        self.told = Told()
        self.manager = manager_of(
            client_of(url, call_s), self.clock, sources={Kind.POSITION: self.source}, tell=self.told, **LIVE_LONG
        )

    async def read(self) -> int:
        value = await self.manager.get(PositionValue, SYMBOL)
        assert value is not None
        return int(value.qty)


@pytest.fixture(params=["memory", "valkey"])
def client(request: pytest.FixtureRequest) -> CacheClient:
    if request.param == "memory":
        return MemoryCache(clock_at())
    return client_of(request.getfixturevalue("valkey").url())


async def test_every_kind_comes_back_from_one_write(client: CacheClient) -> None:
    async with closing(manager_of(client, clock_at(), **LIVE_LONG)) as manager:
        assert await manager.put(list(VALUES.values())) is True

        for of, (name, value) in VALUES.items():
            assert await manager.get(of, name) == value, of
        assert [one.result for one in await manager.read_many(PriceValue, [SYMBOL, "000660"])] == [
            Result.HIT,
            Result.MISS,
        ]


async def test_a_loaded_value_is_there_for_the_next_one_and_gone_behind_an_invalidation(
    client: CacheClient,
) -> None:
    source = CountedSource(position(50))
    async with closing(manager_of(client, clock_at(), sources={Kind.POSITION: source}, **LIVE_LONG)) as manager:
        for _ in range(3):
            assert await manager.get(PositionValue, SYMBOL) == position(50)
        assert source.calls == 1
        await manager.invalidate(Kind.POSITION, SYMBOL)
        await manager.get(PositionValue, SYMBOL)
        assert source.calls == 2


async def test_executions_are_counted_once_and_a_flush_takes_them_too(client: CacheClient) -> None:
    async with closing(manager_of(client, clock_at(), **LIVE_LONG)) as manager:
        assert [await manager.count_trade("2026-03-02", one) for one in ("e1", "e2", "e1")] == [1, 2, 2]
        await manager.put(list(VALUES.values()))
        assert await manager.flush() == 1 + len(VALUES) + 1  # a book with one side has two keys
        assert await manager.read_many(PositionValue, [SYMBOL]) == await manager.read_many(PositionValue, ["none"])


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_reader_whose_clock_is_an_hour_off_refuses_what_is_there(client: CacheClient, hours: int) -> None:
    writer, reader = (manager_of(client, clock_at(timedelta(hours=off)), **LIVE_LONG) for off in (0, hours))
    async with closing(writer):
        await writer.put([(SYMBOL, VALUES[PriceValue][1])])

        with pytest.raises(CacheStaleDataError) as raised:
            await reader.get(PriceValue, SYMBOL)
        assert raised.value.age_ms == hours * 3_600_000
        assert await writer.get(PriceValue, SYMBOL) is not None


async def test_fifty_reads_at_once_are_one_load(client: CacheClient) -> None:
    source = CountedSource(position(50))
    async with closing(manager_of(client, clock_at(), sources={Kind.POSITION: source}, **LIVE_LONG)) as manager:
        found = await asyncio.gather(*(manager.get(PositionValue, SYMBOL) for _ in range(50)))

    assert (found, source.calls) == ([position(50)] * 50, 1)


# A real server


async def test_every_key_has_the_lifetime_of_its_kind(valkey: Valkey) -> None:
    lives = {"price": 100, "pos": 1_000, "book": 50, "risk": 5_000, "ord": 60_000, "strat": 60_000, "view": 5_000}
    source = CountedSource(position(50))
    manager = manager_of(client_of(valkey.url()), clock_at(), sources={Kind.POSITION: source})
    async with closing(manager):
        for of, (name, value) in VALUES.items():
            key = manager.keys.of(KIND_OF[of], name)
            await manager.put([(name, value)])
            assert valkey.ask("PTTL", key) in range(-2, lives[KIND_OF[of].value] + 1), key  # -2: over already
        await manager.invalidate(Kind.POSITION, SYMBOL)
        await manager.get(PositionValue, SYMBOL)
        assert -2 <= valkey.ask("PTTL", KEY) <= 1_000
        await manager.count_trade("2026-03-02", "e1")
        assert 86_400_000 < valkey.ask("PTTL", "qts:A1:trades:{2026-03-02}") <= 2 * 86_400_000
        assert all(valkey.ask("PTTL", key) != -1 for key in valkey.ask("KEYS", "*"))


async def test_what_others_put_at_a_key_is_damage_and_is_written_over(valkey: Valkey) -> None:
    source = CountedSource(position(50))
    manager = manager_of(client_of(valkey.url()), clock_at(), sources={Kind.POSITION: source}, **LIVE_LONG)
    junk: list[tuple[str, ...]] = [
        ("SET", KEY, "junk"),
        ("HSET", KEY, "qty", "120"),
        ("HSET", KEY, "at_ns", "1", "qty", "120", "avg_price", "1e3", "updated_at", "1"),
        ("SADD", KEY, "junk"),
    ]
    async with closing(manager):
        for words in junk:
            valkey.ask("DEL", KEY)
            valkey.ask(*words)
            first, second = [await manager.read(PositionValue, SYMBOL) for _ in range(2)]
            assert (first.result, first.value) == (Result.DAMAGED, position(50)), words
            assert (second.result, second.value) == (Result.HIT, position(50)), words
            assert valkey.ask("PTTL", KEY) > 0
        valkey.ask("SET", KEY, "junk")
        await manager.put([("000660", position(7))])
        several = await manager.read_many(PositionValue, ["000660", SYMBOL])
        assert [one.result for one in several] == [Result.HIT, Result.DAMAGED]


async def test_what_others_put_into_a_book_is_damage(valkey: Valkey) -> None:
    async with closing(manager_of(client_of(valkey.url()), clock_at(), **LIVE_LONG)) as manager:
        for junk in ("junk", "NaN:5", "70100", "70100:many"):
            await manager.put([VALUES[BookValue]])
            assert (await manager.read(BookValue, SYMBOL)).result is Result.HIT
            valkey.ask("ZADD", "qts:A1:book:{005930}:bid", "70100", junk)
            assert (await manager.read(BookValue, SYMBOL)).result is Result.DAMAGED, junk


async def test_a_reader_without_the_right_to_write_still_reads_and_loads(valkey: Valkey) -> None:
    valkey.ask(
        "ACL", "SETUSER", "reader", "on", "nopass", "~qts:*", "-@all", "+@read", "+@connection", "+@scripting"
    )
    try:
        source = CountedSource(position(50))
        await _put_price(valkey)
        from qts.cache.access import parse
        from qts.cache.redis_cache import RedisCache
        from qts.cache.server.limits import Limits

        limits = Limits(call_s=PATIENT_S, connect_s=PATIENT_S, least=1)
        client = RedisCache(parse(valkey.url(user="reader"), {}), limits=limits, writes=False)
        async with closing(manager_of(client, clock_at(), sources={Kind.POSITION: source}, **LIVE_LONG)) as manager:
            assert (await manager.read(PriceValue, SYMBOL)).result is Result.HIT
            assert await manager.get(PositionValue, SYMBOL) == position(50)
            assert manager.breaker.state is BreakerState.CLOSED
        assert valkey.ask("KEYS", "*") == ["qts:A1:price:{005930}"]
    finally:
        valkey.ask("ACL", "DELUSER", "reader")


async def _put_price(valkey: Valkey) -> None:
    async with closing(manager_of(client_of(valkey.url()), clock_at(), **LIVE_LONG)) as manager:
        assert await manager.put([VALUES[PriceValue]]) is True


async def test_a_server_without_memory_refuses_writes_and_is_still_read(own_valkey: Valkey) -> None:
    told = Told()
    async with closing(manager_of(client_of(own_valkey.url()), clock_at(), tell=told, **LIVE_LONG)) as manager:
        assert await manager.put([VALUES[PriceValue]]) is True
        own_valkey.ask("CONFIG", "SET", "maxmemory", "1")

        assert await manager.put([VALUES[PriceValue]]) is False
        assert (await manager.read(PriceValue, SYMBOL)).result is Result.HIT
        assert manager.breaker.state is BreakerState.CLOSED
        assert manager.stats.written[Written.REFUSED] == 1
    assert len(told.lines) == 1
    assert "maxmemory" in told.lines[0]


async def test_a_server_that_is_killed_and_comes_back(own_valkey: Valkey) -> None:
    outage = Outage(own_valkey.url())
    async with closing(outage.manager):
        await outage.manager.put([(SYMBOL, position(120))])
        assert await outage.read() == 120
        own_valkey.kill()

        assert [await outage.read() for _ in range(8)] == [50] * 8
        assert outage.manager.breaker.state is BreakerState.OPEN
        own_valkey.start()
        assert await outage.read() == 50  # it is not asked before the pause is over
        assert outage.manager.stats.requests[Kind.POSITION][Result.AWAY] == 9
        outage.clock.advance(MINUTE)
        outage.source.value = position(60, outage.clock.time_ns())

        assert [await outage.read() for _ in range(2)] == [60, 60]
        assert outage.manager.breaker.state is BreakerState.CLOSED
        assert outage.manager.stats.requests[Kind.POSITION][Result.HIT] == 2  # once before the kill, once behind it
    assert [line.partition(" after")[0] for line in outage.told.lines] == [
        "the cache is left alone",
        "the cache answers again",
    ]


async def test_a_server_that_swallows_everything_is_left_alone_after_five_waits(valkey: Valkey) -> None:
    with Proxy(valkey.port) as proxy:
        outage = Outage(valkey.url(port=proxy.port), call_s=0.1)
        async with closing(outage.manager):
            while not await outage.manager.put([(SYMBOL, position(120))]):
                outage.clock.advance(MINUTE)  # a busy machine takes longer than a tenth of a second at times
            proxy.silence()
            waited = outage.manager.stats.reads.total
            assert [await outage.read() for _ in range(8)] == [50] * 8
            assert outage.manager.breaker.state is BreakerState.OPEN
            assert outage.manager.stats.reads.total - waited == 5
            proxy.heal()
            proxy.cut()
            while outage.manager.breaker.state is not BreakerState.CLOSED:
                outage.clock.advance(MINUTE)
                await outage.read()
            assert outage.told.lines[-1] == "the cache answers again"


async def test_a_server_that_is_wiped_at_any_moment_gives_no_wrong_value(valkey: Valkey) -> None:
    """Written through and read by turns: whatever is wiped, each read is the truth of its moment."""
    random, truth = Random(18), CountedSource(position(0))
    clock = clock_at()
    reader = manager_of(client_of(valkey.url()), clock, sources={Kind.POSITION: truth}, **LIVE_LONG)
    writer = manager_of(client_of(valkey.url()), clock, **LIVE_LONG)
    async with closing(reader), closing(writer):
        for number in range(examples(300, whole=3_000)):
            step = random.choice(["fill", "wipe", "read", "read"])
            if step == "fill":
                truth.value = position(number)
                assert await writer.put([(SYMBOL, position(number))])
            elif step == "wipe":
                valkey.ask("FLUSHALL")
            else:
                assert await reader.get(PositionValue, SYMBOL) == truth.value
    counted = reader.stats.requests[Kind.POSITION]
    assert counted[Result.HIT] > 50
    assert counted[Result.MISS] == truth.calls > 20


async def test_a_server_that_is_wiped_while_fifty_read_gives_each_of_them_a_value(valkey: Valkey) -> None:
    async with closing(Outage(valkey.url()).manager) as manager:
        ended = asyncio.Event()

        async def wipe() -> None:
            async with closing(manager_of(client_of(valkey.url()), clock_at())) as other:
                while not ended.is_set():
                    await other.flush()

        wiping = asyncio.ensure_future(wipe())
        for _ in range(examples(10, whole=100)):
            found = await asyncio.gather(*(manager.get(PositionValue, SYMBOL) for _ in range(50)))
            assert found == [position(50)] * 50
        ended.set()
        await wiping


# Several processes


def reading(valkey: Valkey, *, reads: int, hold: bool = False) -> subprocess.Popen[str]:
    words = ["-m", "tests.cache.reading_process", valkey.url(), str(reads), str(int(hold))]
    return subprocess.Popen(
        [sys.executable, *words], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True
    )


def test_a_stampede_of_two_processes_is_one_load(valkey: Valkey) -> None:
    processes = [reading(valkey, reads=25) for _ in range(2)]
    try:
        said = [process.communicate(timeout=120)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()

    assert said == ["{'50'}\n"] * 2
    assert valkey.ask("GET", "loads") == "1"
    assert valkey.ask("EXISTS", "qts:A1:lock:pos:{005930}") == 0


async def test_a_loader_that_is_killed_holds_no_one_longer_than_its_lock(valkey: Valkey) -> None:
    killed = reading(valkey, reads=1, hold=True)
    try:
        end = time.monotonic() + 120
        while valkey.ask("GET", "loads") != "1" and time.monotonic() < end:
            await asyncio.sleep(0.02)
        assert valkey.ask("EXISTS", "qts:A1:lock:pos:{005930}") == 1
    finally:
        killed.kill()
        killed.communicate()
    valkey.ask("PEXPIRE", "qts:A1:lock:pos:{005930}", 500)  # that process was given a lock that lives longer

    clock = SystemClock()
    source = CountedSource(position(50, clock.time_ns()))
    async with closing(
        manager_of(client_of(valkey.url()), clock, sources={Kind.POSITION: source}, **LIVE_LONG)
    ) as manager:
        value = await manager.get(PositionValue, SYMBOL)
    assert value is not None
    assert value.qty == Decimal(50)
    assert source.calls == 1
