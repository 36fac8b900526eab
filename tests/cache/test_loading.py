"""Loads of a cache: one for a stampede, in a process and over processes, and a loader that died holds no one."""

from __future__ import annotations

import asyncio

import pytest

from qts.cache import manager as manager_module
from qts.cache.contracts import Kind, PositionValue
from qts.cache.manager import CacheManager
from qts.errors import StorageError
from tests.cache.rig import SYMBOL, CountedSource, clock_at, manager_of, position
from tests.cache.scripted import ScriptedClient

KEY = "qts:A1:pos:{005930}"
LOCK = "qts:A1:lock:pos:{005930}"


class Processes:
    """Managers that stand for processes: they share the cache and a source, and nothing else."""

    def __init__(self, count: int) -> None:
        self.clock = clock_at()
        self.client = ScriptedClient(self.clock)
        self.source = CountedSource(position(50))
        self.managers = [
            manager_of(self.client, self.clock, sources={Kind.POSITION: self.source}) for _ in range(count)
        ]

    async def until_loading(self) -> None:
        while not self.source.calls:
            await asyncio.sleep(0)


def reads_of(manager: CacheManager, count: int) -> list[asyncio.Task[PositionValue | None]]:
    return [asyncio.ensure_future(manager.get(PositionValue, SYMBOL)) for _ in range(count)]


async def test_fifty_reads_of_one_key_are_one_load() -> None:
    processes = Processes(1)

    found = await asyncio.gather(*reads_of(processes.managers[0], 50))

    assert found == [position(50)] * 50
    assert processes.source.calls == 1
    assert processes.client.asked["put"] == 1


async def test_fifty_reads_while_the_cache_is_away_are_one_load() -> None:
    processes = Processes(1)
    processes.client.down = True
    processes.source.gate.clear()
    reads = reads_of(processes.managers[0], 50)
    await processes.until_loading()
    await asyncio.sleep(0.01)
    processes.source.gate.set()

    assert await asyncio.gather(*reads) == [position(50)] * 50
    assert processes.source.calls == 1


async def test_reads_of_two_processes_are_one_load() -> None:
    processes = Processes(2)
    processes.source.gate.clear()
    reads = [read for manager in processes.managers for read in reads_of(manager, 5)]
    await processes.until_loading()
    await asyncio.sleep(0.05)  # the other process finds the lock taken, and waits
    processes.source.gate.set()

    assert await asyncio.gather(*reads) == [position(50)] * 10
    assert processes.source.calls == 1
    assert processes.client.locks == {}


async def test_a_loader_that_fails_lets_the_other_process_load() -> None:
    processes = Processes(2)
    processes.source.gate.clear()
    first, second = (reads_of(manager, 1)[0] for manager in processes.managers)
    await processes.until_loading()
    processes.source.value = StorageError("away")
    processes.source.gate.set()

    with pytest.raises(StorageError):
        await first
    processes.source.value = position(60)
    assert await second == position(60)
    assert processes.source.calls == 2


async def test_a_loader_that_was_killed_holds_no_one_longer_than_its_lock_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(manager_module, "POLL_S", 0.001)
    processes = Processes(1)
    await processes.client.lock(LOCK, "of a process that is gone", 500)
    asked_before = processes.client.asked["lock"]

    assert await processes.managers[0].get(PositionValue, SYMBOL) == position(50)
    assert processes.client.asked["lock"] - asked_before == 500  # each after a wait of 1 ms
    assert processes.client.locks[LOCK][0] == "of a process that is gone"


async def test_a_loader_whose_lock_ran_out_is_followed_by_one_with_a_lock() -> None:
    processes = Processes(1)
    await processes.client.lock(LOCK, "of a process that is gone", 500)
    (read,) = reads_of(processes.managers[0], 1)
    await asyncio.sleep(0.03)
    assert processes.source.calls == 0
    processes.clock.set_ns(processes.clock.time_ns() + 500 * 10**6)

    assert await read == position(50)
    assert processes.client.locks == {}


async def test_a_lock_of_another_one_is_not_let_go_of() -> None:
    processes = Processes(1)
    processes.source.gate.clear()
    (read,) = reads_of(processes.managers[0], 1)
    await processes.until_loading()
    processes.client.locks[LOCK] = ("of another process, after ours ran out", 2**63)
    processes.source.gate.set()
    await read

    assert processes.client.locks[LOCK][0] == "of another process, after ours ran out"


async def test_the_cache_failing_while_a_read_waits_for_another_process_ends_the_wait() -> None:
    processes = Processes(1)
    await processes.client.lock(LOCK, "of another process", 500)
    (read,) = reads_of(processes.managers[0], 1)
    await asyncio.sleep(0.03)
    processes.client.down = True

    assert await read == position(50)


async def test_what_a_load_writes_does_not_replace_a_value_that_came_meanwhile() -> None:
    processes = Processes(2)
    processes.source.gate.clear()
    (read,) = reads_of(processes.managers[0], 1)
    await processes.until_loading()
    await processes.managers[1].put([(SYMBOL, position(70))])
    processes.source.gate.set()

    assert await read == position(50)
    assert processes.client.hashes[KEY]["qty"] == "70"


async def test_a_load_from_before_an_invalidation_is_not_written_and_not_shared_with_later_reads() -> None:
    processes = Processes(1)
    manager = processes.managers[0]
    processes.source.gate.clear()
    (before,) = reads_of(manager, 1)
    await processes.until_loading()
    await manager.invalidate(Kind.POSITION, SYMBOL)
    processes.client.locks.clear()  # so that the later read need not wait for it
    (after,) = reads_of(manager, 1)
    while processes.source.calls < 2:
        await asyncio.sleep(0)
    assert KEY not in processes.client.hashes
    processes.source.gate.set()

    assert await asyncio.gather(before, after) == [position(50)] * 2
    assert processes.client.asked["put"] == 1


async def test_a_read_that_is_cancelled_leaves_the_load_to_the_others() -> None:
    processes = Processes(1)
    processes.source.gate.clear()
    gone, kept = reads_of(processes.managers[0], 2)
    await processes.until_loading()
    gone.cancel()
    processes.source.gate.set()

    assert await kept == position(50)
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert processes.source.calls == 1


async def test_an_error_of_a_load_that_no_one_waits_for_any_more_is_no_noise() -> None:
    processes = Processes(1)
    processes.source.value = StorageError("away")
    processes.source.gate.clear()
    (gone,) = reads_of(processes.managers[0], 1)
    await processes.until_loading()
    gone.cancel()
    processes.source.gate.set()
    while processes.client.locks:
        await asyncio.sleep(0)

    assert await processes.managers[0].invalidate(Kind.POSITION, SYMBOL)


async def test_of_many_that_lack_sixteen_are_loaded_at_once() -> None:
    processes = Processes(1)
    processes.source.gate.clear()
    names = [str(number) for number in range(40)]
    reading = asyncio.ensure_future(processes.managers[0].read_many(PositionValue, names))
    await processes.until_loading()
    for _ in range(100):
        await asyncio.sleep(0)
    assert processes.source.calls == 16
    processes.source.gate.set()

    assert [one.value for one in await reading] == [position(50)] * 40
    assert processes.source.calls == 40


async def test_closing_ends_loads_and_waits() -> None:
    processes = Processes(2)
    processes.source.gate.clear()
    loading = reads_of(processes.managers[0], 1)
    await processes.until_loading()
    waiting = reads_of(processes.managers[1], 1)
    await asyncio.sleep(0.03)
    for manager in processes.managers:
        await manager.close()

    for read in (*loading, *waiting):
        with pytest.raises(asyncio.CancelledError):
            await read
    assert processes.client.asked["close"] == 2
