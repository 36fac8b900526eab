"""Stands in the place of the broker of a session whose steps are repeated: nothing is sent, nothing is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from qts.broker.contracts import Balance, BrokerOrder, BrokerPosition, Capabilities, Holdings
from qts.errors import ContractError
from qts.execution.contracts import Fill, OrderAck, VenueRef
from qts.ledger.contracts import Charges
from qts.risk.contracts import Approved


class RepeatedBroker:
    """A :class:`~qts.broker.contracts.Broker` that is never called: the record has every answer.

    Its calls raise ContractError.
    """

    def __init__(self, name: str, capabilities: Capabilities) -> None:
        self.name = name
        self.capabilities = capabilities

    async def connect(self) -> None:
        raise _never()

    async def close(self) -> None:
        raise _never()

    async def orders(self) -> Sequence[BrokerOrder]:
        raise _never()

    async def fills_since(self, ts_ns: int) -> Sequence[Fill]:
        raise _never()

    async def positions(self) -> Mapping[str, BrokerPosition]:
        raise _never()

    async def balance(self) -> Balance | None:
        raise _never()

    async def holdings(self) -> Holdings:
        raise _never()

    async def charges(self, day: date) -> Charges | None:
        raise _never()

    async def place(self, approved: Approved) -> OrderAck:
        raise _never()

    async def replace(self, approved: Approved, client_order_id: str, ref: VenueRef | None) -> OrderAck:
        raise _never()

    async def cancel(self, client_order_id: str, ref: VenueRef | None) -> OrderAck:
        raise _never()


def _never() -> ContractError:
    return ContractError("a session that is repeated has no broker")
