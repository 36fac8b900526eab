"""Work beside the driver, and the wait for some of it."""

from __future__ import annotations

import asyncio

import pytest

from qts.errors import StorageError
from qts.runtime.background_work import BackgroundWork


async def test_who_waits_for_some_kinds_does_not_wait_for_others() -> None:
    # Given a question that is not answered, and an order that is being sent
    ended: list[str] = []
    work, let_go = BackgroundWork(lambda: ended.append("one")), asyncio.Event()

    async def asks() -> None:
        await let_go.wait()

    async def sends() -> None:
        await asyncio.sleep(0)

    work.start("command", asks())
    work.start("forced-exits", sends())
    # When the sending is waited for, Then only the question goes on
    await work.wait(60, ("forced-exits", "unknown-orders"))
    assert (ended, work.is_running("command"), work.is_running("forced-exits")) == (["one"], True, False)
    # And it is waited for with everything else
    asyncio.get_running_loop().call_soon(let_go.set)
    await work.wait(60)
    assert not work.is_busy


async def test_the_error_of_any_kind_is_raised_by_every_wait() -> None:
    work = BackgroundWork(lambda: None)

    async def fails() -> None:
        raise StorageError("the disk is full")

    work.start("command", fails())
    while work.is_busy:
        await asyncio.sleep(0)
    with pytest.raises(StorageError, match="the disk is full"):
        await work.wait(60, ("forced-exits",))
