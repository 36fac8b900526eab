"""Keeps the part of the stored book that an audit has found sound: where it ends, and what its rows add up to.

So the next audit reads and adds up only the rows behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from qts.capital.contracts import Pool, Transfer
from qts.clock import NEVER_NS
from qts.db.contracts import DecisionRow
from qts.db.session import SessionStore
from qts.execution.contracts import Order
from qts.ledger.audit import ProvenRows
from qts.ledger.contracts import ActionRow, BookingRow, LedgerRow


class StoredRows(NamedTuple):
    """Stored rows that an audit has to check: orders, and all others in the order of booking."""

    ledger: Sequence[LedgerRow]
    actions: Sequence[ActionRow]
    transfers: Sequence[Transfer]
    orders: Sequence[Order]
    decisions: Sequence[DecisionRow]
    bookings: Sequence[BookingRow]


NO_ROWS: Final = StoredRows((), (), (), (), (), ())


class ProvenUpTo(msgspec.Struct, frozen=True):
    """The end of the part that was found sound.

    ``book`` is the revision of the book, ``prices_ns`` the time of the prices of what was held, 0 for nothing held;
    the others are numbers of stored rows.
    """

    book: int
    prices_ns: int
    fills: int
    actions: int
    transfers: int
    decisions: int
    bookings: int = 0


class ProvenBook:
    """The rows that the last audit found sound. For the session's thread; its end is part of the checkpoint.

    ``begins_with_close`` returns whether the sums of a part that ends with the last close may be taken from its
    rows after a restart. ``initial`` returns the opening capital by pool, in the account's currency: a resumed
    account has it from its checkpoint, whatever the targets are since. ``quantum`` is the currency's smallest unit.
    """

    def __init__(
        self,
        store: SessionStore,
        initial: Callable[[], Mapping[Pool, Decimal]],
        quantum: Decimal,
        begins_with_close: Callable[[], bool],
    ) -> None:
        self._begins_with_close = begins_with_close
        self._store = store
        self._initial = initial
        self._quantum = quantum
        self.up_to: ProvenUpTo | None = None
        """The end of the part; None when every row has to be audited."""
        self._sums: ProvenRows | None = None
        self._approvals: dict[str, str] = {}
        self._changed_from_ns = self._changed_since_close_ns = NEVER_NS
        self._close_end: ProvenUpTo | None = None
        self._closed: tuple[ProvenRows, dict[str, str]] | None = None

    def note_order(self, ts_ns: int) -> None:
        """Note that an order has changed whose row bears the time ``ts_ns`` (ns) or a later one."""
        self._changed_from_ns = min(self._changed_from_ns, ts_ns)
        self._changed_since_close_ns = min(self._changed_since_close_ns, ts_ns)

    def forget(self) -> None:
        """Let the next audit begin with the rows behind the last close; with the first row where there is none."""
        if self._closed is not None:
            sums, approvals = self._closed
            self.up_to, self._sums, self._approvals = self._close_end, sums.closed(), dict(approvals)
        elif self._close_end is not None and self._begins_with_close():
            self.up_to, self._sums, self._approvals = self._close_end, None, {}  # read when they are needed
        else:
            self.forget_all()
            return
        self._changed_from_ns = self._changed_since_close_ns

    def forget_all(self) -> None:
        """Let the next audit begin with the first row."""
        self.up_to = self._sums = self._closed = self._close_end = None
        self._approvals = {}

    def close(self) -> None:
        """Keep the sums of the part and let go of its single rows, but for orders that are open."""
        assert self.up_to is not None  # called behind an audit that found it sound
        sums = self.sums().closed()
        open_approvals = sums.approvals_of_open_orders()
        self._closed, self._close_end = (sums, open_approvals), self.up_to
        self._sums, self._approvals = sums.closed(), dict(open_approvals)
        self._changed_since_close_ns = self._changed_from_ns

    @property
    def has_sums(self) -> bool:
        """Return whether the sums of the part are in memory; after a restart they are not."""
        return self._sums is not None

    def rows_behind(self) -> StoredRows:
        """Read the rows behind the part, and the orders that have changed since. Raises StorageError."""
        end, store = self.up_to, self._store
        if end is None:
            return StoredRows(
                store.ledger(),
                store.actions(),
                store.transfers(),
                store.orders(),
                store.decisions(),
                store.bookings(),
            )
        return StoredRows(
            store.ledger(end.fills),
            store.actions(end.actions),
            store.transfers(end.transfers),
            store.orders(self._changed_from_ns) if self._changed_from_ns < NEVER_NS else (),
            store.decisions(end.decisions),
            store.bookings(end.bookings),
        )

    def sums(self) -> ProvenRows:
        """Return the sums of the part, which are read again after a restart; fresh ones without a part.

        After a restart they are those of the last close, where the part ends with it.
        """
        if self._sums is None:
            self._sums = ProvenRows(self._initial(), self._quantum)
            end = self.up_to
            if end is not None and end == self._close_end and self._ends_with_close(end):
                opening = self._store.opening()
                assert opening is not None  # the part ends with it
                orders = self._store.open_orders()
                self._sums = ProvenRows(self._initial(), self._quantum, opening, orders)
                self._approvals = {order.approval_id: order.client_order_id for order in orders}
                self.close()
            elif end is not None:
                store = self._store
                self._sums.add(
                    store.ledger()[: end.fills],
                    store.transfers()[: end.transfers],
                    store.orders(),
                    store.actions()[: end.actions],
                    store.bookings()[: end.bookings],
                )
                self._approvals = _approvals_of(store.decisions()[: end.decisions])
        return self._sums

    def _ends_with_close(self, end: ProvenUpTo) -> bool:
        opening = self._store.opening() if self._begins_with_close() else None
        return opening is not None and opening.close.marks == (end.fills, end.actions, end.transfers, end.bookings)

    def unapproved(self, rows: StoredRows) -> list[str]:
        """Return the orders of ``rows`` that do not name their own approval; call :meth:`sums` before."""
        self._approvals |= _approvals_of(rows.decisions)
        return [o.client_order_id for o in rows.orders if self._approvals.get(o.approval_id) != o.client_order_id]

    def extend(self, rows: StoredRows, *, book: int, prices_ns: int) -> None:
        """Add ``rows``, which were found sound, to the part."""
        sums, end = self.sums(), self.up_to
        decisions = len(rows.decisions) + (end.decisions if end is not None else 0)
        self.up_to = ProvenUpTo(book, prices_ns, sums.fills, sums.actions, sums.transfers, decisions, sums.bookings)
        self._changed_from_ns = NEVER_NS

    def export_state(self) -> dict[str, Any]:
        """Return the end of the part for a checkpoint; its rows are in the store."""
        state: dict[str, Any] = {"up_to": self.up_to, "changed_from_ns": self._changed_from_ns}
        if self._close_end is not None:
            state |= {"closed": self._close_end, "changed_since_close_ns": self._changed_since_close_ns}
        return state

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Continue from :meth:`export_state`; None: every row has to be audited."""
        up_to = saved["up_to"]
        self.up_to = None if up_to is None else msgspec.convert(up_to, ProvenUpTo)
        self._changed_from_ns = self._changed_since_close_ns = saved["changed_from_ns"]
        if "closed" in saved:
            self._close_end = msgspec.convert(saved["closed"], ProvenUpTo)
            self._changed_since_close_ns = saved["changed_since_close_ns"]


def _approvals_of(decisions: Sequence[DecisionRow]) -> dict[str, str]:
    return {row.approval_id: row.client_order_id for row in decisions}
