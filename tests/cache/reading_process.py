"""A process that reads one position through a manager with a slow source, and prints what it got.

``python -m tests.cache.reading_process URL READS HOLD``: READS at once. Its source counts itself under ``loads``,
waits until two processes have begun, and a moment more; with HOLD ``1`` it never ends.
"""

from __future__ import annotations

import asyncio
import os
import sys

import redis.asyncio

from qts.cache import manager as manager_module
from qts.cache.access import parse
from qts.cache.contracts import Kind, PositionValue
from qts.cache.redis_cache import RedisCache
from qts.cache.server.limits import Limits
from qts.clock import SystemClock
from tests.cache.rig import SYMBOL, manager_of, position
from tests.cache.servers import PATIENT_S

LIFETIME_MS = 600_000
LONG_LOCK_MS = 60_000


async def main(url: str, reads: int, hold: bool) -> None:
    clock = SystemClock()
    asked = redis.asyncio.Redis.from_url(url)

    async def source(name: str) -> PositionValue:
        await asked.incr("loads")
        while hold or int(await asked.get("begun") or 0) < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        return position(50, clock.time_ns())

    client = RedisCache(parse(url, os.environ), limits=Limits(call_s=PATIENT_S, connect_s=PATIENT_S, least=1))
    manager = manager_of(client, clock, sources={Kind.POSITION: source}, position_ms=LIFETIME_MS)
    await manager.open()
    await asked.incr("begun")
    found = await asyncio.gather(*(manager.get(PositionValue, SYMBOL) for _ in range(reads)))
    print({None if one is None else str(one.qty) for one in found}, flush=True)
    await manager.close()
    await asked.aclose()


if __name__ == "__main__":
    manager_module.LOCK_MS = LONG_LOCK_MS  # type: ignore[misc]  # a busy machine is no second load
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "1"))
