"""Escapes at a real broker: nothing is sold before its books were read, and nothing is over before they show it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qts.execution.protective.contracts import Origin
from qts.runtime.drivers.sync import run_to_completion
from qts.strategy.contracts import Side
from tests.runtime.books_rig import PRICE, bought, told
from tests.runtime.rig import SYMBOL, kst
from tests.runtime.test_recovery import RunningSession, Session
from tests.runtime.test_short_holdings import InPortfolio

KEY = ("scripted", SYMBOL)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = Session(tmp_path)
    made.strategy = InPortfolio
    yield made
    made.kill()


def sales(session: Session) -> list[int]:
    return [int(one.request.qty) for one in session.broker.placed if one.request.side is Side.SELL]


def reads_the_books(running: RunningSession, second: float) -> None:
    running.clock.set_ns(max(running.clock.time_ns(), kst(10, 0, second)))
    running.kernel.due.resolve_soon()
    run_to_completion(running.kernel.drain())


def holds_ten(session: Session) -> RunningSession:
    running, buy = bought(session)
    session.broker.fill(buy, 10, PRICE, kst(10, 0, 2))
    told(running)
    assert running.held() == 10
    return running


def escapes(running: RunningSession, second: float) -> None:
    running.kernel.exits.request(*KEY, Origin.ESCAPE, "an adjustment took too long", kst(10, 0, second))
    running.kernel.due.pending = True


def test_after_a_restart_it_sells_when_the_books_were_read_and_not_before(session: Session) -> None:
    # Given an escape that a checkpoint has and that has sold nothing, and a killed session
    running = holds_ten(session)
    session.broker.is_up = False
    running.kernel.exits.request_soon(*KEY, Origin.ESCAPE, "an adjustment took too long", kst(10, 0, 3))
    running.kernel.due.run_calls()
    run_to_completion(running.shared.record.checkpoint())
    assert sales(session) == []
    # When it goes on and cannot read the broker's books
    running = session.restart()
    for second in (70, 140, 210):
        running.quote(second)
    # Then nothing is sold, and that is what it waits for
    (request,) = running.shared.protective.of(KEY)
    assert (sales(session), "books" in request.why) == ([], True)
    # When they are read, it sells; when they show that nothing is left, it is over
    session.broker.is_up = True
    reads_the_books(running, 211)
    assert sales(session) == [10]
    session.broker.fill(session.broker.placed[-1].request.client_order_id, 10, PRICE, kst(10, 0, 212))
    session.broker.is_up = False
    told(running)
    running.quote(280)
    assert (running.held(), len(running.shared.protective)) == (0, 1)
    session.broker.is_up = True
    reads_the_books(running, 281)
    assert len(running.shared.protective) == 0


def test_a_buy_that_was_executed_and_never_told_is_found_before_anything_is_sold(session: Session) -> None:
    # Given ten shares, and a bid for five of which three were executed without a word before it was cancelled
    running = holds_ten(session)
    running.scripted.wants(Side.BUY, qty=5, limit=149_000)
    running.quote(3)
    bid = session.broker.placed[-1].request.client_order_id
    session.broker.fill(bid, 3, 149_000, kst(10, 0, 3.5), told=False)
    # When the holding is left
    escapes(running, 4)
    running.quote(4)
    assert session.broker.cancels == [bid]
    assert sales(session) == []
    session.broker.end(bid, kst(10, 0, 5))
    told(running)
    running.quote(6)
    reads_the_books(running, 7)
    # Then all thirteen are sold, in one order
    assert (running.held(), sales(session)) == (13, [13])
