"""A server saved in one file and put back into an empty database, row by row."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import msgspec
import pytest

from qts.db.access import Access, parse
from qts.db.datadir import DATABASE_NAME
from qts.db.find_run import run_in
from qts.db.tools import pg_programs
from qts.db.tools.backup import backup
from qts.db.tools.import_run import import_run
from qts.db.tools.migrate_server import migrate_server
from qts.db.tools.open_server import adapter_for, opened
from qts.db.tools.restore import restore
from qts.db.tools.verify import verify
from qts.errors import DataError, InputError, StorageError
from tests.db import rows
from tests.db.books import Book, one_of_each
from tests.effort import EVERY_KILL
from tests.servers import sql
from tests.servers.fixtures import Database
from tests.servers.pglite import PGlite

_numbers = itertools.count(1)
VALUES = (
    "SELECT qts.qts_mark_tick_days('{2026-01-02, 2026-01-05}'); "
    "SELECT qts.qts_tick_recording('csv:abc', 'KRW', 7), qts.qts_tick_recording('csv:def', 'KRW', 7); "
    "INSERT INTO qts.tick_data (time, ns, seq, symbol, kind, flags, price, size) VALUES "
    "('2026-01-02 09:00:00.123456+09', 789, 1, 'S', 'T', 0, 1.50, 3), "
    "('2026-01-05 09:00:00+09', 0, 2, 'S', 'T', 0, 1.5, 3)"
)
TABLES = (
    "runs", "run_progress", "configurations", "strategy_files", "batches", "t_ledger", "orders", "written_forms",
    "tick_data", "tick_days", "tick_recordings", "day_closes", "quarantine", "bars",
)  # fmt: skip


@pytest.fixture
def saved(database: Database, tmp_path: Path) -> Iterator[tuple[Database, Book]]:
    """A database with a run and market values, and the run's book."""
    book = Book(tmp_path / DATABASE_NAME)
    book.write(*one_of_each(), inbox=["e-1"])
    book.write(msgspec.structs.replace(rows.refusal(), detail='"quoted"\\ \t\n 한글'))
    yield database, book
    book.close()


async def fill(database: Database, directory: Path) -> Access:
    access = parse(database.url, {})
    await migrate_server(access, lambda what, outcome: None, with_roles=False)
    async with opened(adapter_for(database.url, {})) as adapter:
        await import_run(adapter, run_in(directory))
    database.execute(VALUES)
    return access


@pytest.fixture
def empty(database: Database) -> Iterator[Access]:
    """Another database on the same server."""
    name = f"restored_{urlsplit(database.url).path[1:]}_{next(_numbers)}"
    sql.execute(database.url, f"CREATE DATABASE {name} TEMPLATE template0")
    yield parse(urlunsplit(urlsplit(database.url)._replace(path=f"/{name}")), {})
    sql.execute(database.url, f"DROP DATABASE {name} WITH (FORCE)")


def url_of(access: Access) -> str:
    return f"postgresql://{access.user}@{access.host}:{access.port}/{access.database}"


def content(url: str) -> dict[str, list[str]]:
    """Return all rows of the tables, as the server shows them."""
    return {
        table: sorted(row[0] for row in sql.query(url, f"SELECT t::text FROM qts.{table} AS t")) for table in TABLES
    }


@pytest.mark.parametrize(
    ("database", "by_program"), [("15", True), ("18", False)], indirect=["database"], ids=["pg_dump", "archive"]
)
async def test_what_was_saved_is_restored_row_by_row(
    saved: tuple[Database, Book], empty: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_program: bool
) -> None:
    # Given a server with runs and market values, and the programs of PostgreSQL or none
    database, book = saved
    if by_program:
        if database.server is None or not (database.server.programs / "pg_dump").exists():
            pytest.skip("no client programs beside this server")
        monkeypatch.setenv("PATH", str(database.server.programs), prepend=":")
    else:
        monkeypatch.setenv("PATH", str(tmp_path))
    access = await fill(database, tmp_path)
    before = content(database.url)

    # When it is saved and restored into an empty database
    done = await backup(access, tmp_path / "b.bak")
    assert (done.how.endswith("pg_dump"), done.rows is None) == (by_program, by_program)
    assert by_program or done.why == "pg_dump was not found"
    again = await restore(empty, tmp_path / "b.bak")

    # Then every row is there, the book is equal, and counted columns go on behind the restored ones
    assert again.left_out == ()
    assert content(url_of(empty)) == before
    async with opened(adapter_for(url_of(empty), {})) as adapter:
        assert (await verify(adapter, run_in(tmp_path))).is_equal
    assert sql.query(url_of(empty), "SELECT qts.qts_tick_recording('csv:new', 'KRW', 7) > 2")[0][0]

    # When the run has gone on since, Then verify names what the server lacks, and an import brings it
    book.write(rows.equity(9))
    async with opened(adapter_for(url_of(empty), {})) as adapter:
        assert (await verify(adapter, run_in(tmp_path))).missing == (3, 3)
        await import_run(adapter, run_in(tmp_path))
        assert (await verify(adapter, run_in(tmp_path))).is_equal


async def test_a_backup_is_restored_only_into_an_empty_database_and_never_replaces_a_file(
    saved: tuple[Database, Book], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    access = await fill(saved[0], tmp_path)
    await backup(access, tmp_path / "b.bak")
    with pytest.raises(
        InputError, match=r"the database is not empty: its table .* has rows; restore into a new one"
    ):
        await restore(access, tmp_path / "b.bak")
    with pytest.raises(InputError, match=r"b\.bak is there already"):
        await backup(access, tmp_path / "b.bak")
    assert [path.name for path in tmp_path.glob("*.bak*")] == ["b.bak"]


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _lost_row(content: bytes) -> bytes:
    lines = gzip.decompress(content).splitlines(keepends=True)
    del lines[next(place for place, line in enumerate(lines) if line.startswith(b"["))]
    return gzip.compress(b"".join(lines))


def _changed(content: bytes) -> bytes:
    return gzip.compress(gzip.decompress(content).replace(b"71200.50", b"71200.51"))


def _without_end(content: bytes) -> bytes:
    return gzip.compress(b"".join(gzip.decompress(content).splitlines(keepends=True)[:-1]))


async def test_a_damaged_backup_is_refused_before_anything_is_written(
    saved: tuple[Database, Book], empty: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "b.bak"
    await backup(await fill(saved[0], tmp_path), path)
    whole = path.read_bytes()
    for damage in (_cut, _lost_row, _changed, _without_end, lambda content: b"something else"):
        path.write_bytes(damage(whole))
        with pytest.raises(DataError, match=r"b\.bak is (damaged|cut off|no backup)"):
            await restore(empty, path)
    assert sql.query(url_of(empty), "SELECT count(*) FROM pg_namespace WHERE nspname = 'qts'")[0][0] == 0


async def test_a_restore_that_fails_leaves_no_row(
    saved: tuple[Database, Book], empty: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a backup, whole by its digest, with a row that the schema refuses
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "b.bak"
    access = await fill(saved[0], tmp_path)
    saved[0].execute("ALTER TABLE qts.t_ledger DROP CONSTRAINT t_ledger_is_finite")
    saved[0].execute("UPDATE qts.t_ledger SET fee = 'Infinity'")
    monkeypatch.setattr("qts.db.tools.backup.check_schema", _state_alone)
    await backup(access, path)
    with pytest.raises(StorageError, match="t_ledger_is_finite"):
        await restore(empty, path)
    assert sql.query(url_of(empty), "SELECT count(*) FROM qts.decisions")[0][0] == 0


async def _state_alone(connection: object, where: str) -> object:
    from qts.db.postgres.state import read_state

    return await read_state(connection, where)  # type: ignore[arg-type]


async def test_a_pg_dump_that_is_older_than_the_server_is_not_used(tmp_path: Path) -> None:
    program = tmp_path / "pg_dump"
    program.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 14.2'\n")
    program.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        assert await pg_programs.dump_program(15) == ("", f"{program} is 14, and the server is 15")
        assert await pg_programs.dump_program(14) == (str(program), "")


@pytest.mark.skipif(not EVERY_KILL, reason="make soak runs it")
async def test_a_backup_of_plain_postgresql_is_restored_into_timescaledb(
    saved: tuple[Database, Book], pglite: PGlite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "b.bak"
    await backup(await fill(saved[0], tmp_path), path)
    sql.execute(pglite.url(), "DROP SCHEMA IF EXISTS qts CASCADE")
    done = await restore(parse(pglite.url(), {}), path)
    assert done.left_out == ("ohlcv_1m",)
    assert sql.query(pglite.url(), "SELECT count(*) FROM qts.tick_data")[0][0] == 2
