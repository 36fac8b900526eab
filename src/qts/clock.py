"""The only module that reads the time.

Everything else receives a :class:`Clock`. On the virtual clock a session replays byte for byte; on the
system clock it trades. :func:`stopwatch_ns` measures how long our own code takes: it is never an input of
a decision, so results that depend on it carry ``latency`` in their name.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, Protocol, runtime_checkable

from qts.errors import ContractError

NS_PER_S: Final = 1_000_000_000
NEVER_NS: Final = (1 << 63) - 1
"""A moment after every other; the largest that SQLite and MessagePack store."""
NS_PER_MS: Final = 1_000_000
NS_PER_US: Final = 1_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

stopwatch_ns = time.perf_counter_ns
"""Real nanoseconds for measuring durations of our own code; has no relation to any clock."""

cpu_ns = time.process_time_ns
"""Processor time of all threads of this process in nanoseconds: a busy process uses some, a paused one none."""


@runtime_checkable
class Clock(Protocol):
    """A source of time. ``now`` is an aware UTC datetime; the other two are integer nanoseconds."""

    def now(self) -> datetime:
        """Return the present moment as an aware UTC datetime, to the microsecond; callable on any thread."""
        ...

    def time_ns(self) -> int:
        """Return integer nanoseconds since 1970-01-01 UTC; callable on any thread, never raises."""
        ...

    def monotonic_ns(self) -> int:
        """Return integer nanoseconds that never decrease; only differences have a meaning. Never raises."""
        ...


class SystemClock:
    """The machine's clock."""

    time_ns = staticmethod(time.time_ns)  # no method around it: every event is stamped
    monotonic_ns = staticmethod(time.monotonic_ns)

    def now(self) -> datetime:
        return datetime.now(UTC)


class ManualClock:
    """A virtual clock that moves only by its methods, and never back.

    Raises :class:`~qts.errors.ContractError` for a naive datetime or a step into the past.
    """

    __slots__ = ("_origin", "ns")

    def __init__(self, start: datetime) -> None:
        self.ns = to_ns(start)
        """Its time; move it with :meth:`set_ns`. The kernel, which checks the order itself, assigns it directly."""
        self._origin = self.ns

    def now(self) -> datetime:
        return from_ns(self.ns)

    def time_ns(self) -> int:
        return self.ns

    def monotonic_ns(self) -> int:
        return self.ns - self._origin

    def set(self, moment: datetime) -> None:
        self.set_ns(to_ns(moment))

    def set_ns(self, ns: int) -> None:
        if ns < self.ns:
            raise ContractError(f"a clock never goes back: {from_ns(ns)} is before {self.now()}")
        self.ns = ns

    def advance(self, step: timedelta) -> None:
        self.set_ns(self.ns + round(step / timedelta(microseconds=1)) * NS_PER_US)


class PacedClock:
    """Real time, moved to ``start`` and multiplied by ``speed``: an accelerated session.

    ``speed`` 60 lets an hour pass in a minute. Raises :class:`~qts.errors.ContractError` unless speed > 0.
    """

    __slots__ = ("_base", "_origin", "_speed")

    def __init__(self, start: datetime, speed: float = 1.0) -> None:
        if not speed > 0 or speed == float("inf"):
            raise ContractError(f"speed must be a finite number above 0, got {speed!r}")
        self._origin = to_ns(start)
        self._base = time.monotonic_ns()
        self._speed = speed

    @property
    def speed(self) -> float:
        """Return the seconds of this clock in one real second."""
        return self._speed

    def real_ns(self) -> int:
        """Return the time of this clock, ns since 1970 (UTC), also where it is held; on any thread."""
        return self._origin + int((time.monotonic_ns() - self._base) * self._speed)

    def now(self) -> datetime:
        return from_ns(self.time_ns())

    def time_ns(self) -> int:
        return self._origin + self.monotonic_ns()

    def monotonic_ns(self) -> int:
        return int((time.monotonic_ns() - self._base) * self._speed)

    def wait_until_ns(self, ns: int, stopped: Callable[[], bool]) -> None:
        """Block until this clock shows ``ns`` or ``stopped`` returns True (called at least every 0.1 s)."""
        while (left := ns - self.time_ns()) > 0 and not stopped():
            time.sleep(min(left / NS_PER_S / self._speed, 0.1))

    async def sleep_until_ns(self, ns: int) -> None:
        """Wait, in real time, until this clock shows ``ns`` (at once when it already does)."""
        while (left := ns - self.time_ns()) > 0:
            await asyncio.sleep(left / NS_PER_S / self._speed)


class HeldClock(PacedClock):
    """The time of ``real`` as one thread last looked at it: between two looks no time passes there.

    The thread that makes it sees the time that is held; every other thread sees real time, and waits take real time
    on every thread.
    """

    __slots__ = ("_held", "_owner", "_real")

    def __init__(self, real: PacedClock) -> None:
        self._real = real
        self._origin, self._base, self._speed = real._origin, real._base, real._speed
        self._owner = threading.get_ident()
        self._held = self.real_ns()

    def real_ns(self) -> int:
        return self._real.time_ns()

    def look(self) -> int:
        """Hold the present real time from now on, and return it (ns since 1970, UTC)."""
        self._held = self.real_ns()
        return self._held

    def hold(self, ns: int) -> None:
        """Hold ``ns`` from now on, which need not be the real time."""
        self._held = ns

    def time_ns(self) -> int:
        return self._held if threading.get_ident() == self._owner else self.real_ns()

    def monotonic_ns(self) -> int:
        own = threading.get_ident() == self._owner
        return self._held - self._origin if own else self.real_ns() - self._origin

    async def sleep_until_ns(self, ns: int) -> None:
        while (left := ns - self.real_ns()) > 0:
            await asyncio.sleep(left / NS_PER_S / self._speed)


def to_ns(moment: datetime) -> int:
    """Return the nanoseconds since the epoch of an aware datetime. Raises ContractError for a naive one."""
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise ContractError(f"a time needs its offset from UTC, got the naive {moment!r}")
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * NS_PER_S + delta.microseconds * NS_PER_US


def zone_of(text: str) -> timezone:
    """Return the zone that a text such as ``KST +0900`` names by its offset from UTC; UTC when it names none."""
    found = re.search(r"([+-])(\d\d):?(\d\d)$", text)
    if found is None:
        return UTC
    step = timedelta(hours=int(found[2]), minutes=int(found[3]))
    name = text[: found.start()].strip()
    return timezone(-step if found[1] == "-" else step, *([name] if name else []))


def from_ns(ns: int) -> datetime:
    """Return the aware UTC datetime of nanoseconds since the epoch, truncated to microseconds."""
    return _EPOCH + timedelta(microseconds=ns // NS_PER_US)
