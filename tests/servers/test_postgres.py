"""The PostgreSQL of the tests: it recovers after a kill, and nothing of it is left after its runner is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers import sql
from tests.servers.fixtures import EVERY_POSTGRES, Database
from tests.servers.postgres import Postgres
from tests.servers.process import ServerFailed, ServerUnavailable

RUNNER = """
import sys, time
from tests.servers.postgres import Postgres
server = Postgres()
server.start()
print(server.pid, server.directory, flush=True)
time.sleep(600)
"""
GONE_S = 20


@EVERY_POSTGRES
def test_a_test_has_an_empty_database_of_the_version_it_asks_for(database: Database) -> None:
    # Given a database of this test
    # When it is asked what it is
    number = database.value("SELECT current_setting('server_version_num')::int / 10000")
    tables = database.value("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")
    # Then it is of the version asked for, empty, and on a server that promises what the adapter wants of one
    assert (str(number), tables) == (database.version, 0)
    assert database.value("SELECT current_setting('fsync')") == "on"


def test_what_was_committed_is_there_after_the_server_was_killed_and_started_again() -> None:
    # Given a server with a committed row
    with Postgres() as server:
        sql.execute(server.url(), "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
        # When it is killed and started over the same directory
        port = server.port
        server.kill()
        assert not server.running
        server.start()
        # Then it listens on the same port and has the row
        assert server.port == port
        assert sql.query(server.url(), "SELECT n FROM kept")[0]["n"] == 7


def test_a_server_ends_and_its_directory_goes_when_the_runner_of_the_tests_is_killed() -> None:
    # Given a process with a running server
    runner = subprocess.Popen([sys.executable, "-c", RUNNER], stdout=subprocess.PIPE, text=True)
    assert runner.stdout is not None
    pid, directory = runner.stdout.readline().split()
    assert _alive(int(pid))
    assert Path(directory).is_dir()
    # When that process is killed
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    runner.stdout.close()
    # Then neither the server nor its directory is left
    end = time.monotonic() + GONE_S
    while (_alive(int(pid)) or Path(directory).exists()) and time.monotonic() < end:
        time.sleep(0.02)
    assert not _alive(int(pid))
    assert not Path(directory).exists()


def test_a_server_that_does_not_start_says_what_it_wrote() -> None:
    with pytest.raises(ServerFailed, match="max_connections"), Postgres(settings={"max_connections": "-1"}):
        pass


def test_a_version_that_is_not_there_is_named_with_the_places_looked_in() -> None:
    with pytest.raises(ServerUnavailable, match=r"PostgreSQL 9 is not .*/usr/lib/postgresql/9/bin \(none\)"):
        Postgres("9")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
