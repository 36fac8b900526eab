"""Reads of a cache: each cell of the table of what a read gives, and writes that never raise."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from qts.cache.contracts import (
    BookValue,
    CacheValue,
    Kind,
    LevelsRead,
    OrderValue,
    PositionValue,
    PriceValue,
    RiskValue,
    StrategyValue,
    ViewValue,
)
from qts.cache.encoding import KIND_OF
from qts.cache.manager import CacheManager, Reading
from qts.cache.stats import Load, Result, Written
from qts.cache.writer import CacheWriter
from qts.errors import CacheStaleDataError, ContractError, InputError, StorageError
from tests.cache.rig import AT, MS, SYMBOL, VALUES, CountedSource, Told, clock_at, manager_of, position
from tests.cache.scripted import ScriptedClient

LIFETIMES_MS = {
    PriceValue: 100,
    PositionValue: 1_000,
    BookValue: 50,
    RiskValue: 5_000,
    OrderValue: 60_000,
    StrategyValue: 60_000,
    ViewValue: 5_000,
}
EVERY_KIND = pytest.mark.parametrize("of", VALUES, ids=lambda of: KIND_OF[of].name.lower())
KEY = "qts:A1:pos:{005930}"


def counts(manager: CacheManager, kind: Kind = Kind.POSITION) -> dict[Result, int]:
    return {result: count for result, count in manager.stats.requests[kind].items() if count}


def loads(manager: CacheManager, kind: Kind = Kind.POSITION) -> dict[Load, int]:
    return {end: count for end, count in manager.stats.loads[kind].items() if count}


class Case:
    """A cache with the position 120 of the test's symbol, written at the start, and a manager that reads it."""

    def __init__(self, source: CountedSource | None, *, age_ms: int = 0) -> None:
        self.clock = clock_at(age_ms * MS) if age_ms else clock_at()
        self.client = ScriptedClient(self.clock)
        sources = None if source is None else {Kind.POSITION: source}
        self.manager = manager_of(self.client, self.clock, sources=sources)
        self.source = source

    async def written(self) -> Case:
        await self.manager.put([(SYMBOL, position(120))])
        self.client.asked.clear()
        return self

    @property
    def in_the_cache(self) -> str | None:
        fields = self.client.hashes.get(KEY)
        return None if fields is None else fields.get("qty", "?")


# What a read gives: each line of the table, with a source that has 50 and without one


async def test_fresh_with_a_source_gives_the_value_of_the_cache() -> None:
    case = await Case(CountedSource(position(50))).written()

    assert await case.manager.get(PositionValue, SYMBOL) == position(120)
    assert case.source is not None
    assert case.source.calls == 0
    assert counts(case.manager) == {Result.HIT: 1}


async def test_fresh_without_a_source_gives_the_value() -> None:
    case = await Case(None).written()

    assert await case.manager.read(PositionValue, SYMBOL) == Reading(position(120), Result.HIT, age_ms=0)


async def test_missing_with_a_source_gives_the_source_s_and_writes_it() -> None:
    case = Case(CountedSource(position(50)))

    assert await case.manager.read(PositionValue, SYMBOL) == Reading(position(50), Result.MISS, loaded=True)
    assert case.in_the_cache == "50"
    assert case.client.lifetimes[KEY] == 1_000
    assert case.client.locks == {}
    assert (counts(case.manager), loads(case.manager)) == ({Result.MISS: 1}, {Load.LOADED: 1})


async def test_missing_without_a_source_gives_none() -> None:
    case = Case(None)

    assert await case.manager.get(PositionValue, SYMBOL) is None
    assert counts(case.manager) == {Result.MISS: 1}


async def test_stale_with_a_source_gives_the_source_s_and_leaves_the_cache_alone() -> None:
    fresh = position(50, AT + 1_101 * 10**6)
    case = await Case(CountedSource(fresh), age_ms=1_101).written()

    assert await case.manager.read(PositionValue, SYMBOL) == Reading(fresh, Result.STALE, 1_101, loaded=True)
    assert case.in_the_cache == "120"
    assert dict(case.client.asked) == {"get_many": 1}
    assert (counts(case.manager), loads(case.manager)) == ({Result.STALE: 1}, {Load.LOADED: 1})


async def test_stale_without_a_source_raises_with_the_age() -> None:
    case = await Case(None, age_ms=1_101).written()

    with pytest.raises(CacheStaleDataError, match=r"position 005930 that is 1,101 ms old; .* 1,100 ms") as raised:
        await case.manager.get(PositionValue, SYMBOL)
    assert raised.value.age_ms == 1_101
    assert await case.manager.read(PositionValue, SYMBOL) == Reading(None, Result.STALE, 1_101)
    assert counts(case.manager) == {Result.STALE: 2}


async def test_damaged_with_a_source_gives_the_source_s_and_writes_over_it() -> None:
    case = Case(CountedSource(position(50)))
    case.client.hashes[KEY] = {"qty": "many"}

    assert await case.manager.read(PositionValue, SYMBOL) == Reading(position(50), Result.DAMAGED, loaded=True)
    assert case.in_the_cache == "50"
    assert counts(case.manager) == {Result.DAMAGED: 1}


async def test_damaged_without_a_source_gives_none() -> None:
    case = Case(None)
    case.client.hashes[KEY] = {"qty": "many"}

    assert await case.manager.get(PositionValue, SYMBOL) is None
    assert counts(case.manager) == {Result.DAMAGED: 1}


async def test_away_with_a_source_gives_the_source_s_and_asks_the_cache_nothing_more() -> None:
    case = await Case(CountedSource(position(50))).written()
    case.client.down = True

    assert await case.manager.read(PositionValue, SYMBOL) == Reading(position(50), Result.AWAY, loaded=True)
    assert dict(case.client.asked) == {"get_many": 1}
    assert (counts(case.manager), loads(case.manager)) == ({Result.AWAY: 1}, {Load.LOADED: 1})


async def test_away_without_a_source_gives_none_and_says_away() -> None:
    case = await Case(None).written()
    case.client.down = True

    assert await case.manager.get(PositionValue, SYMBOL) is None
    assert await case.manager.read(PositionValue, SYMBOL) == Reading(None, Result.AWAY)


# The age of a value


@EVERY_KIND
async def test_a_value_of_every_kind_may_be_as_old_as_it_lives_and_the_clocks_apart(of: type[CacheValue]) -> None:
    name, value = VALUES[of]
    client = ScriptedClient(clock_at())
    await manager_of(client, client.clock).put([(name, value)])
    limit = LIFETIMES_MS[of] + 100

    at_the_limit = manager_of(client, clock_at(limit * MS))
    assert (await at_the_limit.read(of, name)).value == value
    behind_it = manager_of(client, clock_at(limit * MS + MS / 1_000))
    assert await behind_it.read(of, name) == Reading(None, Result.STALE, limit + 1)
    assert client.lifetimes.popitem()[1] == LIFETIMES_MS[of]


@pytest.mark.parametrize(("early_ms", "result"), [(100, Result.HIT), (101, Result.STALE)])
async def test_a_value_may_be_as_far_in_the_future_as_clocks_are_apart(early_ms: int, result: Result) -> None:
    client = ScriptedClient(clock_at())
    await manager_of(client, client.clock).put([(SYMBOL, position(120))])

    found = await manager_of(client, clock_at(-early_ms * MS)).read(PositionValue, SYMBOL)

    assert (found.result, found.age_ms) == (result, -early_ms)


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_that_is_an_hour_off_makes_every_value_stale_and_changes_none(hours: int) -> None:
    client = ScriptedClient(clock_at())
    await manager_of(client, client.clock).put([(SYMBOL, position(120))])
    wrong = clock_at(timedelta(hours=hours))
    source = CountedSource(position(50, wrong.time_ns()))
    with_source = manager_of(client, wrong, sources={Kind.POSITION: source})

    with pytest.raises(CacheStaleDataError) as raised:
        await manager_of(client, wrong).get(PositionValue, SYMBOL)
    assert raised.value.age_ms == hours * 3_600_000
    assert await with_source.get(PositionValue, SYMBOL) == source.value
    assert await manager_of(client, client.clock).get(PositionValue, SYMBOL) == position(120)


# Sources


async def test_a_source_that_has_none_gives_none_and_nothing_is_written() -> None:
    case = Case(CountedSource(None))

    assert await case.manager.read(PositionValue, SYMBOL) == Reading(None, Result.MISS, loaded=True)
    assert case.in_the_cache is None
    assert loads(case.manager) == {Load.NOTHING: 1}


async def test_an_error_of_a_source_is_the_caller_s_and_holds_no_one() -> None:
    case = Case(CountedSource(StorageError("the book is away")))
    assert case.source is not None

    with pytest.raises(StorageError, match="the book is away"):
        await case.manager.get(PositionValue, SYMBOL)
    assert case.client.locks == {}
    case.source.value = position(50)
    assert await case.manager.get(PositionValue, SYMBOL) == position(50)
    assert loads(case.manager) == {Load.FAILED: 1, Load.LOADED: 1}


async def test_a_source_that_gives_another_kind_is_a_defect_of_its() -> None:
    case = Case(CountedSource(RiskValue(at_ns=AT, daily_pnl=Decimal(0), trade_count=0)))

    with pytest.raises(ContractError, match="a source of PositionValue returned a RiskValue"):
        await case.manager.get(PositionValue, SYMBOL)


async def test_a_load_that_may_not_write_still_gives_the_value() -> None:
    told = Told()
    client = ScriptedClient(clock_at())
    client.refusing = True
    source = CountedSource(position(50))
    manager = manager_of(client, client.clock, sources={Kind.POSITION: source}, tell=told)

    assert await manager.get(PositionValue, SYMBOL) == position(50)
    assert client.hashes == {}
    assert told.lines == ["the cache refuses: scripted: no right to write"]


async def test_only_kinds_with_a_source_are_loaded() -> None:
    case = Case(CountedSource(position(50)))

    assert await case.manager.get(RiskValue) is None
    assert await case.manager.get(PriceValue, SYMBOL) is None


# Many


async def test_many_symbols_are_one_call_and_only_what_lacks_is_loaded() -> None:
    case = await Case(CountedSource(position(50))).written()
    found = await case.manager.read_many(PositionValue, ["000660", SYMBOL, "035420"])

    assert [one.value for one in found] == [position(50), position(120), position(50)]
    assert [one.result for one in found] == [Result.MISS, Result.HIT, Result.MISS]
    assert case.client.read_at_once == [3, 1, 1, 1, 1]  # then each that lacks, once locked and before it is written
    assert case.source is not None
    assert case.source.calls == 2


async def test_many_of_none_ask_nothing() -> None:
    case = Case(None)

    assert await case.manager.read_many(PositionValue, []) == []
    assert dict(case.client.asked) == {}


async def test_a_source_that_fails_for_one_of_many_is_asked_for_all_and_then_raises() -> None:
    source = CountedSource(StorageError("away"))
    case = Case(source)

    with pytest.raises(StorageError, match="away"):
        await case.manager.read_many(PositionValue, ["1", "2", "3"])
    assert source.calls == 3


async def test_many_books_are_one_call_and_judged_one_by_one() -> None:
    case = Case(None)
    book = VALUES[BookValue][1]
    await case.manager.put([("000660", book), (SYMBOL, book)])
    case.client.books["qts:A1:book:{000660}"] = LevelsRead([("x", "y")], [], {"at_ns": "1", "timestamp_ms": "1"})
    found = await case.manager.read_many(BookValue, ["000660", SYMBOL, "035420"])

    assert [one.result for one in found] == [Result.DAMAGED, Result.HIT, Result.MISS]
    assert found[1].value == book
    assert case.client.asked["levels_many"] == 1


# Writing


async def test_many_kinds_are_one_call() -> None:
    case = Case(None)

    assert await case.manager.put(list(VALUES.values())) is True
    assert dict(case.client.asked) == {"open": 1, "put": 1}
    assert sorted([*case.client.hashes, *case.client.books]) == [
        "qts:A1:book:{005930}",
        "qts:A1:ord:{1b2c-o-71}",
        "qts:A1:pos:{005930}",
        "qts:A1:price:{005930}",
        "qts:A1:risk",
        "qts:A1:strat:{two_ema}",
        "qts:A1:view",
    ]
    assert case.manager.stats.written[Written.WRITTEN] == 7


async def test_a_write_without_an_answer_is_counted_and_raises_nothing() -> None:
    case = Case(None)
    case.client.down = True

    assert await case.manager.put(list(VALUES.values())) is False
    assert case.manager.stats.written[Written.AWAY] == 7


async def test_a_write_that_the_server_refuses_is_counted_and_told_once_a_minute() -> None:
    told = Told()
    clock = clock_at()
    client = ScriptedClient(clock)
    client.refusing = True
    manager = manager_of(client, clock, tell=told)
    for _ in range(7):
        assert await manager.put([(SYMBOL, position(120))]) is False
        clock.advance(timedelta(seconds=10))

    assert manager.stats.written[Written.REFUSED] == 7
    assert told.lines == ["the cache refuses: scripted: no right to write"] * 2


async def test_a_value_that_no_cache_can_hold_is_left_out_and_told_once() -> None:
    told = Told()
    client = ScriptedClient(clock_at())
    manager = manager_of(client, client.clock, tell=told)
    unfit = PriceValue(at_ns=AT, timestamp_ms=1, bid=Decimal("NaN"))

    assert await manager.put([("000660", unfit), ("", position(1)), (SYMBOL, position(120))]) is True
    assert list(client.hashes) == [KEY]
    assert manager.stats.written == {Written.WRITTEN: 1, Written.AWAY: 0, Written.REFUSED: 2}
    assert told.lines == [
        "the cache cannot hold price '000660', which is left out: bid is no amount that a cache can hold: NaN"
    ]
    assert await manager.put([("000660", unfit)]) is False
    assert await manager.put([("", ViewValue(at_ns=AT, json="\ud800"))]) is False


async def test_nothing_to_write_asks_nothing() -> None:
    case = Case(None)

    assert await case.manager.put([]) is True
    assert dict(case.client.asked) == {}


async def test_an_invalidated_value_is_gone() -> None:
    case = await Case(CountedSource(position(50))).written()

    assert await case.manager.invalidate(Kind.POSITION, SYMBOL) is True
    assert await case.manager.get(PositionValue, SYMBOL) == position(50)


async def test_an_invalidation_that_does_not_reach_the_cache_says_so() -> None:
    case = await Case(None).written()
    case.client.down = True

    assert await case.manager.invalidate(Kind.POSITION, SYMBOL) is False


async def test_an_execution_counts_once_on_its_day() -> None:
    case = Case(None)

    assert await case.manager.count_trade("2026-03-02", "e1") == 1
    assert await case.manager.count_trade("2026-03-02", "e2") == 2
    assert await case.manager.count_trade("2026-03-02", "e1") == 2
    assert await case.manager.count_trade("2026-03-03", "e1") == 1
    assert case.client.lifetimes["qts:A1:trades:{2026-03-02}"] == 2 * 86_400_000
    case.client.down = True
    assert await case.manager.count_trade("2026-03-02", "e3") is None


async def test_the_sessions_of_an_account_are_counted_in_periods_of_four_seconds() -> None:
    case = Case(None)
    assert [await case.manager.count_writers(one) for one in ("run 7", "run 8", "run 7")] == [1, 2, 2]
    # When the next period begins
    case.clock.advance(timedelta(seconds=4))
    assert await case.manager.count_writers("run 7") == 1
    case.client.down = True
    assert await case.manager.count_writers("run 7") is None


async def test_a_flush_takes_the_keys_of_the_account_and_no_others() -> None:
    case = await Case(None).written()
    case.client.hashes |= {"qts:A12:risk": {}, "qts:B:risk": {}, "other": {}}

    assert await case.manager.flush() == 1
    assert sorted(case.client.hashes) == ["other", "qts:A12:risk", "qts:B:risk"]


async def test_a_name_that_no_key_can_hold_is_the_caller_s_fault() -> None:
    case = Case(None)

    with pytest.raises(InputError, match="the name of the symbol"):
        await case.manager.get(PositionValue, "")
    with pytest.raises(InputError, match="names no risk"):
        await case.manager.invalidate(Kind.RISK, "x")
    with pytest.raises(InputError, match="the name of the execution"):
        await case.manager.count_trade("2026-03-02", "")


def test_a_writer_has_no_method_that_reads_a_value() -> None:
    public = {name for name in dir(CacheWriter) if not name.startswith("_")}

    writing = {"close", "count_trade", "count_writers", "flush", "invalidate", "open", "put"}
    assert public == {"breaker", "last_error", "status", *writing}
