"""The life of an order as one total table: every state and every update has an answer.

The answer is the next state, or a :class:`Declined` that says why the update cannot be true as it stands; the order
then keeps its state and the reason is written into its note, so that the broker is asked. Updates may come late,
twice or in the wrong order (``late-answer``, ``duplicate-fill``, ``fill-before-answer``, ``fill-after-end``,
``overfill``); none of them is ever lost.
"""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from typing import Final, TypeAlias

import msgspec

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
from qts.money import plus

NOTE_LIMIT: Final = 400
"""Characters kept of a note; broker texts can be a megabyte long."""
BROKER_TEXT_LIMIT: Final = 120


class OrderUpdate(Enum):
    """Anything that moves an order or may do so.

    SENT: it was given to the gateway. ABSENT: the broker's own books prove that it never arrived. UNSENT: the
    gateway proves that it never left.
    """

    SENT = "SENT"
    ACCEPTED = "ACCEPTED"
    REJECTED_ON_ENTRY = "REJECTED_ON_ENTRY"
    NO_ANSWER = "NO_ANSWER"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED_LATER = "REJECTED_LATER"
    ABSENT = "ABSENT"
    UNSENT = "UNSENT"


class Declined(msgspec.Struct, frozen=True):
    """An update that contradicts what is known; the order keeps its state."""

    reason: str


Step: TypeAlias = OrderState | Declined

_S = OrderState
_ALIVE: Final = Declined("the broker had accepted this order; ask it before believing a rejection")
_KNOWN: Final = Declined("the broker knows this order; it cannot be absent")
_ENDED: Final = Declined(
    "the order had already ended; an acceptance now means that it may be alive, ask the broker"
)
_ONCE: Final = Declined("an order is sent once, from its intent")
_ON_ITS_WAY: Final = Declined("the order is on its way; only one whose answer is missing can be proved absent")
_LEFT: Final = Declined("the order left, as far as is known; it cannot be called unsent")
_DONE: Final = Declined("the order is filled; a rejection contradicts its fills")

TABLE: Final[dict[OrderState, dict[OrderUpdate, Step]]] = {
    _S.INTENT: {
        OrderUpdate.SENT: _S.PENDING_NEW,
        OrderUpdate.ACCEPTED: _S.WORKING,
        OrderUpdate.REJECTED_ON_ENTRY: _S.REJECTED,
        OrderUpdate.NO_ANSWER: _S.UNKNOWN,
        OrderUpdate.PARTIALLY_FILLED: _S.PARTIAL,  # a fill may overtake the answer
        OrderUpdate.FILLED: _S.FILLED,
        OrderUpdate.CANCELLED: _S.CANCELLED,
        OrderUpdate.REJECTED_LATER: _S.REJECTED,
        OrderUpdate.ABSENT: _S.NOT_SENT,
        OrderUpdate.UNSENT: _S.NOT_SENT,
    },
    _S.PENDING_NEW: {
        OrderUpdate.SENT: _ONCE,
        OrderUpdate.ACCEPTED: _S.WORKING,
        OrderUpdate.REJECTED_ON_ENTRY: _S.REJECTED,
        OrderUpdate.NO_ANSWER: _S.UNKNOWN,
        OrderUpdate.PARTIALLY_FILLED: _S.PARTIAL,  # a fill may overtake the answer
        OrderUpdate.FILLED: _S.FILLED,
        OrderUpdate.CANCELLED: _S.CANCELLED,
        OrderUpdate.REJECTED_LATER: _S.REJECTED,
        OrderUpdate.ABSENT: _ON_ITS_WAY,
        OrderUpdate.UNSENT: _S.NOT_SENT,
    },
    _S.UNKNOWN: {
        OrderUpdate.SENT: _ONCE,
        OrderUpdate.ACCEPTED: _S.WORKING,
        OrderUpdate.REJECTED_ON_ENTRY: _S.REJECTED,
        OrderUpdate.NO_ANSWER: _S.UNKNOWN,
        OrderUpdate.PARTIALLY_FILLED: _S.PARTIAL,  # adopted: what fills was received
        OrderUpdate.FILLED: _S.FILLED,
        OrderUpdate.CANCELLED: _S.CANCELLED,
        OrderUpdate.REJECTED_LATER: _S.REJECTED,
        OrderUpdate.ABSENT: _S.NOT_SENT,
        OrderUpdate.UNSENT: _LEFT,
    },
    _S.WORKING: {
        OrderUpdate.SENT: _ONCE,
        OrderUpdate.ACCEPTED: _S.WORKING,
        OrderUpdate.REJECTED_ON_ENTRY: _ALIVE,
        OrderUpdate.NO_ANSWER: _S.WORKING,  # what is known stays known
        OrderUpdate.PARTIALLY_FILLED: _S.PARTIAL,
        OrderUpdate.FILLED: _S.FILLED,
        OrderUpdate.CANCELLED: _S.CANCELLED,
        OrderUpdate.REJECTED_LATER: _S.REJECTED,
        OrderUpdate.ABSENT: _KNOWN,
        OrderUpdate.UNSENT: _LEFT,
    },
    _S.PARTIAL: {
        OrderUpdate.SENT: _ONCE,
        OrderUpdate.ACCEPTED: _S.PARTIAL,
        OrderUpdate.REJECTED_ON_ENTRY: _ALIVE,
        OrderUpdate.NO_ANSWER: _S.PARTIAL,
        OrderUpdate.PARTIALLY_FILLED: _S.PARTIAL,
        OrderUpdate.FILLED: _S.FILLED,
        OrderUpdate.CANCELLED: _S.CANCELLED,
        OrderUpdate.REJECTED_LATER: _S.REJECTED,  # the rest of it
        OrderUpdate.ABSENT: _KNOWN,
        OrderUpdate.UNSENT: _LEFT,
    },
    _S.FILLED: {
        OrderUpdate.SENT: _ONCE,
        OrderUpdate.ACCEPTED: _S.FILLED,
        OrderUpdate.REJECTED_ON_ENTRY: _DONE,
        OrderUpdate.NO_ANSWER: _S.FILLED,
        OrderUpdate.PARTIALLY_FILLED: _S.FILLED,  # more than ordered: booked and flagged as an overfill
        OrderUpdate.FILLED: _S.FILLED,
        OrderUpdate.CANCELLED: _S.FILLED,  # the cancel lost the race: nothing was left
        OrderUpdate.REJECTED_LATER: _DONE,
        OrderUpdate.ABSENT: _KNOWN,
        OrderUpdate.UNSENT: _LEFT,
    },
    _S.CANCELLED: {
        OrderUpdate.SENT: _ONCE,
        OrderUpdate.ACCEPTED: _S.CANCELLED,  # the first answer came late
        OrderUpdate.REJECTED_ON_ENTRY: _ALIVE,
        OrderUpdate.NO_ANSWER: _S.CANCELLED,
        OrderUpdate.PARTIALLY_FILLED: _S.FILLED_LATE,
        OrderUpdate.FILLED: _S.FILLED_LATE,
        OrderUpdate.CANCELLED: _S.CANCELLED,
        OrderUpdate.REJECTED_LATER: _S.CANCELLED,  # ended either way
        OrderUpdate.ABSENT: _KNOWN,
        OrderUpdate.UNSENT: _LEFT,
    },
    _S.REJECTED: {
        OrderUpdate.SENT: _ONCE,
        OrderUpdate.ACCEPTED: _ENDED,
        OrderUpdate.REJECTED_ON_ENTRY: _S.REJECTED,
        OrderUpdate.NO_ANSWER: _S.REJECTED,
        OrderUpdate.PARTIALLY_FILLED: _S.FILLED_LATE,
        OrderUpdate.FILLED: _S.FILLED_LATE,
        OrderUpdate.CANCELLED: _S.REJECTED,
        OrderUpdate.REJECTED_LATER: _S.REJECTED,
        OrderUpdate.ABSENT: _S.REJECTED,
        OrderUpdate.UNSENT: _LEFT,
    },
    _S.NOT_SENT: {
        OrderUpdate.SENT: _ONCE,
        OrderUpdate.ACCEPTED: _ENDED,
        OrderUpdate.REJECTED_ON_ENTRY: _S.NOT_SENT,
        OrderUpdate.NO_ANSWER: _S.NOT_SENT,
        OrderUpdate.PARTIALLY_FILLED: _S.FILLED_LATE,
        OrderUpdate.FILLED: _S.FILLED_LATE,
        OrderUpdate.CANCELLED: _S.NOT_SENT,
        OrderUpdate.REJECTED_LATER: _S.NOT_SENT,
        OrderUpdate.ABSENT: _S.NOT_SENT,
        OrderUpdate.UNSENT: _S.NOT_SENT,
    },
    _S.FILLED_LATE: {
        OrderUpdate.SENT: _ONCE,
        OrderUpdate.ACCEPTED: _S.FILLED_LATE,
        OrderUpdate.REJECTED_ON_ENTRY: _DONE,
        OrderUpdate.NO_ANSWER: _S.FILLED_LATE,
        OrderUpdate.PARTIALLY_FILLED: _S.FILLED_LATE,
        OrderUpdate.FILLED: _S.FILLED_LATE,
        OrderUpdate.CANCELLED: _S.FILLED_LATE,
        OrderUpdate.REJECTED_LATER: _S.FILLED_LATE,
        OrderUpdate.ABSENT: _KNOWN,
        OrderUpdate.UNSENT: _LEFT,
    },
}
"""The next state for each state and update, or why it is declined; a test proves that no cell is missing."""


def _reachable(state: OrderState) -> frozenset[OrderState]:
    found = {state}
    while more := {step for one in found for step in TABLE[one].values() if isinstance(step, OrderState)} - found:
        found |= more
    return frozenset(found)


_REACHABLE: Final = {state: _reachable(state) for state in OrderState}


def can_become(before: OrderState, after: OrderState) -> bool:
    """Return whether updates can bring an order from ``before`` to ``after``; True for the same state."""
    return after in _REACHABLE[before]


_UPDATE_OF_ACK: Final = {
    AckStatus.ACCEPTED: OrderUpdate.ACCEPTED,
    AckStatus.REJECTED: OrderUpdate.REJECTED_ON_ENTRY,
    AckStatus.UNKNOWN: OrderUpdate.NO_ANSWER,
    AckStatus.NOT_SENT: OrderUpdate.UNSENT,
}


def next_state(state: OrderState, update: OrderUpdate) -> Step:
    """Return the answer of the table."""
    return TABLE[state][update]


def apply_sent(order: Order, now_ns: int) -> Order:
    """Return the order as it stands once it was given to the gateway."""
    return _moved(order, OrderUpdate.SENT, now_ns, "")


def apply_ack(order: Order, ack: OrderAck, now_ns: int) -> Order:
    """Return the order after the answer to it. Raises ContractError when the answer is another order's."""
    _same_order(order, ack.client_order_id)
    state, note = _step(order, _UPDATE_OF_ACK[ack.status], ack.reason)
    return _changed(order, state, note, now_ns, order.filled, _with_ref(order, ack.ref))


def apply_fill(order: Order, fill: Fill) -> Order:
    """Return the order after one execution that was not applied before (the ledger's key sees to that).

    Whether it is the last one follows from the quantities alone: notices may come in any order. What exceeds the
    ordered quantity is booked and noted as an overfill. Raises ContractError for a fill of another order, symbol or
    side, or one whose quantity is not above 0: the caller quarantines it and asks the broker.
    """
    _same_order(order, fill.client_order_id)
    if fill.symbol != order.symbol or fill.side is not order.side:
        raise ContractError(
            f"fill {fill.execution_id} is {fill.side.value} {fill.symbol}; "
            f"order {order.client_order_id} is {order.side.value} {order.symbol}"
        )
    if not (fill.qty.is_finite() and fill.qty > 0):
        raise ContractError(f"fill {fill.execution_id} has quantity {fill.qty}; it must be finite and above 0")
    filled = plus(order.filled, fill.qty)
    update = OrderUpdate.FILLED if filled >= order.qty else OrderUpdate.PARTIALLY_FILLED
    state, note = _step(order, update, f"overfill: {filled} of {order.qty}" if filled > order.qty else "")
    if state is _S.FILLED_LATE and order.state is not _S.FILLED_LATE:
        note = _noted(note, f"filled after {order.state.value}")
    return _changed(order, state, note, fill.ts_ns, filled, order.venue_refs)


def apply_cancelled(order: Order, report: OrderCancelled) -> Order:
    """Return the order after the broker confirmed that its rest will not fill."""
    _same_order(order, report.client_order_id)
    return _moved(order, OrderUpdate.CANCELLED, report.ts_ns, report.reason)


def apply_rejected(order: Order, report: OrderRejected) -> Order:
    """Return the order after the broker rejected it (or its rest) later than in its first answer."""
    _same_order(order, report.client_order_id)
    return _moved(order, OrderUpdate.REJECTED_LATER, report.ts_ns, report.reason)


def apply_absent(order: Order, now_ns: int, evidence: str) -> Order:
    """Return the order after the broker's books proved that it never arrived; it may then be decided again."""
    return _moved(order, OrderUpdate.ABSENT, now_ns, evidence)


def _moved(order: Order, update: OrderUpdate, ts_ns: int, text: str) -> Order:
    state, note = _step(order, update, text)
    return _changed(order, state, note, ts_ns, order.filled, order.venue_refs)


def _step(order: Order, update: OrderUpdate, text: str) -> tuple[OrderState, str]:
    """Return the state and the note after ``update``; a declined one leaves the state and is named in the note."""
    step = TABLE[order.state][update]
    if isinstance(step, Declined):
        return order.state, _noted(order.note, f"{update.value} declined: {step.reason}")
    return step, _noted(order.note, clean(text)) if text else order.note


def _noted(note: str, text: str) -> str:
    """Add ``text`` to the note, once; the newest text survives the limit."""
    if not text or text in note:
        return note
    return (f"{note}; {text}" if note else text)[-NOTE_LIMIT:]


def _changed(
    order: Order, state: OrderState, note: str, ts_ns: int, filled: Decimal, refs: tuple[VenueRef, ...]
) -> Order:
    """Return the order with all that an update may change, copied once."""
    return msgspec.structs.replace(
        order,
        state=state,
        note=note,
        ts_update_ns=max(order.ts_update_ns, ts_ns),
        filled=filled,
        venue_refs=refs,
    )


def with_number(order: Order, ref: VenueRef) -> Order:
    """Return the order with the number of a message about it, such as a cancel; it goes by its own as before."""
    refs = order.venue_refs
    return order if ref in refs else msgspec.structs.replace(order, venue_refs=(*refs[:-1], ref, *refs[-1:]))


def renumbered(order: Order, ref: VenueRef) -> Order:
    """Return the order as it goes by ``ref`` from now on; the numbers that it had before stay its own."""
    return msgspec.structs.replace(order, venue_refs=_with_ref(order, ref))


def _with_ref(order: Order, ref: VenueRef | None) -> tuple[VenueRef, ...]:
    refs = order.venue_refs
    return refs if ref is None or ref in refs else (*refs, ref)


def clean(text: str) -> str:
    """Return a broker's text without control and formatting characters, shortened (``hostile-text``)."""
    head = text[: 4 * BROKER_TEXT_LIMIT]
    return "".join(char if char.isprintable() else " " for char in head).strip()[:BROKER_TEXT_LIMIT]


def _same_order(order: Order, client_order_id: str) -> None:
    if client_order_id != order.client_order_id:
        raise ContractError(f"report of order {client_order_id} applied to order {order.client_order_id}")
