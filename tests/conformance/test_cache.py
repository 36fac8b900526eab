"""Every cache keeps the contract of a :class:`~qts.cache.contracts.CacheClient`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from qts.cache.contracts import CacheClient
from qts.cache.memory import MemoryCache
from qts.clock import ManualClock
from tests.cache.servers import opened
from tests.conformance.cache import CacheTests, Opens, Passes
from tests.servers.valkey import Cluster, Valkey


class TestMemory(CacheTests):
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock(datetime(2026, 1, 2, tzinfo=UTC))

    @pytest.fixture
    def opens(self, clock: ManualClock) -> Opens:
        @asynccontextmanager
        async def in_memory() -> AsyncIterator[CacheClient]:
            cache = MemoryCache(clock)
            await cache.open()
            yield cache
            await cache.close()

        return in_memory

    @pytest.fixture
    def passes(self, clock: ManualClock) -> Passes:
        async def advance(ms: int) -> None:
            clock.advance(timedelta(milliseconds=ms))

        return advance


class TestValkey(CacheTests):
    EXAMPLES = 10

    @pytest.fixture
    def opens(self, valkey: Valkey) -> Opens:
        return lambda: opened(valkey.url())


class TestValkeyCluster(CacheTests):
    EXAMPLES = 5

    @pytest.fixture
    def opens(self, valkey_cluster: Cluster) -> Opens:
        return lambda: opened(valkey_cluster.url())
