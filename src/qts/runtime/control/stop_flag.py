"""Requests that a running session stops: set by a signal handler or a strategy's failure, read by the drivers."""

from __future__ import annotations

from qts.runtime.control.kill_switch import KillSwitch


class StopFlag:
    """A request to the driver to stop after the value that it is handling. Safe to set from a signal handler.

    ``kill`` stops trading instead of the session: a paper session checks it before every entry.
    """

    def __init__(self) -> None:
        self.requested = False
        self.kill = KillSwitch()

    def request(self) -> None:
        """Request the stop; any further call changes nothing."""
        self.requested = True
