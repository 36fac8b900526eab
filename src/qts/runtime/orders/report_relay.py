"""Connects a broker with the session that handles its reports, whichever of the two is made first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from qts.errors import StateError
from qts.execution.contracts import BrokerDisconnect, ExecutionReport

_MOST_HELD: Final = 100_000
"""Reports that may come before a session has begun; that takes seconds."""


class ReportRelay:
    """Passes on the reports of a broker; made before it, connected with the session after it. Any thread.

    A broker may report as soon as it is connected, which is before a session has its memory back: reports of that
    time wait here.
    """

    def __init__(self) -> None:
        self._listener: Callable[[ExecutionReport | BrokerDisconnect], None] | None = None
        self._held: deque[ExecutionReport | BrokerDisconnect] = deque()
        self._released_to: Callable[[ExecutionReport | BrokerDisconnect], None] | None = None
        """The listener, once the session has begun; None: what comes waits."""

    def connect(self, listener: Callable[[ExecutionReport | BrokerDisconnect], None]) -> None:
        """Call ``listener`` with every report once they are released. Called once, on the session's thread."""
        self._listener = listener

    def release(self) -> None:
        """Pass on what waits, and every later report at once. Called once the session has begun, on its thread."""
        self._released_to = self._listener
        self._pass_on_held()

    def __call__(self, report: ExecutionReport | BrokerDisconnect) -> None:
        """Pass on ``report``, now or when the session has begun.

        Raises StateError before :meth:`connect`, and when too many wait: a lost fill is worse than a loud end.
        """
        listener = self._released_to
        if listener is not None:
            listener(report)
            return
        if self._listener is None:
            raise StateError(f"the broker published {report} before the session listened")
        if len(self._held) >= _MOST_HELD:
            raise StateError(f"{_MOST_HELD} reports came before the session could handle one; start it again")
        self._held.append(report)
        self._pass_on_held()

    def _pass_on_held(self) -> None:
        """Pass on what waits, if the session has begun."""
        listener = self._released_to
        while listener is not None and self._held:
            try:
                report = self._held.popleft()
            except IndexError:  # another thread was faster
                return
            listener(report)
