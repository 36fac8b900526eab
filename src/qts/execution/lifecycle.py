"""The life of an order as one total table: every state × every piece of news has an answer.

The answer is the next state, or a :class:`Declined` that says why the news cannot be true as it stands; the
order then keeps its state and the reason is written into its note, so that somebody asks the broker. News may
come late, twice or in the wrong order (spec 09: BR-03, 05, 08, 10, 11); none of it is ever lost.
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
"""Characters kept of a note; broker texts can be a megabyte long (spec 09, BR-15)."""
BROKER_TEXT_LIMIT: Final = 120


class News(Enum):
    """What can be heard of an order.

    SENT: it was given to whoever sends it. ABSENT: the broker's own books prove that it never arrived.
    """

    SENT = "SENT"
    ACCEPTED = "ACCEPTED"
    REFUSED = "REFUSED"
    NO_ANSWER = "NO_ANSWER"
    PART_FILLED = "PART_FILLED"
    WHOLLY_FILLED = "WHOLLY_FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    ABSENT = "ABSENT"


class Declined(msgspec.Struct, frozen=True):
    """News that contradicts what is known; the order keeps its state."""

    reason: str


Step: TypeAlias = OrderState | Declined

_S = OrderState
_ALIVE: Final = Declined("the broker had accepted this order; ask it before believing a refusal")
_KNOWN: Final = Declined("the broker knows this order; it cannot be absent")
_ENDED: Final = Declined(
    "the order had already ended; an acceptance now means that it may be alive, ask the broker"
)
_ONCE: Final = Declined("an order is sent once, from its intent")
_ON_ITS_WAY: Final = Declined("the order is on its way; only one whose answer is missing can be proved absent")
_DONE: Final = Declined("the order is filled; a rejection contradicts its fills")

TABLE: Final[dict[OrderState, dict[News, Step]]] = {
    _S.INTENT: {
        News.SENT: _S.PENDING_NEW,
        News.ACCEPTED: _S.WORKING,
        News.REFUSED: _S.REJECTED,
        News.NO_ANSWER: _S.UNKNOWN,
        News.PART_FILLED: _S.PARTIAL,  # a fill may overtake the answer
        News.WHOLLY_FILLED: _S.FILLED,
        News.CANCELLED: _S.CANCELLED,
        News.REJECTED: _S.REJECTED,
        News.ABSENT: _S.NOT_SENT,
    },
    _S.PENDING_NEW: {
        News.SENT: _ONCE,
        News.ACCEPTED: _S.WORKING,
        News.REFUSED: _S.REJECTED,
        News.NO_ANSWER: _S.UNKNOWN,
        News.PART_FILLED: _S.PARTIAL,  # a fill may overtake the answer
        News.WHOLLY_FILLED: _S.FILLED,
        News.CANCELLED: _S.CANCELLED,
        News.REJECTED: _S.REJECTED,
        News.ABSENT: _ON_ITS_WAY,
    },
    _S.UNKNOWN: {
        News.SENT: _ONCE,
        News.ACCEPTED: _S.WORKING,
        News.REFUSED: _S.REJECTED,
        News.NO_ANSWER: _S.UNKNOWN,
        News.PART_FILLED: _S.PARTIAL,  # adopted: what fills was received
        News.WHOLLY_FILLED: _S.FILLED,
        News.CANCELLED: _S.CANCELLED,
        News.REJECTED: _S.REJECTED,
        News.ABSENT: _S.NOT_SENT,
    },
    _S.WORKING: {
        News.SENT: _ONCE,
        News.ACCEPTED: _S.WORKING,
        News.REFUSED: _ALIVE,
        News.NO_ANSWER: _S.WORKING,  # what is known is not unlearnt
        News.PART_FILLED: _S.PARTIAL,
        News.WHOLLY_FILLED: _S.FILLED,
        News.CANCELLED: _S.CANCELLED,
        News.REJECTED: _S.REJECTED,
        News.ABSENT: _KNOWN,
    },
    _S.PARTIAL: {
        News.SENT: _ONCE,
        News.ACCEPTED: _S.PARTIAL,
        News.REFUSED: _ALIVE,
        News.NO_ANSWER: _S.PARTIAL,
        News.PART_FILLED: _S.PARTIAL,
        News.WHOLLY_FILLED: _S.FILLED,
        News.CANCELLED: _S.CANCELLED,
        News.REJECTED: _S.REJECTED,  # the rest of it
        News.ABSENT: _KNOWN,
    },
    _S.FILLED: {
        News.SENT: _ONCE,
        News.ACCEPTED: _S.FILLED,
        News.REFUSED: _DONE,
        News.NO_ANSWER: _S.FILLED,
        News.PART_FILLED: _S.FILLED,  # more than ordered: booked and flagged as an overfill
        News.WHOLLY_FILLED: _S.FILLED,
        News.CANCELLED: _S.FILLED,  # the cancel lost the race: nothing was left
        News.REJECTED: _DONE,
        News.ABSENT: _KNOWN,
    },
    _S.CANCELLED: {
        News.SENT: _ONCE,
        News.ACCEPTED: _S.CANCELLED,  # the first answer came late
        News.REFUSED: _ALIVE,
        News.NO_ANSWER: _S.CANCELLED,
        News.PART_FILLED: _S.FILLED_LATE,
        News.WHOLLY_FILLED: _S.FILLED_LATE,
        News.CANCELLED: _S.CANCELLED,
        News.REJECTED: _S.CANCELLED,  # ended either way
        News.ABSENT: _KNOWN,
    },
    _S.REJECTED: {
        News.SENT: _ONCE,
        News.ACCEPTED: _ENDED,
        News.REFUSED: _S.REJECTED,
        News.NO_ANSWER: _S.REJECTED,
        News.PART_FILLED: _S.FILLED_LATE,
        News.WHOLLY_FILLED: _S.FILLED_LATE,
        News.CANCELLED: _S.REJECTED,
        News.REJECTED: _S.REJECTED,
        News.ABSENT: _S.REJECTED,
    },
    _S.NOT_SENT: {
        News.SENT: _ONCE,
        News.ACCEPTED: _ENDED,
        News.REFUSED: _S.NOT_SENT,
        News.NO_ANSWER: _S.NOT_SENT,
        News.PART_FILLED: _S.FILLED_LATE,
        News.WHOLLY_FILLED: _S.FILLED_LATE,
        News.CANCELLED: _S.NOT_SENT,
        News.REJECTED: _S.NOT_SENT,
        News.ABSENT: _S.NOT_SENT,
    },
    _S.FILLED_LATE: {
        News.SENT: _ONCE,
        News.ACCEPTED: _S.FILLED_LATE,
        News.REFUSED: _DONE,
        News.NO_ANSWER: _S.FILLED_LATE,
        News.PART_FILLED: _S.FILLED_LATE,
        News.WHOLLY_FILLED: _S.FILLED_LATE,
        News.CANCELLED: _S.FILLED_LATE,
        News.REJECTED: _S.FILLED_LATE,
        News.ABSENT: _KNOWN,
    },
}
"""State × news → next state or declared refusal; a test proves that no cell is missing."""

_NEWS_OF_ACK: Final = {
    AckStatus.ACCEPTED: News.ACCEPTED,
    AckStatus.REJECTED: News.REFUSED,
    AckStatus.UNKNOWN: News.NO_ANSWER,
}


def next_state(state: OrderState, news: News) -> Step:
    return TABLE[state][news]


def apply_sent(order: Order, now_ns: int) -> Order:
    """Return the order as it stands once it was given to whoever sends it."""
    return _moved(order, News.SENT, now_ns, "")


def apply_ack(order: Order, ack: OrderAck, now_ns: int) -> Order:
    """The order after the answer to ``place``. Raises ContractError when the answer is another order's."""
    _same_order(order, ack.client_order_id)
    state, note = _step(order, _NEWS_OF_ACK[ack.status], ack.reason)
    return _changed(order, state, note, now_ns, order.filled, _with_ref(order, ack.ref))


def apply_fill(order: Order, fill: Fill) -> Order:
    """The order after one execution that was not applied before (the ledger's key sees to that).

    Whether it is the last one follows from the quantities alone: notices may come in any order. Filled beyond
    the ordered quantity is booked and noted as an overfill (spec 09, BR-11). Raises ContractError for a fill of
    another order, symbol or side, or one whose quantity is not above 0 (BR-12: quarantine it, ask the broker).
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
    news = News.WHOLLY_FILLED if filled >= order.qty else News.PART_FILLED
    state, note = _step(order, news, f"overfill: {filled} of {order.qty}" if filled > order.qty else "")
    if state is _S.FILLED_LATE and order.state is not _S.FILLED_LATE:
        note = _noted(note, f"filled after {order.state.value}")
    return _changed(order, state, note, fill.ts_ns, filled, order.venue_refs)


def apply_cancelled(order: Order, news: OrderCancelled) -> Order:
    """The order after the broker confirmed that its rest will not fill."""
    _same_order(order, news.client_order_id)
    return _moved(order, News.CANCELLED, news.ts_ns, news.reason)


def apply_rejected(order: Order, news: OrderRejected) -> Order:
    """The order after the broker refused it (or its rest) later than in its first answer."""
    _same_order(order, news.client_order_id)
    return _moved(order, News.REJECTED, news.ts_ns, news.reason)


def apply_absent(order: Order, now_ns: int, evidence: str) -> Order:
    """The order after the broker's books proved that it never arrived; it may then be decided anew."""
    return _moved(order, News.ABSENT, now_ns, evidence)


def _moved(order: Order, news: News, ts_ns: int, text: str) -> Order:
    state, note = _step(order, news, text)
    return _changed(order, state, note, ts_ns, order.filled, order.venue_refs)


def _step(order: Order, news: News, text: str) -> tuple[OrderState, str]:
    """The state and the note after ``news``; a declined one leaves the state and says so in the note."""
    step = TABLE[order.state][news]
    if isinstance(step, Declined):
        return order.state, _noted(order.note, f"{news.value} declined: {step.reason}")
    return step, _noted(order.note, clean(text)) if text else order.note


def _noted(note: str, text: str) -> str:
    """Add to the note, once; the newest text survives the limit."""
    if not text or text in note:
        return note
    return (f"{note}; {text}" if note else text)[-NOTE_LIMIT:]


def _changed(
    order: Order, state: OrderState, note: str, ts_ns: int, filled: Decimal, refs: tuple[VenueRef, ...]
) -> Order:
    """The order with all that news may change, copied once."""
    return msgspec.structs.replace(
        order,
        state=state,
        note=note,
        ts_update_ns=max(order.ts_update_ns, ts_ns),
        filled=filled,
        venue_refs=refs,
    )


def _with_ref(order: Order, ref: VenueRef | None) -> tuple[VenueRef, ...]:
    refs = order.venue_refs
    return refs if ref is None or ref in refs else (*refs, ref)


def clean(text: str) -> str:
    """A broker's text without control and formatting characters, shortened (spec 09, BR-15)."""
    head = text[: 4 * BROKER_TEXT_LIMIT]
    return "".join(char if char.isprintable() else " " for char in head).strip()[:BROKER_TEXT_LIMIT]


def _same_order(order: Order, client_order_id: str) -> None:
    if client_order_id != order.client_order_id:
        raise ContractError(f"news of order {client_order_id} applied to order {order.client_order_id}")
