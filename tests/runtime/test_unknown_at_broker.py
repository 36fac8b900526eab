"""Orders whose answer is missing, against the broker's books: nothing late, alike or cut short decides falsely."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from qts.clock import NS_PER_S
from qts.execution.contracts import OrderState
from qts.strategy.contracts import Side
from tests.runtime.books_rig import BY_NUMBER, LAGGING, PRICE, asks, codes, session, told, unanswered
from tests.runtime.rig import SYMBOL, kst
from tests.runtime.test_recovery import Session

__all__ = ["session"]


def test_an_order_without_a_name_is_adopted_when_it_alone_is_what_was_asked_for(session: Session) -> None:
    session.broker.capabilities = BY_NUMBER
    running = unanswered(session, arrives=True)

    asks(running, 2)

    order = running.order()
    assert (order.state, order.newest_number) == (OrderState.WORKING, "scripted-o1")
    assert len(session.broker.placed) == 1


def test_of_two_orders_alike_neither_is_taken_for_ours_and_a_person_is_told(session: Session) -> None:
    session.broker.capabilities = BY_NUMBER
    running = unanswered(session, arrives=True)
    session.broker.order_by_hand(SYMBOL, Side.BUY, 10, kst(10, 0, 1))

    for second in (2, 5, 60, 120):
        asks(running, second)

    assert running.order().state is OrderState.UNKNOWN
    assert not running.is_free()
    assert running.kernel.shared.orders.unknown(SYMBOL, Side.BUY), "its key stays closed"
    said = codes(running, "may be one of")[-1]
    assert "scripted-o1 (BUY 10 005930), scripted-o2 (BUY 10 005930)" in said


def test_an_order_of_another_quantity_is_neither_ours_nor_a_proof_of_absence(session: Session) -> None:
    """A list may show a quantity wrong; a person looks."""
    session.broker.capabilities = BY_NUMBER
    running = unanswered(session, arrives=False)
    session.broker.order_by_hand(SYMBOL, Side.BUY, 7, kst(10, 0, 1))

    for second in (2, 60, 120):
        asks(running, second)

    assert running.order().state is OrderState.UNKNOWN
    assert codes(running, "may be one of")


def test_at_a_broker_that_names_our_orders_one_without_a_name_is_never_ours(session: Session) -> None:
    running = unanswered(session, arrives=False)
    session.broker.order_by_hand(SYMBOL, Side.BUY, 10, kst(10, 0, 1))

    asks(running, 2)
    asks(running, 4)

    assert running.order().state is OrderState.NOT_SENT


def test_an_order_whose_fill_was_faster_than_its_answer_gets_its_number_later(session: Session) -> None:
    session.broker.capabilities = BY_NUMBER
    running = unanswered(session, arrives=True)
    key = running.order().client_order_id
    session.broker.fill(key, 4, PRICE, kst(10, 0, 1))
    told(running)
    assert (running.order().state, running.held()) == (OrderState.PARTIAL, 4), "its books were asked at once"
    assert running.order().newest_number == "scripted-o1"
    session.broker.end(key, kst(10, 0, 3), told=False)
    asks(running, 5)

    assert (running.order().state, running.order().filled) == (OrderState.CANCELLED, D(4))


def test_an_order_that_is_older_than_ours_is_not_ours(session: Session) -> None:
    session.broker.capabilities = BY_NUMBER
    session.broker.order_by_hand(SYMBOL, Side.BUY, 10, kst(9, 30))
    running = unanswered(session, arrives=False)

    asks(running, 2)
    asks(running, 4)

    assert running.order().state is OrderState.NOT_SENT


@pytest.mark.parametrize("lag_s", [0, 3, 9.9])
def test_absence_is_not_believed_while_the_broker_may_not_show_the_order_yet(
    session: Session, lag_s: float
) -> None:
    """The list shows the order after ``lag_s``; until then it is absent in any number of answers."""
    session.broker.capabilities = LAGGING
    running = unanswered(session, arrives=True)
    key = running.order().client_order_id
    session.broker.books.since[key] = kst(10, 0, 1) - round((10 - lag_s) * NS_PER_S)

    for second in range(2, 11):
        asks(running, second)
        expected = OrderState.WORKING if second >= 1 + lag_s else OrderState.UNKNOWN
        assert running.order().state is expected

    asks(running, 11)
    assert running.order().state is OrderState.WORKING
    assert len(session.broker.placed) == 1


def test_absence_counts_from_answers_requested_after_the_lag_and_two_seconds_apart(session: Session) -> None:
    session.broker.capabilities = LAGGING
    running = unanswered(session, arrives=False)  # at second 1

    for second in (2, 5, 10.9, 11, 12.9):
        asks(running, second)
        assert running.order().state is OrderState.UNKNOWN
    asks(running, 13)

    assert running.order().state is OrderState.NOT_SENT
    assert running.is_free()


@pytest.mark.parametrize("wrong", ["the body was empty", "500", "timed out"])
def test_a_page_that_was_not_read_is_no_absence(session: Session, wrong: str) -> None:
    running = unanswered(session, arrives=False)
    session.broker.page_rows = 1
    session.broker.order_by_hand("000660", Side.BUY, 1)
    session.broker.order_by_hand("000660", Side.BUY, 2)

    asks(running, 2)  # the first absence
    for second in (4, 6, 8):
        session.broker.pages.extend(["", "", wrong])  # executions, orders 1, orders 2
        asks(running, second)
        assert running.order().state is OrderState.UNKNOWN
    asks(running, 10)

    assert running.order().state is OrderState.NOT_SENT


def test_an_order_that_left_the_open_ones_by_being_filled_is_not_absent(session: Session) -> None:
    """Filled within 150 ms, it is in no list of open orders, and its execution is listed after eight seconds."""
    session.broker.capabilities = LAGGING
    running = unanswered(session, arrives=True)
    key = running.order().client_order_id
    session.broker.fill(key, 10, PRICE, kst(10, 0, 1.15), told=False)
    session.broker.shows[key] = lambda row: None
    session.broker.books.since[f"{key} scripted-1"] = kst(10, 0, 1.15) - 2 * NS_PER_S

    for second in (2, 4, 6, 8):
        asks(running, second)
        assert running.order().state is OrderState.UNKNOWN
    asks(running, 10)

    assert running.order().state is OrderState.FILLED
    assert running.held() == 10
