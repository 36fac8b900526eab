"""``qts db`` with a spreadsheet: what its commands print, and one line for what cannot be used."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qts.db.datadir import DATABASE_NAME
from qts.db.sqlite_adapter import migrate_file
from tests.cli.command_line import run_qts
from tests.db import rows
from tests.db.books import Book, one_of_each
from tests.servers.sheets import ACCOUNT, SPREADSHEET, Sheets, adapter_of

AWAY = "sheets.base_url=http://127.0.0.1:1/v4/spreadsheets"
"""A place where no one answers."""
Qts = Callable[..., tuple[int, str, str]]


@pytest.fixture
def sheets() -> Iterator[Sheets]:
    with Sheets() as sheets:
        sheets.per_minute = 1_000
        yield sheets


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The data directory of a run with three fills."""
    made = tmp_path / "run"
    made.mkdir()
    book = Book(made / DATABASE_NAME)
    book.write(*one_of_each(), rows.ledger("x-2", order_id="o-2"), rows.ledger("x-3", order_id="o-3"))
    book.close()
    return made


@pytest.fixture
def key(sheets: Sheets, tmp_path: Path, directory: Path) -> Path:
    """The credentials of a spreadsheet that has the run."""
    key = sheets.write_credentials(tmp_path / "key.json")
    other = tmp_path / "other"
    other.mkdir()
    book = Book(other / DATABASE_NAME)
    book.write(*one_of_each(), rows.ledger("x-2", order_id="o-2"), rows.ledger("x-3", order_id="o-3"))

    async def fill() -> None:
        adapter = adapter_of(sheets, key, calls_per_minute=300)
        await adapter.open()
        with book.copy() as copy:
            await adapter.load(copy)
        await adapter.close()

    asyncio.run(fill())
    book.close()
    return key


@pytest.fixture
def qts(
    sheets: Sheets, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Qts:
    """Run a command of ``qts`` in an environment that names a database file, a spreadsheet and its credentials."""
    config = tmp_path / "config"
    config.mkdir()
    (config / "sheets.yaml").write_text(f"base_url: {sheets.base_url}\ncalls_per_minute: 300\n", "utf-8")
    database = tmp_path / "copies.sqlite"
    migrate_file(database)
    for name, value in {
        "QTS_CONFIG": config,
        "QTS_DB_URL": f"sqlite://{database}",
        "QTS_SHEETS_ID": SPREADSHEET,
        "QTS_SHEETS_CREDENTIALS": key,
    }.items():
        monkeypatch.setenv(name, str(value))

    def run(*arguments: Any) -> tuple[int, str, str]:
        return run_qts(capsys, *map(str, arguments))

    return run


def test_the_way_out_in_three_commands(qts: Qts, directory: Path) -> None:
    # Given a spreadsheet that is as the local book
    code, out, _ = qts("db", "verify", "--sheets", SPREADSHEET, "--data-dir", directory)
    assert code == 0
    assert "rows   4 of t_ledger, positions compared, up to batch 1" in out
    # When its runs are moved, Then what was moved is told, and the second time that nothing was
    code, out, _ = qts("db", "migrate-from-sheets")
    assert code == 0
    assert out.splitlines()[0] == "run    run-1 of account main: moved t_ledger 3 rows, positions 1 row"
    assert out.splitlines()[1].startswith("rest   a spreadsheet has t_ledger, positions alone")
    code, out, _ = qts("db", "migrate-from-sheets")
    assert code == 0
    assert "every row is there already, nothing was moved" in out
    # And both are the same, row by row
    code, out, _ = qts("db", "verify")
    assert code == 0
    assert out.splitlines() == [
        "run    run-1: t_ledger 3 rows, positions 1 row in the spreadsheet, compared with the database",
        "batch  in the spreadsheet up to 1, in the database none of its own book yet",
        "result every row of the spreadsheet is the same on both sides, 0 differences",
    ]
    code, out, _ = qts("db", "verify", "--json")
    (found,) = json.loads(out)
    assert (code, found["equal"], found["rows"]) == (0, True, {"t_ledger": 3, "positions": 1})


def test_what_someone_changed_is_named_and_the_exit_code_says_so(qts: Qts, directory: Path, sheets: Sheets) -> None:
    assert qts("db", "migrate-from-sheets")[0] == 0
    title = next(title for title in sheets.titles if title.startswith("t_ledger"))
    sheets.edit(title, 3, sheets.tab(title).rows[0].index("qty") + 1, "99")
    code, out, _ = qts("db", "verify")
    assert code == 4
    assert "1 difference, the first: t_ledger, row 2, qty: 99 in the spreadsheet, 10 in the database" in out
    code, out, _ = qts("db", "verify", "--sheets", SPREADSHEET, "--data-dir", directory)
    assert code == 4
    assert "1 difference, the first: t_ledger, row 2, qty: 10 here, 99 on the server" in out


def test_a_row_that_is_there_twice_or_elsewhere_is_named_though_its_values_are_the_same(
    qts: Qts, directory: Path, sheets: Sheets
) -> None:
    assert qts("db", "migrate-from-sheets")[0] == 0
    title = next(title for title in sheets.titles if title.startswith("positions"))
    sheets.insert_row(title, 3, *sheets.tab(title).rows[1])
    for arguments in ((), ("--sheets", SPREADSHEET, "--data-dir", directory)):
        code, out, _ = qts("db", "verify", *arguments)
        assert code == 4
        assert f"edited the tab {title}: row ema/005930 is there twice" in out
        code, out, _ = qts("db", "verify", "--json", *arguments)
        found = json.loads(out)
        assert (code, (found if arguments else found[0])["equal"]) == (4, False)

    sheets.delete_row(title, 3)
    sheets.sort(next(title for title in sheets.titles if title.startswith("t_ledger")), 1)
    code, out, _ = qts("db", "verify")
    assert code == 4
    assert "row 1 stands elsewhere" in out


@pytest.mark.parametrize(
    ("mode", "place"),
    [("SHEETS_ONLY", f"sheets://{SPREADSHEET}"), ("HYBRID", "copies.sqlite"), ("DB_ONLY", "copies.sqlite")],
)
def test_the_mode_says_which_server_is_read(
    qts: Qts, mode: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_SOURCE_MODE", mode)
    assert place in qts("db", "status")[1]
    # A setting counts before the environment, and an option before both
    assert "copies.sqlite" in qts("db", "status", "--set", "store.data_source_mode=DB_ONLY")[1]
    code, out, _ = qts("db", "status", "--sheets", SPREADSHEET)
    assert code == 0
    assert out.startswith(f"server     sheets://{SPREADSHEET}, Google Sheets")
    assert "run        run-1 (qts run, account main, not finished): 1 batch" in out


@pytest.mark.parametrize(
    ("arguments", "environ", "said"),
    [
        (("verify", "--sheets", "redis://127.0.0.1"), {}, "--sheets names no spreadsheet of Google Sheets"),
        (("verify", "--sheets", "a b"), {}, "names no id"),
        (("verify", "--db", f"sheets://{SPREADSHEET}"), {}, "--db names a spreadsheet; give it by --sheets"),
        (("verify", "--db", "redis://127.0.0.1"), {}, "its scheme is 'redis'"),
        (("status", "--sheets", "elsewhere"), {}, f"is there and shared with {ACCOUNT}"),
        (
            ("status", "--sheets", SPREADSHEET, "--set", AWAY),
            {},
            "(ConnectionError); try again in a minute; if it stays",
        ),
        (("status", "--sheets", SPREADSHEET, "--db", "sqlite:///x"), {}, "give one of them"),
        (
            ("verify",),
            {"QTS_SHEETS_ID": ""},
            "give --data-dir DIR for the run in a directory and the",
        ),
        (("migrate-from-sheets",), {"QTS_SHEETS_ID": ""}, "no spreadsheet is named: give --sheets ID"),
        (("migrate-from-sheets",), {"QTS_DB_URL": ""}, "no database is named: give --db"),
        (("migrate-from-sheets",), {"QTS_SHEETS_CREDENTIALS": ""}, "QTS_SHEETS_CREDENTIALS is not set"),
        (("status",), {"DATA_SOURCE_MODE": "BOTH"}, "DATA_SOURCE_MODE is 'BOTH'; allowed are SHEETS_ONLY"),
        (("status",), {"QTS_DB_URL": "", "DATA_SOURCE_MODE": "HYBRID"}, "HYBRID, which needs a database"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    qts: Qts, arguments: tuple[str, ...], environ: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    code, out, err = qts("db", *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--sheets", "https://docs.google.com/spreadsheets/d/1/edit"), "stands between /d/ and /edit"),
        (("--sheets", "redis://127.0.0.1"), "it begins with 'redis'"),
        (("--db", f"sheets://{SPREADSHEET}"), "--db names a spreadsheet"),
        (("--set", "store.data_source_mode=NONE"), "store.data_source_mode"),
    ],
)
def test_a_session_with_a_server_that_cannot_be_one_does_not_begin(
    qts: Qts, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = qts("demo", "--data-dir", tmp_path / "new", *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert not (tmp_path / "new").exists()


def test_a_recording_that_is_refused_is_not_told_to_the_spreadsheet(
    qts: Qts, sheets: Sheets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given no database that could store market values
    monkeypatch.setenv("QTS_DB_URL", "")
    before = sheets.tab("runs").filled
    # When a session is to store them, Then it is refused, and the spreadsheet has no row of it
    code, out, err = qts("run", "--record", "--data-dir", tmp_path / "new")
    assert (code, out) == (2, "")
    assert "name it by --db URL" in err
    assert sheets.tab("runs").filled == before
