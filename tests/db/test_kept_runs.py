"""A run that trades with a real broker: nothing of it is deleted, by whatever opens its file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest

from qts.db import tables
from qts.db.contracts import QuarantineRow
from qts.db.sqlite import SqliteStore
from qts.execution.contracts import OrderState
from qts.execution.lifecycle import TABLE, can_become
from tests.db import rows

KEPT = (*(table.name for table in (*tables.APPEND_ONLY, *tables.REPLACED) if table is not tables.BARS), "batches")


def with_rows(path: Path, *, rewindable: bool) -> Path:
    store = SqliteStore(path, durability="NORMAL", rewindable=rewindable)
    store.open_run(rows.RUN)
    facts = [rows.decision(), rows.order(), rows.ledger(), rows.action(), rows.booking(), rows.transfer()]
    facts += [rows.pool(), rows.position(), rows.state(), rows.safety(), rows.equity(), rows.refusal()]
    facts += [rows.day_close(), rows.holding_close(), rows.execution(), rows.stage()]
    store.commit([*facts, QuarantineRow(1, "FS041", "why", "notice")], b"one")
    store.close()
    return path


@pytest.mark.parametrize("table", [*KEPT, "kept_runs", "runs"])
def test_nothing_is_deleted_from_a_run_at_a_real_broker(table: str, tmp_path: Path) -> None:
    path = with_rows(tmp_path / "q.sqlite", rewindable=False)
    with closing(sqlite3.connect(path)) as other:
        assert other.execute(f"SELECT count(*) FROM {table}").fetchone() > (0,)
        with pytest.raises(sqlite3.IntegrityError, match=f"nothing is deleted from {table}"):
            other.execute(f"DELETE FROM {table}")


@pytest.mark.parametrize("table", [name for name in KEPT if name not in {t.name for t in tables.REPLACED}])
def test_no_row_that_is_only_added_is_changed(table: str, tmp_path: Path) -> None:
    path = with_rows(tmp_path / "q.sqlite", rewindable=True)
    with closing(sqlite3.connect(path)) as other, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        other.execute(f"UPDATE {table} SET id = id + 100")


def test_a_simulated_run_is_taken_back(tmp_path: Path) -> None:
    path = with_rows(tmp_path / "q.sqlite", rewindable=True)
    with closing(sqlite3.connect(path)) as other:
        assert [other.execute(f"DELETE FROM {table}").rowcount for table in ("t_ledger", "orders")] == [1, 1]


def test_an_order_can_become_what_its_table_leads_to() -> None:
    steps = {(a, b) for a, moves in TABLE.items() for b in moves.values() if isinstance(b, OrderState)}
    for before, after in product(OrderState, OrderState):
        found, known = {before}, set[OrderState]()
        while found != known:
            known = set(found)
            found |= {b for a, b in steps if a in found}
        assert can_become(before, after) is (after in found)
    final = [state for state in OrderState if not can_become(state, OrderState.WORKING)]
    assert OrderState.FILLED in final
    assert OrderState.CANCELLED in final
