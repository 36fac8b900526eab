"""Connects a broker with the session that handles its reports, whichever of the two is made first."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from qts.errors import StateError
from qts.execution.contracts import BrokerDisconnect, ExecutionReport

_MOST_HELD: Final = 100_000
"""Reports that may come while a session is being restored; that takes seconds."""


class ReportRelay:
    """Passes on the reports of a broker; made before it, connected with the session after it. Any thread.

    A broker may report as soon as it is connected, which is before a session has its memory back: reports of that
    time wait here, in their order.
    """

    def __init__(self) -> None:
        self._listener: Callable[[ExecutionReport | BrokerDisconnect], None] | None = None
        self._lock = threading.Lock()
        self._held: deque[ExecutionReport | BrokerDisconnect] | None = deque()
        """Reports that wait; None: each is passed on at once."""

    def connect(self, listener: Callable[[ExecutionReport | BrokerDisconnect], None]) -> None:
        """Call ``listener`` with every report once they are released. Called once, on the session's thread."""
        self._listener = listener

    def release(self) -> None:
        """Pass on what waits, and every later report at once. Called once the session has begun, on its thread."""
        with self._lock:
            while self._held:
                self._pass_on(self._held.popleft())
            self._held = None

    def __call__(self, report: ExecutionReport | BrokerDisconnect) -> None:
        """Pass on ``report``, now or when the session has begun.

        Raises StateError before :meth:`connect`: a lost fill is worse than a loud end.
        """
        if self._listener is None:
            raise StateError(f"the broker published {report} before the session listened")
        if self._held is None or not self._waits(report):
            self._pass_on(report)

    def _waits(self, report: ExecutionReport | BrokerDisconnect) -> bool:
        """Let ``report`` wait, unless the session has gone on meanwhile; return whether it does."""
        with self._lock:
            held = self._held
            if held is None:
                return False
            if len(held) >= _MOST_HELD:
                raise StateError(f"{_MOST_HELD} reports came before the session could handle one; start it again")
            held.append(report)
            return True

    def _pass_on(self, report: ExecutionReport | BrokerDisconnect) -> None:
        assert self._listener is not None  # nothing waits, and nothing is released, before it is there
        self._listener(report)
