"""Migrations: forward only, checksummed, one transaction each; drift is refused by name."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from qts.db.migrate import migrate, migrations, refuse_drift, statements
from qts.db.migrations import Migration
from qts.errors import StorageError

from .rows import opened

FIRST = Migration(1, "0001_a.sql", "CREATE TABLE a (x INTEGER, y TEXT);\nCREATE INDEX a_y ON a (y);\n")
SECOND = Migration(2, "0002_b.sql", "ALTER TABLE a ADD COLUMN z TEXT;\nCREATE TABLE b (x INTEGER);\n")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "m.sqlite", isolation_level=None)
    yield connection
    connection.close()


def tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_the_packages_migrations_are_numbered_and_each_number_stands_for_one() -> None:
    numbers = [step.version for step in migrations()]
    assert numbers == sorted(set(numbers))
    assert len({step.checksum for step in migrations()}) == len(migrations())


def test_a_new_database_gets_all_of_them_and_an_old_one_the_missing_ones(database: sqlite3.Connection) -> None:
    migrate(database, [FIRST], "m")
    migrate(database, [FIRST, SECOND], "m")
    migrate(database, [FIRST, SECOND], "m")
    assert tables(database) == {"a", "b", "schema_migrations"}
    assert database.execute("SELECT version FROM schema_migrations").fetchall() == [(1,), (2,)]


def test_a_migration_whose_text_changed_is_refused(database: sqlite3.Connection) -> None:
    migrate(database, [FIRST], "m")
    changed = FIRST._replace(sql=FIRST.sql + "-- a remark\n")
    with pytest.raises(StorageError, match=r"m: migration 0001_a\.sql was applied with another text"):
        migrate(database, [changed], "m")


def test_a_database_of_a_newer_version_is_refused(database: sqlite3.Connection) -> None:
    migrate(database, [FIRST, SECOND], "m")
    with pytest.raises(StorageError, match=r"0002_b\.sql, which this version of QTS does not know"):
        migrate(database, [FIRST], "m")


@pytest.mark.parametrize(
    "broken", ["CREATE TABLE b (x);\nCREATE TABLE a (x);\n", "CREATE TABLE b (x);\nNONSENSE;\n"]
)
def test_a_migration_that_fails_leaves_nothing_and_can_be_run_again(
    database: sqlite3.Connection, broken: str
) -> None:
    migrate(database, [FIRST], "m")
    with pytest.raises(sqlite3.OperationalError):
        migrate(database, [FIRST, SECOND._replace(sql=broken)], "m")
    assert tables(database) == {"a", "schema_migrations"}
    migrate(database, [FIRST, SECOND], "m")
    assert "b" in tables(database)


def test_two_starts_at_once_apply_each_migration_once(tmp_path: Path) -> None:
    # the second start read the history before the first had written it
    one, other = (sqlite3.connect(tmp_path / "m.sqlite", isolation_level=None) for _ in range(2))
    migrate(one, [FIRST], "m")

    class Stale:
        """A connection whose first look at the history is an old one."""

        in_transaction = property(lambda self: other.in_transaction)
        looked = False

        def execute(self, sql: str, *args: object) -> sqlite3.Cursor:
            if sql.startswith("SELECT version") and not self.looked:
                self.looked = True
                return other.execute("SELECT 1, '', '' WHERE 0")
            return other.execute(sql, *args)  # type: ignore[arg-type]

    migrate(Stale(), [FIRST], "m")  # type: ignore[arg-type]
    assert one.execute("SELECT count(*) FROM schema_migrations").fetchone() == (1,)
    one.close()
    other.close()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("DROP TABLE refusals", "table refusals is missing"),
        ("ALTER TABLE t_ledger DROP COLUMN tax", "column t_ledger.tax is missing"),
        ("ALTER TABLE t_ledger ADD COLUMN extra TEXT", "column t_ledger.extra is not ours"),
        (
            "ALTER TABLE orders RENAME COLUMN filled TO done",
            "column orders.filled is missing; column orders.done is not ours",
        ),
        ("DROP TRIGGER t_ledger_is_append_only", "trigger t_ledger_is_append_only is missing"),
        (
            "CREATE TRIGGER spy AFTER INSERT ON t_ledger BEGIN DELETE FROM orders; END",
            "trigger spy is not ours",
        ),
    ],
)
def test_a_schema_that_drifted_is_refused_by_name(tmp_path: Path, change: str, words: str) -> None:
    path = tmp_path / "q.sqlite"
    opened(path).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute(change)
    other.close()
    with pytest.raises(StorageError) as caught:
        opened(path)
    assert words in str(caught.value)
    assert "Restore the file from a backup" in str(caught.value)


def test_a_rule_that_was_taken_out_is_noticed(database: sqlite3.Connection) -> None:
    strict = Migration(1, "0001_a.sql", "CREATE TABLE a (x INTEGER UNIQUE);\n")
    database.execute("CREATE TABLE a (x INTEGER)")
    with pytest.raises(StorageError, match="table a is defined otherwise"):
        refuse_drift(database, [strict], "m")


def test_tables_of_others_are_none_of_our_business(tmp_path: Path) -> None:
    path = tmp_path / "q.sqlite"
    opened(path).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TABLE notes (text)")
    other.execute("CREATE VIEW fills AS SELECT * FROM t_ledger")
    other.execute("INSERT INTO notes VALUES ('mine')")
    other.close()
    opened(path).close()
    with closing(sqlite3.connect(path)) as left:
        assert left.execute("SELECT text FROM notes").fetchall() == [("mine",)]
        assert left.execute("SELECT count(*) FROM fills").fetchall() == [(0,)]


def test_a_trigger_is_one_statement() -> None:
    trigger = "CREATE TRIGGER t AFTER INSERT ON a\nBEGIN\n  DELETE FROM a;\n  DELETE FROM a;\nEND;\n"
    sql = f"CREATE TABLE a (x);\n{trigger}-- end\n"
    assert [part.split()[1] for part in statements(sql)] == ["TABLE", "TRIGGER"]


def test_a_migration_that_ends_inside_a_statement_is_refused() -> None:
    with pytest.raises(StorageError, match="ends inside a statement: 'CREATE TABLE b"):
        statements("CREATE TABLE a (x);\nCREATE TABLE b (x")


def test_every_key_begins_with_the_run_or_the_account(tmp_path: Path) -> None:
    # Given the newest schema
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, migrations(), "m")
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]

        # When the first column of every key and index is read
        begins = {
            (table, index[1]): connection.execute(f"PRAGMA index_info({index[1]})").fetchone()[2]
            for table in names
            for index in connection.execute(f"PRAGMA index_list({table})")
        }
        by_rowid = {
            table
            for table in names
            for column in connection.execute(f"PRAGMA table_info({table})")
            if column[5] and not any(name == table for name, _ in begins)
        }

    # Then it is the run or the account; the file's own list of migrations is of neither
    assert set(begins.values()) == {"run_id", "account"}
    assert by_rowid == {"schema_migrations"}
