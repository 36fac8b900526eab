"""Facts for the limits of orders, and a gateway at once that asks them; every test changes one thing."""

from __future__ import annotations

from typing import Any

from qts.broker.gateway.limits.config import LimitsConfig
from qts.broker.gateway.limits.order_limits import OrderLimits
from qts.clock import ManualClock, from_ns
from qts.execution.contracts import AckStatus
from tests.broker.gateway_rig import approved, at_once
from tests.broker.scripted import ScriptedBroker
from tests.risk.requests import NOW


class StatedFacts:
    """Facts as a test states them."""


class LimitsRig:
    """The limits of a configuration, their facts, and a broker behind them."""

    def __init__(self, **config: Any) -> None:
        self._orders = 0
        self.clock = ManualClock(from_ns(NOW))
        self.facts = StatedFacts()
        self.broker = ScriptedBroker()
        self.limits = OrderLimits(LimitsConfig(**config), self.facts, self.clock)
        self.gateway = at_once(self.broker, self.clock, self.limits)

    @property
    def placed(self) -> list[str]:
        """The orders that reached the broker."""
        return [one.request.client_order_id for one in self.broker.placed]

    def submit(self, **order: Any) -> str:
        """Submit the next order, o1, o2 and so on; return why it was not sent, "" when it was."""
        self._orders += 1
        ack = self.gateway.submit(approved(f"o{self._orders}", **order)).ack
        assert ack is not None
        return ack.reason.removeprefix("not sent: ") if ack.status is AckStatus.NOT_SENT else ""
