"""The world outside of a session: true time, what is on its way, and the steps of the story.

It outlives every process of the session. While one runs, a thread of its machine lets everything happen at its
time; between two processes it happens all the same, and no one hears of it.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable

from tests.simulation.machine import Machine, SimThread
from tests.simulation.model import Model

NS_PER_MS = 1_000_000
OPENING = 120_000_000
"""Settled cash of the account in won; the session is allotted 100,000,000 of it."""


class World:
    """Time and what is to happen. ``begin_ns``: the true time at the beginning, ns since 1970 (UTC)."""

    def __init__(self, seed: int, begin_ns: int) -> None:
        self.rng = random.Random(f"world {seed}")
        self.model = Model(OPENING * 1_000_000)
        self.fired: Counter[str] = Counter()
        """How often each fault has happened, by its name."""
        self.trace: list[str] = []
        """What happened, for people."""
        self.tells_all = False
        """Whether the trace has the callers of what fails."""
        self.is_quiet = False
        """Whether nothing new goes wrong any more."""
        self._begin_ns = begin_ns
        self._passed_ns = 0
        self._machine: Machine | None = None
        self._thread: SimThread | None = None
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = itertools.count()

    # -- time --------------------------------------------------------------------------------------------------

    @property
    def passed_ns(self) -> int:
        """Return the time since the beginning."""
        return self._passed_ns if self._machine is None else self._machine.now_ns

    @property
    def now_ns(self) -> int:
        """Return the true time, ns since 1970 (UTC)."""
        return self._begin_ns + self.passed_ns

    def after(self, ns: int, event: Callable[[], None]) -> None:
        """Let something happen in ``ns``."""
        heapq.heappush(self._events, (self.passed_ns + ns, next(self._count), event))
        if self._machine is not None and self._thread is not None:
            self._machine.wake(self._thread)

    def begin(self, made: Machine) -> None:
        """Go on with a process that runs on ``made``."""
        self._machine = made
        self._thread = made.spawn(self._live, "world")

    def end(self) -> None:
        """Note that the process is over."""
        assert self._machine is not None
        self._passed_ns, self._machine, self._thread = self._machine.now_ns, None, None

    def pass_without(self, ns: int) -> None:
        """Let time pass in which no process runs."""
        until = self._passed_ns + ns
        while self._events and self._events[0][0] <= until:
            at, _, event = heapq.heappop(self._events)
            self._passed_ns = max(self._passed_ns, at)
            event()
        self._passed_ns = until

    def _live(self) -> None:
        made = self._machine
        assert made is not None
        while True:
            while self._events and self._events[0][0] <= made.now_ns:
                heapq.heappop(self._events)[2]()
                made.raise_if_over()
            made.park(self._events[0][0] if self._events else None)

    # -- what is told ------------------------------------------------------------------------------------------

    def fire(self, fault: str) -> None:
        """Count a fault that happened."""
        self.fired[fault] += 1
        self.say(f"** {fault}")

    def say(self, what: str) -> None:
        """Note what happened."""
        self.trace.append(f"{self.passed_ns / 1e9:9.3f}  {what}")
