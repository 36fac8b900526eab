"""A client of a cache behind a circuit breaker: opened when it is first asked, left alone while it fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from qts.cache.breaker import BreakerState, CircuitBreaker
from qts.cache.config import CacheConfig
from qts.cache.contracts import CacheClient, PoolUse
from qts.cache.sharing import SharedWork
from qts.clock import NS_PER_S, Clock, stopwatch_ns
from qts.errors import InputError, Unavailable
from qts.histogram import Histogram
from qts.wording import counted

T = TypeVar("T")


class GuardedClient:
    """A client that is asked through a breaker; for the one loop on which it is asked.

    An outage is told once, when the breaker opens, and its end once; a refusal of the server at most once in the
    breaker's pause.
    """

    def __init__(self, client: CacheClient, clock: Clock, config: CacheConfig, tell: Callable[[str], None]) -> None:
        """Take ``client`` before it was opened; ``tell`` takes what an operator has to know."""
        self._client = client
        self._clock = clock
        self._config = config
        self._tell = tell
        self._opening = SharedWork()  # a server that is away is not tried once for each who waits
        self._opened = False
        self._failure = ""
        self.last_error = ""
        """Why the last call failed that did: no answer, or a refusal; "" before the first."""
        self._tell_again_ns = 0
        self.breaker = CircuitBreaker(
            clock,
            failures=config.breaker_failures,
            pause_s=config.breaker_pause_s,
            on_change=self._changed,
        )

    @property
    def server(self) -> str:
        """Return name and version of the server; "" before it answered."""
        return self._client.server

    @property
    def pool(self) -> PoolUse:
        """Return how many connections to the server are in use."""
        return self._client.pool

    async def open(self) -> None:
        """Open the client, unless that was done.

        Raises InputError for a server that cannot be used, Unavailable when there is none. Later calls try again.
        """
        if not self._opened:
            await self._opening.share("open", self._client.open)
            self._opened = True

    async def close(self) -> None:
        """Let go of the client, after which it is not asked again."""
        await self._opening.close()
        await self._client.close()

    async def ask(self, work: Callable[[CacheClient], Awaitable[T]], latencies: Histogram) -> T:
        """Return what ``work`` returns.

        Raises Unavailable when the cache does not answer or is left alone, InputError for what it refuses.
        """
        ticket = self.breaker.enter()
        if ticket is None:
            raise Unavailable(f"the cache is left alone after failures in a row, the last: {self._failure}")
        begun_ns = stopwatch_ns()
        try:
            if not self._opened:
                await self._ready()
            found = await work(self._client)
        except Unavailable as error:
            self._failure = self.last_error = str(error)
            self.breaker.fail(ticket)
            raise
        except InputError as error:
            self.breaker.succeed(ticket)  # it answers
            self._refused(error)
            raise
        except BaseException:
            self.breaker.leave(ticket)
            raise
        finally:
            latencies.record(stopwatch_ns() - begun_ns)
        self.breaker.succeed(ticket)
        return found

    async def _ready(self) -> None:
        try:
            await self.open()
        except InputError as error:  # to wait is all that can be done about it now
            raise Unavailable(str(error)) from error

    def _refused(self, error: InputError) -> None:
        self.last_error = str(error)
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._tell_again_ns:
            self._tell_again_ns = now_ns + int(self._config.breaker_pause_s * NS_PER_S)
            self._tell(f"the cache refuses: {error}")

    def _changed(self, before: BreakerState, now: BreakerState) -> None:
        if before is BreakerState.CLOSED:
            times = counted(self._config.breaker_failures, "failure")
            self._tell(
                f"the cache is left alone after {times} in a row, and tried again every "
                f"{self._config.breaker_pause_s:g} s; nothing is written to it meanwhile, and what is read comes "
                f"from its source · the last failure: {self._failure}"
            )
        elif now is BreakerState.CLOSED:
            self._tell("the cache answers again")
