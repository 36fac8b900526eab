"""Reads what a store holds of a run when it is resumed, and finds what its rows say of the time since a checkpoint.

Against a real broker rows may be newer than the checkpoint: an intent is written without one, and money may be
booked between two sessions. A component whose memory is the checkpoint's is then told what it has missed, in the
order in which it happened.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from qts.capital.contracts import Transfer
from qts.db.contracts import (
    ActionRow,
    BookingRow,
    DecisionRow,
    LedgerRow,
    RefusalRow,
    SafetyRow,
    StateRow,
)
from qts.db.session import SessionStore
from qts.execution.contracts import Fill, Order, OrderState
from qts.execution.working import FINAL_STATES, in_order_of_intent
from qts.ledger.closes import BookMarks, OpeningBalances
from qts.ledger.contracts import FillEffect
from qts.ledger.fills import fill_of_row
from qts.money import ZERO, minus, plus


class StoredFacts(NamedTuple):
    """The rows of a run from which a session at a real broker goes on; ``orders`` by client order id.

    With an ``opening`` the rows of the book are those behind its marks, and the orders those that are open or have
    changed since. None: no day was closed, and the rows are all there are.
    """

    opening: OpeningBalances | None
    ledger: Sequence[LedgerRow]
    transfers: Sequence[Transfer]
    actions: Sequence[ActionRow]
    bookings: Sequence[BookingRow]
    orders: Mapping[str, Order]
    decisions: Sequence[DecisionRow]
    refusals: Sequence[RefusalRow]
    states: Sequence[StateRow]
    safety: Sequence[SafetyRow]

    @property
    def marks(self) -> BookMarks:
        """Return the numbers of the rows before those that are here."""
        return BookMarks() if self.opening is None else self.opening.close.marks


def read_facts(store: SessionStore, was_open: Iterable[str]) -> StoredFacts:
    """Read everything from which a session at a real broker goes on. Raises StorageError.

    ``was_open`` are the ids of the orders that were open at the checkpoint. News that came late may have ended
    them, or have filled others, with times of before the close.
    """
    opening = store.opening()
    marks, since_ns = (BookMarks(), 0) if opening is None else (opening.close.marks, opening.close.ts_ns)
    orders = {order.client_order_id: order for order in (*store.open_orders(), *store.orders(since_ns))}
    ledger = store.ledger(marks.fills)
    for key in (*was_open, *(row.order_id for row in ledger)):
        order = orders.get(key) or store.past().order(key)
        if order is not None:
            orders[key] = order
    return StoredFacts(
        opening,
        ledger,
        store.transfers(marks.transfers),
        store.actions(marks.actions),
        store.bookings(marks.bookings),
        orders,
        store.decisions(),
        store.refusals(),
        store.state_history(),
        store.safety_history(),
    )


class Sent(NamedTuple):
    """An order that was given to the sender, with the decision it left with.

    ``is_counted``: the checkpoint was taken while its intent was being written. It counts the order, and its
    strategy was not told of it.
    """

    order: Order
    decision: DecisionRow
    is_counted: bool = False


class Filled(NamedTuple):
    """A booked fill; ``order`` as it stood after it, ``effect`` as the account says."""

    fill: Fill
    order: Order
    effect: FillEffect


class Ended(NamedTuple):
    """An order that ended without being filled."""

    order: Order


Happened = Sent | Filled | Ended


def happened_since(
    facts: StoredFacts,
    effects: Sequence[FillEffect],
    new: Collection[str],
    was_open: Collection[str],
    writing: Collection[str] = (),
) -> list[Happened]:
    """Return what became of orders since a checkpoint: by time, fills in the order in which they were booked.

    ``effects`` are those of the fills that it does not know, ``new`` the ids of orders written since, ``was_open``
    those that were open at it, ``writing`` those whose intent was being written then.
    """
    told = {*new, *writing}
    decisions = {row.client_order_id: row for row in facts.decisions if row.client_order_id in told}
    found: list[tuple[int, Happened]] = [
        (order.ts_intent_ns, Sent(order, decisions[order.client_order_id], order.client_order_id in writing))
        for order in in_order_of_intent(facts.orders[key] for key in told)
    ]
    fills = list(_fills(facts.orders, effects, {*told, *was_open}))
    last_ns: dict[str, int] = {}
    now_ns = 0
    for one in fills:
        order, fill = (one.order, None) if isinstance(one, Ended) else (one.order, one.fill)
        now_ns = max(now_ns, order.ts_intent_ns, 0 if fill is None else fill.ts_ns)
        last_ns[order.client_order_id] = now_ns
        found.append((now_ns, one))
    filled_late = {one.order.client_order_id for one in fills if isinstance(one, Ended)}
    for key in dict.fromkeys((*was_open, *new, *writing)):
        order = facts.orders[key]
        ended = order.state in FINAL_STATES and order.state is not OrderState.FILLED
        if ended and key not in filled_late:
            found.append((max(order.ts_update_ns, last_ns.get(key, 0)), Ended(order)))
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]  # stable: sent before filled before ended


def _fills(
    orders: Mapping[str, Order], effects: Sequence[FillEffect], may_end: Collection[str]
) -> Iterator[Filled | Ended]:
    """Yield the fills with their orders after each; before the first late one of an order its end, if it is new."""
    left: dict[str, Decimal] = {}
    for effect in effects:
        left[effect.ledger.order_id] = plus(left.get(effect.ledger.order_id, ZERO), effect.ledger.qty)
    begun: set[str] = set()
    for effect in effects:
        key, order = effect.ledger.order_id, orders.get(effect.ledger.order_id)
        if order is None:
            continue  # an audit names a fill without an order
        before = minus(order.filled, left[key])
        left[key] = minus(left[key], effect.ledger.qty)
        is_late = order.state is OrderState.FILLED_LATE
        if is_late and key in may_end and key not in begun:
            yield Ended(msgspec.structs.replace(order, state=OrderState.CANCELLED, filled=before))
        begun.add(key)
        after = order if not left[key] and not _is_cut(order) else _after(order, before, effect, is_late=is_late)
        yield Filled(fill_of_row(effect.ledger, last=after.filled >= after.qty), after, effect)


def _is_cut(order: Order) -> bool:
    """Return whether the order ended after its last fill, by something else."""
    return order.state in FINAL_STATES and order.state not in (OrderState.FILLED, OrderState.FILLED_LATE)


def _after(order: Order, before: Decimal, effect: FillEffect, *, is_late: bool) -> Order:
    filled = plus(before, effect.ledger.qty)
    state = OrderState.FILLED if filled >= order.qty else OrderState.PARTIAL
    return msgspec.structs.replace(
        order, filled=filled, state=OrderState.FILLED_LATE if is_late else state, ts_update_ns=effect.ledger.ts_ns
    )


def decided_since(facts: StoredFacts, new: Collection[str], since_ns: int) -> set[str]:
    """Return the ids of decisions made since: of ``new`` orders, and of refusals at ``since_ns`` (ns) or later."""
    return {
        *(row.decision_id for row in facts.decisions if row.client_order_id in new),
        *(row.decision_id for row in facts.refusals if row.ts_ns >= since_ns),
    }
