"""What every cache must do, as tests given a factory: subclass, and give the fixtures ``opens`` and ``passes``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qts.cache.contracts import CacheClient, CacheWrite, HashWrite, LevelsRead, LevelsWrite
from qts.cache.memory import MemoryCache
from qts.clock import SystemClock
from qts.errors import InputError
from tests.effort import examples

Opens: TypeAlias = Callable[[], AbstractAsyncContextManager[CacheClient]]
Passes: TypeAlias = Callable[[int], Awaitable[None]]
"""Lets so many ms pass by the clock of the cache."""
LONG = 600_000
PRICE = "qts:A:price:{005930}"
BOOK = "qts:A:book:{005930}"
FIELDS = {"bid": "71200", "ask": "71300", "note": "a:b\r\n\0 값 😀"}
BIDS = (("71100", "5"), ("71200", "10"), ("70900", "1"))
ASKS = (("71400", "3"), ("71300", "7"))


def hashed(key: str = PRICE, fields: Mapping[str, str] = MappingProxyType(FIELDS), ttl: int = LONG) -> HashWrite:
    return HashWrite(key, fields, ttl)


def levels(key: str = BOOK, ttl: int = LONG, bids: Any = BIDS, asks: Any = ASKS) -> LevelsWrite:
    return LevelsWrite(key, bids, asks, {"at_ns": "1"}, ttl)


async def names(cache: CacheClient, prefix: str = "") -> list[str]:
    """The keys of a cache, in order; each has to come once."""
    return sorted([key async for key in cache.keys(prefix)])


def read(found: LevelsRead | None) -> tuple[list[tuple[str, str]], list[tuple[str, str]], dict[str, str]] | None:
    """Levels as plain lists, to compare."""
    if found is None:
        return None
    return [*map(tuple, found.bids)], [*map(tuple, found.asks)], dict(found.fields)  # type: ignore[list-item]


class CacheTests:
    EXAMPLES = 25

    @pytest.fixture
    def opens(self) -> Opens:
        """Return what opens the cache; each time it is opened it holds what it held, if others can see it."""
        raise NotImplementedError

    @pytest.fixture
    def passes(self) -> Passes:
        return lambda ms: asyncio.sleep(ms / 1_000)

    # -- values ---------------------------------------------------------------------------------------------

    async def test_it_says_what_it_is_once_it_is_open(self, opens: Opens) -> None:
        async with opens() as cache:
            assert cache.server
            assert cache.pool.in_use <= cache.pool.most
            await cache.close()
            await cache.close()

    async def test_what_was_written_is_read_and_what_was_not_is_not_there(self, opens: Opens) -> None:
        # Given fields with text of every kind
        async with opens() as cache:
            await cache.put([hashed()])
            # Then they are what was written, and cannot be changed for others
            found = await cache.get(PRICE)
            assert found == FIELDS
            assert await cache.get("qts:A:price:{000660}") is None
            assert await cache.get_many([]) == []
            await cache.put([])

    async def test_a_write_replaces_the_whole_value(self, opens: Opens) -> None:
        # Given a value with a field that the next one does not have
        async with opens() as cache:
            fields = {"bid": "1", "ask": "2"}
            await cache.put([hashed(fields=fields)])
            # When it is written again, and what was given is changed by the caller
            await cache.put([hashed(fields=fields | {"bid": "3"}), hashed(fields={"bid": "4"})])
            fields["bid"] = "5"
            # Then only the fields of the last write are there
            assert await cache.get(PRICE) == {"bid": "4"}

    async def test_many_are_read_in_the_order_of_their_keys(self, opens: Opens) -> None:
        # Given 300 values, which a cluster has on all of its nodes
        async with opens() as cache:
            keys = [f"qts:A:price:{{{number:06}}}" for number in range(300)]
            await cache.put([hashed(key, {"n": str(number)}) for number, key in enumerate(keys)])
            # When they are asked for backwards, one of them twice and one that is not there
            asked = [*reversed(keys), keys[7], "qts:A:price:{none}"]
            # Then the answers stand in that order
            expected = [{"n": str(number)} for number in [*reversed(range(300)), 7]]
            assert [*await cache.get_many(asked)] == [*expected, None]

    # -- levels -----------------------------------------------------------------------------------------------

    async def test_the_best_levels_come_out_by_price(self, opens: Opens) -> None:
        async with opens() as cache:
            await cache.put([levels()])
            # Highest bid and lowest ask first, whatever their order was, and no more than asked for
            assert read(await cache.levels(BOOK, 2)) == (
                [("71200", "10"), ("71100", "5")],
                [("71300", "7"), ("71400", "3")],
                {"at_ns": "1"},
            )
            assert await cache.get(BOOK) == {"at_ns": "1"}
            assert await cache.levels("qts:A:book:{none}", 2) is None

    async def test_prices_that_no_float_tells_apart_are_in_their_order(self, opens: Opens) -> None:
        # Given prices that differ in their 21st digit, and ones whose texts would stand in another order
        close = [f"1.000000000000000000{digit}" for digit in (3, 1, 4, 2)]
        async with opens() as cache:
            await cache.put(
                [levels(bids=[(price, "1") for price in close], asks=[(price, "1") for price in close])]
            )
            # When one level is asked for, then it is the best one, with its price to the digit
            assert read(await cache.levels(BOOK, 1)) == ([(close[2], "1")], [(close[1], "1")], {"at_ns": "1"})
            await cache.put([levels(bids=[("9", "1"), ("10", "1"), ("-3.5", "1"), ("1E+2", "1")], asks=())])
            found = await cache.levels(BOOK, 10)
            assert found is not None
            assert [price for price, _ in found.bids] == ["1E+2", "10", "9", "-3.5"]

    async def test_many_books_are_read_in_the_order_of_their_keys(self, opens: Opens) -> None:
        async with opens() as cache:
            keys = [f"qts:A:book:{{{number:02}}}" for number in range(30)]
            await cache.put([levels(key, bids=[(str(number), "1")]) for number, key in enumerate(keys)])
            found = await cache.levels_many([keys[7], "qts:A:book:{none}", keys[3]], 10)
            assert [read(one) and read(one)[0] for one in found] == [[("7", "1")], None, [("3", "1")]]  # type: ignore[index]
            assert await cache.levels_many([], 10) == []

    async def test_something_else_at_a_key_has_no_field_and_takes_no_other_value_with_it(
        self, opens: Opens
    ) -> None:
        # Given a value, and a set where another program should have left a value
        async with opens() as cache:
            await cache.put([hashed()])
            await cache.count("qts:A:price:{000660}", "x", LONG)
            await cache.count("qts:A:book:{000660}", "x", LONG)
            # Then each is read for itself, and a write replaces it
            assert [*await cache.get_many(["qts:A:price:{000660}", PRICE])] == [{}, FIELDS]
            assert read(await cache.levels("qts:A:book:{000660}", 2)) == ([], [], {})
            await cache.put([hashed("qts:A:price:{000660}"), levels("qts:A:book:{000660}")])
            assert await cache.get("qts:A:price:{000660}") == FIELDS
            assert read(await cache.levels("qts:A:book:{000660}", 1)) is not None

    async def test_a_book_is_replaced_as_a_whole_also_by_an_empty_side(self, opens: Opens) -> None:
        async with opens() as cache:
            await cache.put([levels()])
            await cache.put([levels(bids=(), asks=[("5", "1")])])
            assert read(await cache.levels(BOOK, 10)) == ([], [("5", "1")], {"at_ns": "1"})
            assert await names(cache) == [BOOK, f"{BOOK}:ask"]

    # -- lifetimes -----------------------------------------------------------------------------------------

    async def test_a_value_is_gone_after_its_lifetime(self, opens: Opens, passes: Passes) -> None:
        # Given values that live for 50 ms beside others that live longer
        async with opens() as cache:
            await cache.put([hashed(ttl=50), levels(ttl=50), hashed("qts:A:risk")])
            await cache.count("qts:A:trades", "x", 50)
            assert await cache.lock("qts:A:lock", "me", 50)
            # When that time has passed
            await passes(60)
            # Then only the others are there, and a lock can be had
            assert await cache.get_many([PRICE, BOOK, "qts:A:risk"]) == [None, None, FIELDS]
            assert await cache.levels(BOOK, 5) is None
            assert await names(cache) == ["qts:A:risk"]
            assert await cache.count("qts:A:trades", "y", LONG) == 1
            assert await cache.lock("qts:A:lock", "other", LONG)

    async def test_a_write_renews_the_lifetime(self, opens: Opens, passes: Passes) -> None:
        async with opens() as cache:
            await cache.put([hashed(ttl=50)])
            await cache.put([hashed(ttl=LONG)])
            await passes(60)
            assert await cache.get(PRICE) == FIELDS

    # -- removing -------------------------------------------------------------------------------------------

    async def test_what_is_deleted_is_gone_with_what_stands_beside_it(self, opens: Opens) -> None:
        async with opens() as cache:
            await cache.put([levels(), hashed(), hashed("qts:A:risk")])
            await cache.delete([BOOK, PRICE, "qts:A:none"])
            await cache.delete([])
            assert await names(cache) == ["qts:A:risk"]

    async def test_only_keys_of_the_prefix_are_flushed(self, opens: Opens) -> None:
        # Given keys of two prefixes, one of which has characters that mean something in patterns
        odd = "q*[a]?\\^-ts:"
        async with opens() as cache:
            mine = [hashed(f"{odd}A:price:{{{number}}}") for number in range(600)]
            theirs = [hashed(key) for key in ("q", "qXa?ts:", "qts:A:risk", "", f"x{odd}", "값")]
            await cache.put([*mine, *theirs, levels(f"{odd}A:book:{{1}}")])
            # When one is flushed, and again
            assert len(await names(cache, odd)) == 603
            assert await cache.flush(odd) == 603
            assert await cache.flush(odd) == 0
            # Then the others are all there
            assert await names(cache) == sorted(write.key for write in theirs)

    async def test_everything_is_never_flushed(self, opens: Opens) -> None:
        async with opens() as cache:
            await cache.put([hashed()])
            with pytest.raises(InputError, match="prefix"):
                await cache.flush("")
            assert await names(cache) == [PRICE]

    # -- counts and locks ---------------------------------------------------------------------------------

    async def test_a_member_counts_once(self, opens: Opens) -> None:
        async with opens() as cache:
            counts = [await cache.count("qts:A:trades", member, LONG) for member in ("x-1", "x-2", "x-1", "x-3")]
            assert counts == [1, 2, 2, 3]

    async def test_one_of_many_gets_the_lock_and_only_it_can_let_go(self, opens: Opens) -> None:
        async with opens() as cache:
            # Given ten that want a lock at the same time
            got = await asyncio.gather(*(cache.lock("qts:A:lock", f"t{number}", LONG) for number in range(10)))
            # Then one has it, and has it again when it repeats its question
            (winner,) = [f"t{number}" for number, has in enumerate(got) if has]
            assert await cache.lock("qts:A:lock", winner, LONG)
            # When another one lets go, nothing happens; when the winner does, the next one gets it
            await cache.unlock("qts:A:lock", "another")
            assert not await cache.lock("qts:A:lock", "another", LONG)
            await cache.unlock("qts:A:lock", winner)
            await cache.unlock("qts:A:lock", winner)
            assert await cache.lock("qts:A:lock", "another", LONG)

    # -- what is refused -----------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "write",
        [
            hashed(ttl=0),
            hashed(ttl=-1),
            hashed(ttl=1 << 63),
            hashed(fields={}),
            hashed(fields={str(number): "" for number in range(1_001)}),
            hashed(fields={"a": "\ud800"}),
            hashed(key="\udcff"),
            levels(bids=[("nan", "1")]),
            levels(asks=[("inf", "1")]),
            levels(asks=[("1e999", "1")]),
            levels(bids=[("1:2", "1")]),
            levels(bids=[("", "1")]),
            levels(bids=[("1", "\ud800")]),
            levels(bids=[(str(number), "1") for number in range(1_001)]),
        ],
        ids=lambda one: type(one).__name__,
    )
    async def test_what_no_cache_can_hold_is_refused_and_nothing_is_written(
        self, opens: Opens, write: CacheWrite
    ) -> None:
        async with opens() as cache:
            with pytest.raises(InputError) as caught:
                await cache.put([hashed(), write])
            assert "\n" not in str(caught.value)
            assert await names(cache) == []

    async def test_a_lifetime_that_is_none_is_refused_everywhere(self, opens: Opens) -> None:
        async with opens() as cache:
            for asked in (cache.count("k", "x", 0), cache.lock("k", "t", 0)):
                with pytest.raises(InputError, match="expire after 0 ms"):
                    await asked
            assert await names(cache) == []

    # -- any order of calls ----------------------------------------------------------------------------------------

    def test_any_calls_have_the_answers_that_memory_gives(self, opens: Opens) -> None:
        """Whatever is asked of it, in any order: the answers are those of a cache in memory."""

        @settings(
            max_examples=examples(self.EXAMPLES, whole=20 * self.EXAMPLES),
            suppress_health_check=[HealthCheck.function_scoped_fixture],
        )
        @given(st.lists(CALLS, min_size=1, max_size=20))
        def calls_agree(calls: list[tuple[str, tuple[Any, ...]]]) -> None:
            async def compare() -> None:
                memory = MemoryCache(SystemClock())
                async with opens() as cache:
                    await cache.flush("qts")
                    for name, arguments in calls:
                        assert await answer(cache, name, arguments) == await answer(memory, name, arguments)

            asyncio.run(compare())

        calls_agree()


async def answer(cache: CacheClient, name: str, arguments: tuple[Any, ...]) -> Any:
    """What a call of a cache returns, as plain values."""
    if name == "keys":
        return await names(cache, *arguments)
    found = await getattr(cache, name)(*arguments)
    if isinstance(found, LevelsRead):
        return read(found)
    if name == "get_many":
        return [dict(one) if one else None for one in found]
    return found


_keys = st.sampled_from(["qts:A:price:{1}", "qts:A:price:{2}", "qts:B:price:{1}"])
_books = st.sampled_from(["qts:A:book:{1}", "qts:B:book:{2}"])
_texts = st.text(st.characters(codec="utf-8"), max_size=5)
_fields = st.dictionaries(_texts, _texts, min_size=1, max_size=4)
_prices = st.decimals(-1000, 1000, places=3).map(str)
_sides = st.lists(st.tuples(_prices, _texts), max_size=5)
_tokens = st.sampled_from(["x", "y"])
_writes = st.one_of(
    st.builds(HashWrite, _keys, _fields, st.just(LONG)),
    st.builds(LevelsWrite, _books, _sides, _sides, _fields, st.just(LONG)),
)
CALLS = st.one_of(
    st.tuples(st.just("put"), st.tuples(st.lists(_writes, max_size=4))),
    st.tuples(st.just("get"), st.tuples(_keys | _books)),
    st.tuples(st.just("get_many"), st.tuples(st.lists(_keys | _books, max_size=4))),
    st.tuples(st.just("levels"), st.tuples(_books, st.integers(1, 6))),
    st.tuples(st.just("delete"), st.tuples(st.lists(_keys | _books, max_size=2))),
    st.tuples(st.just("count"), st.tuples(st.just("qts:A:trades"), _tokens, st.just(LONG))),
    st.tuples(st.just("lock"), st.tuples(st.just("qts:A:lock"), _tokens, st.just(LONG))),
    st.tuples(st.just("unlock"), st.tuples(st.just("qts:A:lock"), _tokens)),
    st.tuples(st.just("keys"), st.tuples(st.sampled_from(["qts", "qts:A", "qts:A:book:{1}:b", "no"]))),
    st.tuples(st.just("flush"), st.tuples(st.sampled_from(["qts:A:price", "qts:A:book:{1}", "qts:B"]))),
)
"""Calls with a lifetime that none outlives."""
