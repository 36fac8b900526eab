"""The writing side of a cache: all that a session does with one.

A session is given a :class:`CacheWriter`, which has no method that reads a value: nothing that trades can come to
depend on what a cache holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from qts.cache.breaker import CircuitBreaker
from qts.cache.config import CacheConfig
from qts.cache.contracts import BookValue, CacheClient, CacheValue, CacheWrite, HashWrite, Kind, LevelsWrite
from qts.cache.encoding import KIND_OF, fields_of, levels_of
from qts.cache.guarded import GuardedClient
from qts.cache.keys import Keys, encoded
from qts.cache.sharing import SharedWork
from qts.cache.stats import CacheStats, CacheStatus, Written
from qts.cache.writing import check_write
from qts.clock import NS_PER_MS, Clock
from qts.errors import InputError, Unavailable

TRADES_MS: Final = 2 * 24 * 3_600 * 1_000
"""How long the executions of a day are kept after the last of them: over its end in any time zone."""


def lifetimes_of(config: CacheConfig) -> Mapping[Kind, int]:
    """Return for how long, in ms, a value of each kind is kept and may be used."""
    return {
        Kind.PRICE: config.price_ms,
        Kind.POSITION: config.position_ms,
        Kind.BOOK: config.book_ms,
        Kind.RISK: config.risk_ms,
        Kind.ORDER: config.order_ms,
        Kind.STRATEGY: config.strategy_ms,
        Kind.VIEW: config.view_ms,
    }


WRITERS_MS: Final = 4_000
"""The period in which sessions that write as the same account are counted."""


class CacheWriter:
    """A writer of the values of one account; for one loop, on which all of its coroutines are awaited.

    A cache that is away makes no method raise: what it does not get is counted, and newer values follow. ``stats``,
    :meth:`status` and the state of ``breaker`` may be read on any thread.
    """

    def __init__(
        self,
        client: CacheClient,
        clock: Clock,
        config: CacheConfig,
        *,
        account: str,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Write to ``client``, which was not opened; ``tell`` takes warnings for the operator, one line each.

        Raises InputError for an account that no key can hold.
        """
        self.keys = Keys(config.prefix, account)
        self.stats = CacheStats()
        self._guarded = GuardedClient(client, clock, config, tell)
        self._clock = clock
        self._config = config
        self._tell = tell
        self._lifetimes = lifetimes_of(config)
        self._loads = SharedWork()
        self._unfit_told = False

    @property
    def breaker(self) -> CircuitBreaker:
        """Return the breaker before the cache."""
        return self._guarded.breaker

    @property
    def last_error(self) -> str:
        """Return why the last call failed that did: no answer, or a refusal; "" before the first."""
        return self._guarded.last_error

    def status(self) -> CacheStatus:
        """Return counts, latencies, connections and the state of the breaker."""
        guarded = self._guarded
        return self.stats.status(guarded.server, guarded.pool, self.breaker.state, self.breaker.opened)

    async def open(self) -> None:
        """Connect and look who answers. Without it the first call does.

        Raises InputError for a server that cannot be used, Unavailable when there is none; later calls try again.
        """
        await self._guarded.open()

    async def close(self) -> None:
        """Let go of the cache; loads that are under way are cancelled."""
        await self._loads.close()
        await self._guarded.close()

    async def put(self, values: Sequence[tuple[str, CacheValue]]) -> bool:
        """Write values with their names in one round trip, in their order; "" names one of RISK and VIEW.

        Returns whether the cache has them. A value that it cannot hold is left out, counted, and told once.
        """
        writes = [write for name, value in values if (write := self._write_of(name, value)) is not None]
        if not writes:
            return not values
        end = Written.WRITTEN
        try:
            await self._guarded.ask(lambda client: client.put(writes), self.stats.writes)
        except Unavailable:
            end = Written.AWAY
        except InputError:
            end = Written.REFUSED
        self.stats.written[end] += len(writes)
        return end is Written.WRITTEN

    async def invalidate(self, kind: Kind, name: str = "") -> bool:
        """Remove a value because it does not hold any more; a load of it that is under way is not written.

        After a fill the position, after a change of parameters the strategy, after one of limits the risk. Returns
        whether it is gone; if not, its readers see it for the rest of its lifetime. Raises InputError as
        :meth:`Keys.of <qts.cache.keys.Keys.of>`.
        """
        key = self.keys.of(kind, name)
        self._loads.forget(key)
        try:
            await self._guarded.ask(lambda client: client.delete([key]), self.stats.writes)
        except (Unavailable, InputError):
            return False
        return True

    async def count_trade(self, day: str, execution_id: str) -> int | None:
        """Count an execution of a day and return how many there are; the same one again does not count again.

        None when the cache does not answer: then it is not known whether it was counted; or when it refuses, which
        is counted in ``stats``. It is one atomic step, so that several processes can count. Raises InputError for a
        day or an execution without a name.
        """
        key, member = self.keys.trades_of(day), encoded(execution_id, "execution")
        try:
            return await self._guarded.ask(lambda client: client.count(key, member, TRADES_MS), self.stats.writes)
        except Unavailable:
            return None
        except InputError:
            self.stats.written[Written.REFUSED] += 1
            return None

    async def count_writers(self, name: str) -> int | None:
        """Make known that ``name`` writes as the account, and return how many do in the present :data:`WRITERS_MS`.

        None when the cache does not answer.
        """
        key = self.keys.writers_in(self._clock.time_ns() // (WRITERS_MS * NS_PER_MS))
        member = encoded(name, "session")
        try:
            return await self._guarded.ask(lambda client: client.count(key, member, WRITERS_MS), self.stats.writes)
        except (Unavailable, InputError):
            return None

    async def flush(self) -> int:
        """Remove all keys of the account, and no others; return how many. Raises Unavailable and InputError."""
        return await self._guarded.ask(lambda client: client.flush(self.keys.own), self.stats.writes)

    def _write_of(self, name: str, value: CacheValue) -> CacheWrite | None:
        kind = KIND_OF[type(value)]
        try:
            key, fields, ttl_ms = self.keys.of(kind, name), fields_of(value), self._lifetimes[kind]
            write: CacheWrite = HashWrite(key, fields, ttl_ms)
            if isinstance(value, BookValue):
                most = self._config.book_levels
                write = LevelsWrite(key, levels_of(value.bids, most), levels_of(value.asks, most), fields, ttl_ms)
            check_write(write)  # one that the client would refuse would take all others with it
        except InputError as error:  # also ContractError
            self.stats.written[Written.REFUSED] += 1
            if not self._unfit_told:
                self._unfit_told = True
                self._tell(f"the cache cannot hold {kind.name.lower()} {name!r}, which is left out: {error}")
            return None
        return write
