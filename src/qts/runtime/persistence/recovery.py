"""Resumes a session: a simulated broker is rewound and the session executed again, a real one is rolled forward."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from qts.clock import from_ns
from qts.db.session import SessionStore
from qts.errors import StateError, StorageError
from qts.execution.contracts import Order
from qts.execution.working import FINAL_STATES
from qts.ids import CounterIds
from qts.ledger.closes import BookMarks
from qts.ledger.contracts import ActionRow, BookingRow
from qts.risk.sizing import cost_of
from qts.runtime.orders.missed_facts import MissedFacts
from qts.runtime.persistence.checkpoint import Checkpoints
from qts.runtime.persistence.stored_facts import Happened, StoredFacts, decided_since, happened_since, read_facts
from qts.runtime.persistence.stored_orders import in_book_order
from qts.runtime.shared_components import SharedComponents
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Side


class Recovery(Protocol):
    """Restores a session from what its last process stored. Called on the session's thread, in this order."""

    def restore(self, store: SessionStore, checkpoint: bytes | None) -> None:
        """Restore the fresh components from ``store`` and ``checkpoint`` alone, without asking a broker.

        None: the session was killed before its first checkpoint; only one at a real broker is restored then, from
        its rows. Raises StorageError when rows and ``checkpoint`` do not belong together.
        """
        ...

    def follow(self, now_ns: int) -> None:
        """Pass on to the components what the rows show of the time since the checkpoint.

        Called when the strategies have their memory back, before the journal is replayed; ``now_ns`` is the
        session's time.
        """
        ...

    def raise_safety(self) -> None:
        """Raise what was stored of safety since the checkpoint, after the journal was replayed."""
        ...


def resume_point(store: SessionStore, *, is_simulated: bool) -> bytes | None:
    """Return the checkpoint from which a session resumes; the store of a simulated broker is rewound to it.

    None: there is none yet. A session at a simulated broker is then started, one at a real broker restored from its
    rows alone. Raises StorageError.
    """
    if is_simulated:
        store.rewind()
    return store.checkpoint()


class _Behind(NamedTuple):
    """The time after a checkpoint, as the rows show it; ``decided``: decisions that were made since."""

    happened: Sequence[Happened]
    actions: Sequence[ActionRow]
    bookings: Sequence[BookingRow]
    decided: set[str]


class RewindAndReplay:
    """Recovery with a simulated broker: everything returns to the checkpoint, and what came after happens again."""

    def __init__(self, shared: SharedComponents, checkpoints: Checkpoints) -> None:
        self._shared = shared
        self._checkpoints = checkpoints

    def restore(self, store: SessionStore, checkpoint: bytes | None) -> None:
        """Restore all components from ``checkpoint``, to which :func:`resume_point` has rewound the store."""
        if checkpoint is None:
            raise StateError("a session at a simulated broker without a checkpoint is not resumed: start it")
        share, opening = self._checkpoints.share, store.opening()
        marks, since_ns = (BookMarks(), 0) if opening is None else (opening.close.marks, opening.close.ts_ns)
        self._shared.account.import_state(
            share(checkpoint, "account"),
            ledger=store.ledger(marks.fills),
            transfers=store.transfers(marks.transfers),
            actions=store.actions(marks.actions),
            bookings=store.bookings(marks.bookings),
            opening=opening,
        )
        orders = {order.client_order_id: order for order in (*store.open_orders(), *store.orders(since_ns))}
        by_id = sorted(orders.values(), key=lambda order: order.client_order_id)
        self._shared.orders.import_state(in_book_order(by_id, share(checkpoint, "orders")))
        self._checkpoints.restore(checkpoint)

    def follow(self, now_ns: int) -> None:
        """Do nothing: there are no rows behind the checkpoint."""

    def raise_safety(self) -> None:
        """Do nothing: the state of safety is the checkpoint's."""


class RollForward:
    """Recovery with a real broker: facts are never rewound.

    The memory of the components is the checkpoint's; fills, orders, transfers, bookings, assigned ids and safety
    come from the rows, of which ``missed`` tells the components what their memory lacks. Of two safety states the
    stricter holds. What the broker knows and the rows lack, its first comparison takes over as if it came now.
    """

    def __init__(
        self,
        shared: SharedComponents,
        checkpoints: Checkpoints,
        ids: Mapping[str, CounterIds],
        missed: MissedFacts,
        on_code: Callable[[str, str], None],
    ) -> None:
        self._shared = shared
        self._checkpoints = checkpoints
        self._ids = ids
        self._missed = missed
        self._on_code = on_code
        self._stricter: tuple[SafetyState, str, str] | None = None
        self._behind: _Behind | None = None

    def restore(self, store: SessionStore, checkpoint: bytes | None) -> None:
        """Restore all components from ``checkpoint`` and the rows, which may be newer."""
        p = self._shared
        share = partial(self._checkpoints.share, checkpoint) if checkpoint is not None else self._shares_of_begin()
        account, was_open = share("account"), share("orders")
        writing = share("unresolved").get("writing", ())
        facts = read_facts(store, (*was_open, *writing))
        effects = p.account.roll_forward(
            account,
            ledger=facts.ledger,
            transfers=facts.transfers,
            actions=facts.actions,
            bookings=facts.bookings,
            opening=facts.opening,
        )
        p.orders.import_state(self._in_book_order(facts.orders, was_open))
        if checkpoint is not None:
            self._checkpoints.restore(checkpoint)
        for order in facts.orders.values():
            self._reserve(order)
        ids = self._ids["o"]
        new = [key for key in facts.orders if _number(key, ids.prefix) > ids.last]
        behind = self._behind = _Behind(
            happened_since(facts, effects, new, was_open, writing),
            facts.actions[account.get("actions", 0) - facts.marks.actions :],
            facts.bookings[account.get("bookings", 0) - facts.marks.bookings :],
            decided_since(facts, (*new, *writing), share("clock")),
        )
        # An audit that trusts what was proven before has to see that the book has moved.
        rows = len(behind.happened) + len(behind.actions) + len(behind.bookings)
        moved = facts.marks.transfers + len(facts.transfers) - account["transfers"]
        p.record.continue_after(p.record.book_revision + rows + moved)
        self._continue_ids(facts)
        self._continue_histories(facts)

    def _shares_of_begin(self) -> Callable[[str], Any]:
        """Return the shares of a checkpoint of the begin: of a session that has done nothing yet."""
        shares = {"account": self._shared.account.export_state(), "orders": (), "clock": 0, "unresolved": {}}
        return shares.__getitem__

    def follow(self, now_ns: int) -> None:
        """Pass on to the components what their memory lacks."""
        behind, self._behind = self._behind, None
        if behind is None:
            return
        self._missed.forget_decided(behind.decided)
        self._missed.tell(behind.happened, now_ns)
        self._missed.tell_booked(behind.actions, behind.bookings)

    def _in_book_order(self, orders: Mapping[str, Order], share: Iterable[str]) -> list[Order]:
        """Return ended orders by time, then open ones in the checkpoint's order, then newer ones."""
        known = dict.fromkeys(share)
        for key in known:
            if key not in orders:
                raise StorageError(
                    f"table orders: order {key}, which the checkpoint knows as open, is gone; the store is "
                    "damaged: restore it from a backup"
                )
        ended = sorted((o for o in orders.values() if o.state in FINAL_STATES), key=lambda o: o.ts_update_ns)
        newer = sorted(orders.values(), key=lambda o: (o.ts_intent_ns, len(o.client_order_id), o.client_order_id))
        stood = (*(orders[key] for key in known), *(order for order in newer if order.client_order_id not in known))
        return [*ended, *(order for order in stood if order.state not in FINAL_STATES)]

    def _reserve(self, order: Order) -> None:
        """Reserve the cash or shares of an open order, whether it was sent before or after the checkpoint."""
        account, key = self._shared.account, order.client_order_id
        account.release(key)
        if order.state in FINAL_STATES or order.remaining <= 0:
            return
        instrument = self._shared.feed.instruments.get(order.symbol)
        if instrument is None:
            raise StorageError(f"order {key} is open, and the feed does not know its symbol {order.symbol}")
        price = order.limit if order.limit is not None else order.decision_price
        day = instrument.calendar.local_date(from_ns(order.ts_intent_ns))
        cost = cost_of(order.remaining, price, instrument, day) if order.side is Side.BUY else None
        account.hold_back(key, order.strategy, order.pool, order.symbol, order.side, order.remaining, cost)

    def _continue_ids(self, facts: StoredFacts) -> None:
        """Continue each id after the largest in the rows, so that none is assigned twice.

        Those of events continue after the journal's, see :meth:`qts.event.admission.Admission.connect`.
        """
        decisions = facts.decisions
        given = {
            "o": [row.client_order_id for row in decisions],
            "a": [row.approval_id for row in decisions],
            "d": [row.decision_id for row in decisions] + [row.decision_id for row in facts.refusals],
            "t": [transfer.transfer_id for transfer in facts.transfers],
        }
        for kind, texts in given.items():
            ids = self._ids[kind]
            ids.continue_after(max([ids.last, *(_number(text, ids.prefix) for text in texts)]))

    def _continue_histories(self, facts: StoredFacts) -> None:
        states, causes = facts.states, facts.safety
        if states:
            self._shared.state.continue_after(states[-1].seq)
        safety = self._shared.safety
        newer = [row for row in causes if row.seq > safety.seq]
        for row in newer:
            state = SafetyState(row.to_state)
            if state.severity > safety.current_state.severity and (
                self._stricter is None or state.severity >= self._stricter[0].severity
            ):
                self._stricter = state, row.code, row.reason
        if causes:
            safety.continue_after(causes[-1].seq)

    def raise_safety(self) -> None:
        """Raise what was stored of safety behind the checkpoint."""
        if self._stricter is not None:
            state, code, reason = self._stricter
            self._on_code(code, f"stored before the restart: {reason}")
            if self._shared.safety.current_state.severity < state.severity:  # its code alone does not reach it
                self._on_code("FS104", f"safety was {state.value} before the restart: {code} {reason}")


def _number(text: str, prefix: str) -> int:
    """Return the number in an id with ``prefix``; 0 for another id."""
    begin, _, number = text.rpartition("-")
    return int(number) if begin == prefix and number.isdecimal() else 0
