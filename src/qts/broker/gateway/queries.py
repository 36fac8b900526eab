"""The queries of a broker by way of the gateway's lanes: what everything but the gateway sees of a broker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from typing import Protocol, TypeVar

from qts.broker.contracts import Balance, Broker, BrokerOrder, BrokerPosition, Capabilities, Holdings
from qts.broker.gateway.lanes import Lane
from qts.broker.gateway.questions import BALANCE, CHARGES, FILLS, HOLDINGS, ORDERS, POSITIONS
from qts.execution.contracts import Fill
from qts.ledger.contracts import Charges

T = TypeVar("T")


class Asks(Protocol):
    """The part of the gateway that takes questions to the broker."""

    async def connect(self) -> None:
        """Open the broker's connection; until then no request leaves. Raises what the broker raises."""
        ...

    async def ask(self, lane: Lane | None, question: Callable[[], Awaitable[T]], name: str) -> T:
        """Return the answer to ``question``, which leaves in ``lane``; None: at once, it is no request.

        ``name``: that of its kind in :mod:`qts.broker.gateway.questions`. Raises what it raises.
        """
        ...

    async def end(self) -> None:
        """Close the broker's connection and end the gateway."""
        ...


class LaneQueries:
    """:class:`~qts.broker.contracts.BrokerQueries` whose questions leave in one lane. For the session's thread."""

    def __init__(self, broker: Broker, gateway: Asks, lane: Lane) -> None:
        self._broker = broker
        self._gateway = gateway
        self._lane = lane

    @property
    def name(self) -> str:
        """Return the name of the broker."""
        return self._broker.name

    @property
    def capabilities(self) -> Capabilities:
        """Return what the broker can do."""
        return self._broker.capabilities

    async def connect(self) -> None:
        """Open the connection."""
        await self._gateway.connect()

    async def close(self) -> None:
        """Close the connection, and end the gateway."""
        await self._gateway.end()

    async def orders(self) -> Sequence[BrokerOrder]:
        """Return every order that can still fill."""
        return await self._gateway.ask(self._lane, self._broker.orders, ORDERS)

    async def fills_since(self, ts_ns: int) -> Sequence[Fill]:
        """Return executions at or after ``ts_ns``; a broker that numbers none is not asked."""
        if not self.capabilities.execution_ids:
            return ()
        return await self._gateway.ask(self._lane, lambda: self._broker.fills_since(ts_ns), FILLS)

    async def positions(self) -> Mapping[str, BrokerPosition]:
        """Return what is held by symbol."""
        return await self._gateway.ask(self._lane, self._broker.positions, POSITIONS)

    async def balance(self) -> Balance | None:
        """Return the money of the account."""
        return await self._gateway.ask(self._lane, self._broker.balance, BALANCE)

    async def holdings(self) -> Holdings:
        """Return what is held by symbol and the money, as of one moment."""
        return await self._gateway.ask(self._lane, self._broker.holdings, HOLDINGS)

    async def charges(self, day: date) -> Charges | None:
        """Return all fees and taxes of ``day``."""
        return await self._gateway.ask(self._lane, lambda: self._broker.charges(day), CHARGES)
