"""The life of an order: the total table, worked races, and a machine that applies any updates in any order."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.errors import ContractError
from qts.execution.contracts import (
    AckStatus,
    Fill,
    Order,
    OrderAck,
    OrderCancelled,
    OrderRejected,
    OrderState,
    VenueRef,
)
from qts.execution.lifecycle import (
    BROKER_TEXT_LIMIT,
    NOTE_LIMIT,
    TABLE,
    Declined,
    OrderUpdate,
    apply_absent,
    apply_ack,
    apply_cancelled,
    apply_fill,
    apply_rejected,
    clean,
    next_state,
)
from qts.execution.working import FINAL_STATES
from qts.strategy.contracts import Side
from tests.execution.orders import order_with

D = Decimal
S = OrderState
X = "declined"

# one row per state: SENT, ACCEPTED, REJECTED_ON_ENTRY, NO_ANSWER, PARTIALLY_FILLED, FILLED, CANCELLED, …
EXPECTED = {
    "INTENT": "PENDING_NEW WORKING REJECTED UNKNOWN PARTIAL FILLED CANCELLED REJECTED NOT_SENT NOT_SENT",
    "PENDING_NEW": f"{X} WORKING REJECTED UNKNOWN PARTIAL FILLED CANCELLED REJECTED {X} NOT_SENT",
    "UNKNOWN": f"{X} WORKING REJECTED UNKNOWN PARTIAL FILLED CANCELLED REJECTED NOT_SENT {X}",
    "WORKING": f"{X} WORKING {X} WORKING PARTIAL FILLED CANCELLED REJECTED {X} {X}",
    "PARTIAL": f"{X} PARTIAL {X} PARTIAL PARTIAL FILLED CANCELLED REJECTED {X} {X}",
    "FILLED": f"{X} FILLED {X} FILLED FILLED FILLED FILLED {X} {X} {X}",
    "CANCELLED": f"{X} CANCELLED {X} CANCELLED FILLED_LATE FILLED_LATE CANCELLED CANCELLED {X} {X}",
    "REJECTED": f"{X} {X} REJECTED REJECTED FILLED_LATE FILLED_LATE REJECTED REJECTED REJECTED {X}",
    "NOT_SENT": f"{X} {X} NOT_SENT NOT_SENT FILLED_LATE FILLED_LATE NOT_SENT NOT_SENT NOT_SENT NOT_SENT",
    "FILLED_LATE": f"{X} FILLED_LATE {X} FILLED_LATE FILLED_LATE FILLED_LATE FILLED_LATE FILLED_LATE {X} {X}",
}


def order(state: OrderState = S.INTENT, qty: str = "100", filled: str = "0") -> Order:
    return order_with(
        client_order_id="o",
        strategy="test",
        symbol="005930",
        side=Side.BUY,
        qty=D(qty),
        decision_price=D(50_000),
        state=state,
        filled=D(filled),
    )


def fill(qty: str = "40", **changes: object) -> Fill:
    notice = Fill("sim", "sim-1", "o", "005930", Side.BUY, D(qty), D(50_000), D(0), D(0), 7, False)
    return msgspec.structs.replace(notice, **changes)


def ack(status: AckStatus, reason: str = "", ref: VenueRef | None = None) -> OrderAck:
    return OrderAck(status, "o", ref, reason)


B_9 = VenueRef(date(2026, 1, 22), "b-9", "KRX")
CANCELLED = OrderCancelled("sim", "o", "005930", 7, "cancelled on request")
REJECTED = OrderRejected("sim", "o", "005930", 7, "short of money")


# -- the table ----------------------------------------------------------------------------------------------


def test_every_state_has_an_answer_to_every_update() -> None:
    assert {(state, update) for state in S for update in OrderUpdate} == {
        (state, update) for state, row in TABLE.items() for update in row
    }


@pytest.mark.parametrize("state", list(S))
def test_the_table_says_what_is_written_here(state: OrderState) -> None:
    answers = [next_state(state, update) for update in OrderUpdate]
    told = [X if isinstance(answer, Declined) else answer.value for answer in answers]
    assert told == EXPECTED[state.value].split()


def test_every_refusal_says_why() -> None:
    assert all(answer.reason for row in TABLE.values() for answer in row.values() if isinstance(answer, Declined))


def test_an_order_that_ended_never_works_again_but_late_fills_are_booked() -> None:
    for state in FINAL_STATES:
        following = {answer for answer in TABLE[state].values() if isinstance(answer, OrderState)}
        assert following <= FINAL_STATES
        assert TABLE[state][OrderUpdate.PARTIALLY_FILLED] in (S.FILLED, S.FILLED_LATE)


def test_fills_are_never_declined() -> None:
    for row in TABLE.values():
        assert not isinstance(row[OrderUpdate.PARTIALLY_FILLED], Declined)
        assert not isinstance(row[OrderUpdate.FILLED], Declined)


def test_no_answer_is_never_a_rejection() -> None:
    assert S.REJECTED not in {row[OrderUpdate.NO_ANSWER] for state, row in TABLE.items() if state is not S.REJECTED}


# -- answers ------------------------------------------------------------------------------------------------


def test_an_accepted_order_works_under_the_brokers_id() -> None:
    after = apply_ack(order(), ack(AckStatus.ACCEPTED, ref=B_9), 5)
    assert (after.state, after.venue_refs, after.ts_update_ns) == (S.WORKING, (B_9,), 5)


def test_a_refused_order_keeps_the_reason() -> None:
    after = apply_ack(order(), ack(AckStatus.REJECTED, "off the tick grid"), 5)
    assert (after.state, after.note) == (S.REJECTED, "off the tick grid")


def test_an_unknown_order_is_adopted_by_a_late_answer_or_by_a_fill() -> None:
    unknown = apply_ack(order(), ack(AckStatus.UNKNOWN, "no answer"), 5)
    assert unknown.state is S.UNKNOWN
    assert apply_ack(unknown, ack(AckStatus.ACCEPTED), 6).state is S.WORKING
    assert apply_fill(unknown, fill("40")).state is S.PARTIAL
    assert apply_fill(unknown, fill("100")).state is S.FILLED


def test_a_fill_may_come_before_the_answer() -> None:
    early = apply_fill(order(), fill("40"))
    after = apply_ack(early, ack(AckStatus.ACCEPTED, ref=B_9), 9)
    assert (after.state, after.filled, after.venue_refs) == (S.PARTIAL, D(40), (B_9,))


def test_a_refusal_of_an_order_that_works_is_declined_and_noted() -> None:
    after = apply_ack(order(S.WORKING), ack(AckStatus.REJECTED, "x"), 9)
    assert after.state is S.WORKING
    assert "REJECTED_ON_ENTRY declined" in after.note
    assert "ask it" in after.note


def test_time_of_update_never_goes_back() -> None:
    late = apply_ack(order(), ack(AckStatus.ACCEPTED), 100)
    assert apply_fill(late, fill("40", ts_ns=50)).ts_update_ns == 100


# -- fills --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("qty", "state"), [("99", S.PARTIAL), ("100", S.FILLED)])
def test_an_order_is_filled_when_nothing_is_left(qty: str, state: OrderState) -> None:
    after = apply_fill(order(S.WORKING), fill(qty))
    assert (after.state, after.filled, after.remaining) == (state, D(qty), D(100) - D(qty))


def test_notices_in_the_wrong_order_end_in_the_same_state() -> None:
    last_first = apply_fill(order(S.WORKING), fill("60", last=True))
    assert last_first.state is S.PARTIAL  # the word "last" alone proves nothing
    assert apply_fill(last_first, fill("40")).state is S.FILLED


def test_an_overfill_is_booked_and_flagged() -> None:
    # an overfill: 110 of 100
    after = apply_fill(order(S.FILLED, filled="100"), fill("10"))
    assert (after.state, after.filled, after.note) == (S.FILLED, D(110), "overfill: 110 of 100")


@pytest.mark.parametrize("ended", [S.CANCELLED, S.REJECTED, S.NOT_SENT])
def test_a_fill_after_the_end_is_booked_as_late(ended: OrderState) -> None:
    after = apply_fill(order(ended), fill("40"))
    assert (after.state, after.filled, after.note) == (S.FILLED_LATE, D(40), f"filled after {ended.value}")
    again = apply_fill(after, fill("60"))
    assert (again.state, again.filled, again.note) == (S.FILLED_LATE, D(100), after.note)


def test_a_cancel_that_lost_the_race_changes_nothing() -> None:
    assert apply_cancelled(order(S.FILLED, filled="100"), CANCELLED).state is S.FILLED


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"symbol": "000660"}, "is BUY 000660; order .* is BUY"),
        ({"side": Side.SELL}, "is SELL .*; order .* is BUY"),
        ({"client_order_id": "p"}, "report of order p applied to order"),
    ],
)
def test_a_fill_of_something_else_is_not_booked(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ContractError, match=told):
        apply_fill(order(S.WORKING), fill(**changes))


@pytest.mark.parametrize("qty", ["0", "-1", "NaN", "Infinity"])
def test_a_fill_without_a_quantity_is_not_booked(qty: str) -> None:
    with pytest.raises(ContractError, match="above 0"):
        apply_fill(order(S.WORKING), fill(qty))


# -- ends ---------------------------------------------------------------------------------------------------


def test_cancelled_and_rejected_orders_say_why() -> None:
    assert apply_cancelled(order(S.PARTIAL, filled="40"), CANCELLED).note == "cancelled on request"
    after = apply_rejected(order(S.WORKING), REJECTED)
    assert (after.state, after.note, after.ts_update_ns) == (S.REJECTED, "short of money", 7)


def test_absence_is_believed_only_of_an_order_the_broker_never_showed() -> None:
    assert apply_absent(order(S.UNKNOWN), 9, "absent twice").state is S.NOT_SENT
    after = apply_absent(order(S.WORKING), 9, "absent twice")
    assert after.state is S.WORKING
    assert "ABSENT declined" in after.note


def test_a_report_of_another_order_is_an_error() -> None:
    other = msgspec.structs.replace(CANCELLED, client_order_id="p")
    with pytest.raises(ContractError, match="report of order p applied to order o"):
        apply_cancelled(order(S.WORKING), other)


# -- broker texts -------------------------------------------------------------------------------------------


def test_broker_texts_lose_control_characters_and_length() -> None:
    assert clean("no\r\nmoney\x1b[31m\x00") == "no  money [31m"
    assert clean("right\u202eleft") == "right left"
    assert len(clean("x" * 1_000_000)) == BROKER_TEXT_LIMIT


def test_notes_are_bounded_and_keep_the_newest() -> None:
    noted = order(S.WORKING)
    for number in range(50):
        noted = apply_cancelled(noted, msgspec.structs.replace(CANCELLED, reason=f"reason {number}"))
    assert len(noted.note) <= NOTE_LIMIT
    assert noted.note.endswith("reason 49")
    assert apply_cancelled(noted, msgspec.structs.replace(CANCELLED, reason="reason 49")).note == noted.note


# -- any update in any order --------------------------------------------------------------------------------

happenings = st.lists(
    st.one_of(
        st.sampled_from(list(AckStatus)),
        st.integers(1, 60),
        st.sampled_from(["cancelled", "rejected", "absent"]),
    ),
    max_size=12,
)


def apply(current: Order, heard: object) -> Order:
    if isinstance(heard, AckStatus):
        return apply_ack(current, ack(heard, "r"), 9)
    if isinstance(heard, int):
        return apply_fill(current, fill(str(heard)))
    if heard == "cancelled":
        return apply_cancelled(current, CANCELLED)
    if heard == "rejected":
        return apply_rejected(current, REJECTED)
    return apply_absent(current, 9, "asked twice")


@settings(max_examples=100, deadline=None)
@given(happenings)
def test_whatever_is_heard_quantities_add_up_and_ends_stay_ends(heard: list[object]) -> None:
    current, ended = order(), False
    for item in heard:
        current = apply(current, item)
        assert not ended or current.state in FINAL_STATES
        ended = current.state in FINAL_STATES
        assert (current.state is S.FILLED) <= (current.filled >= current.qty)
        assert (current.state is S.PARTIAL) <= (0 < current.filled < current.qty)
        if current.state in (S.INTENT, S.UNKNOWN, S.WORKING, S.NOT_SENT):
            assert current.filled == 0
    assert current.filled == sum(item for item in heard if isinstance(item, int))


@settings(max_examples=100, deadline=None)
@given(st.permutations([40, 35, 25]))
def test_fills_commute(parts: list[int]) -> None:
    current = order(S.WORKING)
    for part in parts:
        current = apply_fill(current, fill(str(part)))
    assert (current.state, current.filled, current.note) == (S.FILLED, D(100), "")
