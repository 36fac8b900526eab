"""Finds facts of closed days in the store of a running session, one at a time, on a connection that only reads.

What is looked up was stored before it left the memory, so the connection need not see what is being written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qts.db import tables
from qts.db.connections import open_to_read
from qts.db.decoding import records
from qts.db.failures import explanation
from qts.execution.contracts import Order, VenueRef
from qts.ledger.actions import ActionId
from qts.ledger.bookings import BookingId
from qts.ledger.closes import BookMarks
from qts.ledger.contracts import BookingKind, BookingRow, LedgerRow
from qts.ledger.fills import FillId
from qts.ledger.past import HoldingRows


class StoredPast:
    """The :class:`~qts.ledger.past.PastFacts` and :class:`~qts.execution.past.PastOrders` of the file ``path``.

    The file is opened with the first question and stays open until :meth:`close`. For the session's thread.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._own: dict[str, str] = {}

    def execution(self, fill: FillId) -> LedgerRow | BookingRow | None:
        """Return the row of a booked execution, a booking for one of EXTERNAL; None when it is not stored."""
        key = (fill.account, fill.broker, fill.trade_date, fill.order_id, fill.execution_id)
        where = "account = ? AND broker = ? AND trade_date = ? AND order_id = ? AND execution_id = ?"
        found: list[LedgerRow | BookingRow] = self._read(tables.LEDGER, where, key)
        return (found or self._of_execution(BookingKind.EXTERNAL_FILL, fill) or [None])[0]

    def has_action(self, action: ActionId) -> bool:
        """Return whether a split or dividend is stored for its holding."""
        where = "account = ? AND kind = ? AND symbol = ? AND ex_date = ? AND strategy = ?"
        key = (action.account, action.kind.value, action.symbol, action.ex_date, action.strategy)
        return self._has(tables.ACTIONS, where, key)

    def has_transfer(self, transfer_id: str) -> bool:
        """Return whether a transfer is stored."""
        return self._has(tables.TRANSFERS, "transfer_id = ?", (transfer_id,))

    def has_booking(self, booking: BookingId) -> bool:
        """Return whether a booking is stored."""
        where = (
            "account = ? AND kind = ? AND owner = ? AND symbol = ? AND broker = ? AND day = ? AND order_id = ?"
            " AND reference = ?"
        )
        account, kind, pool, *rest = booking
        return self._has(tables.BOOKINGS, where, (account, kind.value, tables.owner_of(pool), *rest))

    def has_noted(self, account: str, kind: BookingKind, reference: str) -> bool:
        """Return whether any booking of ``kind`` bears ``reference``."""
        where = "account = ? AND kind = ? AND reference = ?"
        return self._has(tables.BOOKINGS, where, (account, kind.value, reference))

    def has_reversed(self, fill: FillId) -> bool:
        """Return whether the reversal of an execution is stored."""
        return bool(self._of_execution(BookingKind.REVERSAL, fill))

    def holding(self, strategy: str, symbol: str, marks: BookMarks) -> HoldingRows:
        """Return the facts of a holding whose rows have the numbers of ``marks`` or lower."""
        whose, of_pool = (strategy, symbol), "<>" if strategy else "="
        return HoldingRows(
            self._read(tables.LEDGER, "strategy_tag = ? AND symbol = ? AND id <= ?", (*whose, marks.fills)),
            self._read(tables.ACTIONS, "strategy = ? AND symbol = ? AND id <= ?", (*whose, marks.actions)),
            self._read(
                tables.BOOKINGS,
                f"strategy = ? AND symbol = ? AND id <= ? AND owner {of_pool} ?",
                (*whose, marks.bookings, tables.owner_of(None)),
            ),
        )

    def order(self, client_order_id: str) -> Order | None:
        """Return an order as it last stood; None when it is not stored."""
        found: list[Order] = self._read(tables.ORDERS, "client_order_id = ?", (client_order_id,))
        return found[0] if found else None

    def numbered(self, ref: VenueRef) -> Order | None:
        """Return the order that has the number ``ref`` as it last stood; None when none is stored."""
        found: list[Order] = self._read(
            tables.ORDERS, "instr(venue_refs, ?) > 0", (tables.number_in_refs(ref.number),)
        )
        return next((order for order in found if ref in order.venue_refs), None)

    def close(self) -> None:
        """Close the file; it is opened again when it is asked again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _of_execution(self, kind: BookingKind, fill: FillId) -> list[BookingRow]:
        where = "account = ? AND kind = ? AND broker = ? AND day = ? AND order_id = ? AND reference = ?"
        key = (fill.account, kind.value, fill.broker, fill.trade_date, fill.order_id, fill.execution_id)
        return self._read(tables.BOOKINGS, where, key)

    def _has(self, table: tables.Table, where: str, key: Sequence[Any]) -> bool:
        return bool(self._rows(table, ("1",), where, key))

    def _read(self, table: tables.Table, where: str, key: Sequence[Any]) -> list[Any]:
        return records(self._path, table, self._rows(table, table.columns, where, key))

    def _rows(self, table: tables.Table, columns: Sequence[str], where: str, key: Sequence[Any]) -> list[Any]:
        """Read ``columns`` of the rows of the file's run and account for which ``where`` holds."""
        if not self._own:
            ((run_id, account),) = self._run("the run", "SELECT run_id, account FROM runs", ())
            self._own = {"run_id": run_id, "account": account}
        of_owner = "".join(f"{column} = ? AND " for column in table.owner)
        owner = (self._own[column] for column in table.owner)
        return self._run(table.name, table.select_as(columns, of_owner + where), (*owner, *key))

    def _run(self, name: str, sql: str, key: Sequence[Any]) -> list[Any]:
        try:
            if self._connection is None:
                self._connection = open_to_read(self._path, any_thread=True)
            return self._connection.execute(sql, key).fetchall()
        except sqlite3.Error as error:
            raise explanation(self._path, f"read {name}", error) from error
