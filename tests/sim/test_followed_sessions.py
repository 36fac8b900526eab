"""Sessions that a real server follows: killed, and with the server killed, both end with the same book."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import SessionPlan
from tests.db.server.books import server_and_local
from tests.effort import EVERY_KILL
from tests.servers.fixtures import Database, OwnServer, database_of
from tests.servers.postgres import Postgres
from tests.sim.followed_session import followed
from tests.sim.killed_session import PLACES
from tests.sim.once import Once, once
from tests.sim.sessions import comparable, spike_plan
from tests.sim.test_kill import QUIET, assert_same_end, undisturbed_of

__all__ = ["once"]

ROOT = Path(__file__).parents[2]
SCENARIOS, KILLS = (40, 5) if EVERY_KILL else (1, 2)
"""Sessions, and how often each is killed; the server is killed meanwhile, up to twice as often."""


def assert_same_book(database: Database, path: Path) -> None:
    """Assert that the server has every row of the local book, which lets old bars go, and no others."""
    there, here = server_and_local(database, path)
    assert set(here.pop("bars")) <= set(there.pop("bars"))
    for table, rows in here.items():
        assert there[table] == rows, f"{table}: the server differs from the local book"
    assert here["t_ledger"], "the session is worth following"


def test_a_server_killed_in_a_replay_has_its_book_at_the_end(
    own_server: OwnServer, tmp_path: Path, once: Once
) -> None:
    # Given a replay that a server follows
    server, begun = own_server(), [False, False]

    def progress(share: float | None, moment_ns: int) -> None:
        # When the server is killed in the middle of it, and is back later
        if share is not None and share > 0.3 and not begun[0]:
            begun[0] = True
            server.kill()
        if share is not None and share > 0.6 and not begun[1]:
            begun[1] = True
            server.start()

    plan = followed(spike_plan(tmp_path / "run"), server.url())
    result = run_session(plan, progress=progress, stop=StopFlag())
    # Then the session is as without it, and the server has its book
    assert begun == [True, True]
    values = without_notes(json.loads(json.dumps(comparable(result.values))))
    assert values == without_notes(undisturbed_of(once, "quiet")["values"])
    send_the_rest(plan)
    assert_same_book(database_of(server), tmp_path / "run/qts.sqlite")


def without_notes(values: dict[str, Any]) -> dict[str, Any]:
    """Return a result without its notes, which say how far the server is."""
    notes = {"notes", "note_values"}
    assert values.keys() >= notes
    return values | dict.fromkeys(notes)


def send_the_rest(plan: SessionPlan) -> None:
    """Resume the finished session, as it says to do where its server was away when it ended."""
    again = msgspec.structs.replace(plan, options=msgspec.structs.replace(plan.options, resume=True))
    run_session(again, progress=lambda share, moment_ns: None, stop=StopFlag())


def kill_the_server_while(process: subprocess.Popen[str], server: Postgres, rng: random.Random) -> None:
    """Kill the server now and then while the process runs, and start it again."""
    for _ in range(2 * KILLS):
        try:
            process.wait(rng.uniform(0.2, 1.5))
            return
        except subprocess.TimeoutExpired:
            server.kill()
            time.sleep(rng.uniform(0, 0.2))
            server.start()


@pytest.mark.parametrize("number", range(SCENARIOS))
def test_kills_of_session_and_server_leave_one_book(
    number: int, own_server: OwnServer, tmp_path: Path, once: Once
) -> None:
    # Given a session that a server follows
    server, rng = own_server(), random.Random(number)
    most = {"record": 150, "row": 300, "before": 2, "inside": 2, "after": 2}
    kills = [(rng.randint(1, most[place]), place) for place in rng.choices(PLACES, k=KILLS)]
    # When it is killed and resumed, while the server is killed and started again
    command = [sys.executable, "-m", "tests.sim.followed_session", str(tmp_path), json.dumps([[QUIET, kills]])]
    with subprocess.Popen([*command, server.url()], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        kill_the_server_while(process, server, rng)
        assert process.stdout is not None
        told = json.loads(process.stdout.read())
    # Then result, book and log are those of a session that nothing disturbs, and the server has the same book
    assert told["attempts"] == ["killed"] * KILLS
    undisturbed = undisturbed_of(once, "quiet")
    told["values"] = without_notes(told["values"])
    assert_same_end(undisturbed | {"values": without_notes(undisturbed["values"])}, told, kills)
    send_the_rest(followed(spike_plan(tmp_path / "0"), server.url()))
    assert_same_book(database_of(server), tmp_path / "0/qts.sqlite")
