"""The limits that count at the entry of a gateway, facts of the day as a test states them, and a broker."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from qts.broker.gateway.limits.count_config import CountLimits
from qts.broker.gateway.limits.counted import CountedLimits
from qts.broker.gateway.limits.order_limits import OrderLimits
from qts.capital.contracts import Pool
from qts.clock import ManualClock, from_ns
from qts.execution.contracts import AckStatus
from tests.broker.gateway_rig import approved, at_once
from tests.broker.limits_rig import StatedFacts
from tests.broker.scripted import ScriptedBroker
from tests.risk.requests import NOW, D

MS = 1_000_000
FAR = {
    "messages_per_second": 100_000,
    "messages_per_second_kept": 0,
    "messages_per_day": 100_000_000,
    "messages_per_day_kept": 0,
    "duplicate_window_ms": 0,
    "strategy_day_loss": D(1),
    "pool_day_loss": D(1),
}
"""Limits that a test does not reach; it sets the one that it is about."""


class StatedDay:
    """A day of 100,000,000 won at its opening, on which nothing was earned; ``day`` is its date."""

    def __init__(self) -> None:
        self.day = "2026-01-22"
        self.strategies: dict[str, Decimal | None] = {}
        self.pools: dict[Pool, Decimal | None] = {}

    def trade_date(self, ts_ns: int) -> str:
        return self.day

    def day_opening_equity(self) -> Decimal:
        return D(100_000_000)

    def day_result_of_strategy(self, strategy: str) -> Decimal | None:
        return self.strategies.get(strategy, D(0))

    def day_result_of_pool(self, pool: Pool) -> Decimal | None:
        return self.pools.get(pool, D(0))


class CountedRig:
    """A gateway at once with the limits that count."""

    def __init__(self, **config: Any) -> None:
        self._orders = 0
        self.config = CountLimits(**{**FAR, **config})
        self.day = StatedDay()
        self.clock = ManualClock(from_ns(NOW))
        self.broker = ScriptedBroker()
        self.counted = CountedLimits(lambda: self.config, self.day, self.clock)
        limits = OrderLimits(lambda: self.config, StatedFacts(), self.clock, counted=self.counted)
        self.gateway = at_once(self.broker, self.clock, limits)

    def after(self, ms: float) -> None:
        self.clock.set_ns(self.clock.time_ns() + round(ms * MS))

    def submit(self, **order: Any) -> str:
        """Submit the next order, o1, o2 and so on; return why it was not sent, "" when it was."""
        self._orders += 1
        ack = self.gateway.submit(approved(f"o{self._orders}", ts_ns=self.clock.time_ns(), **order)).ack
        assert ack is not None
        return ack.reason.removeprefix("not sent: ") if ack.status is AckStatus.NOT_SENT else ""

    def restarted(self) -> CountedRig:
        """Another process that goes on with what a checkpoint of this moment has."""
        other = CountedRig(**{name: getattr(self.config, name) for name in FAR})
        other.day.day = self.day.day
        other.clock.set_ns(self.clock.time_ns())
        other.counted.import_state(self.counted.export_state())
        return other
