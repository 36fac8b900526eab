"""What differs between a broker's books and ours is said, one sentence for each; what is being sent is none."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal as D

import pytest
from msgspec.structs import replace

from qts.broker.contracts import Balance, BrokerOrder, BrokerOrderState
from qts.execution.contracts import Order, OrderState
from qts.runtime.drivers.sync import run_to_completion
from qts.runtime.orders.book_differences import compared, differences
from qts.runtime.orders.broker_books import BrokerBooks, read_books
from qts.strategy.contracts import Side
from tests.execution.orders import changed
from tests.runtime.books_rig import PRICE, bought, session, told
from tests.runtime.rig import SYMBOL, kst
from tests.runtime.test_recovery import RunningSession, Session

__all__ = ["session"]


def books_of(running: RunningSession) -> BrokerBooks:
    return run_to_completion(read_books(running.kernel.broker, lambda fill: fill))


def said(running: RunningSession, books: BrokerBooks) -> list[str]:
    shared = running.shared
    return differences(books, running.kernel.broker, shared.account, shared.orders, "KRW")


def with_row(books: BrokerBooks, change: Callable[[BrokerOrder], BrokerOrder]) -> BrokerBooks:
    return books._replace(orders=[change(row) for row in books.orders])


def put(running: RunningSession, **fields: object) -> Order:
    order = changed(running.order(), **fields)
    running.shared.orders.put(order)
    return order


def test_books_that_agree_have_none_also_with_an_order_of_a_person(session: Session) -> None:
    running, key = bought(session)
    session.broker.fill(key, 4, PRICE, kst(10, 0, 2))
    told(running)
    session.broker.order_by_hand("000660", Side.BUY, 1, kst(10, 0, 2))
    books, shared = books_of(running), running.shared

    assert said(running, books) == []
    assert compared(books, running.kernel.broker, shared.account, shared.orders, "KRW") == [
        "orders: 1 open here, 2 at scripted, 1 of them not ours",
        "executions of the day: 1 listed at scripted",
        "shares: 1 symbol, 1 of ours, 0 of EXTERNAL",
        "cash: 99,399,600 KRW settled at scripted, 99,399,600 of it ours, 0 not",
    ]


def test_an_execution_that_is_not_booked_is_named(session: Session) -> None:
    running, key = bought(session)
    session.broker.fill(key, 4, PRICE, kst(10, 0, 2), told=False)

    shares, execution, order, cash = said(running, books_of(running))
    assert shares == f"{SYMBOL}: 4 at scripted, 0 here: 0 of the strategies, 0 of EXTERNAL"
    assert execution.endswith(f"of order {key}: BUY 4 {SYMBOL} at 150100 is at scripted and not booked here")
    assert order == f"order {key} (BUY 10 {SYMBOL}): 0 executed here, 4 at scripted"
    assert cash == "cash: 99,399,600 KRW settled at scripted, the pools have 100,000,000"


@pytest.mark.parametrize("state", [OrderState.INTENT, OrderState.PENDING_NEW])
def test_an_order_that_is_being_sent_is_none(session: Session, state: OrderState) -> None:
    running, _ = bought(session)
    put(running, state=state)

    assert said(running, books_of(running)._replace(orders=[])) == []


def test_an_order_of_unknown_fate_is_one(session: Session) -> None:
    running, key = bought(session)
    put(running, state=OrderState.UNKNOWN)

    assert said(running, books_of(running)) == [f"order {key} (BUY 10 {SYMBOL}): its fate is unknown"]


def test_an_order_that_is_open_here_and_not_there(session: Session) -> None:
    running, key = bought(session)
    books = books_of(running)
    ended = with_row(books, lambda row: replace(row, state=BrokerOrderState.CANCELLED))

    name = f"order {key} (BUY 10 {SYMBOL})"
    assert said(running, books._replace(orders=[])) == [f"{name}: WORKING here, not listed at scripted"]
    assert said(running, ended) == [f"{name}: WORKING here, CANCELLED at scripted"]


def test_an_order_that_is_open_there_and_not_here(session: Session) -> None:
    running, key = bought(session)
    put(running, state=OrderState.CANCELLED)

    name = f"order {key} (BUY 10 {SYMBOL})"
    assert said(running, books_of(running)) == [f"{name}: CANCELLED here, open at scripted"]


def test_quantities_of_an_order_that_differ(session: Session) -> None:
    running, key = bought(session)
    books = books_of(running)

    executed = said(running, with_row(books, lambda row: replace(row, filled=D(4))))
    ordered = said(running, with_row(books, lambda row: replace(row, qty=D(12))))

    assert executed == [f"order {key} (BUY 10 {SYMBOL}): 0 executed here, 4 at scripted"]
    assert ordered == [f"order {key}: 12 ordered at scripted, 10 here"]


def test_cash_that_is_missing_there_is_one_and_what_is_not_told_is_none(session: Session) -> None:
    running, _ = bought(session)
    books, ours = books_of(running), running.shared.account.cash
    short, more, untold = (Balance("KRW", cash, cash) for cash in (ours - 1, ours + 1, None))

    assert said(running, books._replace(balance=short)) == [
        f"cash: {ours - 1:,f} KRW settled at scripted, the pools have {ours:,f}"
    ]
    assert said(running, books._replace(balance=more)) == []
    for balance in (untold, None):
        assert said(running, books._replace(balance=balance)) == []
        shared = running.shared
        lines = compared(
            books._replace(balance=balance), running.kernel.broker, shared.account, shared.orders, "KRW"
        )
        assert lines[-1].startswith("cash: not compared: broker scripted ")
