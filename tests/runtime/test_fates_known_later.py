"""What becomes of an order is known later than its answer: by the gateway's file, by absence, or too late."""

from __future__ import annotations

from decimal import Decimal as D

from qts.execution.contracts import AckStatus, OrderAck, OrderState
from qts.execution.protective.contracts import Origin
from qts.runtime.drivers.sync import run_to_completion
from qts.strategy.contracts import Side
from tests.execution.orders import changed
from tests.runtime.books_rig import CUMULATIVE, PRICE, asks, bought, session, told, unanswered
from tests.runtime.rig import SYMBOL, kst
from tests.runtime.test_recovery import Session

__all__ = ["session"]


def test_a_sale_that_the_gateways_file_knows_never_left_is_sold_again(session: Session) -> None:
    # Given ten shares, and a sale of them that had been stored and not answered when the process was killed
    running, key = bought(session)
    session.broker.fill(key, 10, PRICE, kst(10, 0, 2))
    told(running)
    session.broker.receives = False
    running.kernel.exits.request("scripted", SYMBOL, Origin.HALTED, "a rule", kst(10, 0, 3))
    running.kernel.due.look_again()
    running.quote(4)
    (_, sale) = session.broker.placed
    sold = running.shared.orders.get(sale.request.client_order_id)
    assert sold is not None
    running.shared.orders.put(changed(sold, state=OrderState.PENDING_NEW, venue_refs=()))
    session.broker.receives = True

    # When the file says that it did not leave
    def never_left(client_order_id: str) -> OrderAck:
        return OrderAck(AckStatus.NOT_SENT, client_order_id, reason="not sent: the session ended before its turn")

    is_unknown = running.kernel.unresolved.settle_intents(never_left, kst(10, 0, 5))

    # Then none is unknown, its shares are free, and they are sold by another order
    assert not is_unknown
    settled = running.shared.orders.get(sold.client_order_id)
    assert settled is not None
    assert settled.state is OrderState.NOT_SENT
    assert running.shared.account.open_reservations == ()
    asks(running, 6)
    for second in (7, 20, 40):
        running.quote(second)
    (again,) = session.broker.placed[2:]
    assert (again.request.side, again.request.qty) == (Side.SELL, D(10))
    assert again.request.client_order_id != sold.client_order_id


def test_a_late_answer_to_an_order_that_has_left_the_memory_changes_nothing(session: Session) -> None:
    running, key = bought(session)
    before = running.order()

    running.kernel.unresolved.adopt(OrderAck(AckStatus.REJECTED, "forgotten", reason="no cash"), kst(10, 0, 2))

    assert running.order() == before
    assert before.client_order_id == key


def test_an_order_that_worked_and_that_two_answers_do_not_show_has_ended(session: Session) -> None:
    """Two answers two seconds apart; four of ten shares were executed before, and stay."""
    running, key = bought(session)
    session.broker.fill(key, 4, PRICE, kst(10, 0, 2))
    told(running)
    session.broker.shows[key] = lambda row: None
    session.broker.books.fills.clear()

    asks(running, 3)
    asks(running, 4.9)
    assert running.order().state is OrderState.PARTIAL
    asks(running, 5)

    order = running.order()
    assert (order.state, order.filled, running.held()) == (OrderState.CANCELLED, D(4), 4)
    assert "absent in two answers 2.0 s apart" in order.note
    assert running.shared.account.open_reservations == ()


def test_an_order_is_not_absent_while_a_notice_waits_that_no_list_shows(session: Session) -> None:
    """The notice names a number alone, executions are not listed, and the row of the order is not shown yet."""
    session.broker.capabilities = CUMULATIVE
    running = unanswered(session, arrives=True)
    key = running.order().client_order_id
    session.broker.shows[key] = lambda row: None
    session.broker.fill(key, 4, PRICE, kst(10, 0, 2))
    run_to_completion(running.kernel.drain())

    for second in (3, 6, 60, 120):
        asks(running, second)
    assert (running.order().state, running.held()) == (OrderState.UNKNOWN, 0)

    del session.broker.shows[key]
    asks(running, 123)
    assert (running.order().state, running.held()) == (OrderState.PARTIAL, 4)
