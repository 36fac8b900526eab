"""The connections to a cache server, where what a server does alone cannot bring them into a state."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from qts.cache.server.connecting import Connector
from qts.cache.server.limits import Limits
from qts.cache.server.pool import Pool


class Connection:
    """A connection at which a look never ends."""

    def __init__(self) -> None:
        self.is_ended = False

    async def can_read(self) -> bool:
        await asyncio.Event().wait()
        return False

    async def disconnect(self, *, nowait: bool) -> None:
        self.is_ended = nowait


class Connections:
    """A connector that makes them."""

    limits = Limits(most=1)

    def __init__(self) -> None:
        self.made: list[Connection] = []

    async def connect(self, host: str, port: int) -> Connection:
        self.made.append(Connection())
        return self.made[-1]


async def test_a_call_whose_time_is_over_before_it_has_sent_anything_leaves_its_connection() -> None:
    connector = Connections()
    pool = Pool(cast("Connector", connector), "127.0.0.1", 1)
    await pool.warm(1)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await pool.send(cast("Any", b""), 1)

    assert pool.in_use == 0
    assert connector.made[0].is_ended
    await pool.close()
