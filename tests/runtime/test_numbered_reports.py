"""News of a broker that names its own numbers alone: it finds its order, waits for it, or is another's."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from qts.broker.contracts import Capabilities
from qts.clock import NS_PER_S
from qts.execution.contracts import (
    AckStatus,
    ExecutionReport,
    Fill,
    OrderCancelled,
    OrderState,
    VenueRef,
)
from qts.execution.working import WorkingOrders
from qts.runtime.drivers.sync import run_to_completion
from qts.runtime.orders.numbered_reports import MOST_WAITING, NumberedReports
from qts.strategy.contracts import Side
from tests.broker.scripted import DAY, ScriptedBroker
from tests.execution.orders import order_with
from tests.runtime.books_rig import (
    BY_NUMBER,
    CUMULATIVE,
    PRICE,
    asks,
    bought,
    codes,
    quote,
    session,
    told,
    unanswered,
)
from tests.runtime.live_rig import LiveRig, live
from tests.runtime.rig import SYMBOL, ScriptedStrategy, kst
from tests.runtime.test_recovery import RunningSession, Session

__all__ = ["session"]
BUY, SELL = Side.BUY, Side.SELL


def waiting(running: RunningSession | LiveRig) -> int:
    return len(running.kernel.execution_reports.numbers)


def external(running: RunningSession) -> dict[str, D]:
    return running.shared.account.external.positions()


async def in_session(
    directory: Path, body: Callable[[LiveRig, ScriptedBroker, str], Coroutine[Any, Any, None]]
) -> None:
    """Have ten shares bought; the order is at the broker and its answer is held back."""
    broker, scripted = ScriptedBroker(capabilities=BY_NUMBER), ScriptedStrategy()
    settings = {"event.retry_backoff_ms": "1"}
    async with live(directory, strategies=[scripted], settings=settings, broker=broker) as rig:
        broker.holds_answers = True
        scripted.wants(BUY, qty=10)
        await rig.push(quote(1))
        await rig.until(lambda: broker.waiting)
        await body(rig, broker, broker.waiting[0])


# -- faster than the answer


async def test_a_fill_that_is_faster_than_its_answer_is_booked_when_the_answer_names_its_number(
    tmp_path: Path,
) -> None:
    async def body(rig: LiveRig, broker: ScriptedBroker, key: str) -> None:
        # Given a fill of the order, told before the answer
        broker.fill(key, 4, PRICE, kst(10, 0, 1))
        await rig.until(lambda: waiting(rig) == 1)
        order = rig.kernel.shared.orders.get(key)
        assert order is not None
        assert (order.state, order.filled) == (OrderState.PENDING_NEW, 0)
        asked = len(broker.calls)

        # When the answer comes
        broker.let_answer(key)
        await rig.until(lambda: rig.kernel.shared.account.holding("scripted", SYMBOL) == 4)

        # Then it is ours, and the broker was asked nothing about it
        order = rig.kernel.shared.orders.get(key)
        assert order is not None
        assert (order.state, order.filled, waiting(rig)) == (OrderState.PARTIAL, 4, 0)
        assert len(broker.calls) == asked
        assert rig.kernel.shared.account.external.positions() == {}

    await in_session(tmp_path, body)


async def test_an_end_that_is_faster_than_its_answer_ends_the_order(tmp_path: Path) -> None:
    async def body(rig: LiveRig, broker: ScriptedBroker, key: str) -> None:
        broker.end(key, kst(10, 0, 1), rejected=True)
        await rig.until(lambda: waiting(rig) == 1)

        broker.let_answer(key)
        await rig.until(lambda: waiting(rig) == 0)

        order = rig.kernel.shared.orders.get(key)
        assert order is not None
        assert order.state is OrderState.REJECTED
        assert rig.kernel.shared.account.open_reservations == ()

    await in_session(tmp_path, body)


async def test_an_answer_with_another_number_makes_the_news_that_of_someone_else(tmp_path: Path) -> None:
    async def body(rig: LiveRig, broker: ScriptedBroker, key: str) -> None:
        # Given a person's fill of the same symbol and side while our answer is missing
        theirs = broker.order_by_hand(SYMBOL, BUY, 3, kst(10, 0, 1))
        broker.fill(theirs, 3, PRICE, kst(10, 0, 1))
        await rig.until(lambda: waiting(rig) == 1)

        # When ours is answered, and the books were compared
        broker.let_answer(key)
        await rig.until(lambda: rig.kernel.sender.in_flight == 0)
        assert waiting(rig) == 1, "the answer alone does not say whose it is"
        rig.kernel.due.resolve_soon()
        await rig.until(lambda: waiting(rig) == 0)

        # Then the three are EXTERNAL
        assert rig.kernel.shared.account.external.positions() == {SYMBOL: 3}
        assert rig.kernel.shared.account.holding("scripted", SYMBOL) == 0

    await in_session(tmp_path, body)


def test_a_fill_of_an_order_without_an_answer_is_booked_when_the_books_show_whose_it_is(session: Session) -> None:
    session.broker.capabilities = BY_NUMBER
    running = unanswered(session, arrives=True)
    key = running.order().client_order_id
    session.broker.is_up = False
    session.broker.fill(key, 4, PRICE, kst(10, 0, 2))
    told(running)
    assert (waiting(running), running.held(), running.order().state) == (1, 0, OrderState.UNKNOWN)

    session.broker.is_up = True
    asks(running, 3)

    assert (waiting(running), running.held(), running.order().state) == (0, 4, OrderState.PARTIAL)
    assert [int(row.qty) for row in running.ledger()] == [4]
    asks(running, 5)
    assert [int(row.qty) for row in running.ledger()] == [4], "the list tells it as well"


def test_an_order_that_no_list_of_orders_shows_any_more_is_found_by_its_executions(session: Session) -> None:
    """Filled at once in two parts that add up to what was asked for, and its answer and its notices were lost."""
    session.broker.capabilities = BY_NUMBER
    running = unanswered(session, arrives=True)
    key = running.order().client_order_id
    session.broker.shows[key] = lambda row: None
    for qty in (4, 6):
        session.broker.fill(key, qty, PRICE, kst(10, 0, 1.15), told=False)

    asks(running, 2)

    assert (running.order().state, running.order().newest_number) == (OrderState.FILLED, "scripted-o1")
    assert (running.held(), waiting(running), external(running)) == (10, 0, {})


@pytest.mark.parametrize("able", [BY_NUMBER, CUMULATIVE], ids=["executions are numbered", "they are not"])
@pytest.mark.parametrize("killed", [False, True], ids=["", "killed in between"])
def test_an_order_that_was_executed_in_part_and_has_ended_unnoticed_is_known_by_its_row_of_the_day(
    session: Session, able: Capabilities, killed: bool
) -> None:
    """Its answer and all notices were lost, and the session does not come to ask before it has ended."""
    session.broker.capabilities = able
    running = unanswered(session, arrives=True)
    key = running.order().client_order_id
    session.broker.fill(key, 4, PRICE, kst(10, 0, 1.15), told=False)
    session.broker.end(key, kst(10, 0, 1.2), told=False)
    if killed:
        session.kill()
        running = session.restart()

    asks(running, 600)
    asks(running, 603)

    assert (running.order().state, running.order().filled) == (OrderState.CANCELLED, 4)
    assert (running.held(), waiting(running), external(running)) == (4, 0, {})
    assert [int(row.qty) for row in running.ledger()] == [4]
    assert running.shared.account.open_reservations == ()


def test_executions_of_less_than_was_asked_for_prove_neither_and_a_person_is_told(session: Session) -> None:
    session.broker.capabilities = BY_NUMBER
    running = unanswered(session, arrives=True)
    key = running.order().client_order_id
    session.broker.shows[key] = lambda row: None
    session.broker.fill(key, 4, PRICE, kst(10, 0, 1.15), told=False)

    for second in (2, 5, 60):
        asks(running, second)

    assert (running.order().state, waiting(running), external(running)) == (OrderState.UNKNOWN, 1, {})
    assert codes(running, "may be one of scripted-o1")


def test_an_order_that_the_broker_took_long_after_ours_was_given_up_is_not_ours(session: Session) -> None:
    session.broker.capabilities = BY_NUMBER
    running = unanswered(session, arrives=False)  # at second 1
    asks(running, 2)
    theirs = session.broker.order_by_hand(SYMBOL, BUY, 10, kst(10, 1, 2))
    session.broker.fill(theirs, 10, PRICE, kst(10, 1, 2))
    told(running)

    asks(running, 63)

    assert running.order().state is OrderState.NOT_SENT
    assert external(running) == {SYMBOL: 10}


def test_an_order_is_not_proved_absent_while_news_waits_that_may_be_its_own(session: Session) -> None:
    session.broker.capabilities = BY_NUMBER
    running = unanswered(session, arrives=True)
    key = running.order().client_order_id
    session.broker.fill(key, 4, PRICE, kst(10, 0, 2))
    session.broker.shows[key] = lambda row: None  # no list shows it

    for second in (3, 6, 9, 60):
        asks(running, second)

    assert (waiting(running), running.order().state) == (1, OrderState.UNKNOWN)
    del session.broker.shows[key]
    asks(running, 63)
    assert (waiting(running), running.order().state, running.held()) == (0, OrderState.PARTIAL, 4)


def test_news_of_an_order_from_before_ours_is_another_s_while_ours_is_unknown(session: Session) -> None:
    """A person's order of 09:30 cannot be ours of 10:00:01, so its fill neither waits nor keeps ours unknown."""
    session.broker.capabilities = BY_NUMBER
    theirs = session.broker.order_by_hand(SYMBOL, BUY, 10, kst(9, 30))
    running = unanswered(session, arrives=False)
    session.broker.fill(theirs, 10, PRICE, kst(10, 0, 2))
    told(running)

    assert (waiting(running), external(running)) == (0, {SYMBOL: 10})
    asks(running, 5)
    asks(running, 8)
    assert running.order().state is OrderState.NOT_SENT


# -- of others


def test_a_fill_of_a_number_that_none_of_ours_has_is_external_after_a_comparison(session: Session) -> None:
    session.broker.capabilities = BY_NUMBER
    running, _ = bought(session)
    session.broker.is_up = False
    theirs = session.broker.order_by_hand(SYMBOL, SELL, 3, kst(10, 0, 2))
    session.broker.fill(theirs, 3, PRICE, kst(10, 0, 2))
    told(running)
    assert (waiting(running), external(running)) == (1, {}), "no list was read since it came"

    session.broker.is_up = True
    asks(running, 3)

    assert (waiting(running), external(running)) == (0, {SYMBOL: -3})
    said = [row.reason for row in running.shared.safety.history if row.code == "AN030"]
    assert any("order 2026-01-22/scripted-o2 is not ours" in reason for reason in said)


def test_where_the_books_lag_news_of_others_waits_as_long_as_they_may(session: Session) -> None:
    session.broker.capabilities = replace(BY_NUMBER, visibility_lag_ns=10 * NS_PER_S)
    running, _ = bought(session)
    theirs = session.broker.order_by_hand(SYMBOL, BUY, 3, kst(10, 0, 2))
    running.clock.set_ns(kst(10, 0, 2))
    session.broker.fill(theirs, 3, PRICE, kst(10, 0, 2))
    told(running)

    asks(running, 11.9)
    assert waiting(running) == 1
    asks(running, 12)
    assert (waiting(running), external(running)) == (0, {SYMBOL: 3})


def test_executions_of_others_without_numbers_are_told_apart(session: Session) -> None:
    session.broker.capabilities = CUMULATIVE
    running, _ = bought(session)
    theirs = session.broker.order_by_hand(SYMBOL, SELL, 6, kst(10, 0, 2))
    for _ in range(2):
        session.broker.fill(theirs, 3, PRICE, kst(10, 0, 2))
        told(running)
        asks(running, 5)

    assert external(running) == {SYMBOL: -6}
    run_to_completion(running.shared.record.checkpoint())
    assert [row.reference for row in running.store.bookings() if row.reference != "opening"] == [
        "2026-01-22/scripted-o2/3",
        "2026-01-22/scripted-o2/6",
    ]


def test_the_end_of_an_order_that_is_not_ours_changes_nothing(session: Session) -> None:
    session.broker.capabilities = BY_NUMBER
    running, key = bought(session)
    theirs = session.broker.order_by_hand(SYMBOL, BUY, 6, kst(10, 0, 2))

    session.broker.end(theirs, kst(10, 0, 3))
    told(running)
    asks(running, 5)

    order = running.order()
    assert (waiting(running), order.client_order_id, order.state) == (0, key, OrderState.WORKING)
    assert not codes(running, "FS070")


# -- numbers that change


def test_a_cancel_has_a_number_by_which_its_end_may_be_told_and_the_order_keeps_its(session: Session) -> None:
    session.broker.capabilities = BY_NUMBER
    running, _ = bought(session)
    order = running.order()

    running.kernel.exits.cancel(order, kst(10, 0, 2), "enough")

    assert session.broker.cancel_refs == [VenueRef(DAY, "scripted-o1", "scripted")]
    noted = running.order()
    assert [ref.number for ref in noted.venue_refs] == ["scripted-o2", "scripted-o1"]
    assert noted.newest_number == "scripted-o1", "a second cancel names the order, not the first cancel"
    end = OrderCancelled("scripted", "", SYMBOL, kst(10, 0, 3), "as asked for", ref=noted.venue_refs[0])
    session.broker.publish(end)
    told(running)
    assert running.order().state is OrderState.CANCELLED


def test_an_order_that_a_person_has_changed_goes_by_its_new_number_and_its_old_one_stays_its_own(
    session: Session,
) -> None:
    session.broker.capabilities = BY_NUMBER
    running, key = bought(session)
    before = session.broker.books.orders[key].ref
    session.broker.books.renumber(key)
    session.broker.fill(key, 4, PRICE, kst(10, 0, 2))
    told(running)  # by the new number, which the books link with ours

    assert running.order().newest_number == "scripted-o2"
    assert (waiting(running), running.held(), external(running)) == (0, 4, {})
    late = Fill("scripted", "late", "", SYMBOL, BUY, D(1), D(PRICE), D(0), D(0), kst(10, 0, 1), False, ref=before)
    session.broker.publish(late)
    told(running)
    assert running.held() == 5
    running.kernel.exits.cancel(running.order(), kst(10, 0, 3), "enough")
    assert session.broker.cancel_refs == [VenueRef(DAY, "scripted-o2", "scripted")]


def test_the_first_cancel_names_the_venue_at_which_the_order_is(session: Session) -> None:
    session.broker.capabilities = BY_NUMBER
    session.broker.venue = "NXT"
    running, key = bought(session)
    session.broker.venue = "KRX"

    running.kernel.exits.cancel(running.order(), kst(10, 0, 2), "enough")

    (ref,) = session.broker.cancel_refs
    assert ref is not None
    assert (ref.venue, ref.number) == ("NXT", "scripted-o1")
    assert not session.broker.books.orders[key].is_open or session.broker.cancels == [key]


# -- kills


@pytest.mark.parametrize("stored", [True, False])
def test_a_kill_takes_away_nothing_that_waits(session: Session, stored: bool) -> None:
    """The journal holds it until a checkpoint does."""
    session.broker.capabilities = BY_NUMBER
    session.broker.now_ns = lambda: 0
    session.broker.answers.append(AckStatus.UNKNOWN)
    running = session.restart(journalled=True)
    running.buys()
    key = running.order().client_order_id
    session.broker.is_up = False
    session.broker.fill(key, 4, PRICE, kst(10, 0, 2))
    told(running)
    assert waiting(running) == 1
    if stored:
        run_to_completion(running.shared.record.checkpoint())
    elif running.journal is not None:
        running.journal.flush()
    session.kill()

    session.broker.is_up = True
    session.broker.books.fills.clear()  # no list tells it: what waited has to
    again = session.restart(journalled=True)

    assert (waiting(again), again.held()) == (0, 4)
    later = session.restart(journalled=True)
    assert (waiting(later), later.held()) == (0, 4)
    assert [int(row.qty) for row in later.ledger()] == [4]


def test_a_late_fill_of_an_order_that_has_left_the_memory_is_found_by_its_number(session: Session) -> None:
    session.broker.capabilities = BY_NUMBER
    running, key = bought(session)
    session.broker.end(key, kst(10, 0, 2))
    told(running)
    order = running.order()
    assert order.state is OrderState.CANCELLED
    past = running.shared.orders._past
    assert past is not None
    assert order.ref is not None

    assert past.numbered(order.ref) == order
    assert past.numbered(replace(order.ref, venue="elsewhere")) is None
    assert past.numbered(replace(order.ref, number='"')) is None


# -- bounds


def fill(number: str, side: Side = BUY) -> Fill:
    ref = VenueRef(DAY, number, "v")
    return Fill("b", "1", "", SYMBOL, side, D(1), D(PRICE), D(0), D(0), kst(10), False, ref=ref)


def test_no_more_than_a_bound_waits_and_what_is_too_much_is_kept_aside() -> None:
    full: list[tuple[ExecutionReport, str]] = []
    numbers = NumberedReports(
        WorkingOrders(), lag_ns=0, on_waiting=lambda: None, on_full=lambda one, why: full.append((one, why))
    )
    for number in range(MOST_WAITING):
        assert numbers.named(fill(str(number)), 0) is None

    assert numbers.named(fill("one more"), 0) is None

    assert len(numbers) == MOST_WAITING
    assert [one.ref for one, _ in full] == [VenueRef(DAY, "one more", "v")]


def test_of_numbers_that_are_in_no_memory_a_bound_is_remembered() -> None:
    """More of them than are remembered: each still has its own id."""
    numbers = NumberedReports(WorkingOrders(), lag_ns=0, on_waiting=lambda: None, on_full=lambda one, why: None)

    for _ in range(2):
        for number in range(MOST_WAITING + 1):
            assert numbers.listed(fill(str(number))).client_order_id == f"{DAY}/{number}"

    assert not numbers.is_ours(VenueRef(DAY, "0", "v"))


def test_a_sale_waits_for_no_purchase() -> None:
    orders = WorkingOrders()
    orders.put(
        order_with(
            client_order_id="o", symbol=SYMBOL, side=BUY, qty=D(1), decision_price=D(1), state=OrderState.UNKNOWN
        )
    )
    numbers = NumberedReports(orders, lag_ns=0, on_waiting=lambda: None, on_full=lambda one, why: None)
    numbers.named(fill("1", SELL), 5)
    numbers.named(fill("2", BUY), 5)

    assert [one.client_order_id for one in numbers.take(numbers.begin_question(5))] == ["2026-01-22/1"]
    assert len(numbers) == 1


# -- executions without ids


def test_a_notice_beyond_what_was_ordered_is_not_believed_and_the_books_decide(session: Session) -> None:
    """A notice of the same six shares told twice: with four before, it would be sixteen of ten."""
    session.broker.capabilities = CUMULATIVE
    running, key = bought(session)
    session.broker.fill(key, 4, PRICE, kst(10, 0, 2))
    session.broker.repeats = 1
    session.broker.fill(key, 6, PRICE, kst(10, 0, 2))
    told(running)
    asks(running, 5)
    asks(running, 9)

    assert [int(row.qty) for row in running.ledger()] == [4, 6]
    assert (running.held(), running.kernel.execution_reports.duplicates) == (10, 1)


def test_a_notice_that_comes_twice_over_two_connections_is_taken_back_when_the_books_have_spoken(
    session: Session,
) -> None:
    session.broker.capabilities = CUMULATIVE
    running, key = bought(session)
    session.broker.repeats = 1
    session.broker.fill(key, 4, PRICE, kst(10, 0, 2))
    told(running)
    assert running.held() == 8, "nothing tells the second from another execution"

    asks(running, 5)
    asks(running, 7)

    assert running.held() == 4
    assert codes(running, "FS041")


def test_new_notices_after_one_that_was_lost_are_booked_at_once(session: Session) -> None:
    session.broker.capabilities = CUMULATIVE
    running, key = bought(session)
    session.broker.drops = 1
    session.broker.fill(key, 3, PRICE, kst(10, 0, 2))
    asks(running, 5)
    assert running.held() == 3

    session.broker.fill(key, 2, PRICE, kst(10, 0, 9))
    told(running)

    assert running.held() == 5, "it was executed after the reading that showed the three"
