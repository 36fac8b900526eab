"""Sessions that a real database and a spreadsheet follow: killed, and with one that fails or is edited."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qts.db.find_run import run_in
from qts.db.tools.open_server import adapter_for, opened
from qts.db.tools.verify import Verification, verify
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session import server_follower
from qts.runtime.session.result import SessionResult
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import SessionPlan
from tests.effort import EVERY_KILL
from tests.servers.fixtures import Database
from tests.servers.sheets import Call, Refused, Sheets, adapter_of, quota
from tests.sim.followed_session import followed
from tests.sim.killed_session import PLACES
from tests.sim.once import Once, once
from tests.sim.sessions import comparable, spike_plan
from tests.sim.test_followed_sessions import ROOT, without_notes
from tests.sim.test_kill import QUIET, assert_same_end, undisturbed_of

__all__ = ["once"]

SCENARIOS, KILLS = (40, 5) if EVERY_KILL else (1, 4)
"""Sessions, and how often each is killed."""


@pytest.fixture
def sheets() -> Iterator[Sheets]:
    with Sheets() as sheets:
        sheets.per_minute = 100_000
        yield sheets


@pytest.fixture
def key(sheets: Sheets, tmp_path: Path) -> Path:
    return sheets.write_credentials(tmp_path / "key.json")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the spreadsheet be sent what there is at once, and tried again soon."""
    monkeypatch.setattr(server_follower, "_SHEETS_GATHER_S", 0.02)
    monkeypatch.setattr(server_follower, "_SHEETS_PAUSES_S", (0.02, 0.1))


def settings_of(sheets: Sheets) -> dict[str, str]:
    return {"sheets.base_url": sheets.base_url, "sheets.calls_per_minute": "300"}


def plan_of(
    directory: Path, database: Database, sheets: Sheets, key: Path, *, resume: bool = False, **settings: str
) -> SessionPlan:
    plan = spike_plan(directory, resume=resume, overrides={**QUIET, **settings_of(sheets), **settings})
    return followed(plan, database.url, sheets.url, {"QTS_SHEETS_CREDENTIALS": str(key)})


def run(plan: SessionPlan) -> SessionResult:
    return run_session(plan, progress=lambda share, moment_ns: None, stop=StopFlag())


def money_of(result: SessionResult) -> dict[str, Any]:
    return without_notes(json.loads(json.dumps(comparable(result.values))))


def verified(directory: Path, database: Database, sheets: Sheets, key: Path) -> list[Verification]:
    """Compare the local book with the database and with the spreadsheet."""

    async def work() -> list[Verification]:
        async with opened(adapter_for(database.url, {})) as one, opened(adapter_of(sheets, key)) as two:
            return [await verify(adapter, run_in(directory)) for adapter in (one, two)]

    return asyncio.run(work())


def assert_exact(directory: Path, database: Database, sheets: Sheets, key: Path) -> None:
    of_database, of_sheets = verified(directory, database, sheets, key)
    assert (of_database.count, of_database.is_equal) == (0, True), of_database.differences[:5]
    assert (of_sheets.count, of_sheets.is_equal) == (0, True), of_sheets.differences[:5]
    assert of_sheets.rows > 10, "the session is worth following"


@pytest.mark.parametrize("number", range(SCENARIOS))
def test_kills_leave_both_exact(
    number: int, book_database: Database, sheets: Sheets, key: Path, tmp_path: Path, once: Once
) -> None:
    # Given a session that both follow, with a spreadsheet some of whose calls are cut before or after their effect
    rng = random.Random(number)
    sheets.cut = lambda call: rng.choices(["", "before", "after"], [20, 1, 1])[0]
    most = {"record": 150, "row": 300, "before": 2, "inside": 2, "after": 2}
    kills = [(rng.randint(1, most[place]), place) for place in rng.choices(PLACES, k=KILLS)]
    # When it is killed and resumed
    scenario = [[{**QUIET, **settings_of(sheets)}, kills]]
    command = [sys.executable, "-m", "tests.sim.followed_session", str(tmp_path), json.dumps(scenario)]
    environ = {**os.environ, "QTS_SHEETS_CREDENTIALS": str(key)}
    done = subprocess.run(
        [*command, book_database.url, sheets.url], cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    # Then it ends as one that nothing disturbs
    assert told["attempts"] == ["killed"] * KILLS
    undisturbed = undisturbed_of(once, "quiet")
    told["values"] = without_notes(told["values"])
    assert_same_end(undisturbed | {"values": without_notes(undisturbed["values"])}, told, kills)
    # And both have every row of its book, once
    sheets.cut = lambda call: ""
    run(plan_of(tmp_path / "0", book_database, sheets, key, resume=True))
    assert_exact(tmp_path / "0", book_database, sheets, key)


def _over_quota(sheets: Sheets) -> None:
    sheets.always = quota()


def _broken(sheets: Sheets) -> None:
    sheets.always = Refused(500, "INTERNAL", "Internal error encountered.")


def _away(sheets: Sheets) -> None:
    sheets.cut = lambda call: "before"


def _revoked(sheets: Sheets) -> None:
    sheets.is_revoked = True
    sheets.forget_tokens()


def _not_shared(sheets: Sheets) -> None:
    sheets.may_write = False


_SOAK = pytest.mark.skipif(not EVERY_KILL, reason="make soak runs it")


@pytest.mark.parametrize(
    "fault",
    [
        _over_quota,
        _away,
        _revoked,
        pytest.param(_broken, marks=_SOAK),
        pytest.param(_not_shared, marks=_SOAK),
    ],
)
@pytest.mark.usefixtures("at_once")
def test_a_spreadsheet_that_fails_changes_nothing_and_gets_everything_afterwards(
    fault: Any, book_database: Database, sheets: Sheets, key: Path, tmp_path: Path, once: Once
) -> None:
    # Given a spreadsheet that answers with errors alone
    fault(sheets)
    # When a session runs that both are to follow
    result = run(plan_of(tmp_path / "run", book_database, sheets, key, **{"store.drain_s": "1"}))
    # Then it is as without any server, and its last note says what is wrong with the spreadsheet
    assert result.finished
    assert money_of(result) == without_notes(undisturbed_of(once, "quiet")["values"])
    assert "--resume" in result.values.notes[-1]
    # And when the fault is over, the same command sends it everything
    sheets.always, sheets.cut, sheets.is_revoked, sheets.may_write = None, _no_fault, False, True
    run(plan_of(tmp_path / "run", book_database, sheets, key, resume=True))
    assert_exact(tmp_path / "run", book_database, sheets, key)


def _no_fault(call: Call) -> str:
    return ""


@pytest.mark.usefixtures("at_once")
def test_a_fill_that_someone_changed_is_told_and_the_local_book_wins(
    book_database: Database, sheets: Sheets, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a finished run that both have followed, and a person who changes fill 2 in the spreadsheet
    run(plan_of(tmp_path / "run", book_database, sheets, key))
    title = next(title for title in sheets.titles if title.startswith("t_ledger"))
    sheets.edit(title, 3, sheets.tab(title).rows[0].index("qty") + 1, "1234567")
    # When it is compared, Then the row is named by its key
    _, of_sheets = verified(tmp_path / "run", book_database, sheets, key)
    (one,) = of_sheets.differences
    assert (one.table, one.key, one.column, one.server) == ("t_ledger", "2", "qty", "1234567")
    # And when the session is there again, it tells of the row and goes on with a fresh tab of what is true
    result = run(plan_of(tmp_path / "run", book_database, sheets, key, resume=True))
    told = "; ".join(result.values.notes)
    assert (
        f"rows that were not as they were sent, and the local book holds what is true: the tab {title}: row 2"
        in told
    )
    assert result.finished
    assert_exact(tmp_path / "run", book_database, sheets, key)
    assert sheets.tab(title).rows[2][sheets.tab(title).rows[0].index("qty")] == "1234567"  # left alone
