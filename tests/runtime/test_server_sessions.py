"""Sessions whose book a server follows: what it has at the end, and what the session is like without it."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qts.db.sqlite import SqliteStore
from qts.errors import Fenced, InputError, StateError, Unavailable
from qts.market.demo_feed import DemoFeed
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.persistence.session_log import FILE_NAME
from qts.runtime.session.result import SessionResult
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import NamedServers, SessionPlan
from qts.runtime.session.session_view import read_view
from tests.db.scripted_server import ScriptedServer
from tests.db.test_outbox import book
from tests.runtime.paper import files_in, paper
from tests.sim.sessions import comparable, spike_plan

PATIENT = {"runtime.freshness.generated_ms": "600000"}
"""At the speed of these sessions that is a price of 30 ms ago."""


def followed(plan: SessionPlan, server: ScriptedServer, *, resume: bool = False) -> SessionPlan:
    options = msgspec.structs.replace(plan.options, resume=resume)
    return msgspec.structs.replace(short(plan), options=options, servers=NamedServers({"database": server.adapter}))


def short(plan: SessionPlan) -> SessionPlan:
    """Return the plan with two days, the second of them quote by quote."""
    day = date(2018, 1, 31)
    days = {"start": date(2018, 1, 30), "end": day, "window_start": day, "window_end": day}
    return msgspec.structs.replace(plan, open_feed=lambda: DemoFeed(7, events_per_day=300, **days))


def run(plan: SessionPlan, **more: Any) -> SessionResult:
    return run_session(plan, progress=lambda share, moment_ns: None, stop=StopFlag(), **more)


def on_paper(tmp_path: Path, server: ScriptedServer, **settings: str) -> SessionPlan:
    """A session in real time, much faster, with the settings of ``store``."""
    named = {f"store.{name}": value for name, value in settings.items()}
    plan = paper(tmp_path / "run", files_in(tmp_path / "config"), **named, **PATIENT)
    options = msgspec.structs.replace(plan.options, speed=2e4)
    return followed(msgspec.structs.replace(plan, options=options), server)


def shown(directory: Path) -> tuple[str, int, int, float]:
    """Return what the view says of the server: its state, how many batches it has, of how many, and the delay."""
    view = read_view(directory)
    assert view is not None
    (one,) = view.servers
    return one.state, one.applied, one.newest, one.lag_s


def has_the_book(server: ScriptedServer, directory: Path) -> None:
    """Compare every row; the server keeps bars that the book no longer has."""
    ours, theirs = book(directory / "qts.sqlite"), dict(server.rows)
    kept = theirs.pop("bars", {})
    assert all(kept[key] == row for key, row in ours.pop("bars", {}).items())
    assert theirs == ours


def test_a_replay_that_is_followed_has_the_same_result_and_the_server_its_book(tmp_path: Path) -> None:
    alone = run(short(spike_plan(tmp_path / "alone")))
    server = ScriptedServer()
    # When the same is followed, and a second time from the beginning
    for _ in range(2):
        result = run(followed(spike_plan(tmp_path / "followed"), server))
        # Then the server has everything, and the result is the same but for what it says of the server
        has_the_book(server, tmp_path / "followed")
        assert server.runs[-1].finished
        assert result.values.notes[-1] == f"server: Scripted 1 has all {server.seq} batches of this run"
        assert shown(tmp_path / "followed") == ("FOLLOWING", server.seq, server.seq, 0.0)
        stored = msgspec.json.decode(server.runs[-1].result)
        assert comparable(stored) == comparable(msgspec.json.decode(alone.to_json()))
    with SqliteStore(tmp_path / "followed/qts.sqlite", durability="NORMAL")._connection as connection:
        assert connection.execute("SELECT count(*) FROM outbox").fetchone() == (0,)


def test_a_server_that_is_away_changes_nothing_and_gets_everything_by_a_resume(tmp_path: Path) -> None:
    server = ScriptedServer()
    server.away()
    result = run(followed(spike_plan(tmp_path / "run"), server))
    assert result.finished
    assert "lacks" in result.values.notes[-1]
    assert "postgresql://db/qts does not answer" in result.values.notes[-1]
    assert server.rows == {}
    # When it is back, and the finished run is shown again
    server.back()
    again = run(followed(spike_plan(tmp_path / "run"), server, resume=True))
    assert again.values.notes[-1].endswith("batches of this run")
    has_the_book(server, tmp_path / "run")
    assert server.loads == 0


@pytest.mark.parametrize(
    ("error", "kind"),
    [(InputError("there is no database qts"), InputError), (Fenced("run is written by pid 7"), StateError)],
)
def test_a_server_that_cannot_be_used_ends_the_session_before_anything_is_written(
    tmp_path: Path, error: Exception, kind: type[Exception]
) -> None:
    server = ScriptedServer()

    def refuse(call: str) -> None:
        raise error

    server.fails = refuse
    with pytest.raises(kind, match=str(error)) as raised:
        run(followed(spike_plan(tmp_path / "run"), server))
    assert getattr(raised.value, "exit_code", 0) == 2
    assert not (tmp_path / "run").exists()


def test_a_session_in_real_time_is_followed_while_it_runs(tmp_path: Path) -> None:
    server = ScriptedServer()
    result = run(on_paper(tmp_path, server))
    assert result.values.orders > 0
    has_the_book(server, tmp_path / "run")
    assert server.loads == 0
    # And another life of it is not mixed with it
    (tmp_path / "other").mkdir()
    plan = on_paper(tmp_path / "other", server)
    with pytest.raises(StateError, match="does not do the same again"):
        run(plan)
    assert not (tmp_path / "other/run").exists()


def test_with_the_durability_of_a_server_orders_leave_when_the_server_has_them(tmp_path: Path) -> None:
    server = ScriptedServer()
    plan = on_paper(tmp_path, server, durability="server", wait_ms="5000", lag_s="3600")
    result = run(plan)
    assert result.values.orders > 0
    assert "STORE_BEHIND" not in result.values.refusals
    has_the_book(server, tmp_path / "run")


def test_with_the_durability_of_a_server_that_is_away_no_entry_leaves(tmp_path: Path) -> None:
    server = ScriptedServer()
    server.away()
    result = run(on_paper(tmp_path, server, durability="server"))
    assert result.finished
    assert result.values.orders == 0
    assert result.values.refusals["STORE_BEHIND"] > 0
    log = (tmp_path / "run" / FILE_NAME).read_text("utf-8")
    assert log.count("the server is AWAY: postgresql://db/qts does not answer") == 1
    assert "entries are refused" in log


def test_with_local_durability_a_server_that_goes_away_holds_up_nothing(tmp_path: Path) -> None:
    server = ScriptedServer()
    calls = 0

    def dies(call: str) -> None:
        nonlocal calls
        calls += call == "apply"
        if calls > 3:
            raise Unavailable("connection reset")

    server.fails = dies
    result = run(on_paper(tmp_path, server))
    assert result.finished
    assert result.values.orders > 0
    assert "STORE_BEHIND" not in result.values.refusals
    assert "connection reset" in result.values.notes[-1]


_WITHOUT = """
import sys, threading
from datetime import date
from pathlib import Path
import msgspec
from qts.cli import session
from qts.market.demo_feed import DemoFeed
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session_plan import Options
from qts.runtime.wiring.plans import demo_plan
plan = demo_plan(Options(data_dir=Path(sys.argv[1])))
assert not plan.servers.openers
day = date(2018, 1, 31)
days = dict(start=date(2018, 1, 30), end=day, window_start=day, window_end=day)
names = set()
def progress(share, moment_ns):
    names.update(thread.name for thread in threading.enumerate())
plan = msgspec.structs.replace(plan, open_feed=lambda: DemoFeed(7, events_per_day=100, **days))
session.run_session(plan, progress=progress, stop=StopFlag())
forbidden = ("asyncpg", "qts.db.follower", "qts.db.ages", "qts.db.access", "qts.db.timescale", "qts.db.servers")
forbidden += ("qts.db.hybrid", "qts.db.sheets.", "google", "requests", "redis")
print([name for name in sys.modules if name.startswith(forbidden)], [name for name in names if "follow" in name])
"""


def test_without_a_server_there_is_no_import_no_thread_and_no_row(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root / "src"), str(root)])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QTS_")}
    found = subprocess.run(
        [sys.executable, "-c", _WITHOUT, str(tmp_path / "run")],
        env=environment | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "[] []"
    with SqliteStore(tmp_path / "run/qts.sqlite", durability="NORMAL")._connection as connection:
        for table in ("outbox", "followers"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
