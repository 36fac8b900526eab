"""Every pool has a row in the store, whether it trades or not."""

from __future__ import annotations

from collections.abc import Callable

from qts.strategy.contracts import Side
from tests.runtime.rig import Rig, ScriptedStrategy, kst


def test_every_pool_stands_in_the_store_also_those_that_never_trade(rig_of: Callable[..., Rig]) -> None:
    """Given 100,000,000 won in BALANCED (midpoints 40, 35 and 25 % sum to 1) and one SCALP buy of 10 shares for
    1,501,000 won and a fee of 225 (0.015 %, cut to the won)."""
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    assert [(row.pool.value, int(row.cash)) for row in rig.store.pools()] == [
        ("PORTFOLIO", 25_000_000),
        ("SCALP", 40_000_000),
        ("SWING", 35_000_000),
    ]

    scripted.wants(Side.BUY, qty=10)
    rig.quotes(kst(10), 2)
    rig.store_now()

    assert rig.held() == 10
    assert sum(row.cash for row in rig.store.pools()) == 100_000_000 - 1_501_000 - 225
