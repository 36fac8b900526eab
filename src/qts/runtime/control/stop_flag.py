"""Asks a running session to stop: set from a signal handler or a strategy's failure, looked at by the drivers."""

from __future__ import annotations

from qts.runtime.control.kill_switch import KillSwitch


class StopFlag:
    """Asks the driver to stop after the value in hand; set from a signal handler.

    ``kill`` stops trading instead: a paper session looks at it before every entry.
    """

    def __init__(self) -> None:
        self.requested = False
        self.kill = KillSwitch()

    def request(self) -> None:
        self.requested = True
