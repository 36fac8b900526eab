"""Connects a broker with the session that handles its reports, whichever of the two is made first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from qts.errors import StateError
from qts.execution.contracts import BrokerDisconnect, ExecutionReport

_MOST_HELD: Final = 100_000
"""Reports that may come before a session has begun; that takes seconds."""


def _ignore(report: ExecutionReport | BrokerDisconnect) -> None:
    """Do nothing: reports are not recorded."""


class ReportRelay:
    """Passes on the reports of a broker; made before it, connected with the session after it. Any thread.

    A broker may report as soon as it is connected, which is before a session has its memory back: reports of that
    time wait here.
    """

    def __init__(self) -> None:
        self._listener: Callable[[ExecutionReport | BrokerDisconnect], None] | None = None
        self._on_told: Callable[[ExecutionReport | BrokerDisconnect], object] = _ignore
        self._held: deque[ExecutionReport | BrokerDisconnect] = deque()
        self._released_to: Callable[[ExecutionReport | BrokerDisconnect], None] | None = None
        """The listener, once the session has begun; None: what comes waits."""

    def connect(
        self,
        listener: Callable[[ExecutionReport | BrokerDisconnect], None],
        on_told: Callable[[ExecutionReport | BrokerDisconnect], object] = _ignore,
    ) -> None:
        """Call ``listener`` with every report once they are released. Called once, on the session's thread.

        ``on_told`` is called with each at once, also before that, but not with those of :meth:`pass_on`.
        """
        self._listener = listener
        self._on_told = on_told

    def release(self) -> None:
        """Pass on what waits, and every later report at once. Called once the session has begun, on its thread."""
        self._released_to = self._listener
        self._pass_on_held()

    def __call__(self, report: ExecutionReport | BrokerDisconnect) -> None:
        """Pass on ``report`` of the broker, now or when the session has begun.

        Raises what :meth:`pass_on` does.
        """
        self._on_told(report)
        self.pass_on(report)

    def pass_on(self, report: ExecutionReport | BrokerDisconnect) -> None:
        """Pass on ``report``, which the session has found in the broker's books, or that comes again.

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
