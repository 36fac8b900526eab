"""What happened cannot be changed without a sign: each row is sealed together with the one before it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.db.chain import COLUMNS
from qts.db.contracts import ConfigRow, StrategyFile
from qts.db.migrate import migrate, migrations
from qts.db.sqlite import SqliteStore
from qts.errors import StorageError

from . import rows
from .rows import RUN, opened


def history(store: SqliteStore, first: int = 1, last: int = 3) -> None:
    """Rows ``first`` to ``last`` of every table that is sealed, and a checkpoint behind them."""
    for n in range(first, last + 1):
        batch = [rows.decision(str(n)), rows.order(str(n)), rows.ledger(f"x-{n}"), rows.state(n), rows.safety(n)]
        booked = [rows.action(f"2018-05-0{n}"), rows.booking(str(n))]
        closed = [rows.day_close(f"2018-05-0{n}"), rows.holding_close(f"2018-05-0{n}")]
        store.commit([*batch, *booked, *closed, rows.pool(), rows.transfer(str(n))])
        store.accept_config(ConfigRow(n, f"hash-{n}", n, "kim", "why", "{}"))
    store.commit([], b"checkpoint")


def altered(path: Path, *statements: str) -> None:
    """Change a stopped store as a person with the file could: the triggers that would refuse it are no obstacle."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            assert connection.execute(statement).rowcount > 0, statement
        for _, sql in triggers:
            connection.execute(sql)
        connection.commit()


def refusal(path: Path) -> str:
    store = opened(path)
    with pytest.raises(StorageError) as error:
        store.verify_history()
    store.close()
    assert error.value.exit_code == 3
    return str(error.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with a history of three rows each, and a checkpoint."""
    store = opened(tmp_path / "q.sqlite")
    store.open_run(RUN)
    history(store)
    assert store.verify_history() == ""
    store.close()
    return tmp_path / "q.sqlite"


def test_an_untouched_history_is_whole_after_reopening_and_rewinding(path: Path) -> None:
    store = opened(path)
    assert store.verify_history() == ""
    store.commit([rows.safety(4), rows.state(4)])  # no checkpoint follows
    assert store.verify_history() == ""

    store.rewind()

    assert store.verify_history() == ""
    store.commit([rows.safety(4)], b"next")
    assert store.verify_history() == ""
    store.close()


@pytest.mark.parametrize("table", sorted(COLUMNS))
def test_a_changed_value_is_named_with_table_and_row(table: str, path: Path) -> None:
    number = "version" if table == "configurations" else "id"
    for column in COLUMNS[table]:
        with closing(sqlite3.connect(path)) as connection:
            (before,) = connection.execute(f"SELECT {column} FROM {table} WHERE {number} = 2").fetchone()
        altered(path, f"UPDATE {table} SET {column} = {column} || '7' WHERE {number} = 2")

        assert f"table {table}: row 2 is not what was written" in refusal(path), column

        altered(path, f"UPDATE {table} SET {column} = {before!r} WHERE {number} = 2")


def test_a_row_that_was_taken_out_is_named(path: Path) -> None:
    altered(path, "DELETE FROM safety_history WHERE id = 2")

    assert "table safety_history: row 2 is gone" in refusal(path)


def test_rows_taken_off_the_end_are_noticed_by_the_checkpoint(path: Path) -> None:
    altered(path, "DELETE FROM state_history WHERE id > 1")

    assert "table state_history ends with row 1, and row 3 was there at the last checkpoint" in refusal(path)


def test_a_row_that_was_put_in_is_named(path: Path) -> None:
    altered(
        path,
        "INSERT INTO safety_history "
        "SELECT run_id, 4, 9, timestamp, from_state, 'NORMAL', code, actor, reason, NULL "
        "FROM safety_history WHERE id = 3",
    )

    assert "table safety_history: row 4 is not what was written" in refusal(path)


def test_a_row_resealed_alone_breaks_the_next(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        before, *values = connection.execute(
            f"SELECT (SELECT digest FROM safety_history WHERE id = 1), {', '.join(COLUMNS['safety_history'])} "
            "FROM safety_history WHERE id = 2"
        ).fetchone()
    values[COLUMNS["safety_history"].index("to_state")] = "NORMAL"
    text = json.dumps([2, *values], separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(f"{before}{text}".encode()).hexdigest()
    altered(path, f"UPDATE safety_history SET to_state = 'NORMAL', digest = '{digest}' WHERE id = 2")

    assert "table safety_history: row 3 is not what was written" in refusal(path)


def test_a_missing_digest_is_no_way_round(path: Path) -> None:
    altered(path, "UPDATE safety_history SET to_state = 'NORMAL', digest = NULL WHERE id = 1")

    assert "table safety_history: row 1 is not what was written" in refusal(path)


def test_the_schema_itself_refuses_a_plain_update(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for table in ("safety_history", "state_history"):
            with pytest.raises(sqlite3.IntegrityError, match=f"{table} is append-only"):
                connection.execute(f"UPDATE {table} SET reason = 'nothing happened'")


def test_a_look_at_the_new_rows_alone_finds_a_change_in_them(path: Path) -> None:
    store = opened(path)
    store.verify_history()
    store.commit([rows.safety(4)], b"next")
    altered(path, "UPDATE safety_history SET code = 'FS999' WHERE id = 4")

    with pytest.raises(StorageError, match="table safety_history: row 4"):
        store.verify_history(only_new=True)
    store.close()


def test_rows_of_an_earlier_version_stay_readable_and_are_told(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, [step for step in migrations() if step.version < 5], "old")
        rows.begin_run_of_before(connection)
        connection.execute("INSERT INTO safety_history VALUES (1, 1, 1, 'NORMAL', 'FAIL', 'FS070', 'rule', 'why')")
    store = opened(path)

    told = store.verify_history()
    store.commit([rows.safety(2), rows.state(1)], b"checkpoint")

    assert told == "rows written by an earlier version carry no digest: safety_history up to 1"
    assert store.verify_history() == told
    store.close()
    altered(path, "UPDATE safety_history SET code = 'FS999' WHERE id = 2")
    assert "table safety_history: row 2 is not what was written" in refusal(path)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["rows", "checkpoint", "refused", "rewind", "reopen"]), max_size=12))
def test_whatever_is_written_refused_and_rewound_leaves_a_whole_chain(steps: Sequence[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "q.sqlite")
        store = opened(path)
        for n, step in enumerate(steps, 1):
            if step == "rows":
                store.commit([rows.safety(n), rows.ledger(f"x-{n}")])
            elif step == "checkpoint":
                store.commit([rows.state(n)], b"checkpoint")
            elif step == "refused":
                batch = [rows.safety(n), rows.ledger("twice"), rows.ledger("twice")]
                with pytest.raises(StorageError):
                    store.commit(batch)
            elif step == "rewind":
                store.rewind()
            else:
                store.close()
                store = opened(path)
            assert store.verify_history() == ""
        store.close()


def test_a_run_keeps_what_its_strategies_were_made_of(tmp_path: Path) -> None:
    files = [StrategyFile(0, "Mine", b"", "aa"), StrategyFile(0, "Mine", b"\xb0\xa1.py", "bb")]
    store = SqliteStore(tmp_path / "q.sqlite", durability="NORMAL")
    store.open_run(RUN, files)
    store.open_run(RUN, files[:1])  # the same run again changes nothing

    assert list(store.strategy_files()) == files
    store.close()
