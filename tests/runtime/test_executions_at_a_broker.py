"""Executions in parts at a broker that is not simulated: kills, orders of unknown fate, queries that fail."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal as D
from pathlib import Path

import pytest

from qts.execution.contracts import AckStatus, OrderState
from qts.execution.executions import Execution
from qts.execution.states import ExecutionState
from qts.kit import Algo
from qts.strategy.contracts import Intent, Side
from tests.broker.scripted import NAMED
from tests.event.support import until
from tests.runtime.books_rig import BY_NUMBER
from tests.runtime.live_rig import LiveRig
from tests.runtime.rig import SYMBOL, kst
from tests.runtime.test_limits_in_real_time import S, Sessions, quote

FIVE = Intent(SYMBOL, Side.BUY, 1.0, 50, algo=Algo.twap("5m", 5))
BROKERS = {"by id": NAMED, "by number": BY_NUMBER}


def sent(sessions: Sessions) -> int:
    """The quantity of every order that the broker ever got in this process."""
    return int(sum(one.request.qty for one in sessions.broker.placed))


def fill_last(sessions: Sessions, at_ns: int, qty: int = 10) -> None:
    key = sessions.broker.placed[-1].request.client_order_id
    sessions.broker.fill(key, qty, 150_100, at_ns)


def newest(rig: LiveRig) -> Execution:
    rig.orders()
    return rig.store.executions()[-1]


async def minutes(rig: LiveRig, at_ns: int, count: int, each: Callable[[int], None] = lambda at_ns: None) -> int:
    """Let so many minutes pass, a quote every four seconds; ``each`` is called after each of them."""
    for _ in range(15 * count):
        at_ns += 4 * S
        await rig.show(quote(at_ns))
        each(at_ns)
        await rig.drain()
    return at_ns


@pytest.mark.parametrize("kind", BROKERS)
async def test_a_killed_execution_goes_on_and_sends_never_more_than_was_approved(tmp_path: Path, kind: str) -> None:
    # Given 50 shares in five parts, of which two are filled when the session is killed
    sessions = Sessions(tmp_path, BROKERS[kind])
    async with sessions.next() as rig:
        await rig.show(quote(kst(10)))
        sessions.strategy.intents.append(FIVE)
        await rig.show(quote(kst(10, 0, 1)), quote(kst(10, 0, 2)))
        fill_last(sessions, kst(10, 0, 3))
        await until(lambda: rig.kernel.counters.fills == 1)
        await minutes(rig, kst(10, 0, 3), 1)
        fill_last(sessions, kst(10, 1, 4))
        await until(lambda: rig.kernel.counters.fills == 2)
        assert (sent(sessions), newest(rig).filled) == (20, D(20))

    # When it goes on ten minutes later, and every part fills
    async with sessions.next() as rig:
        filled = 0

        def fill(at_ns: int) -> None:
            nonlocal filled
            if len(sessions.broker.placed) > filled:
                filled = len(sessions.broker.placed)
                fill_last(sessions, at_ns)

        await rig.show(quote(kst(10, 10)))
        await minutes(rig, kst(10, 10), 1, fill)
        assert sent(sessions) <= 10  # what was missed is not sent at once
        await minutes(rig, kst(10, 11), 5, fill)

        # Then the other three parts were sent, and no more
        assert sent(sessions) == 30
        assert (newest(rig).state, newest(rig).filled) == (ExecutionState.COMPLETE, D(50))
        assert sessions.broker.books.held == {SYMBOL: 50}


@pytest.mark.parametrize("kind", BROKERS)
async def test_behind_a_part_of_unknown_fate_no_other_is_sent(tmp_path: Path, kind: str) -> None:
    # Given a part that the broker took and never answered, while none of its books can be read
    sessions = Sessions(tmp_path, BROKERS[kind])
    async with sessions.next() as rig:
        await rig.show(quote(kst(10)))
        sessions.broker.answers.append(AckStatus.UNKNOWN)
        sessions.broker.holds_queries = True
        sessions.strategy.intents.append(FIVE)
        await rig.push(quote(kst(10, 0, 1)))
        await rig.until(lambda: any(one.state is OrderState.UNKNOWN for one in rig.kernel.shared.orders))

        # When three more parts come due
        for number in range(50):
            await rig.push(quote(kst(10, 0, 5) + 4 * number * S))
            await rig.kernel.run_due_work()

        # Then nothing left beside the first, which counts as a whole
        assert sent(sessions) == 10
        one = rig.kernel.executions.active[0]
        assert rig.kernel.executions.committed(one) == 10

        # And once the books are read again, it goes on with what they show
        fill_last(sessions, kst(10, 3, 30))
        sessions.broker.holds_queries = False
        sessions.broker.let_tell()
        await rig.until(lambda: rig.kernel.counters.fills == 1)
        await minutes(rig, kst(10, 3, 30), 1)
        assert sent(sessions) == 20


async def test_a_kill_behind_an_unanswered_part_counts_it_as_a_whole(tmp_path: Path) -> None:
    # Given a session that is killed while its first part waits for an answer
    sessions = Sessions(tmp_path)
    async with sessions.next() as rig:
        await rig.show(quote(kst(10)))
        sessions.broker.answers.append(AckStatus.UNKNOWN)
        sessions.strategy.intents.append(FIVE)
        await rig.push(quote(kst(10, 0, 1)))
        await rig.until(lambda: any(one.state is OrderState.UNKNOWN for one in rig.kernel.shared.orders))

    # When it goes on, then the part is one of the execution again, whatever a checkpoint knew
    async with sessions.next() as rig:
        (one,) = rig.kernel.executions.active
        assert len(one.children) == 1
        assert rig.kernel.executions.committed(one) == 10
        assert sessions.broker.placed == []
