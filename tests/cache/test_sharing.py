"""Work that several callers share: begun once, ended by none of them, and forgotten when it is out of date."""

from __future__ import annotations

import asyncio
import gc

import pytest

from qts.cache.sharing import SharedWork


class Work:
    """Work that ends when its gate is opened, and counts how often it was begun."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun = 0
        self.gates: list[asyncio.Event] = []
        self.error = error

    async def __call__(self) -> int:
        self.begun += 1
        number, gate = self.begun, asyncio.Event()
        self.gates.append(gate)
        await gate.wait()
        if self.error is not None:
            raise self.error
        return number


async def begun(shared: SharedWork, work: Work) -> asyncio.Task[int]:
    caller = asyncio.ensure_future(shared.share("key", work))
    for _ in range(3):
        await asyncio.sleep(0)
    return caller


async def test_callers_at_once_share_it_and_a_later_one_begins_again() -> None:
    shared, work = SharedWork(), Work()
    callers = [await begun(shared, work) for _ in range(3)]
    work.gates[0].set()
    assert await asyncio.gather(*callers) == [1, 1, 1]
    later = await begun(shared, work)
    work.gates[1].set()

    assert await later == 2


async def test_forgotten_work_ends_for_its_callers_and_leaves_its_successor_alone() -> None:
    shared, work = SharedWork(), Work()
    first = await begun(shared, work)
    shared.forget("key")
    second = await begun(shared, work)
    work.gates[0].set()
    assert await first == 1
    third = await begun(shared, work)
    work.gates[1].set()

    assert await asyncio.gather(second, third) == [2, 2]


async def test_an_error_is_raised_to_all_callers() -> None:
    shared, work = SharedWork(), Work(ValueError("no"))
    callers = [await begun(shared, work) for _ in range(2)]
    work.gates[0].set()

    for caller in callers:
        with pytest.raises(ValueError, match="no"):
            await caller


async def test_an_error_of_work_whose_callers_are_gone_is_not_reported_by_the_loop() -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    shared, work = SharedWork(), Work(ValueError("no"))
    caller = await begun(shared, work)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    work.gates[0].set()
    for _ in range(5):
        await asyncio.sleep(0)
    gc.collect()

    assert reported == []


async def test_closing_ends_work_also_forgotten_one_and_pauses() -> None:
    shared, work = SharedWork(), Work()
    forgotten = await begun(shared, work)
    shared.forget("key")
    current = await begun(shared, work)
    pause = asyncio.ensure_future(shared.pause(3_600))
    await shared.close()
    await pause

    ends = await asyncio.gather(forgotten, current, return_exceptions=True)
    assert [type(end) for end in ends] == [asyncio.CancelledError] * 2
