"""What a broker executes and never tells of, around a kill: found by itself within five seconds, and counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from qts.clock import PacedClock
from qts.execution.contracts import OrderState
from qts.runtime.drivers import loop_session
from qts.strategy.contracts import Side
from tests.broker.scripted import NAMED
from tests.runtime.books_rig import BY_NUMBER, CUMULATIVE
from tests.runtime.live_rig import LiveRig
from tests.runtime.rig import SYMBOL, kst
from tests.runtime.test_limits_in_real_time import Sessions, quote

S = 1_000_000_000
WITHIN_S = 5
BROKERS = {"by id": NAMED, "by number": BY_NUMBER, "by quantity": CUMULATIVE}
WHEN = ("before the kill", "while it is down", "after the start")


async def _no_commands() -> None:
    return None


class Loop:
    """The periodic work of a live session, every quarter of a second of a clock that the test moves."""

    def __init__(self, rig: LiveRig, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(loop_session, "stopwatch_ns", rig.clock.time_ns)  # in real time both go alike
        self._rig = rig
        self._session = loop_session.LoopSession(
            rig.kernel, PacedClock(rig.clock.now()), lambda share, moment: None, _no_commands
        )

    async def lets_pass(self, seconds: int) -> None:
        rig = self._rig
        begun_ns = rig.clock.time_ns()
        for quarter in range(4 * seconds + 1):
            rig.clock.set_ns(begun_ns + quarter * S // 4)
            await self._session.run_periodic_work()
            await rig.kernel.run_due_work()
            await rig.kernel.background.wait(60)
            await rig.drain()


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("broker", BROKERS)
async def test_an_execution_counts_against_the_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broker: str, when: str
) -> None:
    # Given a strategy that may buy the same twice, has done so once, and has an order whose execution is not told
    limits = {"repeated_executions": 2, "repeated_executions_s": 600, "duplicate_window_ms": 0}
    sessions = Sessions(tmp_path, BROKERS[broker], **limits)
    async with sessions.next() as rig:
        assert await sessions.buys(rig, kst(10))
        sessions.strategy.wants(Side.BUY, qty=1)
        await rig.show(quote(kst(10, 0, 2)))
        key = sessions.broker.placed[-1].request.client_order_id
        if when == WHEN[0]:
            sessions.broker.fill(key, 1, 150_100, kst(10, 0, 3), told=False)
        assert (rig.kernel.counters.fills, len(rig.kernel.shared.stops)) == (1, 0)
    if when == WHEN[1]:
        sessions.broker.fill(key, 1, 150_100, kst(10, 0, 3), told=False)

    # When the session was killed and goes on
    async with sessions.next() as rig:
        shared = rig.kernel.shared
        loop = Loop(rig, monkeypatch)
        await rig.show(quote(kst(10, 1)))
        await loop.lets_pass(1)
        if when == WHEN[2]:
            assert shared.account.holding("scripted", SYMBOL) == 1
            sessions.broker.fill(key, 1, 150_100, kst(10, 1, 1), told=False)
            await loop.lets_pass(WITHIN_S)

        # Then it is booked once, its order is complete, and the strategy is stopped before a third purchase
        assert [order.state for order in rig.orders()] == [OrderState.FILLED, OrderState.FILLED]
        assert shared.account.cash == sessions.broker.books.cash
        assert [one.operator for one in shared.stops] == ["limit repeated_executions"]
        await rig.show(quote(kst(10, 1, 8)))
        assert not await sessions.buys(rig, kst(10, 1, 9))
        assert shared.account.broker_positions() == sessions.broker.books.held == {SYMBOL: 2}


@pytest.mark.parametrize("when", WHEN)
async def test_what_it_has_cost_counts_in_the_result_of_the_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    # Given a strategy that may lose 1,000 won a day (0.001 % of 100,000,000), and a sale that loses 2,100
    sessions = Sessions(tmp_path, CUMULATIVE, strategy_day_loss="0.00001", duplicate_window_ms=0)
    async with sessions.next() as rig:
        assert await sessions.buys(rig, kst(10))
        sessions.strategy.wants(Side.SELL)
        await rig.show(quote(kst(10, 0, 2)))
        key = sessions.broker.placed[-1].request.client_order_id
        if when == WHEN[0]:
            sessions.broker.fill(key, 1, 148_000, kst(10, 0, 3), told=False)
    if when == WHEN[1]:
        sessions.broker.fill(key, 1, 148_000, kst(10, 0, 3), told=False)

    # When the session was killed and goes on
    async with sessions.next() as rig:
        shared = rig.kernel.shared
        loop = Loop(rig, monkeypatch)
        await rig.show(quote(kst(10, 1)))
        await loop.lets_pass(1)
        if when == WHEN[2]:
            assert shared.account.holding("scripted", SYMBOL) == 1
            sessions.broker.fill(key, 1, 148_000, kst(10, 1, 1), told=False)
            await loop.lets_pass(WITHIN_S)

        # Then it is booked, and the strategy may not buy any more today
        assert shared.account.broker_positions() == {}
        assert shared.account.cash == sessions.broker.books.cash
        await rig.show(quote(kst(10, 1, 8)))
        assert not await sessions.buys(rig, kst(10, 1, 9))
        assert "limit strategy_day_loss" in rig.orders()[-1].note
