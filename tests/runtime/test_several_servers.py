"""Sessions that a database and a spreadsheet follow at once: neither knows of the other, and trading of none."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qts.errors import InputError, MissingExtraError, Unavailable
from qts.market.demo_feed import DemoFeed
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.persistence.session_log import FILE_NAME
from qts.runtime.session import server_follower
from qts.runtime.session.result import SessionResult
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import NamedServers, Options, SessionPlan
from qts.runtime.session.session_view import read_view
from qts.runtime.wiring.server import servers_of
from tests.db.scripted_server import ScriptedAdapter, ScriptedServer
from tests.db.test_outbox import book
from tests.runtime.test_server_sessions import has_the_book, on_paper, run, short
from tests.sim.sessions import comparable, spike_plan


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the begin of a session wait for the spreadsheet's first answer, however slow the machine is."""
    monkeypatch.setattr(server_follower, "_SHEETS_WAIT_S", 20.0)


def followed(
    directory: Path,
    mode: str = "",
    *,
    resume: bool = False,
    config: Mapping[str, str] = {},
    **servers: ScriptedServer,
) -> SessionPlan:
    """A replay of two days with servers by the names of their followers."""
    plan = short(spike_plan(directory, resume=resume))
    options = msgspec.structs.replace(plan.options, overrides={**plan.options.overrides, **config})
    named = NamedServers({name: server.adapter for name, server in servers.items()}, mode)
    return msgspec.structs.replace(plan, options=options, servers=named)


def longer(plan: SessionPlan) -> SessionPlan:
    """The plan with ten times as many values, so that it can be stopped in between."""
    day = date(2018, 1, 31)
    days = {"start": date(2018, 1, 30), "end": day, "window_start": day, "window_end": day}
    return msgspec.structs.replace(plan, open_feed=lambda: DemoFeed(7, events_per_day=3_000, **days))


def stopped_at(plan: SessionPlan, share: float) -> None:
    """Run the session up to this share of its input."""
    stop = StopFlag()

    def progress(done: float | None, moment_ns: int) -> None:
        if done is not None and done > share:
            stop.request()

    assert not run_session(plan, progress=progress, stop=stop).finished


def money_of(result: SessionResult, directory: Path) -> tuple[dict[str, Any], Any]:
    """Everything but what the notes say of servers: the result, and every row of the local book."""
    values = comparable(msgspec.json.decode(result.to_json()))
    return {**values, "notes": None, "note_values": None}, book(directory / "qts.sqlite")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The money of the session that no server follows."""
    directory = tmp_path_factory.mktemp("alone") / "run"
    return money_of(run(followed(directory)), directory)


def test_both_have_the_book_and_each_is_told_by_its_name(tmp_path: Path, alone: Any) -> None:
    database, sheets = ScriptedServer(), ScriptedServer()
    # When a replay is followed by both
    result = run(followed(tmp_path / "run", database=database, sheets=sheets))
    # Then each has every row, and the result is that of the session by itself
    for server in (database, sheets):
        has_the_book(server, tmp_path / "run")
        assert server.threads <= {"qts-follow-database", "qts-follow-sheets"}
        assert len(server.threads) == 1
    assert money_of(result, tmp_path / "run") == alone
    assert [note.split(" has all")[0] for note in result.values.notes[-2:]] == ["server: Scripted 1"] * 2
    view = read_view(tmp_path / "run")
    assert view is not None
    assert [(one.name, one.state, one.applied) for one in view.servers] == [
        ("database", "FOLLOWING", database.seq),
        ("sheets", "FOLLOWING", database.seq),
    ]


def _defect(call: str) -> None:
    raise RuntimeError("a defect of the client")


def _refused(call: str) -> None:
    raise InputError("spreadsheet abc: cannot sign in: the credentials were revoked")


def _over_quota(call: str) -> None:
    if call == "apply":
        raise Unavailable("429 RESOURCE_EXHAUSTED")


@pytest.mark.parametrize("kind", ["revoked", "away", "quota", "defect", "hangs"])
def test_whatever_is_wrong_with_the_spreadsheet_the_session_is_the_same(
    tmp_path: Path, alone: Any, kind: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a database that follows, and a spreadsheet that cannot be used, goes away, or never answers
    database, sheets = ScriptedServer(), ScriptedServer()
    sheets.fails = {"revoked": _refused, "defect": _defect, "quota": _over_quota}.get(kind, sheets.fails)
    if kind == "away":
        sheets.away()
    if kind == "hangs":
        monkeypatch.setattr(server_follower, "_SHEETS_WAIT_S", 0.01)

        async def never(adapter: ScriptedAdapter) -> None:
            if adapter._server is sheets:
                await asyncio.Event().wait()

        monkeypatch.setattr(ScriptedAdapter, "open", never)
    # When the session runs
    plan = followed(tmp_path / "run", database=database, sheets=sheets, config={"store.drain_s": "0.5"})
    result = run(plan)
    # Then it is that of a session by itself, the database has its book, and the last note says what is wrong
    assert result.finished
    assert money_of(result, tmp_path / "run") == alone
    has_the_book(database, tmp_path / "run")
    said = {
        "revoked": "Google Sheets was not asked what it has of the {n} batches of this run (spreadsheet abc",
        "away": "Google Sheets was not asked what it has of the {n} batches of this run (postgresql://db/qts",
        "hangs": "Google Sheets was not asked what it has of the {n} batches of this run (the session did not wait",
        "defect": "Google Sheets was not asked what it has of the {n} batches of this run (the follower has ended",
        "quota": "Scripted 1 lacks ",
    }[kind]
    assert said.format(n=database.seq) in result.values.notes[-1]
    assert "--resume" in result.values.notes[-1]
    # And it was said at once where it was known at once
    told = capsys.readouterr().err
    assert ("the session goes on without Google Sheets" in told) == (kind in ("revoked", "away", "defect"))
    # And with the spreadsheet as it should be, the same command with --resume sends it what it lacks
    monkeypatch.undo()
    sheets.back()
    again = run(followed(tmp_path / "run", resume=True, database=database, sheets=sheets))
    has_the_book(sheets, tmp_path / "run")
    assert again.values.notes[-1].endswith("batches of this run")


def test_credentials_that_come_back_are_used_in_the_same_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a spreadsheet whose credentials are refused once
    monkeypatch.setattr(server_follower, "_SHEETS_PAUSES_S", (0.001,))
    sheets = ScriptedServer()

    def refuse(call: str) -> None:
        if sheets.calls.count("open") <= 1:
            _refused(call)

    sheets.fails = refuse
    # When a session runs, Then the spreadsheet has its book at the end
    run(followed(tmp_path / "run", sheets=sheets))
    has_the_book(sheets, tmp_path / "run")


def test_without_credentials_the_session_begins_and_says_so(
    tmp_path: Path, alone: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a spreadsheet that is named, and no credentials
    plan = followed(tmp_path / "run")
    plan = msgspec.structs.replace(plan, servers=servers_of(Options(sheets="1AbC"), {}))
    # When a session runs
    result = run(plan)
    # Then it says so at once and at its end, and is that of a session by itself
    said = "the spreadsheet needs credentials, and QTS_SHEETS_CREDENTIALS is not set"
    assert f"the session goes on without Google Sheets, which is tried again: {said}" in capsys.readouterr().err
    assert said in result.values.notes[-1]
    assert money_of(result, tmp_path / "run") == alone


def test_without_the_client_of_sheets_the_session_does_not_begin(tmp_path: Path) -> None:
    async def missing() -> Any:
        raise MissingExtraError("Google Sheets", "sheets")

    plan = msgspec.structs.replace(followed(tmp_path / "run"), servers=NamedServers({"sheets": missing}))
    with pytest.raises(MissingExtraError, match="'sheets'"):
        run(plan)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("mode", "config", "said"),
    [
        ("HYBRID", {}, "DATA_SOURCE_MODE is HYBRID, which needs a database"),
        ("", {"store.data_source_mode": "DB_ONLY"}, "store.data_source_mode is DB_ONLY, which needs a database"),
        ("SHEETS_ONLY", {"store.durability": "server"}, "with SHEETS_ONLY no database follows"),
    ],
)
def test_a_mode_that_cannot_work_is_refused_before_anything_is_written(
    tmp_path: Path, mode: str, config: dict[str, str], said: str
) -> None:
    sheets = ScriptedServer()
    with pytest.raises(InputError, match=said):
        run(followed(tmp_path / "run", mode, config=config, sheets=sheets))
    assert not (tmp_path / "run").exists()
    assert sheets.calls == []


def test_a_run_goes_from_the_spreadsheet_to_the_database_back_and_forward(tmp_path: Path) -> None:
    # Given a run that begins with the spreadsheet alone
    database, sheets = ScriptedServer(), ScriptedServer()
    both, place = {"database": database, "sheets": sheets}, tmp_path / "run"
    stopped_at(longer(followed(place, "SHEETS_ONLY", **both)), 0.1)
    begun = sheets.seq
    assert begun > 0
    assert database.calls == []
    # When it goes on with both
    stopped_at(longer(followed(place, "HYBRID", resume=True, **both)), 0.4)
    # Then the database was given what it lacked, once, and the spreadsheet went on where it was
    assert (database.loads, sheets.loads) == (1, 0)
    assert database.rows == sheets.rows
    # When it goes on with the database alone
    stopped_at(longer(followed(place, "DB_ONLY", resume=True, **both)), 0.6)
    left = sheets.seq
    assert begun < left < database.seq
    # When it is switched back: the spreadsheet is given what it lacks, and the database waits
    stopped_at(longer(followed(place, "SHEETS_ONLY", resume=True, **both)), 0.8)
    assert database.seq < sheets.seq
    # And when it goes forward again, to its end
    result = run(longer(followed(place, "DB_ONLY", resume=True, **both)))
    # Then the database has every row, and the money is that of the session by itself
    has_the_book(database, place)
    assert money_of(result, place) == money_of(run(longer(followed(tmp_path / "alone"))), tmp_path / "alone")
    # And the spreadsheet gets the rest as soon as it follows again
    run(longer(followed(place, "HYBRID", resume=True, **both)))
    has_the_book(sheets, place)


@pytest.mark.parametrize("mode", ["SHEETS_ONLY", "HYBRID", "DB_ONLY"])
def test_the_money_is_the_same_in_every_mode(tmp_path: Path, alone: Any, mode: str) -> None:
    database, sheets = ScriptedServer(), ScriptedServer()
    result = run(followed(tmp_path / "run", mode, database=database, sheets=sheets))
    assert money_of(result, tmp_path / "run") == alone
    assert bool(database.rows) == (mode != "SHEETS_ONLY")
    assert bool(sheets.rows) == (mode != "DB_ONLY")


def test_the_orders_of_a_session_in_real_time_wait_for_the_database_alone(tmp_path: Path) -> None:
    # Given a session whose orders wait for the server, with a spreadsheet that is away
    database, sheets = ScriptedServer(), ScriptedServer()
    sheets.away()
    plan = on_paper(tmp_path, database, durability="server", wait_ms="5000", lag_s="3600")
    named = NamedServers({**plan.servers.openers, "sheets": sheets.adapter})
    # When it runs
    result = run(msgspec.structs.replace(plan, servers=named))
    # Then orders left, and the log tells of the spreadsheet once
    assert result.values.orders > 0
    assert "STORE_BEHIND" not in result.values.refusals
    log = (tmp_path / "run" / FILE_NAME).read_text("utf-8")
    assert log.count("Google Sheets is AWAY") == 1
    assert "the server is" not in log


def test_rows_that_someone_changed_in_the_spreadsheet_are_told_and_change_nothing(
    tmp_path: Path, alone: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a spreadsheet in which someone has changed a fill
    sheets = ScriptedServer()
    sheets.found = ("the tab t_ledger: row 7 was changed",)
    # When a session runs
    result = run(followed(tmp_path / "run", sheets=sheets))
    # Then the row is named, in the notes as well, and the money is that of the session by itself
    assert money_of(result, tmp_path / "run") == alone
    assert result.values.notes[-1] == (
        "server: Scripted 1 had rows that were not as they were sent, and the local book holds what is true: "
        "the tab t_ledger: row 7 was changed"
    )
    view = read_view(tmp_path / "run")
    assert view is not None
    assert view.servers[0].altered == sheets.found
