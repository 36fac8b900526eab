"""The broker port: small, asynchronous, and it takes only what risk has approved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Protocol

from qts.execution.contracts import Fill, OrderAck
from qts.risk.contracts import Approved


class Broker(Protocol):
    """One account at one broker.

    ``place`` and ``cancel`` return the broker's answer; fills and later rejections come through the ``publish``
    callable given at construction, as :class:`~qts.execution.contracts.OrderNews`. No method raises for an
    ordinary refusal.
    """

    name: str

    async def place(self, approved: Approved) -> OrderAck: ...

    async def cancel(self, client_order_id: str) -> OrderAck: ...

    async def open_orders(self) -> Sequence[str]:
        """Client order ids that can still be filled."""
        ...

    async def fills_since(self, ts_ns: int) -> Sequence[Fill]: ...

    async def positions(self) -> Mapping[str, Decimal]:
        """Signed quantity by symbol, symbols that are flat left out."""
        ...
