"""Orders and fills: what was sent, what came back. These are the payloads of the P0 events."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import Enum
from typing import TypeAlias

import msgspec

from qts.capital.contracts import Pool
from qts.money import minus
from qts.safety.scoped_stops import Scope
from qts.strategy.contracts import Side


class OrderState(str, Enum):
    """The life of an order; the table of allowed steps is in :mod:`qts.execution.lifecycle`.

    UNKNOWN: sent, and no answer yet known: never sent again before the broker was asked.
    """

    INTENT = "INTENT"
    UNKNOWN = "UNKNOWN"
    WORKING = "WORKING"
    PARTIAL = "PARTIAL"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    NOT_SENT = "NOT_SENT"
    FILLED_LATE = "FILLED_LATE"


class Fill(msgspec.Struct, frozen=True, tag=True):
    """One execution as the broker reports it; applied exactly once.

    Its identity is account, broker, the market's date of ``ts_ns``, order and execution id: an exchange's number
    can come back on another order or another day.

    ``fee`` and ``tax`` in the instrument's currency. ``last`` says that the order has nothing left to fill.
    """

    broker: str
    execution_id: str
    client_order_id: str
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    fee: Decimal
    tax: Decimal
    ts_ns: int
    last: bool


class OrderCancelled(msgspec.Struct, frozen=True, tag=True):
    """The broker confirms that the rest of an order will not be filled."""

    broker: str
    client_order_id: str
    symbol: str
    ts_ns: int
    reason: str


class OrderRejected(msgspec.Struct, frozen=True, tag=True):
    """The broker refused an order after it had accepted it for routing."""

    broker: str
    client_order_id: str
    symbol: str
    ts_ns: int
    reason: str


class EmergencyStop(msgspec.Struct, frozen=True, tag=True):
    """Stop everything, or one part (``scope``): no entries, cancel what works, liquidate when ``liquidate``."""

    actor: str
    reason: str
    ts_ns: int
    liquidate: bool = True
    scope: Scope | None = None


class BrokerDisconnect(msgspec.Struct, frozen=True, tag=True):
    """The connection to a broker is gone; orders whose fate is unknown wait for reconciliation."""

    broker: str
    reason: str
    ts_ns: int


class PositionUpdate(msgspec.Struct, frozen=True, tag=True):
    """The position of a symbol after a fill (qty signed)."""

    symbol: str
    qty: Decimal
    average_cost: Decimal | None
    ts_ns: int


class VenueRef(msgspec.Struct, frozen=True):
    """How a venue names one order: ``number`` is unique only on its ``day``, at its ``venue``, in its ``branch``.

    ``day`` is the venue's own date. ``branch`` is "" where the venue has none.
    """

    day: date
    number: str
    venue: str
    branch: str = ""


class AckStatus(str, Enum):
    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"
    UNKNOWN = "UNKNOWN"


class OrderAck(msgspec.Struct, frozen=True):
    """The answer to ``place``, ``modify`` or ``cancel``. A timeout is UNKNOWN, never REJECTED."""

    status: AckStatus
    client_order_id: str
    broker_order_id: str = ""
    reason: str = ""


class Order(msgspec.Struct, frozen=True):
    """The book of record's view of one order; replaced, never changed."""

    client_order_id: str
    decision_id: str
    approval_id: str
    strategy: str
    pool: Pool
    symbol: str
    side: Side
    qty: Decimal
    limit: Decimal | None
    decision_price: Decimal
    state: OrderState
    filled: Decimal
    ts_intent_ns: int
    ts_update_ns: int
    broker_order_id: str = ""
    reduce_only: bool = False
    forced: bool = False
    reason: str = ""
    note: str = ""

    @property
    def remaining(self) -> Decimal:
        return minus(self.qty, self.filled)


OrderNews: TypeAlias = Fill | OrderCancelled | OrderRejected
