"""Connects a broker with the session that handles its reports, whichever of the two is made first."""

from __future__ import annotations

from collections.abc import Callable

from qts.errors import StateError
from qts.execution.contracts import BrokerDisconnect, ExecutionReport


class ReportRelay:
    """Passes on the reports of a broker; made before it, connected with the session after it. Any thread."""

    def __init__(self) -> None:
        self._listener: Callable[[ExecutionReport | BrokerDisconnect], None] | None = None

    def connect(self, listener: Callable[[ExecutionReport | BrokerDisconnect], None]) -> None:
        """Call ``listener`` with every report from now on. Called once, on the session's thread."""
        self._listener = listener

    def __call__(self, report: ExecutionReport | BrokerDisconnect) -> None:
        """Pass on ``report``. Raises StateError before :meth:`connect`: a lost fill is worse than a loud end."""
        if self._listener is None:
            raise StateError(f"the broker published {report} before the session listened")
        self._listener(report)
