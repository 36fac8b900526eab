"""What holds for every test."""

from __future__ import annotations

import pytest

from qts.runtime.drivers import watchdog

PATIENT_S = 300.0


@pytest.fixture(autouse=True)
def _a_busy_machine_is_no_hung_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the watchdog wait longer for sessions that run inside the process of the tests.

    That process is large and shares its processors with other tests: one garbage collection may take longer than
    a session may stand still, which raises FAIL. What the watchdog does at its own limits is tested on sessions in
    processes of their own, ``tests/cli/test_hangs.py``.
    """
    for limit in ("STALL_S", "FAULT_HANDLER_S", "HUNG_S", "_GAP_S"):
        monkeypatch.setattr(watchdog, limit, PATIENT_S)
