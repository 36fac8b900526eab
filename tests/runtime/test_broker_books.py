"""Our orders against the broker's own books: what is late, missing, alike or wrong in them decides nothing falsely.

The broker is the scripted one, which has a lag of ten seconds where it says so and shows what a test lets it. Its
``asks`` are seconds after ten o'clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal as D
from pathlib import Path

import pytest
from msgspec.structs import replace

from qts.broker.contracts import BrokerOrderState
from qts.clock import NS_PER_S, PacedClock, from_ns
from qts.execution.contracts import AckStatus, BrokerDisconnect, Order, OrderState
from qts.ledger.contracts import BookingKind
from qts.market.contracts import Quote
from qts.runtime.drivers import loop_session
from qts.runtime.drivers.sync import run_to_completion
from qts.strategy.contracts import Side
from tests.broker.scripted import NAMED, ScriptedBroker
from tests.runtime.live_rig import LiveRig, live
from tests.runtime.rig import SYMBOL, ScriptedStrategy, kst
from tests.runtime.test_recovery import RunningSession, Session

BY_NUMBER = replace(NAMED, client_order_ids=False)
CUMULATIVE = replace(NAMED, client_order_ids=False, execution_ids=False)
LAGGING = replace(NAMED, visibility_lag_ns=10 * NS_PER_S)
PRICE = 150_100


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = Session(tmp_path)
    yield made
    made.kill()


def asks(running: RunningSession, second: float, *, drained: bool = True) -> None:
    """Let the session compare its books with the broker's, as it does on the clock."""
    running.clock.set_ns(max(running.clock.time_ns(), kst(10, 0, second)))
    run_to_completion(running.kernel.unresolved.resolve(kst(10, 0, second)))
    if drained:
        run_to_completion(running.kernel.drain())


def unanswered(session: Session, *, arrives: bool) -> RunningSession:
    """Have ten shares bought one second after ten; the answer is lost, and the order too unless it ``arrives``."""
    running = session.restart()
    session.broker.answers.append(AckStatus.UNKNOWN)
    session.broker.receives = arrives
    session.broker.now_ns = running.clock.time_ns
    running.buys()
    session.broker.receives = True
    assert running.order().state is OrderState.UNKNOWN
    return running


def bought(session: Session) -> tuple[RunningSession, str]:
    """Have ten shares bought one second after ten; the order works."""
    running = session.restart()
    session.broker.now_ns = running.clock.time_ns
    running.buys()
    return running, running.order().client_order_id


def codes(running: RunningSession | LiveRig, code: str) -> list[str]:
    return [line.message for line in running.logged if code in line.message]


def reversals(running: RunningSession) -> list[int]:
    run_to_completion(running.shared.record.checkpoint())
    return [int(row.qty) for row in running.store.bookings() if row.kind is BookingKind.REVERSAL]


def told(running: RunningSession) -> None:
    run_to_completion(running.kernel.drain())


# -- an order of unknown fate --------------------------------------------------------------------------------------


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
    assert (running.order().state, running.order().newest_number) == (OrderState.PARTIAL, "")

    asks(running, 2)
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


# -- what was executed ---------------------------------------------------------------------------------------------


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
    running.kernel.exits.request("scripted", SYMBOL, "a rule", kst(10, 0, 3))
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


# -- executions without numbers ------------------------------------------------------------------------------------


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


# -- answers that are older than what has happened -----------------------------------------------------------------


def quote(second: float) -> Quote:
    return Quote(SYMBOL, kst(10, 0, second), bid=D(150_000), ask=D(150_100), bid_size=D(9_999), ask_size=D(9_999))


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("at", ["fills_since", "orders"])
@pytest.mark.parametrize("what", ["fill", "part", "cancel"])
async def test_what_happens_while_the_broker_is_asked_is_not_corrected(
    tmp_path: Path, what: str, at: str, *, named: bool
) -> None:
    """The answer shows the moment of the question, and comes when a fill or an end of then is booked."""
    broker, scripted = ScriptedBroker(capabilities=NAMED if named else CUMULATIVE), ScriptedStrategy()
    async with live(tmp_path, strategies=[scripted], settings={}, broker=broker) as rig:
        scripted.wants(Side.BUY, qty=10)
        await rig.show(quote(0))
        kernel, (key,) = rig.kernel, broker.books.orders
        broker.fill(key, 2, PRICE, kst(10, 0, 0))
        await rig.drain()
        # Given a question that is under way
        broker.holds_queries = True
        asking = asyncio.create_task(kernel.unresolved.resolve(kst(10, 0, 1)))
        while broker.calls[-1:] != [at] or not broker.asked:
            broker.let_tell()
            await asyncio.sleep(0)
        # When something happens, is told and booked before the answer is there
        if what == "cancel":
            broker.end(key, kst(10, 0, 1))
        else:
            broker.fill(key, 8 if what == "fill" else 3, PRICE, kst(10, 0, 1))
        await rig.drain()
        broker.holds_queries = False
        while not asking.done():
            broker.let_tell()
            await asyncio.sleep(0)
        await rig.drain()
        # Then nothing is corrected, now or when the broker is asked again
        for second in (2, 5, 8):
            await kernel.unresolved.resolve(kst(10, 0, second))
            await rig.drain()
        order = kernel.shared.orders.get(key)
        assert isinstance(order, Order)
        held = {"fill": 10, "part": 5, "cancel": 2}[what]
        state = {"fill": OrderState.FILLED, "part": OrderState.PARTIAL, "cancel": OrderState.CANCELLED}[what]
        assert (order.state, order.filled, kernel.shared.account.position(SYMBOL)) == (state, held, held)
        assert [row.kind for row in rig.store.bookings()] == []
        assert [row.code for row in kernel.shared.safety.history] == []


@pytest.mark.parametrize("has_ended", [False, True])
async def test_answers_that_are_always_older_than_the_newest_fill_take_nothing_back(
    tmp_path: Path, *, has_ended: bool
) -> None:
    """Each answer shows one share less than is booked by the time it comes, in readings three seconds apart."""
    broker, scripted = ScriptedBroker(capabilities=CUMULATIVE), ScriptedStrategy()
    async with live(tmp_path, strategies=[scripted], settings={}, broker=broker) as rig:
        scripted.wants(Side.BUY, qty=10)
        await rig.show(quote(0))
        (key,) = broker.books.orders
        broker.fill(key, 2, PRICE, kst(10, 0, 0))
        if has_ended:
            broker.end(key, kst(10, 0, 0))
        await rig.drain()

        for second in range(1, 16, 3):
            broker.holds_queries = True
            asking = asyncio.create_task(rig.kernel.unresolved.resolve(kst(10, 0, second)))
            while broker.calls[-1:] != ["orders"] or not broker.asked:
                broker.let_tell()
                await asyncio.sleep(0)
            broker.fill(key, 1, PRICE, kst(10, 0, 0))
            await rig.drain()
            broker.holds_queries = False
            broker.let_tell()
            await asking
            await rig.drain()

        assert rig.kernel.shared.account.position(SYMBOL) == 7
        assert list(rig.store.bookings()) == []
        assert not [row for row in rig.kernel.shared.safety.history if row.code == "FS041"]


# -- a line that was lost ------------------------------------------------------------------------------------------


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
        kernel.unresolved.on_disconnect()
        broker.holds_queries = False
        while not asking.done():
            broker.let_tell()
            await asyncio.sleep(0)

        assert kernel.unresolved.not_compared == "the line to scripted was lost"
        await kernel.unresolved.resolve(kst(10, 0, 1))
        assert kernel.unresolved.not_compared == ""


# -- notices that come more than once ------------------------------------------------------------------------------


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
