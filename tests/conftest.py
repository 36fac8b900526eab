"""What holds for every test: a patient watchdog, few full garbage collections, no limits of time on examples of
properties, and that Ctrl-C is heard."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from qts.event.gc_control import controlled_gc
from qts.runtime.drivers import watchdog

pytest_plugins = ["tests.servers.fixtures"]
PATIENT_S = 300.0
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")  # a busy machine is no fault of an example
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As in the background of a shell: what the tests start would ignore Ctrl-C as well, and some would never end.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _a_busy_machine_is_no_hung_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the watchdog wait longer for sessions that run inside the process of the tests.

    That process is large and shares its processors with other tests: one garbage collection may take longer than
    a session may make no progress, which raises FAIL. What the watchdog does at its own limits is tested on
    sessions in processes of their own, ``tests/cli/test_hangs.py``.
    """
    for limit in ("STALL_S", "FAULT_HANDLER_S", "HUNG_S", "_GAP_S"):
        monkeypatch.setattr(watchdog, limit, PATIENT_S)


@pytest.fixture(scope="session", autouse=True)
def _a_cache_directory_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep prepared captures out of the cache directory of the user, also in processes that tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module", autouse=True)
def _few_full_collections(request: pytest.FixtureRequest) -> Iterator[None]:
    """Hold the garbage collector under control for each module whose tests run sessions in this process.

    A session begins with a full collection, and a rig makes a replay of every single quote. In a process with all
    the tests in it one collection takes a quarter of a second.
    """
    if request.module.__name__.split(".")[1] in {"cli", "examples", "runtime", "sim", "workbench"}:
        with controlled_gc():
            yield
    else:
        yield
