"""Resumes a session: a simulated broker is rewound and the session executed again, a real one is rolled forward."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from qts.broker.contracts import Broker, BrokerOrder
from qts.clock import from_ns
from qts.db.session import SessionStore
from qts.errors import StorageError
from qts.execution.contracts import ExecutionReport, Order
from qts.execution.working import FINAL_STATES
from qts.ids import CounterIds
from qts.risk.sizing import cost_of
from qts.runtime.orders.broker_queries import answered
from qts.runtime.orders.reconciliation import end_of, is_new, is_same
from qts.runtime.persistence.checkpoint import Checkpoints
from qts.runtime.persistence.stored_orders import in_book_order
from qts.runtime.shared_components import SharedComponents
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Side


class Recovery(Protocol):
    """Restores a session from what its last process stored. Called on the session's thread, in this order."""

    def restore(self, store: SessionStore, checkpoint: bytes) -> None:
        """Restore the fresh components from ``store`` and ``checkpoint`` alone, without asking a broker.

        Raises StorageError when rows and ``checkpoint`` do not belong together.
        """
        ...

    async def catch_up(self, now_ns: int) -> None:
        """Take over what happened since, after the journal was replayed and before the first value.

        ``now_ns`` is the session's time. Raises BrokerUnavailable when the broker cannot be asked: a session that
        does not know its fills does not begin.
        """
        ...


def resume_point(store: SessionStore, *, is_simulated: bool) -> bytes | None:
    """Return the checkpoint from which a session resumes; the store of a simulated broker is rewound to it.

    None: there is none yet. Raises StorageError.
    """
    if is_simulated:
        store.rewind()
    return store.checkpoint()


class RewindAndReplay:
    """Recovery with a simulated broker: everything returns to the checkpoint, and what came after happens again."""

    def __init__(self, shared: SharedComponents, checkpoints: Checkpoints) -> None:
        self._shared = shared
        self._checkpoints = checkpoints

    def restore(self, store: SessionStore, checkpoint: bytes) -> None:
        """Restore all components from ``checkpoint``, to which :func:`resume_point` has rewound the store."""
        share = self._checkpoints.share
        self._shared.account.import_state(
            share(checkpoint, "account"),
            ledger=store.ledger(),
            transfers=store.transfers(),
            actions=store.actions(),
            bookings=store.bookings(),
        )
        self._shared.orders.import_state(in_book_order(store.orders(), share(checkpoint, "orders")))
        self._checkpoints.restore(checkpoint)

    async def catch_up(self, now_ns: int) -> None:
        """Do nothing: the venue was rewound too, so nothing has happened since."""


class RollForward:
    """Recovery with a real broker: facts are never rewound.

    Fills, orders, transfers, assigned ids and safety come from the rows, the memory of the components from the
    checkpoint. Of two safety states the stricter holds. Fills that the broker knows and the rows lack are given to
    ``on_report`` as if they came now: their key books each once. So are the ends of orders that are open here.
    Orders at the broker that are not ours are reported to ``on_foreign``.
    """

    def __init__(
        self,
        shared: SharedComponents,
        checkpoints: Checkpoints,
        ids: Mapping[str, CounterIds],
        broker: Broker,
        *,
        on_report: Callable[[ExecutionReport], None],
        on_code: Callable[[str, str], None],
        on_foreign: Callable[[str], None],
    ) -> None:
        self._shared = shared
        self._checkpoints = checkpoints
        self._ids = ids
        self._broker = broker
        self._on_report = on_report
        self._on_code = on_code
        self._on_foreign = on_foreign
        self._stricter: tuple[SafetyState, str, str] | None = None

    def restore(self, store: SessionStore, checkpoint: bytes) -> None:
        """Restore all components from ``checkpoint`` and the rows, which may be newer."""
        p, share = self._shared, self._checkpoints.share
        p.account.roll_forward(
            share(checkpoint, "account"),
            ledger=store.ledger(),
            transfers=store.transfers(),
            actions=store.actions(),
            bookings=store.bookings(),
        )
        orders = {order.client_order_id: order for order in store.orders()}
        p.orders.import_state(self._in_book_order(orders, share(checkpoint, "orders")))
        self._checkpoints.restore(checkpoint)
        for order in orders.values():
            self._reserve(order)
        self._count(orders.values())
        self._continue_ids(store)
        self._continue_histories(store)

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

    def _count(self, orders: Iterable[Order]) -> None:
        """Count the orders newer than the checkpoint: a session that is killed often keeps its daily limits."""
        ids = self._ids["o"]
        newer = [order for order in orders if _number(order.client_order_id, ids.prefix) > ids.last]
        for order in sorted(newer, key=lambda order: order.ts_intent_ns):
            self._shared.day.count_order(order.ts_intent_ns, is_entry=order.side is Side.BUY)

    def _continue_ids(self, store: SessionStore) -> None:
        """Continue each id after the largest in the rows, so that none is assigned twice."""
        decisions = store.decisions()
        given = {
            "o": [row.client_order_id for row in decisions],
            "a": [row.approval_id for row in decisions],
            "d": [row.decision_id for row in decisions] + [row.decision_id for row in store.refusals()],
            "t": [transfer.transfer_id for transfer in store.transfers()],
        }
        for kind, texts in given.items():
            ids = self._ids[kind]
            ids.continue_after(max([ids.last, *(_number(text, ids.prefix) for text in texts)]))

    def _continue_histories(self, store: SessionStore) -> None:
        states, causes = store.state_history(), store.safety_history()
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

    async def catch_up(self, now_ns: int) -> None:
        """Ask the broker for all fills of its day: one of an order that has ended here may be missing too."""
        if self._stricter is not None:
            state, code, reason = self._stricter
            self._on_code(code, f"stored before the restart: {reason}")
            if self._shared.safety.current_state.severity < state.severity:  # its code alone does not reach it
                self._on_code("FS104", f"safety was {state.value} before the restart: {code} {reason}")
        for fill in await answered(self._broker.fills_since(0)):
            if is_new(fill, self._shared.account):
                self._on_report(fill)
        for theirs in await answered(self._broker.orders()):
            order = next((order for order in self._shared.orders if is_same(theirs, order)), None)
            if order is not None:
                end = end_of(theirs, order, self._broker.name, now_ns)
                if end is not None:
                    self._on_report(end)  # the broker does not report it again
            elif theirs.is_open and not self._has_ended_here(theirs):
                self._on_foreign(
                    f"order {theirs.ref.number} at {self._broker.name} is not ours: {theirs.side.value} "
                    f"{theirs.remaining} {theirs.symbol}"
                )

    def _has_ended_here(self, theirs: BrokerOrder) -> bool:
        key = theirs.client_order_id
        return theirs.ref in self._shared.orders.refs() if key is None else self._shared.orders.get(key) is not None


def _number(text: str, prefix: str) -> int:
    """Return the number in an id with ``prefix``; 0 for another id."""
    begin, _, number = text.rpartition("-")
    return int(number) if begin == prefix and number.isdecimal() else 0
