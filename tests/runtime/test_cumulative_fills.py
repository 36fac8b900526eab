"""Executions without numbers: the quantity executed in all decides, whatever notices tell."""

from __future__ import annotations

from decimal import Decimal as D

import pytest
from msgspec.structs import replace

from qts.broker.contracts import BrokerOrder, BrokerOrderState
from qts.capital.contracts import Pool
from qts.clock import NS_PER_S
from qts.execution.contracts import Fill, Order, OrderState, VenueRef
from qts.ledger.contracts import BookingKind, BookingRow
from qts.runtime.drivers.sync import run_to_completion
from qts.runtime.orders.cumulative_fills import CumulativeFills
from qts.strategy.contracts import Side
from tests.broker.scripted import DAY
from tests.execution.orders import order_with
from tests.ledger.book import account
from tests.runtime.books_rig import CUMULATIVE, PRICE, asks, bought, codes, reversals, session, told
from tests.runtime.rig import SYMBOL, kst
from tests.runtime.test_recovery import Session

__all__ = ["session"]


def test_what_the_quantity_shows_beyond_the_notices_is_booked_at_what_it_cost(session: Session) -> None:
    """Three shares at 150,000 and three at 150,100 were not told: 900,300 won, no price of the grid."""
    session.broker.capabilities = CUMULATIVE
    running, key = bought(session)
    session.broker.fill(key, 4, PRICE, kst(10, 0, 2))
    session.broker.drops = 2
    session.broker.fill(key, 3, 150_000, kst(10, 0, 3))
    session.broker.fill(key, 3, 150_100, kst(10, 0, 3))
    told(running)

    asks(running, 5)

    rows = [(row.execution_id, int(row.qty), int(row.price)) for row in running.ledger()]
    assert rows == [("2026-01-22/scripted-o1/4", 4, 150_100), ("2026-01-22/scripted-o1/10", 6, 150_050)]
    assert (running.held(), running.order().state) == (10, OrderState.FILLED)
    assert running.shared.account.cash == session.broker.books.cash


def test_an_amount_that_no_price_divides_is_booked_to_the_won(session: Session) -> None:
    """Two at 150,000 and one at 150,100 were not told: 450,100 won, which is 2 at 150,033 and 1 at 150,034."""
    session.broker.capabilities = CUMULATIVE
    running, key = bought(session)
    session.broker.fill(key, 2, 150_000, kst(10, 0, 2), told=False)
    session.broker.fill(key, 1, 150_100, kst(10, 0, 2), told=False)

    asks(running, 5)

    assert [(int(row.qty), int(row.price)) for row in running.ledger()] == [(2, 150_033), (1, 150_034)]
    assert running.shared.account.cash == session.broker.books.cash


@pytest.mark.parametrize(
    ("end", "told_qty", "booked"), [(6, 2, [(6, 2), (4, 4), (10, 4)]), (10, 6, [(10, 6), (4, 4)])]
)
def test_what_lies_before_between_and_behind_the_notices_is_booked_in_parts(
    session: Session, end: int, told_qty: int, booked: list[tuple[int, int]]
) -> None:
    """Ten shares are executed; one notice came, which says after how many: only what it leaves open is inferred."""
    session.broker.capabilities = CUMULATIVE
    running, key = bought(session)
    for qty in (end - told_qty, told_qty, 10 - end):
        if qty:
            session.broker.fill(key, qty, PRICE, kst(10, 0, 2), told=False)
    number = f"{DAY}/scripted-o1"
    ids = ("scripted", f"{number}/{end}", key, SYMBOL, Side.BUY)
    session.broker.publish(Fill(*ids, D(told_qty), D(PRICE), D(0), D(0), kst(10, 0, 2), False))
    told(running)

    asks(running, 5)

    assert [(row.execution_id, int(row.qty), int(row.price)) for row in running.ledger()] == [
        (f"{number}/{after}", qty, PRICE) for after, qty in booked
    ]
    assert (running.held(), running.order().state) == (10, OrderState.FILLED)
    assert running.shared.account.cash == session.broker.books.cash


@pytest.mark.parametrize("late", [0, 1])
def test_a_notice_of_what_was_inferred_adds_nothing(session: Session, late: int) -> None:
    session.broker.capabilities = CUMULATIVE
    running, key = bought(session)
    session.broker.holds_notices = True
    for qty in (4, 6):
        session.broker.fill(key, qty, PRICE, kst(10, 0, 2))
    session.broker.let_notice(1 - late)  # one is told; the other is overtaken by the comparison
    told(running)
    asks(running, 5)
    assert running.held() == 10

    session.broker.let_notice()
    told(running)
    asks(running, 8)
    asks(running, 11)

    assert (running.held(), running.order().filled, reversals(running)) == (10, D(10), [])


def test_a_notice_that_waits_to_be_handled_is_not_inferred_as_well(session: Session) -> None:
    session.broker.capabilities = CUMULATIVE
    running, key = bought(session)
    session.broker.fill(key, 4, PRICE, kst(10, 0, 2))
    session.broker.fill(key, 6, PRICE, kst(10, 0, 2))

    asks(running, 3, drained=False)
    told(running)
    asks(running, 6)

    assert [int(row.qty) for row in running.ledger()] == [4, 6]
    assert running.held() == 10
    assert [row.code for row in running.shared.safety.history] == [], "nothing was odd"


@pytest.mark.parametrize("order", [(0, 0), (1, 0)])
def test_notices_of_parts_of_what_was_inferred_add_nothing(session: Session, order: tuple[int, int]) -> None:
    """Six shares are inferred as one execution; then come the notices of three and three."""
    session.broker.capabilities = CUMULATIVE
    running, key = bought(session)
    session.broker.fill(key, 4, PRICE, kst(10, 0, 2))
    session.broker.holds_notices = True
    for _ in range(2):
        session.broker.fill(key, 3, PRICE, kst(10, 0, 2))
    told(running)
    asks(running, 5)
    for number in order:
        session.broker.let_notice(number)
        told(running)
    asks(running, 8)

    assert [int(row.qty) for row in running.ledger()] == [4, 6]
    assert (running.held(), reversals(running)) == (10, [])


@pytest.mark.parametrize("shown", [7, 4])
def test_less_than_is_booked_is_taken_back_after_two_readings(session: Session, shown: int) -> None:
    session.broker.capabilities = CUMULATIVE
    running, key = bought(session)
    for qty in (4, 6):
        session.broker.fill(key, qty, PRICE, kst(10, 0, 2))
    told(running)
    session.broker.shows[key] = lambda row: replace(row, filled=D(shown), amount=D(shown * PRICE))

    asks(running, 4)
    asks(running, 5.9)
    assert (running.held(), reversals(running)) == (10, [])
    asks(running, 6)

    assert (running.held(), reversals(running)) == (shown, [-6])
    assert [(row.execution_id, int(row.qty)) for row in running.ledger()] == [
        ("2026-01-22/scripted-o1/4", 4),
        ("2026-01-22/scripted-o1/10", 6),
        *([("2026-01-22/scripted-o1/7", 3)] if shown == 7 else []),
    ]
    assert codes(running, "FS041")
    for second in (9, 12, 15):  # and it stays so, also behind a restart
        asks(running, second)
    again = session.restart()
    asks(again, 20)
    asks(again, 30)
    assert (again.held(), reversals(again)) == (shown, [-6])

    del session.broker.shows[key]  # and the shares are there again
    asks(again, 40)
    assert (again.held(), again.ledger()[-1].execution_id) == (10, "2026-01-22/scripted-o1/10#2")
    assert again.shared.account.cash == session.broker.books.cash
    assert not codes(again, "FS070"), "no more was executed than ordered"
    run_to_completion(again.kernel.auditor.run_full_audit(kst(10, 1)))
    assert [name for name, one in again.kernel.invariants.summary().items() if one["ok"] is False] == []


def test_a_reading_that_shows_less_for_a_while_takes_nothing_back(session: Session) -> None:
    session.broker.capabilities = replace(CUMULATIVE, visibility_lag_ns=10 * NS_PER_S)
    running, key = bought(session)
    session.broker.fill(key, 10, PRICE, kst(10, 0, 2))
    told(running)
    session.broker.shows[key] = lambda row: replace(row, filled=D(0), amount=D(0))
    for second in (3, 6, 9, 12):
        asks(running, second)
    del session.broker.shows[key]
    for second in (15, 18, 30):
        asks(running, second)

    assert (running.held(), reversals(running), codes(running, "FS041")) == (10, [], [])


def test_what_was_executed_while_the_session_was_down_is_found(session: Session) -> None:
    session.broker.capabilities = CUMULATIVE
    running, key = bought(session)
    session.broker.fill(key, 4, PRICE, kst(10, 0, 2))
    told(running)
    run_to_completion(running.shared.record.checkpoint())
    session.kill()
    session.broker.fill(key, 6, PRICE, kst(10, 0, 3), told=False)

    again = session.restart()
    asks(again, 10)

    assert (again.held(), again.order().state) == (10, OrderState.FILLED)
    assert again.shared.account.cash == session.broker.books.cash


# -- alone


def alone() -> CumulativeFills:
    return CumulativeFills(account(), "b", 0)


def notice(execution_id: str) -> Fill:
    return Fill("b", execution_id, "o", "BTC", Side.BUY, D(1), D(100), D(0), D(0), kst(10), False)


def of_a_coin() -> Order:
    fields = {"client_order_id": "o", "symbol": "BTC", "side": Side.BUY, "qty": D(1), "decision_price": D(100)}
    return order_with(**fields, venue_refs=(VenueRef(DAY, "7", "v"),))


def test_an_id_of_another_kind_is_the_broker_s_own_and_stays() -> None:
    fill = notice("execution 7")

    assert alone().told(fill, of_a_coin()) == fill


def test_a_fraction_is_booked_at_the_average_of_what_it_cost() -> None:
    """0.3 coins cost 100, no two prices of whole won make that: each has cost 333.33…"""
    row = BrokerOrder(
        None, VenueRef(DAY, "7", "v"), "BTC", Side.BUY, D(1), D("0.3"), BrokerOrderState.OPEN, amount=D(100)
    )

    (booked,) = alone().reports(of_a_coin(), row, kst(10))

    assert isinstance(booked, Fill)
    assert (booked.qty, booked.execution_id) == (D("0.3"), f"{DAY}/7/0.3")
    assert round(booked.price, 9) == D("333.333333333")


def test_the_orders_of_which_something_was_taken_back_are_the_newest_thousand() -> None:
    fills, zero = alone(), D(0)
    for number in range(1_001):
        money = (zero,) * 7
        ids = ("b", f"o{number}", "e", DAY.isoformat(), "broker", "bust", "")
        fills.on_booking(BookingRow(BookingKind.REVERSAL, 1, Pool.SCALP, "s", "BTC", *money, *ids))

    kept = fills.export_state()["taken_back"]
    assert (len(kept), kept[0], kept[-1]) == (1_000, "o1", "o1000")
