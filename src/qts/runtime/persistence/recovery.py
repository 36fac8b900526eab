"""How a killed session goes on: rewound and executed again, or, with a real broker, rolled forward."""

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
from qts.runtime.persistence.stored_orders import orders_as_they_stood
from qts.runtime.shared_components import SharedComponents
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Side


class Recovery(Protocol):
    """How a session takes up what its last life has left. Called on the session's thread, in this order."""

    def restore(self, store: SessionStore, checkpoint: bytes) -> None:
        """Make the fresh components stand where the session goes on from; asks nobody but ``store``.

        Raises StorageError when rows and ``checkpoint`` do not belong together.
        """
        ...

    async def catch_up(self, now_ns: int) -> None:
        """Take up what happened since, before the first value; after the journal was taken up.

        ``now_ns`` is the session's time. Raises BrokerUnavailable when the broker cannot be asked: a session that
        does not know its fills does not begin.
        """
        ...


def resume_point(store: SessionStore, *, is_simulated: bool) -> bytes | None:
    """Return the checkpoint that a session goes on from; a store of a simulated broker is rewound to it.

    None: there is none yet. Raises StorageError.
    """
    if is_simulated:
        store.rewind()
    return store.checkpoint()


class RewindAndReplay:
    """For a simulated broker: everything stands as at the checkpoint, and what came after it happens again."""

    def __init__(self, shared: SharedComponents, checkpoints: Checkpoints) -> None:
        self._shared = shared
        self._checkpoints = checkpoints

    def restore(self, store: SessionStore, checkpoint: bytes) -> None:
        """The store was rewound to ``checkpoint`` (:func:`resume_point`)."""
        share = self._checkpoints.share
        self._shared.account.import_state(
            share(checkpoint, "account"), ledger=store.ledger(), transfers=store.transfers()
        )
        self._shared.orders.import_state(orders_as_they_stood(store.orders(), share(checkpoint, "orders")))
        self._checkpoints.give(checkpoint)

    async def catch_up(self, now_ns: int) -> None:
        """Nothing has happened since: the venue was set back, too."""


class RollForward:
    """For a real broker: facts are never rewound.

    Rows say what is: fills, orders, transfers, which numbers were given, how strict safety was. The checkpoint says
    the rest: the memory of the components. Of safety the stricter of the two holds. Fills that the broker knows and
    the rows lack are given to ``on_report`` as if they came now: their key books each once. So are the ends of
    orders that are open here. Orders at the broker that are not ours are named by ``on_foreign``.
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
        """Rows that are newer than ``checkpoint`` count."""
        p, share = self._shared, self._checkpoints.share
        p.account.roll_forward(share(checkpoint, "account"), ledger=store.ledger(), transfers=store.transfers())
        orders = {order.client_order_id: order for order in store.orders()}
        p.orders.import_state(self._as_they_stand(orders, share(checkpoint, "orders")))
        self._checkpoints.give(checkpoint)
        for order in orders.values():
            self._hold_back(order)
        self._count(orders.values())
        self._continue_ids(store)
        self._continue_histories(store)

    def _as_they_stand(self, orders: Mapping[str, Order], share: Iterable[str]) -> list[Order]:
        """Ended orders by time (the last are remembered); open ones in the checkpoint's order, then newer ones."""
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

    def _hold_back(self, order: Order) -> None:
        """Hold back what an open order may take, whether it was sent before or after the checkpoint."""
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
        """Count the orders that the checkpoint does not know: a session that dies often keeps to its limits."""
        ids = self._ids["o"]
        newer = [order for order in orders if _number(order.client_order_id, ids.prefix) > ids.last]
        for order in sorted(newer, key=lambda order: order.ts_intent_ns):
            self._shared.day.count_order(order.ts_intent_ns, is_entry=order.side is Side.BUY)

    def _continue_ids(self, store: SessionStore) -> None:
        """No number that a row holds is given again."""
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
        """Ask the broker for all fills of its day: one of an order that has ended here may be missing, too."""
        if self._stricter is not None:
            state, code, reason = self._stricter
            self._on_code(code, f"stored before the restart: {reason}")
            if self._shared.safety.current_state.severity < state.severity:  # its code alone does not lead there
                self._on_code("FS104", f"safety was {state.value} before the restart: {code} {reason}")
        for fill in await answered(self._broker.fills_since(0)):
            if is_new(fill, self._shared.account):
                self._on_report(fill)
        for theirs in await answered(self._broker.orders()):
            order = next((order for order in self._shared.orders if is_same(theirs, order)), None)
            if order is not None:
                end = end_of(theirs, order, self._broker.name, now_ns)
                if end is not None:
                    self._on_report(end)  # nobody tells it again
            elif theirs.is_open and not self._has_ended_here(theirs):
                self._on_foreign(
                    f"order {theirs.ref.number} at {self._broker.name} is not ours: {theirs.side.value} "
                    f"{theirs.remaining} {theirs.symbol}"
                )

    def _has_ended_here(self, theirs: BrokerOrder) -> bool:
        key = theirs.client_order_id
        return theirs.ref in self._shared.orders.refs() if key is None else self._shared.orders.get(key) is not None


def _number(text: str, prefix: str) -> int:
    """The number of an id that ``prefix`` begins; 0 for one from elsewhere."""
    begin, _, number = text.rpartition("-")
    return int(number) if begin == prefix and number.isdecimal() else 0
