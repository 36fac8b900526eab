"""Facts for the limits of orders, and a gateway at once that asks them; every test changes one thing.

005930 trades in won: last at 50,000, offered at 50,100, asked for at 49,900. Nothing is held and nothing is open.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from qts.broker.gateway.limits.config import LimitsConfig
from qts.broker.gateway.limits.order_limits import OrderLimits
from qts.clock import ManualClock, from_ns
from qts.execution.contracts import AckStatus, Order, OrderState
from qts.market.session_info import SessionInfo
from qts.risk.contracts import OrderRequest
from qts.strategy.contracts import Side
from tests.broker.gateway_rig import approved, at_once
from tests.broker.scripted import ScriptedBroker
from tests.risk.requests import NOW, D, entry


class StatedFacts:
    """Facts as a test states them, the same for every symbol."""

    currency = "KRW"

    def __init__(self) -> None:
        self.is_simulated = False
        self.tells_session_info = False
        self.info: SessionInfo | None = None
        self.last: Decimal | None = D(50_000)
        self.best: dict[Side, Decimal | None] = {Side.BUY: D(50_100), Side.SELL: D(49_900)}
        self.volume: Decimal | None = None
        self.notional: Decimal | None = D(0)
        self.open: list[Order] = []
        self.in_auction = False

    def session_info(self, symbol: str) -> SessionInfo | None:
        return self.info

    def price(self, symbol: str) -> Decimal | None:
        return self.last

    def price_met(self, symbol: str, side: Side) -> Decimal | None:
        return self.best[side]

    def average_volume(self, symbol: str) -> Decimal | None:
        return self.volume

    def open_notional(self, besides: str) -> Decimal | None:
        return self.notional

    def open_orders(self, symbol: str) -> Iterable[Order]:
        return [order for order in self.open if order.symbol == symbol]

    def is_auction(self, symbol: str) -> bool:
        return self.in_auction


def resting(key: str, state: OrderState = OrderState.WORKING, **order: Any) -> Order:
    """An order of ours that is open at the broker."""
    return Order(entry(client_order_id=key, **order), f"a-{key}", state, D(0), NOW)


class LimitsRig:
    """The limits of a configuration, their facts, and a broker behind them."""

    def __init__(self, *, began_ns: int = NOW, **config: Any) -> None:
        self._orders = 0
        self.clock = ManualClock(from_ns(began_ns))
        self.facts = StatedFacts()
        self.broker = ScriptedBroker()
        self.met: list[tuple[tuple[str, ...], str]] = []
        """Orders to be cancelled, and the exit that they stand in the way of."""
        self.notes: list[str] = []
        self.config = LimitsConfig(**config)
        self.limits = OrderLimits(
            lambda: self.config, self.facts, self.clock, on_met=self._on_met, on_note=self.notes.append
        )
        self.gateway = at_once(self.broker, self.clock, self.limits)

    def _on_met(self, orders: tuple[str, ...], request: OrderRequest) -> None:
        self.met.append((orders, request.client_order_id))

    @property
    def placed(self) -> list[str]:
        """The orders that reached the broker."""
        return [one.request.client_order_id for one in self.broker.placed]

    def submit(self, **order: Any) -> str:
        """Submit the next order, o1, o2 and so on; return why it was not sent, "" when it was."""
        self._orders += 1
        ack = self.gateway.submit(approved(f"o{self._orders}", ts_ns=self.clock.time_ns(), **order)).ack
        assert ack is not None
        return ack.reason.removeprefix("not sent: limit ") if ack.status is AckStatus.NOT_SENT else ""

    def leave(self, **order: Any) -> str:
        """Submit an exit, a SELL of 100 at the market unless something else is said."""
        return self.submit(**{"side": Side.SELL, "limit": None, "reduce_only": True, **order})
