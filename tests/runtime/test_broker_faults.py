"""A real broker that misbehaves as a whole: silent streams, wrong clocks, storms of rejects, hostile words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal as D
from pathlib import Path

import pytest

from qts.broker.broker_clock import BrokerClock
from qts.clock import NS_PER_MS, NS_PER_S
from qts.event.contracts import EventType
from qts.event.payloads import EmergencyStop
from qts.execution.contracts import AckStatus, Order, OrderCancelled, OrderState
from qts.market.contracts import Quote
from qts.market.krx import krx_instrument
from qts.runtime.drivers.sync import run_to_completion
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Context, Intent, Side
from tests.broker.scripted import ScriptedBroker
from tests.runtime.books_rig import PRICE, asks, bought, codes, session, told
from tests.runtime.live_rig import CALM, live
from tests.runtime.rig import Rig, ScriptedStrategy, ScriptFeed, kst
from tests.runtime.test_execution_reports import tell, working
from tests.runtime.test_recovery import Session

__all__ = ["session", "working"]
MakeRig = Callable[..., Rig]


# -- a stream that is alive and tells nothing


def warnings(running: object) -> list[str]:
    return [row.reason for row in running.shared.safety.history if row.code == "AN030"]  # type: ignore[attr-defined]


def test_fills_that_come_by_no_notice_although_the_line_is_well_are_booked_and_a_warning(session: Session) -> None:
    """Nothing is disconnected; the next question finds them, and the one after it says that no notice came."""
    running, key = bought(session)
    asks(running, 2)
    session.broker.fill(key, 4, PRICE, kst(10, 0, 3), told=False)

    asks(running, 5)
    assert running.held() == 4
    assert warnings(running) == []
    asks(running, 8)
    asks(running, 11)

    assert running.shared.safety.current_state is SafetyState.WARNING
    (said,) = warnings(running)
    assert "no notices come from scripted although it answers" in said
    assert "its books have told 1 execution: scripted-1 of 005930" in said


def test_a_notice_that_a_question_has_overtaken_is_no_reason_to_warn(session: Session) -> None:
    running, key = bought(session)
    asks(running, 2)
    session.broker.holds_notices = True
    session.broker.fill(key, 4, PRICE, kst(10, 0, 3))
    asks(running, 5)
    session.broker.let_notice()
    told(running)

    asks(running, 8)

    assert (running.held(), warnings(running)) == (4, [])


def test_what_was_executed_while_the_line_was_lost_is_no_reason_to_warn(session: Session) -> None:
    running, key = bought(session)
    running.kernel.unresolved.require_comparison("the line was lost")
    session.broker.fill(key, 4, PRICE, kst(10, 0, 3), told=False)

    asks(running, 5)
    asks(running, 8)

    assert (running.held(), warnings(running)) == (4, [])


# -- a clock that is wrong, as the broker's answers show


@pytest.mark.parametrize(
    ("ahead_ms", "state"),
    [
        (500, SafetyState.NORMAL),
        (-500, SafetyState.NORMAL),
        (700, SafetyState.WARNING),
        (-700, SafetyState.WARNING),
        (3_000, SafetyState.FAIL),
        (-3_000, SafetyState.FAIL),
        (3_600_000, SafetyState.FAIL),
        (-3_600_000, SafetyState.FAIL),
    ],
)
def test_a_clock_ahead_of_or_behind_the_brokers_warns_and_from_two_seconds_on_lets_no_entry_leave(
    session: Session, ahead_ms: int, state: SafetyState
) -> None:
    """Our clock is ahead by so many ms; it is compared once a minute."""
    session.broker.clock = clock = BrokerClock()
    running = session.restart()
    ours_ns = kst(9, 59)
    clock.note(ours_ns - ahead_ms * NS_PER_MS, ours_ns, ours_ns, resolution_ns=0)
    running.quote(0)
    running.quote(61)

    assert running.shared.safety.current_state is state
    running.buys(63)
    assert len(session.broker.placed) == (0 if state is SafetyState.FAIL else 1)


# -- a storm of rejects


class Eager(ScriptedStrategy):
    """Asks for a share of the symbol at every quote of it."""

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        self.quotes += 1
        return () if ctx.working(quote.symbol) else (Intent(quote.symbol, Side.BUY, 1.0, qty=1),)


SYMBOLS = ("000010", "000020", "000030", "000040", "000050")


class FiveSymbols(ScriptFeed):
    def __init__(self) -> None:
        super().__init__()
        self.instruments = {symbol: krx_instrument(symbol) for symbol in SYMBOLS}


async def test_of_a_thousand_orders_that_would_all_be_rejected_in_ten_seconds_twenty_leave(tmp_path: Path) -> None:
    """Each symbol waits 1, 2, 4 s between its rejects: five at 0, 1, 3 and 7 s, and the twentieth is FAIL."""
    broker, eager = ScriptedBroker(), Eager("eager")
    broker.answer = AckStatus.REJECTED
    settings = {**CALM, "runtime.strategy_lane": "loop"}
    async with live(tmp_path, strategies=[eager], settings=settings, broker=broker, feed=FiveSymbols()) as rig:
        for number in range(200):
            for symbol in SYMBOLS:
                at_ns = kst(10) + number * 50 * NS_PER_MS
                await rig.push(Quote(symbol, at_ns, bid=D(10_000), ask=D(10_010), bid_size=D(999), ask_size=D(999)))
            await rig.drain()

        assert eager.quotes == 1_000
        seconds = sorted((one.request.ts_ns - kst(10)) // NS_PER_S for one in broker.placed)
        assert seconds == [0] * 5 + [1] * 5 + [3] * 5 + [7] * 5
        assert rig.kernel.shared.safety.current_state is SafetyState.FAIL
        (cause,) = rig.kernel.shared.safety.snapshot().causes
        assert (cause.code, "20 orders were rejected" in cause.detail) == ("FS043", True)


# -- hostile words


@pytest.mark.parametrize(
    "words",
    ["\x1b[2J\x07rung", "<script>alert(1)</script>", "%n%s%x {0} {x}", "x" * 1_000_000, "two\r\nlines"],
    ids=["control", "html", "format", "a megabyte", "lines"],
)
def test_whatever_a_reject_says_every_text_of_it_is_one_short_line(working: tuple[Rig, Order], words: str) -> None:
    rig, order = working
    tell(rig, OrderCancelled("sim", order.client_order_id, order.symbol, order.ts_intent_ns + 1, words))

    run_to_completion(rig.shared.record.checkpoint())
    (stored,) = rig.store.orders()
    said = [stored.note, *(line.message for line in rig.logged if "alert" in line.message or "%n" in line.message)]
    for text in said:
        assert text.isprintable()
        assert len(text) < 1_000
    if words.isprintable() and len(words) < 100:
        assert words in stored.note, "what a person can read stays as it is"


# -- fills after an end, and out of order


@pytest.mark.parametrize("end", ["rejected", "not sent"])
def test_a_fill_of_an_order_that_had_not_reached_the_broker_is_booked_and_a_warning(
    session: Session, end: str
) -> None:
    running = session.restart()
    session.broker.answers.append(AckStatus.UNKNOWN if end == "not sent" else AckStatus.ACCEPTED)
    session.broker.now_ns = running.clock.time_ns
    running.buys()
    key = running.order().client_order_id
    if end == "not sent":
        session.broker.shows[key] = lambda row: None
        asks(running, 3)
        asks(running, 6)
        assert running.order().state is OrderState.NOT_SENT
    else:
        session.broker.end(key, kst(10, 0, 2), rejected=True)
        told(running)
        assert running.order().state is OrderState.REJECTED
    assert running.is_free()

    session.broker.fill(key, 10, PRICE, kst(10, 0, 7))
    told(running)

    assert (running.held(), running.order().state) == (10, OrderState.FILLED_LATE)
    assert running.shared.safety.current_state is SafetyState.WARNING


def test_a_holding_that_a_sale_makes_short_is_booked_and_bought_back(session: Session) -> None:
    """Ten bought, four told; four are offered and six sold: −2 until the other six are told."""
    running, buy = bought(session)
    broker = session.broker
    broker.fill(buy, 4, PRICE, kst(10, 0, 2))
    told(running)
    broker.end(buy, kst(10, 0, 2))
    running.scripted.wants(Side.SELL, qty=4)
    running.quote(3)
    sell = broker.placed[-1].request.client_order_id
    assert sell != buy
    # When more is executed than was offered
    for qty in (4, 2):
        broker.fill(sell, qty, PRICE, kst(10, 0, 4))
    told(running)
    # Then it is booked, in memory and in the store, and safety is told
    assert running.held() == -2
    assert [int(row.side.sign * row.qty) for row in running.ledger()] == [4, -4, -2]
    assert codes(running, "FS070")
    # And the state that follows ends what its engine holds: the two are bought back at the market. An emergency
    # beside it buys no more, and sells nothing
    stop = EmergencyStop("alice", "enough", kst(10, 0, 4))
    running.kernel.dispatcher.publish(EventType.EMERGENCY_STOP, stop, "alice")
    for second in (5, 20, 80):
        running.quote(second)
    assert [one.request.client_order_id for one in broker.placed][:2] == [buy, sell]
    (cover,) = [one.request for one in broker.placed[2:]]
    assert cover.reason == "the SCALP engine sleeps in DEFENSIVE"
    assert (cover.side, cover.qty, cover.limit, cover.reduce_only) == (Side.BUY, 2, None, True)
    # And it goes on from the same books, until the purchase that is told late makes them whole
    again = session.restart()
    assert again.held() == -2
    broker.fill(buy, 6, PRICE, kst(10, 0, 4))
    told(again)
    assert again.held() == 4
    # And what was to buy the two back is cancelled
    again.quote(150)
    assert cover.client_order_id in broker.cancels
