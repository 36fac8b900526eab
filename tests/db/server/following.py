"""The follower of a trader's book on a server, wired as a session wires it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Self

from qts.clock import SystemClock
from qts.db.access import parse
from qts.db.adapter import DataSourceAdapter
from qts.db.follower import Follower, FollowerState
from qts.db.timescale import TimescaleDBAdapter
from tests.db.server.trader import Trader

NAME = "postgres"
PAUSES_S = (0.02, 0.1)
"""Shorter than those of a session, whose tests would take as long."""
PATIENT_S = 60.0


def adapter_of(url: str) -> TimescaleDBAdapter:
    """Return the adapter of a server, not yet opened, as a session with a real broker has it."""
    return TimescaleDBAdapter(parse(url, {}), live=True)


def until(is_so: Callable[[], bool], *, every_s: float = 0.02, seconds: float = PATIENT_S) -> None:
    """Wait until something is so, looked at every so often."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"not so within {seconds:g} s"
        time.sleep(every_s)


class Following:
    """A trader, and the follower that copies its book to the server of ``url``. ``with`` begins and ends both."""

    def __init__(
        self, trader: Trader, url: str, *, pauses_s: Sequence[float] = PAUSES_S, idle_s: float = 0.2
    ) -> None:
        self.trader = trader

        async def make() -> DataSourceAdapter:
            return adapter_of(url)

        self.follower = Follower(
            NAME, trader.run, make, SystemClock(), whole_account=True, pauses_s=pauses_s, idle_s=idle_s
        )
        self.applied_at_start: int | None = None

    def __enter__(self) -> Self:
        self.applied_at_start = self.follower.connect()
        self.trader.store.follow([NAME])
        self.follower.start(self.trader.store)
        return self

    def __exit__(self, *raised: object) -> None:
        self.follower.stop()
        self.trader.store.close()

    def trade(self, fills: int = 1) -> int:
        """Let the trader have so many fills, and return the number of the last batch."""
        seq = 0
        for _ in range(fills):
            seq = self.trader.trade()
            self.follower.wake()
        return seq

    def has_all(self) -> bool:
        """Return whether the server has everything."""
        status = self.follower.status
        return status.state is FollowerState.FOLLOWING and status.applied == self.trader.store.offered

    def drain(self) -> None:
        """Wait until the server has everything."""
        try:
            until(self.has_all)
        except AssertionError:
            raise AssertionError(f"the server did not get everything: {self.follower.status}") from None

    def wait_for(self, state: FollowerState) -> str:
        """Wait until the follower is in a state, and return its reason."""
        until(lambda: self.follower.status.state is state)
        return self.follower.status.reason

    def wait_for_reason(self, text: str) -> str:
        """Wait until the follower says why it does not follow with a text, and return it."""
        until(lambda: text in self.follower.status.reason)
        return self.follower.status.reason
