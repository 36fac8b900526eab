"""A cache on a real server: lifetimes by construction, round trips, and what it is told of a server's refusals."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qts.cache.access import parse
from qts.cache.contracts import CacheClient
from qts.errors import InputError, StateError
from tests.cache.servers import opened
from tests.conformance.cache import BOOK, CALLS, FIELDS, LONG, PRICE, answer, hashed, levels, names
from tests.effort import examples
from tests.servers.process import ServerUnavailable
from tests.servers.proxy import Proxy
from tests.servers.valkey import Cluster, Valkey

AHEAD = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
int gettimeofday(struct timeval *t, void *zone) {
    int (*real)(struct timeval *, void *) = dlsym(RTLD_NEXT, "gettimeofday");
    int done = real(t, zone);
    t->tv_sec += 3600;
    return done;
}
int clock_gettime(clockid_t which, struct timespec *t) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(which, t);
    if (which == CLOCK_REALTIME) t->tv_sec += 3600;
    return done;
}
"""
"""A library with which a program's clock is an hour ahead."""


def without_lifetime(server: Valkey) -> list[str]:
    """The keys of a server that never expire."""
    return [key for key in server.ask("KEYS", "*") if server.ask("PTTL", key) == -1]


# -- lifetimes -----------------------------------------------------------------------------------------------


def test_no_key_is_without_a_lifetime_after_any_call(valkey: Valkey) -> None:
    """Whatever is called in whatever order: every key that is there after a call expires by itself."""

    @settings(max_examples=examples(8, whole=200), suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(CALLS, min_size=1, max_size=15))
    def every_key_expires(calls: list[tuple[str, tuple[Any, ...]]]) -> None:
        async def audit() -> None:
            async with opened(valkey.url()) as cache:
                for name, arguments in calls:
                    await answer(cache, name, arguments)
                    assert without_lifetime(valkey) == []

        asyncio.run(audit())

    every_key_expires()


async def test_a_user_who_may_not_set_a_lifetime_writes_nothing(valkey: Valkey) -> None:
    # Given an open cache whose user then loses the right to set lifetimes
    valkey.ask("ACL", "SETUSER", "trader", "on", "nopass", "~qts:*", "+@all")
    async with opened(valkey.url(user="trader")) as cache:
        valkey.ask("ACL", "SETUSER", "trader", "-pexpire")
        # When it writes in each way there is
        for call in (cache.put([hashed()]), cache.put([levels()]), cache.count("qts:A:trades", "x", LONG)):
            with pytest.raises(InputError, match="pexpire"):
                await call
        # Then no key is there at all
        assert valkey.ask("DBSIZE") == 0
    valkey.ask("ACL", "DELUSER", "trader")


async def test_lifetimes_are_those_that_were_given(valkey: Valkey) -> None:
    async with opened(valkey.url()) as cache:
        await cache.put([hashed(ttl=5_000), levels(ttl=60_000)])
        await cache.count("qts:A:trades", "x", 70_000)
        await cache.lock("qts:A:lock", "t", 80_000)
        for key, ttl in ((PRICE, 5_000), (BOOK, 60_000), (f"{BOOK}:bid", 60_000), (f"{BOOK}:ask", 60_000)):
            assert 0 < valkey.ask("PTTL", key) <= ttl
        assert 60_000 < valkey.ask("PTTL", "qts:A:trades") <= 70_000
        assert 70_000 < valkey.ask("PTTL", "qts:A:lock") <= 80_000


async def test_levels_are_a_sorted_set_by_price(valkey: Valkey) -> None:
    async with opened(valkey.url()) as cache:
        await cache.put([levels()])
    assert valkey.ask("ZRANGE", f"{BOOK}:bid", 0, -1) == ["70900:1", "71100:5", "71200:10"]
    assert valkey.ask("ZSCORE", f"{BOOK}:ask", "71300:7") == 71_300


@pytest.fixture
def an_hour_ahead(tmp_path: Path) -> Iterator[Valkey]:
    """A server whose clock is an hour ahead of ours."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs the program cc, to put the clock of a server an hour ahead")
    source, library = tmp_path / "ahead.c", tmp_path / "ahead.so"
    source.write_text(AHEAD)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    try:
        server = Valkey(preload=library)
    except ServerUnavailable as reason:
        pytest.skip(str(reason))
    with server:
        yield server


async def test_a_server_whose_clock_is_an_hour_off_keeps_values_as_long(
    valkey: Valkey, an_hour_ahead: Valkey
) -> None:
    # Given a server whose clock is an hour ahead
    apart = int(an_hour_ahead.ask("TIME")[0]) - int(valkey.ask("TIME")[0])
    if not 3_000 < apart < 4_000:
        pytest.skip("the clock of a server cannot be changed on this system")
    async with opened(an_hour_ahead.url()) as cache:
        # When values for ten minutes and for 30 ms are written
        await cache.put([hashed(), hashed("qts:A:risk", ttl=30)])
        # Then they are there for as long as elsewhere
        assert await cache.get(PRICE) == FIELDS
        assert 0 < an_hour_ahead.ask("PTTL", PRICE) <= LONG
        await asyncio.sleep(0.04)
        assert await cache.get("qts:A:risk") is None


# -- round trips ---------------------------------------------------------------------------------------------------


async def test_many_writes_and_many_reads_are_one_round_trip_each(valkey: Valkey, valkey_proxy: Proxy) -> None:
    async with opened(valkey.url(port=valkey_proxy.port)) as cache:
        keys = [f"qts:A:price:{{{number}}}" for number in range(50)]
        for call in (
            cache.put([*(hashed(key) for key in keys), *(levels(f"{key}b") for key in keys)]),
            cache.get_many(keys),
            cache.levels(BOOK, 5),
            cache.delete(keys),
            cache.count("qts:A:trades", "x", LONG),
            cache.lock("qts:A:lock", "t", LONG),
            cache.unlock("qts:A:lock", "t"),
        ):
            before = valkey_proxy.round_trips
            await call
            assert valkey_proxy.round_trips == before + 1


async def test_a_cluster_is_written_by_node_and_told_apart_by_itself(valkey_cluster: Cluster) -> None:
    # Given the URL of one node of a cluster
    async with opened(valkey_cluster.url()) as cache:
        assert cache.server.endswith(", cluster of 3 nodes")
        # When 100 values are written
        await cache.put([hashed(f"qts:A:price:{{{number}}}") for number in range(100)])
        # Then each node has its share, and all are found
        sizes = valkey_cluster.ask("DBSIZE")
        assert sum(sizes) == 100
        assert min(sizes) > 10
        assert len(await names(cache, "qts:A:")) == 100
        assert await cache.flush("qts:A:") == 100


async def test_more_calls_than_connections_wait_for_one(valkey: Valkey, valkey_proxy: Proxy) -> None:
    # Given a cache with at most three connections
    async with opened(valkey.url(port=valkey_proxy.port), least=1, most=3) as cache:
        await cache.put([hashed()])
        # When 50 calls come at the same time
        asked = [asyncio.ensure_future(cache.get(PRICE)) for _ in range(50)]
        await asyncio.sleep(0)
        most = 0
        while not all(one.done() for one in asked):
            most = max(most, cache.pool.in_use)
            await asyncio.sleep(0)
        # Then all are answered over three connections
        assert [one.result() for one in asked] == [FIELDS] * 50
        assert most == 3
        assert valkey_proxy.accepted == 3
        assert (cache.pool.in_use, cache.pool.most) == (0, 3)


async def test_connections_are_made_before_they_are_needed(valkey: Valkey, valkey_proxy: Proxy) -> None:
    async with opened(valkey.url(port=valkey_proxy.port), least=10):
        assert valkey_proxy.accepted == 10


# -- what a server holds, forgets and refuses --------------------------------------------------------------


async def test_a_server_that_was_wiped_has_nothing_and_takes_the_next_write(valkey: Valkey) -> None:
    async with opened(valkey.url()) as cache:
        await cache.put([hashed(), levels()])
        for wipe in (("FLUSHALL",), ("SCRIPT", "FLUSH")):
            valkey.ask("FLUSHALL")
            valkey.ask(*wipe)
            assert await cache.get_many([PRICE, BOOK]) == [None, None]
            assert await cache.levels(BOOK, 3) is None
            await cache.put([hashed(), hashed(), levels()])
            assert await cache.get(PRICE) == FIELDS


async def test_a_server_that_is_full_refuses_a_write_as_a_whole(own_valkey: Valkey) -> None:
    async with opened(own_valkey.url()) as cache:
        # Given a value, and then a server without memory
        await cache.put([hashed()])
        own_valkey.ask("CONFIG", "SET", "maxmemory", "1mb")
        # When it is written again
        with pytest.raises(InputError, match="maxmemory"):
            await cache.put([hashed(fields={"bid": "1"})])
        with pytest.raises(InputError, match="maxmemory"):
            await cache.put([levels(), levels()])
        # Then the old value is there, and nothing of the new ones
        assert await cache.get(PRICE) == FIELDS
        assert await names(cache) == [PRICE]
        # When there is room again, then it is written
        own_valkey.ask("CONFIG", "SET", "maxmemory", "0")
        await cache.put([hashed(fields={"bid": "1"})])
        assert await cache.get(PRICE) == {"bid": "1"}


async def test_what_another_program_has_put_there_is_named(valkey: Valkey) -> None:
    async with opened(valkey.url()) as cache:
        valkey.ask("SET", PRICE, "x", "PX", LONG)
        with pytest.raises(InputError, match=r"wrong kind.*cache\.prefix"):
            await cache.count(PRICE, "x", LONG)
        await cache.put([hashed()])
        assert await cache.get(PRICE) == FIELDS


async def test_a_key_of_another_program_that_is_no_text_is_listed_and_flushed(valkey: Valkey) -> None:
    async with opened(valkey.url()) as cache:
        await cache.put([hashed()])
        valkey.ask("SET", b"qts:\xff", b"\xfe", "PX", LONG)  # type: ignore[arg-type]
        assert len(await names(cache, "qts:")) == 2
        assert await cache.flush("qts:") == 2
        assert valkey.ask("DBSIZE") == 0


async def test_keys_that_this_user_may_not_touch_are_named_as_such(valkey: Valkey) -> None:
    valkey.ask("ACL", "SETUSER", "trader", "on", "nopass", "~qts:A:*", "+@all")
    async with opened(valkey.url(user="trader")) as cache:
        await cache.put([hashed()])
        for call in (cache.put([hashed("qts:B:risk")]), cache.get("qts:B:risk")):
            with pytest.raises(InputError, match="No permissions to access a key; let the ACL"):
                await call
    valkey.ask("ACL", "DELUSER", "trader")


async def test_before_it_is_open_and_after_its_end_it_is_not_used(valkey: Valkey) -> None:
    from qts.cache.redis_cache import RedisCache

    cache: CacheClient = RedisCache(parse(valkey.url(), os.environ))
    assert (cache.server, cache.pool.most) == ("", 0)
    with pytest.raises(StateError, match="open"):
        await cache.get(PRICE)
    await cache.close()
