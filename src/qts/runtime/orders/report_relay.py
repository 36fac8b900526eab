"""Connects a broker with the session that listens to it, whichever of the two is made first."""

from __future__ import annotations

from collections.abc import Callable

from qts.errors import StateError
from qts.execution.contracts import BrokerDisconnect, ExecutionReport


class ReportRelay:
    """Passes on what a broker publishes; made before the broker, connected to who listens after it. Any thread."""

    def __init__(self) -> None:
        self._listener: Callable[[ExecutionReport | BrokerDisconnect], None] | None = None

    def connect(self, listener: Callable[[ExecutionReport | BrokerDisconnect], None]) -> None:
        """Have ``listener`` called with every report from now on. Called once."""
        self._listener = listener

    def __call__(self, report: ExecutionReport | BrokerDisconnect) -> None:
        """Pass on ``report``. Raises StateError before anybody listens: a lost fill is worse than a loud end."""
        if self._listener is None:
            raise StateError(f"the broker published {report} before the session listened")
        self._listener(report)
