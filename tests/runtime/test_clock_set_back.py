"""A machine whose clock was set back between two processes of a session: nothing waits until it has caught up."""

from __future__ import annotations

from typing import Final

from qts.clock import NS_PER_S
from qts.execution.contracts import AckStatus, OrderState
from qts.runtime.drivers.sync import run_to_completion
from qts.strategy.contracts import Side
from tests.runtime.books_rig import PRICE, asks, session, told
from tests.runtime.rig import kst
from tests.runtime.test_recovery import Session
from tests.runtime.test_rejected_exits import offered, stops

__all__ = ["session"]
HOURS_3: Final = 3 * 3_600
"""In s: the first process runs from one o'clock on, the second one from ten."""


def test_an_exit_is_tried_again_after_its_usual_time(session: Session) -> None:
    # Given ten shares whose sale is rejected at one o'clock
    running = session.restart()
    running.buys(HOURS_3 + 1)
    session.broker.fill(running.order().client_order_id, 10, PRICE, kst(13, 0, 2))
    told(running)
    session.broker.answer = AckStatus.REJECTED
    stops(running, HOURS_3 + 4)
    assert offered(session) == [10]
    run_to_completion(running.shared.record.checkpoint())

    # When the next process begins at ten by its clock, and the broker takes sales again
    session.broker.answer = AckStatus.ACCEPTED
    again = session.restart(set_back_ns=HOURS_3 * NS_PER_S)
    for second in range(10, 160, 10):
        again.quote(second)

    # Then the sale has left within two minutes, once
    assert offered(session) == [10, 10]


def test_an_order_of_unknown_fate_is_proved_absent_in_its_usual_time(session: Session) -> None:
    # Given an order that never arrived, and of which one answer has shown so
    running = session.restart()
    session.broker.answers.append(AckStatus.UNKNOWN)
    session.broker.receives = False
    running.buys(HOURS_3 + 1)
    asks(running, HOURS_3 + 5)
    assert running.order().state is OrderState.UNKNOWN
    run_to_completion(running.shared.record.checkpoint())

    # When the next process begins at ten by its clock, and asks twice
    again = session.restart(set_back_ns=HOURS_3 * NS_PER_S)
    for second in (10, 13, 16):
        asks(again, second)

    # Then it has proved that the order never arrived, and its money is free
    assert again.order().state is OrderState.NOT_SENT
    assert again.shared.account.open_reservations == ()
    assert all(one.request.side is Side.BUY for one in session.broker.placed)
