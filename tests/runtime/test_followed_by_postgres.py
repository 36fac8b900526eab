"""Sessions that a real PostgreSQL follows: the server has every row of the book, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from qts.db.datadir import DATABASE_NAME
from qts.db.find_run import run_in
from qts.db.tools.verify import Verification, verify
from qts.errors import InputError, StateError
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.result import SessionResult
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options, SessionPlan
from qts.runtime.wiring.server import servers_of
from tests.db.timescale.adapters import opened
from tests.runtime.paper import files_in, paper
from tests.runtime.test_server_sessions import PATIENT, short
from tests.servers.fixtures import Database, OwnServer, database_of
from tests.sim.sessions import spike_plan


def plan_of(directory: Path, url: str, *, resume: bool = False) -> SessionPlan:
    plan = short(spike_plan(directory, resume=resume))
    return msgspec.structs.replace(plan, servers=servers_of(Options(db=url), {}))


def run(plan: SessionPlan, progress: Callable[[], None] = lambda: None) -> SessionResult:
    return run_session(plan, progress=lambda share, moment_ns: progress(), stop=StopFlag())


async def verified(directory: Path, url: str) -> Verification:
    async with opened(url, live=False) as adapter:
        return await verify(adapter, run_in(directory))


def test_a_replay_and_the_same_again_are_followed_row_by_row(book_database: Database, tmp_path: Path) -> None:
    for _ in range(2):
        result = run(plan_of(tmp_path / "run", book_database.url))
        assert result.values.notes[-1].endswith("batches of this run")
        found = asyncio.run(verified(tmp_path / "run", book_database.url))
        assert (found.count, found.missing, found.rows > 100) == (0, None, True), found


def test_a_server_killed_in_a_session_has_everything_after_a_resume(own_server: OwnServer, tmp_path: Path) -> None:
    # Given a replay whose server is killed at the first sign of progress
    server = own_server()
    url = database_of(server).url
    seen = 0

    def kill() -> None:
        nonlocal seen
        seen += 1
        if seen == 1:
            server.kill()

    result = run(plan_of(tmp_path / "run", url), kill)
    # Then it ends as ever, and says what the server lacks
    assert result.finished
    assert seen
    assert "lacks" in result.values.notes[-1]
    # When the server is back, and the run is shown again
    server.start()
    again = run(plan_of(tmp_path / "run", url, resume=True))
    # Then it has everything
    assert again.values.notes[-1].endswith("batches of this run")
    found = asyncio.run(verified(tmp_path / "run", url))
    assert (found.count, found.missing) == (0, None), found.differences


def test_two_hosts_on_one_database_do_not_run_the_same_run(book_database: Database, tmp_path: Path) -> None:
    # Given a session, and another host with the same input that begins while it runs
    refused: list[StateError] = []

    def other_host() -> None:
        if not refused:
            with pytest.raises(StateError) as raised:
                run_session_elsewhere(tmp_path / "other", book_database.url)
            refused.append(raised.value)

    result = run(plan_of(tmp_path / "run", book_database.url), other_host)
    # Then it was refused before it wrote anything, with exit code 2
    assert result.finished
    assert [error.exit_code for error in refused] == [2]
    assert not (tmp_path / "other").exists()


def run_session_elsewhere(directory: Path, url: str) -> None:
    """Run the plan on another thread, as its process would: an event loop runs in this one."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            run(plan_of(directory, url))
        except BaseException as error:  # noqa: BLE001 - raised again by the caller
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    for error in failures:
        raise error


def test_with_the_durability_of_a_server_orders_leave_when_postgres_has_them(
    book_database: Database, tmp_path: Path
) -> None:
    # Given a session in real time whose orders wait for the server
    settings = {"store.durability": "server", "store.wait_ms": "5000", "store.lag_s": "3600"}
    plan = paper(tmp_path / "run", files_in(tmp_path / "config"), **settings, **PATIENT)
    options = msgspec.structs.replace(plan.options, speed=2e4)
    plan = msgspec.structs.replace(short(plan), options=options)
    # When it runs
    plan = msgspec.structs.replace(plan, servers=servers_of(Options(db=book_database.url), {}))
    result = run(plan)
    # Then orders have left, and the server has the book
    assert result.values.orders > 0, result.values.refusals
    assert "STORE_BEHIND" not in result.values.refusals
    found = asyncio.run(verified(tmp_path / "run", book_database.url))
    assert (found.count, found.missing) == (0, None), found.differences


@pytest.mark.parametrize("changes", [{"database": "nowhere"}, {"user": "no_one"}])
def test_a_wrong_database_or_user_ends_the_command_before_anything_is_written(
    changes: dict[str, str], book_database: Database, tmp_path: Path
) -> None:
    url = book_database.url
    if "database" in changes:
        url = url.rpartition("/")[0] + "/nowhere"
    else:
        scheme, _, rest = url.partition("://")
        url = f"{scheme}://no_one@{rest.rpartition('@')[2]}"
    with pytest.raises(InputError) as raised:
        run(plan_of(tmp_path / "run", url))
    assert raised.value.exit_code == 2
    assert not (tmp_path / "run" / DATABASE_NAME).parent.exists()
