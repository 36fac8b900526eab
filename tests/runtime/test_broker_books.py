"""Executions and ends that the broker's books show otherwise than its notices: ours become what is true."""

from __future__ import annotations

import asyncio
from decimal import Decimal as D
from pathlib import Path

import pytest
from msgspec.structs import replace

from qts.broker.contracts import BrokerOrderState
from qts.clock import NS_PER_S, PacedClock, from_ns
from qts.execution.contracts import AckStatus, BrokerDisconnect, OrderState
from qts.execution.protective.contracts import Origin
from qts.runtime.drivers import loop_session
from qts.strategy.contracts import Side
from tests.broker.scripted import NAMED, ScriptedBroker
from tests.runtime.books_rig import (
    CUMULATIVE,
    PRICE,
    asks,
    bought,
    codes,
    quote,
    reversals,
    session,
    told,
    unanswered,
)
from tests.runtime.live_rig import live
from tests.runtime.rig import SYMBOL, ScriptedStrategy, kst
from tests.runtime.test_recovery import RunningSession, Session

__all__ = ["session"]


def test_an_order_is_complete_by_our_quantity_not_by_a_row_that_shows_another(session: Session) -> None:
    """The row says that 4 of 4 were ordered and filled; we ordered ten, and the rest is filled later."""
    running, key = bought(session)
    session.broker.fill(key, 4, PRICE, kst(10, 0, 2))
    told(running)
    session.broker.shows[key] = lambda row: replace(row, qty=D(4), filled=D(4), state=BrokerOrderState.FILLED)

    for second in (4, 40, 80):
        asks(running, second)
        assert (running.order().state, running.order().filled) == (OrderState.PARTIAL, D(4))
    assert any(line.endswith("as 4 of 4 FILLED, ordered were 10") for line in codes(running, "scripted shows"))

    session.broker.fill(key, 6, PRICE, kst(10, 1, 22), told=False)
    asks(running, 83)
    assert running.order().state is OrderState.FILLED
    assert running.held() == 10


def test_a_row_of_another_quantity_takes_nothing_back(session: Session) -> None:
    session.broker.capabilities = CUMULATIVE
    running, key = bought(session)
    session.broker.fill(key, 10, PRICE, kst(10, 0, 2))
    told(running)
    session.broker.shows[key] = lambda row: replace(row, qty=D(4), filled=D(4), amount=D(4 * PRICE))

    for second in (4, 40, 80):
        asks(running, second)

    assert running.held() == 10
    assert reversals(running) == []


def test_one_notice_that_is_missing_is_found_and_said(session: Session) -> None:
    running, key = bought(session)
    session.broker.drops = 1
    session.broker.fill(key, 4, PRICE, kst(10, 0, 2))
    session.broker.fill(key, 6, PRICE, kst(10, 0, 2))

    told(running)
    assert running.held() == 6
    asks(running, 5)

    assert (running.held(), running.order().state) == (10, OrderState.FILLED)
    assert codes(running, "1 fills in the books of scripted were told by no notice")


def test_an_exit_whose_fill_was_not_told_is_not_sent_again(session: Session) -> None:
    running, key = bought(session)
    session.broker.fill(key, 10, PRICE, kst(10, 0, 2))
    told(running)
    running.kernel.exits.request("scripted", SYMBOL, Origin.HALTED, "a rule", kst(10, 0, 3))
    running.kernel.due.look_again()
    running.quote(4)
    (_, sale) = session.broker.placed
    session.broker.fill(sale.request.client_order_id, 10, 150_000, kst(10, 0, 4.5), told=False)

    for second in (5, 15, 25, 70, 130):
        running.quote(second)
        asks(running, second)

    assert len(session.broker.placed) == 2
    assert running.held() == 0


def test_an_order_ends_when_all_that_it_has_executed_is_known(session: Session) -> None:
    """The row says cancelled with 4 executed, and the execution is listed later."""
    running, key = bought(session)
    session.broker.fill(key, 4, PRICE, kst(10, 0, 2), told=False)
    session.broker.end(key, kst(10, 0, 2), told=False)
    fill = session.broker.books.fills.pop()

    asks(running, 3)
    assert running.order().state is OrderState.WORKING
    session.broker.books.fills.append(fill)
    asks(running, 6)
    asks(running, 9)

    assert (running.order().state, running.order().filled) == (OrderState.CANCELLED, D(4))
    assert running.held() == 4


def test_executions_that_the_broker_counts_and_does_not_list_raise_fs070(session: Session) -> None:
    running, key = bought(session)
    session.broker.fill(key, 4, PRICE, kst(10, 0, 2), told=False)
    session.broker.books.fills.clear()

    asks(running, 3)
    assert not codes(running, "FS070")
    asks(running, 5)
    asks(running, 8)

    assert len(codes(running, f"shows 4 of order {key} executed and has told of 0")) == 1


def test_an_order_that_ended_here_and_works_there_raises_fs070(session: Session) -> None:
    running, key = bought(session)
    session.broker.end(key, kst(10, 0, 2))
    told(running)
    assert running.order().state is OrderState.CANCELLED
    session.broker.shows[key] = lambda row: replace(row, state=row.state.OPEN)

    asks(running, 3)
    assert not codes(running, "FS070")
    asks(running, 5)
    asks(running, 8)

    assert len(codes(running, "scripted still works 10 of it")) == 1


def loses_the_line(session: Session, running: RunningSession) -> None:
    session.broker.is_up = False
    session.broker.publish(BrokerDisconnect("scripted", "cable", running.clock.time_ns()))
    told(running)


def test_entries_wait_after_a_lost_line_until_the_books_were_compared(session: Session) -> None:
    """What was executed meanwhile is booked first; exits do not wait."""
    running, key = bought(session)
    session.broker.fill(key, 10, PRICE, kst(10, 0, 2))
    told(running)
    loses_the_line(session, running)

    running.scripted.wants(Side.BUY, qty=1)
    running.quote(5)
    assert running.kernel.counters.refusals == {"BROKER_NOT_COMPARED": 1}
    session.broker.is_up = True
    running.scripted.wants(Side.BUY, qty=1)
    running.quote(6)  # the line is back, and nothing was compared since
    assert running.kernel.counters.refusals == {"BROKER_NOT_COMPARED": 2}
    running.scripted.wants(Side.SELL, qty=1)
    running.quote(7)
    assert [one.request.side for one in session.broker.placed] == [Side.BUY, Side.SELL]

    session.broker.fill(session.broker.placed[-1].request.client_order_id, 1, 150_000, kst(10, 0, 7))
    asks(running, 8)
    running.scripted.wants(Side.BUY, qty=1)
    running.quote(9)
    assert running.kernel.counters.refusals == {"BROKER_NOT_COMPARED": 2}
    assert len(session.broker.placed) == 3


def test_entries_wait_while_the_broker_cannot_be_asked(session: Session) -> None:
    running = session.restart()
    running.quote(0)
    session.broker.pages.append("500")
    asks(running, 1)

    running.buys(3)
    assert running.kernel.counters.refusals == {"BROKER_NOT_COMPARED": 1}
    asks(running, 4)
    running.buys(6)

    assert len(session.broker.placed) == 1


async def test_an_answer_to_a_question_of_before_the_loss_does_not_count(tmp_path: Path) -> None:
    broker = ScriptedBroker()
    async with live(tmp_path, strategies=[ScriptedStrategy()], settings={}, broker=broker) as rig:
        kernel = rig.kernel
        broker.holds_queries = True
        asking = asyncio.create_task(kernel.unresolved.resolve(kst(10)))
        while not broker.asked:
            await asyncio.sleep(0)
        kernel.unresolved.require_comparison("the line to scripted was lost")
        broker.holds_queries = False
        while not asking.done():
            broker.let_tell()
            await asyncio.sleep(0)

        assert kernel.unresolved.not_compared == "the line to scripted was lost"
        await kernel.unresolved.resolve(kst(10, 0, 1))
        assert kernel.unresolved.not_compared == ""


def test_a_fill_counts_once_on_whatever_ways_and_days_it_is_told(session: Session) -> None:
    """Twice by the line, in the list, after a restart, and on the next day."""
    running, key = bought(session)
    session.broker.repeats = 1
    fill = session.broker.fill(key, 4, PRICE, kst(10, 0, 2))
    told(running)
    asks(running, 4)
    assert (running.held(), running.order().state) == (4, OrderState.PARTIAL)

    again = session.restart()
    session.broker.publish(fill)
    told(again)
    asks(again, 20)
    again.clock.set_ns(kst(9, 30, day=23))
    session.broker.publish(fill)
    told(again)

    assert [int(row.qty) for row in again.ledger()] == [4]
    assert again.held() == 4
    session.broker.fill(key, 6, PRICE, kst(10, 0, 22))
    told(again)
    assert again.order().state is OrderState.FILLED, "its state goes on"


def test_a_number_that_comes_again_on_another_day_is_another_execution(session: Session) -> None:
    running, key = bought(session)
    session.broker.fill(key, 4, PRICE, kst(10, 0, 2))
    told(running)
    fill = replace(session.broker.books.fills[0], ts_ns=kst(10, 0, 2, day=23), qty=D(6))
    running.clock.set_ns(kst(10, 0, 3, day=23))

    session.broker.publish(fill)
    told(running)

    assert [(row.execution_id, int(row.qty)) for row in running.ledger()] == [("scripted-1", 4), ("scripted-1", 6)]


def test_what_is_uncertain_is_asked_for_every_second_and_the_rest_every_three(session: Session) -> None:
    running = unanswered(session, arrives=True)
    assert running.kernel.unresolved.interval_ns == NS_PER_S
    asks(running, 2)
    assert running.kernel.unresolved.interval_ns == 3 * NS_PER_S

    session.broker.capabilities = replace(NAMED, requests_per_s=1)
    assert running.kernel.unresolved.interval_ns == 30 * NS_PER_S, "a broker that takes one request a second"


async def test_a_session_on_the_loop_compares_by_itself_also_while_no_value_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every three seconds of real time; every second while an order is UNKNOWN."""
    now = [0]
    monkeypatch.setattr(loop_session, "stopwatch_ns", lambda: now[0])
    broker, scripted = ScriptedBroker(), ScriptedStrategy()

    async def no_commands() -> None:
        return None

    async with live(tmp_path, strategies=[scripted], settings={}, broker=broker) as rig:
        kernel = rig.kernel
        clock = PacedClock(from_ns(kst(10)))
        session = loop_session.LoopSession(kernel, clock, lambda share, moment: None, no_commands)

        async def is_requested(at_ms: int) -> bool:
            now[0], kernel.due.unresolved = at_ms * 1_000_000 + 10**12, False
            await session.run_periodic_work()
            return kernel.due.unresolved

        assert [await is_requested(ms) for ms in (0, 1_000, 2_999, 3_000, 4_000)] == [
            True,
            False,
            False,
            True,
            False,
        ]
        broker.answers.append(AckStatus.UNKNOWN)
        scripted.wants(Side.BUY, qty=10)
        await rig.show(quote(0))
        await rig.until(kernel.unresolved.any)
        assert [await is_requested(ms) for ms in (4_000, 4_999, 5_000, 5_999)] == [True, False, True, False]
