"""The clock of the double: it runs from a given moment at a given speed, and tests make it jump."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone

from qts.clock import NS_PER_S, Clock, from_ns, to_ns

KST = timezone(timedelta(hours=9), "KST")
OPEN_DAY = datetime(2026, 10, 20, 10, 0, tzinfo=KST)
"""A Tuesday in continuous trading: the moment at which a double begins where a test names none."""
_POLL_S = 0.01


class DoubleClock:
    """A clock that is also a :class:`qts.clock.Clock`, so that the session under test can be given the same one.

    ``speed``: its seconds in one real second; 0: it moves only by :meth:`jump`. ``follow``: another clock whose
    time it shows (with the jumps added), in place of the real one. :meth:`jump` may be called on any thread.
    """

    def __init__(self, start: datetime = OPEN_DAY, speed: float = 1.0, *, follow: Clock | None = None) -> None:
        self._origin = to_ns(start) if follow is None else 0
        self._base = time.monotonic_ns()
        self._speed = speed
        self._follow = follow
        self._jumped = 0
        self._start = self.time_ns()
        self._held: int | None = None
        self._waiting: dict[asyncio.Future[None], None] = {}

    def time_ns(self) -> int:
        if self._follow is not None:
            return self._follow.time_ns() + self._jumped
        return self._origin + self._jumped + int((time.monotonic_ns() - self._base) * self._speed)

    def monotonic_ns(self) -> int:
        return self.time_ns() - self._start

    def now(self) -> datetime:
        return from_ns(self.time_ns())

    @contextmanager
    def held(self, ns: int) -> Iterator[None]:
        """Let the double's own days and hours be those of ``ns``: what was due at it happens late, after a jump."""
        self._held = ns
        try:
            yield
        finally:
            self._held = None

    @property
    def utc(self) -> datetime:
        return self.now().astimezone(UTC)

    @property
    def kst(self) -> datetime:
        """The time in Korea."""
        return (self.now() if self._held is None else from_ns(self._held)).astimezone(KST)

    @property
    def day(self) -> str:
        return self.kst.strftime("%Y%m%d")

    @property
    def hms(self) -> str:
        return self.kst.strftime("%H%M%S")

    def jump(self, step: timedelta) -> None:
        """Move ahead at once; what waits for a moment until then goes on."""
        assert step >= timedelta(), "a clock never goes back"
        self._jumped += round(step / timedelta(microseconds=1)) * 1_000
        for waiting in list(self._waiting):
            waiting.get_loop().call_soon_threadsafe(_wake, waiting)

    def jump_to(self, moment: datetime) -> None:
        """Move ahead to ``moment``, which is not in the past."""
        self.jump(moment - self.now())

    def at(self, hhmm: str, *, days: int = 0) -> datetime:
        """The moment ``HH:MM`` or ``HH:MM:SS`` of today (or ``days`` later) in Korea."""
        hour, minute, *second = (int(part) for part in hhmm.split(":"))
        day = self.kst + timedelta(days=days)
        return day.replace(hour=hour, minute=minute, second=second[0] if second else 0, microsecond=0)

    async def sleep_until_ns(self, ns: int) -> None:
        """Wait until this clock shows ``ns``."""
        while (left := ns - self.time_ns()) > 0:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting[waiting] = None
            try:
                if self._follow is not None:
                    limit: float | None = _POLL_S
                else:
                    limit = left / NS_PER_S / self._speed if self._speed else None
                await asyncio.wait([waiting], timeout=limit)
            finally:
                self._waiting.pop(waiting)
                waiting.cancel()

    async def sleep(self, seconds: float) -> None:
        """Wait ``seconds`` of this clock."""
        await self.sleep_until_ns(self.time_ns() + round(seconds * NS_PER_S))


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
