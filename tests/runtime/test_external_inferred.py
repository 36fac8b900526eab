"""Trades of a person that no notice told, where executions have no numbers: the rows of their orders tell them.

They are EXTERNAL, priced by what the row says was paid, and booked when two readings have shown them that are two
seconds or the broker's lag apart.
"""

from __future__ import annotations

from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from qts.clock import NS_PER_S
from qts.execution.contracts import OrderState
from qts.ledger.contracts import BookingKind
from qts.runtime.drivers.sync import run_to_completion
from qts.strategy.contracts import Side
from tests.broker.scripted import ScriptedBroker
from tests.effort import examples
from tests.runtime.books_rig import (
    CUMULATIVE,
    PRICE,
    asks,
    bought,
    reversals,
    session,
    told,
    unanswered,
)
from tests.runtime.rig import SYMBOL, kst
from tests.runtime.test_recovery import RunningSession, Session

__all__ = ["session"]


def external(running: RunningSession) -> list[tuple[str, int, int]]:
    """Return reference, signed shares and price of what is stored of others' executions."""
    run_to_completion(running.shared.record.checkpoint())
    rows = [row for row in running.store.bookings() if row.kind is BookingKind.EXTERNAL_FILL]
    return [(row.reference, int(row.qty), int(row.price)) for row in rows]


def agrees(running: RunningSession, session: Session) -> bool:
    """Return whether strategies and EXTERNAL have together what the broker has."""
    held = {symbol: qty for symbol, qty in session.broker.books.held.items() if qty}
    return held == running.shared.account.broker_positions()


def test_what_a_person_traded_and_no_notice_told_is_external_after_two_readings(session: Session) -> None:
    """Three shares at 150,000 and three at 150,100 were bought: 900,300 won, 150,050 each."""
    session.broker.capabilities = CUMULATIVE
    running, _ = bought(session)
    cash = running.shared.account.cash
    theirs = session.broker.order_by_hand(SYMBOL, Side.BUY, 6, kst(10, 0, 2))
    session.broker.fill(theirs, 3, 150_000, kst(10, 0, 2), told=False)
    session.broker.fill(theirs, 3, 150_100, kst(10, 0, 2), told=False)

    asks(running, 3)
    asks(running, 4.9)
    assert external(running) == [], "one reading, and another too soon after it"
    asks(running, 5)

    assert external(running) == [("2026-01-22/scripted-o2/6", 6, 150_050)]
    (said,) = [row.reason for row in running.shared.safety.history if row.code == "AN030"]
    assert "order 2026-01-22/scripted-o2 is not ours" in said
    assert "which no notice told" in said
    assert (running.held(), running.shared.account.cash) == (0, cash), "nothing of it is ours"
    assert agrees(running, session)
    for second in (8, 11, 14):
        asks(running, second)
    assert len(external(running)) == 1


def test_nothing_is_inferred_before_the_lag_of_the_broker_is_over(session: Session) -> None:
    session.broker.capabilities = replace(CUMULATIVE, visibility_lag_ns=10 * NS_PER_S)
    running, _ = bought(session)
    theirs = session.broker.order_by_hand(SYMBOL, Side.SELL, 3, kst(9, 59))
    session.broker.fill(theirs, 3, PRICE, kst(10, 0, 2), told=False)

    asks(running, 12)
    asks(running, 21.9)
    assert external(running) == []
    asks(running, 22)

    assert external(running) == [("2026-01-22/scripted-o2/3", -3, PRICE)]


def test_beside_what_notices_told_only_the_rest_is_inferred(session: Session) -> None:
    """Four shares at 150,000 were told; of 900,600 won the other two have cost 300,600, 150,300 each."""
    session.broker.capabilities = CUMULATIVE
    running, _ = bought(session)
    theirs = session.broker.order_by_hand(SYMBOL, Side.BUY, 6, kst(10, 0, 2))
    session.broker.fill(theirs, 4, 150_000, kst(10, 0, 2))
    session.broker.fill(theirs, 2, 150_300, kst(10, 0, 2), told=False)
    told(running)

    for second in (3, 6):
        asks(running, second)

    assert external(running) == [
        ("2026-01-22/scripted-o2/4", 4, 150_000),
        ("2026-01-22/scripted-o2/6", 2, 150_300),
    ]


def test_a_notice_in_between_leaves_less_to_infer_and_a_later_one_adds_nothing(
    session: Session,
) -> None:
    session.broker.capabilities = CUMULATIVE
    running, _ = bought(session)
    session.broker.holds_notices = True
    theirs = session.broker.order_by_hand(SYMBOL, Side.BUY, 6, kst(10, 0, 2))
    session.broker.fill(theirs, 2, PRICE, kst(10, 0, 2))
    session.broker.fill(theirs, 4, PRICE, kst(10, 0, 2))
    asks(running, 3)
    session.broker.let_notice(0)
    told(running)
    asks(running, 6)
    assert [qty for _, qty, _ in external(running)] == [2, 4], "the second is inferred"

    session.broker.let_notice(0)
    told(running)
    for second in (9, 12):
        asks(running, second)

    assert [qty for _, qty, _ in external(running)] == [2, 4]
    assert agrees(running, session)
    # And what is executed afterwards is told and booked as ever
    more = session.broker.order_by_hand(SYMBOL, Side.BUY, 5, kst(10, 0, 13))
    session.broker.fill(more, 5, PRICE, kst(10, 0, 13))
    session.broker.let_notice()
    told(running)
    asks(running, 14)
    assert agrees(running, session)


def test_a_changed_order_of_a_person_is_one_order(session: Session) -> None:
    """Two shares were told under its first number; two more, under its second, were not."""
    session.broker.capabilities = CUMULATIVE
    running, _ = bought(session)
    theirs = session.broker.order_by_hand(SYMBOL, Side.BUY, 6, kst(10, 0, 2))
    session.broker.fill(theirs, 2, PRICE, kst(10, 0, 2))
    told(running)
    session.broker.books.renumber(theirs)
    session.broker.holds_notices = True
    session.broker.fill(theirs, 2, PRICE, kst(10, 0, 3))

    for second in (4, 6):
        asks(running, second)
    assert [qty for _, qty, _ in external(running)] == [2, 2]
    session.broker.let_notice()  # by the second number
    told(running)
    for second in (7, 10):
        asks(running, second)

    assert [qty for _, qty, _ in external(running)] == [2, 2]
    assert agrees(running, session)


def test_what_was_executed_before_the_account_was_adopted_is_in_its_opening(session: Session) -> None:
    """Four of six shares before the first start, two after it."""
    broker = session.broker
    broker.capabilities = CUMULATIVE
    theirs = broker.order_by_hand(SYMBOL, Side.BUY, 6, kst(9, 0, 1))
    broker.fill(theirs, 4, 150_000, kst(9, 0, 1), told=False)
    broker.books.cash = D(100_000_000)
    running, _ = bought(session)
    for second in (3, 6):
        asks(running, second)
    assert external(running) == []
    assert agrees(running, session)

    broker.fill(theirs, 2, 150_200, kst(10, 0, 7), told=False)
    asks(running, 8)
    again = session.restart()
    for second in (11, 14):
        asks(again, second)

    assert external(again) == [("2026-01-22/scripted-o1/6", 2, 150_200)]
    assert agrees(again, session)


def test_a_kill_between_the_readings_loses_and_doubles_nothing(session: Session) -> None:
    session.broker.capabilities = CUMULATIVE
    running, _ = bought(session)
    theirs = session.broker.order_by_hand(SYMBOL, Side.BUY, 6, kst(10, 0, 2))
    session.broker.fill(theirs, 6, PRICE, kst(10, 0, 2), told=False)
    asks(running, 3)
    for second in (6, 9):
        running = session.restart()
        asks(running, second)
        asks(running, second + 2)

    assert [qty for _, qty, _ in external(running)] == [6]
    running = session.restart()
    for second in (20, 23):
        asks(running, second)
    assert [qty for _, qty, _ in external(running)] == [6]
    assert agrees(running, session)


def test_an_order_that_may_be_ours_is_not_taken_for_anothers(session: Session) -> None:
    """Ours has no answer; there is one of twice its quantity, which a person has to look at."""
    session.broker.capabilities = CUMULATIVE
    running = unanswered(session, arrives=False)
    theirs = session.broker.order_by_hand(SYMBOL, Side.BUY, 20, kst(10, 0, 1))
    session.broker.fill(theirs, 20, PRICE, kst(10, 0, 2), told=False)

    for second in (3, 6, 9, 12):
        asks(running, second)

    assert external(running) == []
    assert running.order().state is OrderState.UNKNOWN


def test_an_order_of_ours_that_has_left_the_memory_stays_ours(session: Session) -> None:
    session.broker.capabilities = CUMULATIVE
    running, key = bought(session)
    session.broker.fill(key, 10, PRICE, kst(10, 0, 2))
    told(running)
    assert running.order().state is OrderState.FILLED
    running.shared.orders._final.clear()  # as after a thousand more that have ended

    for second in (3, 6, 9):
        asks(running, second)

    assert external(running) == []
    assert running.held() == 10


def test_a_row_that_does_not_say_what_was_paid_is_left_to_the_audit(session: Session) -> None:
    session.broker.capabilities = CUMULATIVE
    running, _ = bought(session)
    theirs = session.broker.order_by_hand(SYMBOL, Side.BUY, 6, kst(10, 0, 2))
    session.broker.fill(theirs, 6, PRICE, kst(10, 0, 2), told=False)
    session.broker.shows[theirs] = lambda row: replace(row, amount=None)

    for second in (3, 6, 9):
        asks(running, second)
    assert external(running) == []

    def audited(second: int) -> object:
        running.clock.set_ns(kst(10, 0, second))
        run_to_completion(running.kernel.auditor.run_full_audit(kst(10, 0, second)))
        return running.kernel.invariants.summary()["inv25"]["ok"]

    assert [audited(10), audited(15), audited(16)] == [None, None, False], "5 s may pass until rows have told it"


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("trades"), st.integers(1, 3), st.sampled_from(["told", "late", "lost"])),
            st.tuples(st.sampled_from(["notice", "reading", "kill", "changed"]), st.just(0), st.just("")),
        ),
        max_size=14,
    )
)
@settings(max_examples=examples(15, whole=400), deadline=None)
def test_whatever_is_told_lost_or_late_external_becomes_what_the_broker_has(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, str]]
) -> None:
    session = Session(tmp_path_factory.mktemp("books"), ScriptedBroker(capabilities=CUMULATIVE))
    broker = session.broker
    running, _ = bought(session)
    theirs, second, late = broker.order_by_hand(SYMBOL, Side.BUY, 50, kst(10, 0, 2)), 2.0, 0
    for what, qty, how in steps:
        second += 3
        if what == "trades":
            broker.holds_notices = how == "late"
            late += how == "late"
            broker.fill(theirs, qty, PRICE, kst(10, 0, second), told=how != "lost")
            broker.holds_notices = False
        elif what == "notice" and late:
            late -= 1
            broker.let_notice(0)
        elif what == "kill":
            told(running)
            running = session.restart()
        elif what == "changed":
            broker.books.renumber(theirs)
        elif what == "reading":
            asks(running, second)
        told(running)
        run_to_completion(running.shared.record.checkpoint())
    for more in (3, 6, 9):
        asks(running, second + more)

    assert agrees(running, session)
    assert reversals(running) == []
    session.kill()
