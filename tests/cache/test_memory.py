"""A cache in memory: its lifetimes are those of the injected clock, and it does not grow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from qts.cache.contracts import HashWrite
from qts.cache.memory import MemoryCache
from qts.clock import ManualClock
from qts.errors import InputError


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 1, 2, tzinfo=UTC))


def value(key: str, ttl_ms: int = 1_000) -> HashWrite:
    return HashWrite(key, {"last": "71200"}, ttl_ms)


async def held(cache: MemoryCache) -> list[str]:
    return sorted([key async for key in cache.keys("")])


async def test_a_value_holds_to_the_last_nanosecond_of_its_lifetime(clock: ManualClock) -> None:
    # Given a value for 100 ms
    cache = MemoryCache(clock)
    await cache.put([value("a", 100)])
    # When 99.999 ms have passed it is there, and after 100 ms it is not
    clock.advance(timedelta(microseconds=99_999))
    assert await cache.get("a") == {"last": "71200"}
    clock.advance(timedelta(microseconds=1))
    assert await cache.get("a") is None


async def test_what_expires_first_is_dropped_above_the_most_keys(clock: ManualClock) -> None:
    # Given room for three keys
    cache = MemoryCache(clock, most=3)
    # When five are written, whose lifetimes end in another order
    await cache.put([value(key, ttl) for key, ttl in (("a", 500), ("b", 100), ("c", 400), ("d", 300))])
    await cache.put([value("e", 200)])
    # Then those that would have expired first are gone: b with the fourth, e with the fifth
    assert await held(cache) == ["a", "c", "d"]


async def test_what_has_expired_goes_with_the_next_write(clock: ManualClock) -> None:
    cache = MemoryCache(clock)
    await cache.put([value(f"k{number}", 100) for number in range(1_000)])
    await cache.count("trades", "x", 100)
    clock.advance(timedelta(milliseconds=100))
    await cache.put([value("new")])
    assert list(cache._entries) == ["new"]


async def test_one_key_that_is_written_again_and_again_takes_no_more_room(clock: ManualClock) -> None:
    cache = MemoryCache(clock)
    for _ in range(5_000):
        await cache.put([value("a", 60_000)])
    assert len(cache._ends) < 200
    clock.advance(timedelta(seconds=61))
    await cache.put([value("b")])
    assert await held(cache) == ["b"]


async def test_what_was_read_cannot_be_changed_for_others(clock: ManualClock) -> None:
    cache = MemoryCache(clock)
    await cache.put([value("a")])
    found = await cache.get("a")
    with pytest.raises(TypeError):
        found["last"] = "1"  # type: ignore[index]
    assert await cache.get("a") == {"last": "71200"}


async def test_a_key_of_another_kind_is_not_counted_in(clock: ManualClock) -> None:
    cache = MemoryCache(clock)
    await cache.put([value("a")])
    with pytest.raises(InputError, match="another kind"):
        await cache.count("a", "x", 100)


async def test_closed_it_holds_nothing(clock: ManualClock) -> None:
    cache = MemoryCache(clock)
    assert cache.server == ""
    await cache.open()
    assert cache.server == "memory"
    await cache.put([value("a")])
    await cache.close()
    assert (cache.server, await held(cache)) == ("", [])
