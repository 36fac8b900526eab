"""What a scrape shows of a cache."""

from __future__ import annotations

import pytest

from qts.cache.contracts import PositionValue, RiskValue
from qts.cache.prometheus import CacheMetrics
from tests.cache.rig import SYMBOL, clock_at, manager_of, position
from tests.cache.scripted import ScriptedClient

prometheus_client = pytest.importorskip("prometheus_client", reason="needs the extra 'metrics'")


async def test_a_scrape_shows_answers_by_kind_writes_latencies_and_the_breaker() -> None:
    client = ScriptedClient(clock_at())
    manager = manager_of(client, client.clock)
    await manager.put([(SYMBOL, position(120))])
    await manager.get(PositionValue, SYMBOL)
    await manager.get(RiskValue)
    client.down = True
    for _ in range(6):
        await manager.get(RiskValue)
    registry = prometheus_client.CollectorRegistry()
    registry.register(CacheMetrics(manager))
    shown = registry.get_sample_value

    def requests(kind: str, result: str) -> float | None:
        return shown("qts_cache_requests_total", {"kind": kind, "result": result})

    assert [requests("position", result) for result in ("hit", "miss", "stale", "damaged", "away")] == [
        1,
        0,
        0,
        0,
        0,
    ]
    assert [requests("risk", result) for result in ("hit", "miss", "away")] == [0, 1, 6]
    assert shown("qts_cache_loads_total", {"kind": "risk", "outcome": "loaded"}) == 0
    assert shown("qts_cache_writes_total", {"outcome": "written"}) == 1
    assert shown("qts_cache_call_seconds_count", {"op": "read"}) == 2 + 5
    assert shown("qts_cache_call_seconds_count", {"op": "write"}) == 1
    assert shown("qts_cache_call_seconds_bucket", {"op": "read", "le": "+Inf"}) == 7
    assert [shown("qts_cache_connections", {"state": state}) for state in ("in_use", "most")] == [2, 50]
    states = {name: shown("qts_breaker_state", {"name": "cache", "state": name}) for name in STATES}
    assert states == {"CLOSED": 0, "OPEN": 1, "HALF_OPEN": 0}
    assert shown("qts_breaker_opened_total", {"name": "cache"}) == 1


STATES = ("CLOSED", "OPEN", "HALF_OPEN")
