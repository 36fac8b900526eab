"""Read a run's store beside the session that writes it: nothing is written, and the session never waits."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

from qts.capital.contracts import Transfer
from qts.db import tables
from qts.db.chain import Chain
from qts.db.connections import is_logged, open_to_read
from qts.db.contracts import (
    ActionRow,
    BookingRow,
    DayCloseRow,
    EquityRow,
    HoldingCloseRow,
    LedgerRow,
    PoolRow,
    PositionRow,
    RunRow,
)
from qts.db.decoding import RUN_COLUMNS, records, refuse_damage, refuse_others, run_of, transfers_of
from qts.db.failures import explanation
from qts.db.marks import last_numbers, marks_of
from qts.db.migrate import is_behind, migrations
from qts.execution.contracts import Order
from qts.execution.working import in_order_of_intent
from qts.ledger.contracts import DEFAULT_ACCOUNT

_T = TypeVar("_T")
_ORDERS_OF_BEFORE: Final = {
    "venue_refs": (
        "CASE broker_order_id WHEN '' THEN '[]' ELSE '' || json_array(json_object('day',"
        " date(created_at / 1000000000, 'unixepoch'), 'number', broker_order_id, 'venue', 'sim', 'branch', '')) END"
    ),
    "type": "CASE WHEN price IS NULL THEN 'MARKET' ELSE 'LIMIT' END",
    "time_in_force": "'DAY'",
    "expires_at": "NULL",
    "stop_price": "NULL",
}
"""Values that the migration of orders writes into their newer columns; '' into the others."""


class StoreReader:
    """A reader of one moment of the store in the file ``path``: everything read until closing belongs to it.

    Every method raises StorageError with what to do when the file cannot be read or is damaged. To be closed soon:
    the writer's log cannot be folded into the file as long as it is read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = self._explained("open", lambda: open_to_read(path, immutable=not is_logged(path)))
        try:
            self._explained("read", lambda: self._connection.execute("BEGIN"))
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> StoreReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def run(self) -> RunRow | None:
        """Return the run of the file; None while it has not begun."""
        known = self._columns_of("runs")
        columns = (name if name in known else f"'{DEFAULT_ACCOUNT}'" for name in RUN_COLUMNS.split(", "))
        rows = self._rows("the run", f"SELECT {', '.join(columns)} FROM runs")  # noqa: S608 - our own names
        return run_of(self._path, rows[0]) if rows else None

    @property
    def is_behind(self) -> bool:
        """Return whether an earlier version wrote the store, so that opening it for writing changes its schema."""
        return self._explained("read the schema", lambda: is_behind(self._connection, migrations()))

    def checkpoint(self) -> bytes | None:
        """Return the newest checkpoint; None for none."""
        rows = self._rows("the checkpoint", "SELECT data FROM checkpoint")
        return bytes(rows[0][0][: marks_of(self._connection, self._path)[1]]) if rows else None

    def is_kept(self) -> bool:
        """Return whether no row of the run is ever taken back: that of a real broker, or a copy from a server."""
        return bool(self._columns_of("kept_runs") and self._rows("the run", "SELECT run_id FROM kept_runs"))

    def orders(self) -> list[Order]:
        """Return every order, in the order of their intents."""
        orders: list[Order] = self._read_as_of_before(tables.ORDERS, _ORDERS_OF_BEFORE)
        return in_order_of_intent(orders)

    def ledger(self) -> list[LedgerRow]:
        """Return every booked fill, in the order of booking."""
        return self._read_as_of_before(tables.LEDGER, {})

    def actions(self) -> list[ActionRow]:
        """Return every split and dividend, in the order of booking; none for a store of an earlier version."""
        return self._read_if_there(tables.ACTIONS)

    def bookings(self) -> list[BookingRow]:
        """Return every booking, in the order of booking; none for a store of an earlier version."""
        return self._read_if_there(tables.BOOKINGS)

    def day_closes(self) -> list[DayCloseRow]:
        """Return every close of a day, in their order; none for a store of an earlier version."""
        return self._read_if_there(tables.DAY_CLOSES)

    def holding_closes(self) -> list[HoldingCloseRow]:
        """Return every holding at a close, in the order of writing; none for a store of an earlier version."""
        return self._read_if_there(tables.HOLDING_CLOSES)

    def positions(self) -> list[PositionRow]:
        """Return every holding by strategy and symbol, flat ones too."""
        return self._read(tables.POSITIONS)

    def pools(self) -> list[PoolRow]:
        """Return the pools, by name."""
        return self._read(tables.POOLS)

    def first_equity(self) -> EquityRow | None:
        """Return the first sample of the account; None before there is one."""
        rows = self._rows_of(tables.EQUITY, tables.EQUITY.columns, 1)
        found: list[EquityRow] = records(self._path, tables.EQUITY, rows)
        return found[0] if found else None

    def transfers(self) -> list[Transfer]:
        """Return the moves of cash between pools, in the order of booking."""
        return transfers_of(self._path, self._rows_of(tables.TRANSFERS, tables.TRANSFERS.columns))

    def verify_history(self) -> None:
        """Raise StorageError, naming table and row, when a row is not what was written, or the file is damaged."""
        if self._rows("the schema", "SELECT 1 FROM sqlite_master WHERE name = 'audit_chain'"):
            self._explained("read the history", self._verify)
        self._explained("check", lambda: refuse_damage(self._connection, self._path))

    def _verify(self) -> str:
        run_id = self._run_of_rows("audit_chain")
        if run_id is not None:
            refuse_others(self._connection, self._path)
        chain = Chain(run_id)
        return chain.verify(self._connection, last_numbers(self._connection, self._path), str(self._path))

    def _read_as_of_before(self, table: tables.Table, defaults: Mapping[str, str]) -> list[Any]:
        """Read ``table`` of a store that may be older than its newest columns: for those, ``defaults`` or ''."""
        known = self._columns_of(table.name)
        columns = [column if column in known else defaults.get(column, "''") for column in table.columns]
        return records(self._path, table, self._rows_of(table, columns))

    def _read_if_there(self, table: tables.Table) -> list[Any]:
        sql = f"SELECT 1 FROM sqlite_master WHERE name = '{table.name}'"  # noqa: S608 - our own names
        return self._read(table) if self._rows("the schema", sql) else []

    def _read(self, table: tables.Table) -> list[Any]:
        return records(self._path, table, self._rows_of(table, table.columns))

    def _rows_of(self, table: tables.Table, columns: Sequence[str], most: int = -1) -> Sequence[Sequence[Any]]:
        """Read ``columns`` of all rows in the order of the table, or of the first ``most``."""
        run_id = self._run_of_rows(table.name)
        limit = f" LIMIT {most}"
        if run_id is None:
            return self._rows(table.name, table.select_as(columns, "true") + limit)
        return self._rows(table.name, table.select_as(columns, "run_id = ?") + limit, run_id)

    def _run_of_rows(self, table: str) -> str | None:
        """Return the run of the file; None where rows of ``table`` do not name it: an earlier version's."""
        if "run_id" not in self._columns_of(table):
            return None
        rows = self._rows("the run", "SELECT run_id FROM runs")
        return rows[0][0] if rows else ""

    def _columns_of(self, table: str) -> set[str]:
        sql = f"SELECT name FROM pragma_table_info('{table}')"  # noqa: S608 - our own names
        return {name for (name,) in self._rows(table, sql)}

    def _rows(self, what: str, sql: str, *values: str) -> Sequence[Sequence[Any]]:
        return self._explained(f"read {what}", lambda: self._connection.execute(sql, values).fetchall())

    def _explained(self, what: str, work: Callable[[], _T]) -> _T:
        try:
            return work()
        except sqlite3.Error as error:
            raise explanation(self._path, what, error) from error
