"""A cache that fails: the first five reads and all others are answered by the source, and one line is told."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from qts.cache.breaker import BreakerState
from qts.cache.contracts import Kind, PositionValue
from qts.cache.manager import CacheManager
from qts.cache.stats import Result
from qts.errors import InputError, Unavailable
from tests.cache.rig import SYMBOL, CountedSource, Told, clock_at, manager_of, position
from tests.cache.scripted import ScriptedClient

MINUTE = timedelta(seconds=60)
OPENED = (
    "the cache is left alone after 5 failures in a row, and tried again every 60 s; nothing is written to it "
    "meanwhile, and what is read comes from its source · the last failure: scripted: no answer within 100 ms"
)


class Outage:
    """A manager with a source that has 50, over a cache that had 120 and is down."""

    def __init__(self) -> None:
        self.clock = clock_at()
        self.client = ScriptedClient(self.clock)
        self.source = CountedSource(position(50))
        self.told = Told()
        self.manager: CacheManager = manager_of(
            self.client, self.clock, sources={Kind.POSITION: self.source}, tell=self.told
        )

    async def begun(self) -> Outage:
        await self.manager.put([(SYMBOL, position(120))])
        self.client.down = True
        self.client.asked.clear()
        return self

    async def read(self, times: int = 1) -> list[int]:
        """Read that often, one after the other; the quantities."""
        found = []
        for _ in range(times):
            value = await self.manager.get(PositionValue, SYMBOL)
            assert value is not None
            found.append(int(value.qty))
        return found


async def test_the_first_five_are_asked_and_answered_by_the_source_and_the_rest_by_the_source_alone() -> None:
    outage = await Outage().begun()

    assert await outage.read(20) == [50] * 20
    assert outage.client.asked["get_many"] == 5
    assert outage.manager.breaker.state is BreakerState.OPEN
    assert outage.manager.stats.requests[Kind.POSITION][Result.AWAY] == 20
    assert outage.told.lines == [OPENED]


async def test_while_it_is_left_alone_nothing_is_written() -> None:
    outage = await Outage().begun()
    await outage.read(5)

    assert await outage.manager.put([(SYMBOL, position(50))]) is False
    assert outage.client.asked["put"] == 0


async def test_a_cache_that_is_back_is_found_by_the_probe() -> None:
    outage = await Outage().begun()
    await outage.read(5)
    outage.client.down = False
    outage.clock.advance(MINUTE - timedelta(seconds=1))
    await outage.manager.put([(SYMBOL, position(1))])
    assert outage.client.asked["put"] == 0
    outage.clock.advance(timedelta(seconds=1))

    assert await outage.manager.put([(SYMBOL, position(130, outage.clock.time_ns()))]) is True
    assert outage.manager.breaker.state is BreakerState.CLOSED
    assert await outage.read(2) == [130, 130]
    assert outage.told.lines == [OPENED, "the cache answers again"]


async def test_a_cache_that_is_still_away_is_tried_once_a_minute_and_told_once() -> None:
    outage = await Outage().begun()
    await outage.read(5)
    for _ in range(3):
        outage.clock.advance(MINUTE)
        assert await outage.read(4) == [50] * 4

    assert outage.client.asked["get_many"] == 5 + 3
    assert outage.told.lines == [OPENED]


async def test_while_the_probe_is_under_way_the_others_go_to_the_source() -> None:
    outage = await Outage().begun()
    await outage.read(5)
    outage.clock.advance(MINUTE)
    outage.client.asked.clear()

    found = await asyncio.gather(*(outage.manager.get(PositionValue, SYMBOL) for _ in range(10)))

    assert found == [position(50)] * 10
    assert outage.client.asked["get_many"] == 1


async def test_a_probe_that_is_cancelled_is_followed_by_another_one() -> None:
    outage = await Outage().begun()
    await outage.read(5)
    outage.clock.advance(MINUTE)
    outage.client.down = False
    probe = asyncio.ensure_future(outage.manager.read(PositionValue, SYMBOL))
    await asyncio.sleep(0)
    assert outage.manager.breaker.state is BreakerState.HALF_OPEN
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)

    await outage.read()
    assert outage.manager.breaker.state is BreakerState.CLOSED


async def test_a_refusal_is_an_answer_and_opens_nothing() -> None:
    outage = await Outage().begun()
    outage.client.down, outage.client.refusing = False, True
    for _ in range(10):
        assert await outage.manager.put([(SYMBOL, position(1))]) is False

    assert outage.manager.breaker.state is BreakerState.CLOSED


async def test_a_cache_that_is_away_at_the_start_is_opened_by_the_first_call_that_reaches_it() -> None:
    outage = Outage()
    outage.client.down = True
    with pytest.raises(Unavailable):
        await outage.manager.open()
    assert await outage.manager.put([(SYMBOL, position(1))]) is False
    outage.client.down = False

    assert await outage.manager.put([(SYMBOL, position(1))]) is True
    assert outage.client.asked["open"] == 3
    assert outage.manager.status().server == "scripted 1"
    await outage.manager.open()
    assert outage.client.asked["open"] == 3


async def test_a_server_that_cannot_be_used_is_refused_at_the_start_and_later_a_failure_like_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outage = Outage()

    async def refuse() -> None:
        raise InputError("127.0.0.1:5432 is no Redis")

    monkeypatch.setattr(outage.client, "open", refuse)
    with pytest.raises(InputError, match="is no Redis"):
        await outage.manager.open()
    assert await outage.read(5) == [50] * 5

    assert outage.manager.breaker.state is BreakerState.OPEN
    assert outage.told.lines == [OPENED.replace("scripted: no answer within 100 ms", "127.0.0.1:5432 is no Redis")]


async def test_calls_at_once_open_the_client_once() -> None:
    outage = Outage()

    await asyncio.gather(*(outage.manager.read(PositionValue, str(number)) for number in range(10)))

    assert outage.client.asked["open"] == 1


async def test_reads_at_once_of_a_cache_that_is_away_wait_for_one_try_to_open_it() -> None:
    outage = Outage()
    outage.client.down = True

    found = await asyncio.gather(*(outage.manager.get(PositionValue, SYMBOL) for _ in range(50)))

    assert found == [position(50)] * 50
    assert outage.client.asked["open"] == 1
    assert outage.manager.breaker.state is BreakerState.OPEN


async def test_the_status_counts_what_was_not_nothing() -> None:
    outage = await Outage().begun()
    await outage.read(6)
    status = outage.manager.status()

    assert status.requests == {"position": {"AWAY": 6}}
    assert status.loads == {"position": {"LOADED": 6}}
    assert status.writes == {"WRITTEN": 1}
    assert (status.breaker, status.opened) == ("OPEN", 1)
    assert (status.connections, status.most_connections) == (2, 50)
    assert 0 < status.read_p50_us <= status.read_p99_us
    assert 0 < status.write_p50_us <= status.write_p99_us
