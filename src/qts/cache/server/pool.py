"""The connections to one cache server, which are made beside the calls that wait for one."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any, TypeAlias

from redis.asyncio import Connection
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import ResponseError

from qts.cache.server.connecting import Connector
from qts.cache.server.failures import Failure

Reply: TypeAlias = Any
"""What a server answers to one command; a :class:`redis.exceptions.ResponseError` where it refuses."""


class Pool:
    """Connections to ``host``, of which each is used by one call at a time; for one loop.

    When one of them fails, those that wait unused are dropped too: the server was restarted, or can be reached no
    longer the old way.
    """

    def __init__(self, connector: Connector, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._connector = connector
        self._idle: list[Connection] = []
        self._used = 0
        self._waiters: deque[asyncio.Future[Connection]] = deque()
        self._connecting: set[asyncio.Task[None]] = set()
        self._is_closed = False

    @property
    def in_use(self) -> int:
        """Return how many connections calls have now."""
        return self._used

    async def send(self, commands: bytes, count: int) -> list[Reply]:
        """Send commands in one go and return the ``count`` answers.

        Raises what is in :data:`~qts.cache.server.failures.Failure`; cancelled, it drops the connection.
        """
        connection = await self._take()
        try:
            await connection.send_packed_command([commands], check_health=False)
            replies = [await _reply(connection) for _ in range(count)]
        except BaseException:
            await self._drop(connection)
            raise
        await self._give(connection)
        return replies

    async def warm(self, least: int) -> None:
        """Make connections until ``least`` are there, or as many as the server lets us."""
        missing = least - len(self._idle) - self._used
        await asyncio.gather(*(self._warm() for _ in range(missing)))

    async def _warm(self) -> None:
        with suppress(*Failure):
            self._offer(await self._connector.connect(self.host, self.port))

    async def renew(self) -> None:
        """Drop the connections that wait unused, so that the next call makes one."""
        await self._drop_idle()

    async def close(self) -> None:
        """End all connections; calls that wait for one fail, and those that have one end it."""
        self._is_closed = True
        connecting = list(self._connecting)
        for task in connecting:
            task.cancel()
        await asyncio.gather(*connecting, return_exceptions=True)
        while self._waiters:
            self._fail_a_waiter(Disconnected("the cache was closed"))
        await self._drop_idle()

    # -- connections ------------------------------------------------------------------------------------------

    async def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            self._used += 1
            is_fresh = False
            try:
                is_fresh = await _is_fresh(connection)
            finally:  # also when the call has no more time
                if not is_fresh:
                    self._used -= 1
                    await connection.disconnect(nowait=True)
            if is_fresh:
                return connection
        if self._is_closed:
            raise Disconnected("the cache was closed")
        waiter: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._connect_for_waiters()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                await self._give(waiter.result())
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            raise

    async def _give(self, connection: Connection) -> None:
        """Take back a connection that a call is done with."""
        self._used -= 1
        if self._is_closed:
            await connection.disconnect(nowait=True)
        else:
            self._offer(connection)

    def _offer(self, connection: Connection) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._used += 1
                waiter.set_result(connection)
                return
        self._idle.append(connection)

    async def _drop(self, connection: Connection) -> None:
        self._used -= 1
        await connection.disconnect(nowait=True)
        await self._drop_idle()
        self._connect_for_waiters()

    async def _drop_idle(self) -> None:
        while self._idle:
            await self._idle.pop().disconnect(nowait=True)

    def _connect_for_waiters(self) -> None:
        """Begin as many connections as calls wait for one, up to the most that there may be."""
        while (
            not self._is_closed
            and len(self._connecting) < len(self._waiters)
            and self._used + len(self._connecting) < self._connector.limits.most
        ):
            self._connecting.add(asyncio.ensure_future(self._connect()))

    async def _connect(self) -> None:
        """Make a connection for the call that has waited longest; it is kept if that one gave up."""
        try:
            connection = await self._connector.connect(self.host, self.port)
        except Failure as error:
            self._fail_a_waiter(error)
        else:
            self._offer(connection)
        finally:
            # Not by a callback, which comes only after a call that was told of the failure has looked here again.
            self._connecting.discard(asyncio.current_task())

    def _fail_a_waiter(self, error: Exception) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(error)
                return


async def _is_fresh(connection: Connection) -> bool:
    """Return whether nothing has come on an unused connection, not even its end."""
    try:
        if hasattr(connection, "can_read"):
            return not await connection.can_read()
        return not await connection.can_read_destructive()  # its name before redis-py 8
    except Failure:
        return False


async def _reply(connection: Connection) -> Reply:
    try:
        return await connection.read_response()
    except ResponseError as refusal:
        return refusal
