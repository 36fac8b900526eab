"""Read a run's store for those who only look: nothing is written, and the session that writes waits for nobody."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

from qts.db import tables
from qts.db.chain import Chain
from qts.db.contracts import LedgerRow, PositionRow, RunRow
from qts.db.decoding import RUN_COLUMNS, records, refuse_damage, run_of
from qts.db.marks import last_numbers
from qts.db.sqlite import explanation
from qts.execution.contracts import Order

_T = TypeVar("_T")
_BUSY_S = 1.0
_RUN = f"SELECT {RUN_COLUMNS} FROM runs"  # noqa: S608 - a constant


class StoreReader:
    """Everything read between opening and closing belongs to one moment of the store in the file ``path``.

    Every method raises StorageError with what to do when the file cannot be read or is damaged. To be closed soon:
    the writer's log cannot be folded into the file as long as somebody reads in it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Without a log nobody has it open; then not even the files that readers share are made beside it: they
        # would belong to whoever looks, not to whoever trades.
        logged = path.with_name(f"{path.name}-wal").exists()
        mode = "mode=ro" if logged else "mode=ro&immutable=1"
        self._connection = self._explained(
            "open",
            lambda: sqlite3.connect(
                f"file:{quote(os.fsencode(path.absolute()))}?{mode}",
                uri=True,
                timeout=_BUSY_S,
                isolation_level=None,
            ),
        )
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
        rows = self._rows("the run", _RUN)
        return run_of(self._path, rows[0]) if rows else None

    def orders(self) -> list[Order]:
        """Return every order, in the order of their intents."""
        orders: list[Order] = self._read(tables.ORDERS)
        return sorted(orders, key=lambda o: (o.ts_intent_ns, len(o.client_order_id), o.client_order_id))

    def ledger(self) -> list[LedgerRow]:
        """Return every booked fill, in the order of booking."""
        known = {name for (name,) in self._rows("the ledger", "SELECT name FROM pragma_table_info('t_ledger')")}
        columns = (column if column in known else "''" for column in tables.LEDGER.columns)  # a store of before
        sql = f"SELECT {', '.join(columns)} FROM t_ledger ORDER BY id"  # noqa: S608 - our own names
        return records(self._path, tables.LEDGER, self._rows("the ledger", sql))

    def positions(self) -> list[PositionRow]:
        """Return every holding by strategy and symbol, flat ones too."""
        return self._read(tables.POSITIONS)

    def verify_history(self) -> None:
        """Raise StorageError, naming table and row, when a row is not what was written, or the file is damaged."""
        if self._rows("the schema", "SELECT 1 FROM sqlite_master WHERE name = 'audit_chain'"):
            self._explained("read the history", self._verify)
        self._explained("check", lambda: refuse_damage(self._connection, self._path))

    def _verify(self) -> str:
        return Chain().verify(self._connection, last_numbers(self._connection, self._path), str(self._path))

    def _read(self, table: tables.Table) -> list[Any]:
        return records(self._path, table, self._rows(table.name, table.select))

    def _rows(self, what: str, sql: str) -> Sequence[Sequence[Any]]:
        return self._explained(f"read {what}", lambda: self._connection.execute(sql).fetchall())

    def _explained(self, what: str, work: Callable[[], _T]) -> _T:
        try:
            return work()
        except sqlite3.Error as error:
            raise explanation(self._path, what, error) from error
