"""A sale of an exit that a real broker rejects: its books are compared before the next one, never a loop."""

from __future__ import annotations

from decimal import Decimal as D

from qts.event.contracts import EventType
from qts.execution.contracts import AckStatus, EmergencyStop, Fill, OrderCancelled
from qts.runtime.drivers.sync import run_to_completion
from qts.strategy.contracts import Side
from tests.broker.scripted import ScriptedBroker
from tests.runtime.books_rig import PRICE, bought, session, told
from tests.runtime.rig import SYMBOL, kst
from tests.runtime.test_recovery import RunningSession, Session

__all__ = ["session"]


def holding(session: Session) -> RunningSession:
    """Have ten shares bought at a broker that takes no sale of more than is held."""
    running, key = bought(session)
    session.broker.fill(key, 10, PRICE, kst(10, 0, 1))
    told(running)
    assert running.held() == 10
    return running


def refuses_sales(broker: ScriptedBroker) -> None:
    """Let the broker reject every sale that comes now."""
    broker.answer = AckStatus.REJECTED


def stops(running: RunningSession, second: float) -> None:
    running.clock.set_ns(kst(10, 0, second))
    running.kernel.dispatcher.publish(
        EventType.EMERGENCY_STOP, EmergencyStop("alice", "enough", kst(10, 0, second))
    )
    run_to_completion(running.kernel.drain())


def sales(session: Session) -> int:
    return sum(one.request.side is Side.SELL for one in session.broker.placed)


def test_one_fill_notice_that_is_missing_leads_to_one_rejected_exit_and_is_found_at_once(session: Session) -> None:
    # Given a sale of all ten whose fill is told by no notice, and whose end is: here the ten are still held
    running = holding(session)
    running.scripted.wants(Side.SELL, qty=10)
    running.quote(2)
    sale = next(iter(running.shared.orders)).client_order_id
    session.broker.drops = 1
    session.broker.fill(sale, 10, PRICE, kst(10, 0, 3))
    session.broker.publish(OrderCancelled("scripted", sale, SYMBOL, kst(10, 0, 3), "nothing is left"))
    told(running)
    assert (running.held(), len(running.shared.orders)) == (10, 0)

    # When everything has to be sold
    refuses_sales(session.broker)
    stops(running, 4)

    # Then one sale was rejected, and the broker's books showed why, in the same moment
    assert sales(session) == 2
    assert running.held() == 0
    for second in (70, 140, 210):  # an exit is tried again after a minute
        running.quote(second)
    assert sales(session) == 2
    assert not running.shared.protective.reasons()


def test_shares_that_a_person_has_sold_are_not_offered_again_and_again(session: Session) -> None:
    running = holding(session)
    hand = session.broker.order_by_hand(SYMBOL, Side.SELL, 10, kst(10, 0, 2))
    session.broker.fill(hand, 10, PRICE, kst(10, 0, 2), told=False)
    refuses_sales(session.broker)

    stops(running, 4)
    for second in (70, 140, 210):  # an exit is tried again after a minute
        running.quote(second)

    assert sales(session) == 1
    assert running.shared.account.external.positions() == {SYMBOL: -10}


def test_while_the_books_cannot_be_read_a_rejected_exit_is_not_sent_again(session: Session) -> None:
    running = holding(session)
    refuses_sales(session.broker)
    session.broker.pages.extend(["the body was empty"] * 1_000)

    stops(running, 4)
    for second in (70, 140, 210):
        running.quote(second)
        assert sales(session) == 1
    assert running.kernel.unresolved.not_compared

    session.broker.pages.clear()
    session.broker.answer = AckStatus.ACCEPTED
    running.quote(280)  # the books are compared once a minute here, and agree
    running.quote(350)
    assert sales(session) == 2


def test_a_rejection_that_nothing_explains_is_followed_by_one_look_for_each_attempt(session: Session) -> None:
    running = holding(session)
    refuses_sales(session.broker)
    stops(running, 4)
    looks, positions = session.broker.calls.count("orders"), session.broker.calls.count("positions")

    for number, second in enumerate((70, 140, 210), start=2):
        running.quote(second)
        assert sales(session) == number, "it is a stop: the sale is tried again"
        assert session.broker.calls.count("orders") > looks
        looks = session.broker.calls.count("orders")
    assert session.broker.calls.count("positions") > positions, "the second time its positions are compared too"


def sells_by_hand(session: Session, running: RunningSession, qty: int) -> None:
    """Let the owner sell shares of the strategy in the broker's own program."""
    price, none = D(PRICE), D(0)
    fill = Fill("scripted", "hand-1", "app-1", SYMBOL, Side.SELL, D(qty), price, none, none, kst(10, 0, 2), True)
    session.broker.trade_by_hand(fill)
    told(running)


def offered(session: Session) -> list[D]:
    return [one.request.qty for one in session.broker.placed if one.request.side is Side.SELL]


def test_an_exit_offers_what_others_have_left(session: Session) -> None:
    # Given ten shares of a strategy, three of which their owner has sold
    running = holding(session)
    sells_by_hand(session, running, 3)

    # When everything has to be sold, the seven are offered, and what is left after them is not there
    stops(running, 4)
    assert offered(session) == [7]
    session.broker.fill(session.broker.placed[-1].request.client_order_id, 7, PRICE, kst(10, 0, 5))
    told(running)
    for second in (70, 140):
        running.quote(second)
    assert offered(session) == [7]
    assert session.broker.books.held == {SYMBOL: 0}
