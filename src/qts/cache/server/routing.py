"""Sends commands to the nodes that hold their keys, and again to another or later where that is what is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias

from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, ReadOnlyError, ResponseError

from qts.cache.server.commands import FOREIGN, Command, pack, packed
from qts.cache.server.connecting import Connector
from qts.cache.server.failures import Failure, explained, is_passing, late
from qts.cache.server.limits import deadline
from qts.cache.server.pool import Pool, Reply

SLOTS: Final = 16_384
_REDIRECTS: Final = 5
_CLUSTER_SLOTS: Final = pack(("CLUSTER", "SLOTS"))


class Nodes:
    """The servers that hold the keys: one, or the masters of a cluster; for one loop."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self.first = Pool(connector, connector.access.host, connector.access.port)
        """The server that the URL names."""
        self._pools = {(self.first.host, self.first.port): self.first}
        self._slots: list[Pool | None] = []
        """Which node has which keys; empty where one server has them all."""
        self._masters = [self.first]
        self._looking: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()

    @property
    def masters(self) -> list[Pool]:
        """Return the nodes that have keys."""
        return list(self._masters)

    @property
    def in_use(self) -> int:
        """Return how many connections calls have now."""
        return sum(pool.in_use for pool in self._pools.values())

    @property
    def most(self) -> int:
        """Return how many connections there may be."""
        return self._connector.limits.most * len(self._masters)

    async def close(self) -> None:
        """End all connections."""
        self._closed.set()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        for pool in list(self._pools.values()):
            await pool.close()

    # -- commands -----------------------------------------------------------------------------------------------

    async def run(self, commands: Sequence[Command], what: str) -> list[Reply]:
        """Return the answers to commands, in their order; those of one node go out in one round trip.

        Raises InputError and Unavailable; ``what`` says what could not be done. Others may have been done then.
        """
        return await self._in_time(_Round(self, commands), what)

    async def run_at(self, pool: Pool, command: Command, what: str) -> Reply:
        """Return the answer of one node, whatever the key of the command. Raises InputError and Unavailable."""
        [reply] = await self._in_time(_Round(self, [command], pool), what)
        return reply

    async def _in_time(self, work: _Round, what: str) -> list[Reply]:
        seconds = self._connector.limits.of(len(work.commands))
        try:
            async with deadline(seconds):
                return await self._all(work)
        except TimeoutError as error:
            self.look_again()
            raise late(self._connector.access.place, what, seconds) from error
        except Failure as error:
            raise explained(error, self._connector.access.place, what) from error

    async def _all(self, work: _Round) -> list[Reply]:
        limits = self._connector.limits
        redirects = repeats = 0
        while True:
            failure = await work.once()
            if not work.left:
                return work.replies
            if failure is None:
                redirects += 1
                if redirects > _REDIRECTS:
                    raise ClusterDownError("its nodes send a key from one to the other")
                continue
            repeats += 1
            if repeats > limits.repeats:
                raise failure
            self.look_again()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), limits.pause_s)

    # -- where keys are -----------------------------------------------------------------------------------------

    def of(self, key: str) -> Pool:
        """Return the node that holds a key. Raises ClusterDownError where none does."""
        if not self._slots:
            return self.first
        pool = self._slots[key_slot(key.encode("utf-8", "surrogateescape"))]
        if pool is None:
            raise ClusterDownError("none of its nodes has the key")
        return pool

    def node(self, host: str, port: int) -> Pool:
        """Return the node at an address, which is that of the URL where the cluster does not say."""
        place = (host or self.first.host, port)
        if place not in self._pools:
            self._pools[place] = Pool(self._connector, *place)
        return self._pools[place]

    def moved(self, slot: int, pool: Pool) -> None:
        """Take down that a node holds other keys than it did."""
        if self._slots:
            self._slots[slot] = pool
            if pool not in self._masters:
                self._masters.append(pool)
        self.look_again()

    def look_again(self) -> None:
        """Begin to ask a cluster which node has which keys, unless that is under way."""
        if self._slots and not self._closed.is_set() and (self._looking is None or self._looking.done()):
            self._looking = asyncio.ensure_future(self._look_again())

    async def _look_again(self) -> None:
        for pool in list(dict.fromkeys([*self._masters, *self._pools.values()])):
            try:
                async with deadline(self._connector.limits.connect_s):
                    await self.look(pool)
                break
            except Failure:
                continue  # the next one is asked

    async def look(self, pool: Pool) -> None:
        """Ask one node of a cluster which node has which keys. Raises what is in Failure."""
        [reply] = await pool.send(_CLUSTER_SLOTS, 1)
        if isinstance(reply, ResponseError):
            raise reply
        slots: list[Pool | None] = [None] * SLOTS
        for begin, end, master, *_ in reply:
            host = master[0] if master[0] and master[0] != "?" else pool.host
            slots[begin : end + 1] = [self.node(host, master[1])] * (end + 1 - begin)
        self._slots = slots
        self._masters = list(dict.fromkeys(one for one in slots if one))
        kept = {*self._masters, self.first}
        for place, one in list(self._pools.items()):
            if one not in kept:
                del self._pools[place]
                await one.close()


_Outcome: TypeAlias = tuple[list[int], Exception | None]
"""Places of commands that are to be sent again, and the failure after which a moment is waited first."""


async def _all_of(works: Iterable[Coroutine[Any, Any, _Outcome]]) -> list[_Outcome]:
    """Return what several nodes answered at the same time. Raises the first refusal when all are done."""
    outcomes = await asyncio.gather(*works, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]


class _Round:
    """Commands of one call, and what has become of them."""

    def __init__(self, nodes: Nodes, commands: Sequence[Command], at: Pool | None = None) -> None:
        self.commands = commands
        self.replies: list[Reply] = [None] * len(commands)
        self.left: Sequence[int] = range(len(commands))
        """The places of those that have no answer yet."""
        self._nodes = nodes
        self._at = at
        self._asked: dict[int, Pool] = {}
        """Nodes that keys are just being moved to, by the place of their command."""

    async def once(self) -> Exception | None:
        """Send those that are left once; return a failure after which some are to be sent again a moment later.

        Raises a refusal that a repeat would not change.
        """
        try:
            groups = self._groups()
        except ClusterDownError as failure:
            return failure
        self._asked = {}
        if len(groups) == 1:
            [((pool, is_asking), places)] = groups.items()
            outcomes = [await self._send(pool, places, is_asking=is_asking)]
        else:
            outcomes = await _all_of(
                self._send(pool, places, is_asking=asking) for (pool, asking), places in groups.items()
            )
        self.left = sorted(place for places, _ in outcomes for place in places)
        return next((failure for _, failure in outcomes if failure is not None), None)

    def _groups(self) -> dict[tuple[Pool, bool], Sequence[int]]:
        if self._at is not None:
            return {(self._at, False): self.left}
        groups: dict[tuple[Pool, bool], list[int]] = {}
        for place in self.left:
            pool = self._asked.get(place)
            group = (pool or self._nodes.of(self.commands[place].key), pool is not None)
            groups.setdefault(group, []).append(place)
        return dict(groups)

    async def _send(self, pool: Pool, places: Iterable[int], *, is_asking: bool) -> _Outcome:
        """Return the places that are to be sent again, and why, None if at once."""
        places = list(places)
        each = 2 if is_asking else 1
        message = packed((self.commands[place] for place in places), are_asking=is_asking)
        try:
            replies = await pool.send(message, each * len(places))
        except Failure as error:
            return places, error
        again: list[int] = []
        failure: Exception | None = None
        for place, reply in zip(places, replies[each - 1 :: each], strict=True):
            if not isinstance(reply, ResponseError):
                self.replies[place] = reply
            elif self.commands[place].reads and str(reply).startswith("WRONGTYPE"):
                self.replies[place] = FOREIGN
            elif isinstance(reply, AskError):
                again.append(place)
                self._redirect(place, reply)
            elif is_passing(reply):
                again.append(place)
                failure = reply
                if isinstance(reply, ReadOnlyError):
                    await pool.renew()  # its host name may be another server's by now
            else:
                raise reply
        return again, failure

    def _redirect(self, place: int, reply: Any) -> None:
        pool = self._nodes.node(reply.host, reply.port)
        if isinstance(reply, MovedError):
            self._nodes.moved(reply.slot_id, pool)
        else:
            self._asked[place] = pool
