"""A cache server that is slow, silent, refuses, dies or moves keys: calls end in time, and are right afterwards.

What is patient or not is said by the limits of a cache, so that a busy machine fails no test.
"""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress
from random import Random

import pytest

from qts.cache.redis_cache import RedisCache
from qts.errors import Unavailable
from tests.cache.servers import PATIENT_S, opened
from tests.conformance.cache import FIELDS, LONG, PRICE, hashed, levels
from tests.effort import EVERY_KILL
from tests.servers.proxy import Proxy
from tests.servers.valkey import Cluster, Valkey

SHORT_S = 0.1
"""The deadline of a call as it is outside of tests."""


async def recovered(cache: RedisCache) -> None:
    """Ask until the cache answers again; the loop ends since each call does."""
    for _ in range(200):
        with suppress(Unavailable):
            await cache.get("qts:A:none")
            return
    raise AssertionError("the cache does not answer")


# -- slow and silent -------------------------------------------------------------------------------------------


async def test_a_server_that_is_slow_but_in_time_is_waited_for(valkey: Valkey, valkey_proxy: Proxy) -> None:
    async with opened(valkey.url(port=valkey_proxy.port)) as cache:
        await cache.put([hashed()])
        valkey_proxy.delay(0.05, "down")
        assert await cache.get(PRICE) == FIELDS


@pytest.mark.parametrize("delay_s", [0.5, 5.0])
async def test_a_server_that_is_too_slow_is_left_and_its_late_answer_is_no_one_elses(
    valkey: Valkey, valkey_proxy: Proxy, delay_s: float
) -> None:
    async with opened(valkey.url(port=valkey_proxy.port), call_s=SHORT_S, connect_s=0.5) as cache:
        # Given a value, and a server that takes longer than a call may
        valkey.ask("HSET", "qts:A:other", "n", "1")
        await cache.put([hashed()])
        valkey_proxy.delay(delay_s, "up")
        # When it is written and read, then both calls have ended before the server has even had them
        with pytest.raises(Unavailable, match="within 100 ms"):
            await cache.put([hashed("qts:A:late")])
        assert valkey.ask("EXISTS", "qts:A:late") == 0
        with pytest.raises(Unavailable):
            await cache.get("qts:A:other")
        # When it is quick again, then each call has its own answer
        valkey_proxy.heal()
        await recovered(cache)
        assert [await cache.get(PRICE) for _ in range(5)] == [FIELDS] * 5
        assert cache.pool.in_use == 0


async def test_a_silent_server_costs_one_deadline_not_one_for_each_repeat(
    valkey: Valkey, valkey_proxy: Proxy
) -> None:
    async with opened(valkey.url(port=valkey_proxy.port), call_s=SHORT_S) as cache:
        # Given a server that no longer answers
        valkey_proxy.silence("down")
        before = len(valkey_proxy.statements)
        # When a call is made
        with pytest.raises(Unavailable, match="no answer within 100 ms"):
            await cache.get(PRICE)
        # Then the server had it once
        assert len([one for one in valkey_proxy.statements[before:] if PRICE in one]) == 1
        # And when the way is open again, connections that died with it are not used
        valkey_proxy.heal()
        valkey_proxy.cut()
        await recovered(cache)


async def test_a_connection_that_takes_longer_than_a_call_is_made_for_the_next_one(
    valkey: Valkey, valkey_proxy: Proxy
) -> None:
    async with opened(valkey.url(port=valkey_proxy.port), call_s=SHORT_S, least=1) as cache:
        # Given a cache that has to connect again, over a way that takes longer than a call may
        valkey_proxy.cut()
        valkey_proxy.delay(0.2, "down")
        before = valkey_proxy.accepted
        with pytest.raises(Unavailable):
            await cache.get(PRICE)
        # When calls go on, then it is that connection that answers them in the end
        valkey_proxy.heal()
        await recovered(cache)
        assert valkey_proxy.accepted == before + 1


async def test_an_answer_that_came_while_the_loop_was_held_up_is_read(valkey: Valkey) -> None:
    async with opened(valkey.url(), call_s=SHORT_S, each_s=0) as cache:
        # Given a call that is under way, whose answer comes in more than one piece
        long = {"text": "x" * 10_000}
        keys = [f"qts:A:price:{{{number}}}" for number in range(30)]
        await cache.put([hashed(key, long) for key in keys])
        asked = asyncio.ensure_future(cache.get_many(keys))
        for _ in range(3):
            await asyncio.sleep(0)
        # When the loop is held up for longer than the call may take, then the answer is there all the same
        time.sleep(0.3)
        assert await asked == [long] * 30


async def test_a_call_that_is_given_up_leaves_nothing_behind_for_the_next(valkey: Valkey) -> None:
    async with opened(valkey.url(), least=1, most=1) as cache:
        await cache.put([hashed()])
        for _ in range(20):
            asked = [asyncio.ensure_future(cache.get("qts:A:none")) for _ in range(3)]
            for _ in range(4):
                await asyncio.sleep(0)
            for one in asked:
                one.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
            assert await cache.get(PRICE) == FIELDS
        assert cache.pool.in_use == 0


async def test_calls_that_are_under_way_when_it_is_closed_end(valkey: Valkey, valkey_proxy: Proxy) -> None:
    # Given more calls than connections, none of which is answered yet
    async with opened(valkey.url(port=valkey_proxy.port), least=1, most=2) as cache:
        valkey_proxy.delay(0.3, "down")
        asked = [asyncio.ensure_future(cache.get(PRICE)) for _ in range(5)]
        await asyncio.sleep(0.01)
        # When it is closed
        await cache.close()
        # Then those that wait for a connection fail, the others are answered, and no connection is left open
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(one) for one in outcomes} <= {type(None), Unavailable}
        assert Unavailable in {type(one) for one in outcomes}


# -- refused, lost and killed ----------------------------------------------------------------------------------


async def test_a_server_that_refuses_is_asked_four_times_and_no_more(valkey: Valkey, valkey_proxy: Proxy) -> None:
    async with opened(valkey.url(port=valkey_proxy.port)) as cache:
        valkey_proxy.refuse()
        before = valkey_proxy.accepted
        with pytest.raises(Unavailable, match=r"connection was ended|connection reset"):
            await cache.get(PRICE)
        # The first try may have met its end on a connection that was there before
        assert valkey_proxy.accepted - before in (3, 4)
        valkey_proxy.heal()
        await recovered(cache)


async def test_what_was_done_and_whose_answer_was_lost_is_not_done_twice(
    valkey: Valkey, valkey_proxy: Proxy
) -> None:
    async with opened(valkey.url(port=valkey_proxy.port)) as cache:
        # Given calls that the server has carried out, whose answers are lost
        valkey_proxy.lose_answer("x-1")
        assert await cache.count("qts:A:trades", "x-1", LONG) == 1
        valkey_proxy.lose_answer("token")
        assert await cache.lock("qts:A:lock", "token", LONG)
        valkey_proxy.lose_answer(PRICE)
        await cache.put([hashed(), levels()])
        # Then each of them was done, and is there once
        assert await cache.get(PRICE) == FIELDS
        assert not await cache.lock("qts:A:lock", "another", LONG)
        assert await cache.count("qts:A:trades", "x-2", LONG) == 2


async def test_a_server_that_was_killed_and_started_again_is_used_again(own_valkey: Valkey) -> None:
    async with opened(own_valkey.url(), least=8) as cache:
        await cache.put([hashed()])
        # When it is killed, then calls say so
        own_valkey.kill()
        for call in (cache.get(PRICE), cache.put([hashed()])):
            with pytest.raises(Unavailable, match="connection refused"):
                await call
        # When it is there again, then the next call finds it, whatever connections were left
        own_valkey.start()
        assert await cache.get(PRICE) is None
        await cache.put([hashed(), levels()])
        assert await cache.get(PRICE) == FIELDS


async def test_a_server_that_is_killed_in_the_middle_of_calls_leaves_none_without_an_end(
    own_valkey: Valkey,
) -> None:
    async with opened(own_valkey.url()) as cache:
        # Given calls that come all the time
        outcomes: list[str] = []

        async def call_on() -> None:
            while "down" not in outcomes:
                try:
                    await cache.put([hashed(), levels()])
                    outcomes.append("up")
                except Unavailable:
                    outcomes.append("down")

        calling = [asyncio.ensure_future(call_on()) for _ in range(4)]
        while len(outcomes) < 20:
            await asyncio.sleep(0.001)
        # When the server is killed
        own_valkey.kill()
        # Then all of them end
        await asyncio.wait_for(asyncio.gather(*calling), PATIENT_S)
        assert cache.pool.in_use == 0


async def test_whenever_it_is_killed_each_answer_is_that_of_its_own_question(own_valkey: Valkey) -> None:
    """A server that is killed at moments drawn at random and started again, while values are written and read."""
    random = Random(7)
    ended = asyncio.Event()
    answers = {"kept": 0, "gone": 0, "away": 0}
    async with opened(own_valkey.url(), call_s=1.0, least=2) as cache:

        async def write_and_read(key: str) -> None:
            number = 0
            while not ended.is_set():
                number += 1
                try:
                    await cache.put([hashed(key, {"key": key, "number": str(number)}), levels()])
                    found, _ = await cache.get_many([key, "qts:A:none"])
                except Unavailable:
                    answers["away"] += 1
                    await asyncio.sleep(0.001)
                    continue
                answers["gone" if found is None else "kept"] += 1
                assert found in (None, {"key": key, "number": str(number)})

        working = [asyncio.ensure_future(write_and_read(f"qts:A:price:{{{name}}}")) for name in "abcd"]
        for _ in range(200 if EVERY_KILL else 6):
            await asyncio.sleep(random.random() / 20)
            await asyncio.to_thread(own_valkey.kill)
            await asyncio.to_thread(own_valkey.start)
            kept = answers["kept"]
            while answers["kept"] == kept and not any(one.done() for one in working):
                await asyncio.sleep(0.001)
        ended.set()
        await asyncio.gather(*working)
        assert min(answers["kept"], answers["away"]) > 0
        assert cache.pool.in_use == 0


async def test_a_server_that_became_a_replica_is_not_written(own_valkey: Valkey, valkey: Valkey) -> None:
    async with opened(own_valkey.url()) as cache:
        own_valkey.ask("REPLICAOF", "127.0.0.1", valkey.port)
        with pytest.raises(Unavailable, match=r"read only replica"):
            await cache.put([hashed()])
        own_valkey.ask("REPLICAOF", "NO", "ONE")
        await cache.put([hashed()])


# -- a cluster -------------------------------------------------------------------------------------------------


def keys_by_node(cluster: Cluster) -> list[str]:
    """A key of each node."""
    found: dict[int, str] = {}
    for number in range(100):
        slot = cluster.nodes[0].ask("CLUSTER", "KEYSLOT", f"{{{number}}}")
        found.setdefault(min(slot // 5_462, 2), f"qts:A:price:{{{number}}}")
    return [found[node] for node in range(3)]


async def test_a_node_that_hangs_takes_only_its_own_keys_along(valkey_cluster: Cluster) -> None:
    keys = keys_by_node(valkey_cluster)
    async with opened(valkey_cluster.url()) as cache:
        await cache.put([hashed(key) for key in keys])
    async with opened(valkey_cluster.url(), call_s=SHORT_S) as cache:
        # Given a node that does not answer, for less time than the others need to see it
        valkey_cluster.nodes[2].signal(signal.SIGSTOP)
        try:
            with pytest.raises(Unavailable, match="no answer"):
                await cache.get(keys[2])
            with pytest.raises(Unavailable, match="no answer"):
                await cache.get_many(keys)
            await recovered_at(cache, keys[:2])
        finally:
            valkey_cluster.nodes[2].signal(signal.SIGCONT)
        # When it goes on, then all are there
        await recovered_at(cache, keys)


async def test_a_node_that_was_killed_and_started_again_is_used_again(valkey_cluster: Cluster) -> None:
    keys = keys_by_node(valkey_cluster)
    async with opened(valkey_cluster.url()) as cache:
        await cache.put([hashed(key) for key in keys])
        # When a node is killed, then its keys are not to be had
        valkey_cluster.nodes[1].kill()
        with pytest.raises(Unavailable):
            await cache.get_many(keys)
        # When it is there again, then it takes the next values
        valkey_cluster.nodes[1].start()
        for _ in range(500):
            with suppress(Unavailable):
                await cache.put([hashed(key) for key in keys])
                break
            await asyncio.sleep(0.02)
        assert await cache.get_many(keys) == [FIELDS] * 3


async def recovered_at(cache: RedisCache, keys: list[str]) -> None:
    for _ in range(200):
        with suppress(Unavailable):
            assert await cache.get_many(keys) == [FIELDS] * len(keys)
            return
    raise AssertionError("the nodes do not answer")


async def test_keys_that_move_to_another_node_are_followed(valkey_cluster: Cluster) -> None:
    # Given a key of the first node whose slot is being moved to the second
    key = keys_by_node(valkey_cluster)[0]
    first, second = valkey_cluster.nodes[:2]
    slot = first.ask("CLUSTER", "KEYSLOT", key)
    ids = [node.ask("CLUSTER", "MYID") for node in (first, second)]
    async with opened(valkey_cluster.url()) as cache:
        await cache.put([hashed(key, {"bid": "1"})])
        second.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        first.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
        try:
            # When the key itself has moved, then it is read and written where it is
            first.ask("MIGRATE", "127.0.0.1", second.port, key, 0, 5_000)
            assert await cache.get(key) == {"bid": "1"}
            await cache.put([hashed(key, {"bid": "2"})])
            assert first.ask("DBSIZE") == 0
            assert await cache.get(key) == {"bid": "2"}
            # When the slot has moved, then it is found there, also among others
            for node in (second, first):
                node.ask("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
            assert await cache.get(key) == {"bid": "2"}
            await cache.put([hashed(one) for one in [key, *keys_by_node(valkey_cluster)]])
            assert await cache.get(key) == FIELDS
        finally:
            valkey_cluster.ask("FLUSHALL")
            for node in (first, second, valkey_cluster.nodes[2]):
                node.ask("CLUSTER", "SETSLOT", slot, "NODE", ids[0])
