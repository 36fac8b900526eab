"""Caches on the servers of the tests."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from qts.cache.access import parse

if TYPE_CHECKING:
    from qts.cache.redis_cache import RedisCache

PATIENT_S = 20.0
"""How long a call may take where nothing is wrong: a busy machine is no fault of a cache."""


@asynccontextmanager
async def opened(url: str, **limits: float) -> AsyncIterator[RedisCache]:
    """A cache that is open within the block, patient unless ``limits`` say otherwise."""
    from qts.cache.redis_cache import RedisCache  # its driver is an extra
    from qts.cache.server.limits import Limits

    chosen: dict[str, float] = {"call_s": PATIENT_S, "connect_s": PATIENT_S, "least": 2} | limits
    cache = RedisCache(parse(url, os.environ), limits=Limits(**chosen))  # type: ignore[arg-type]
    await cache.open()
    try:
        yield cache
    finally:
        await cache.close()
