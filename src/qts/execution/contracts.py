"""Orders and fills: what was sent, and what came back. These are the payloads of the P0 events."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import Enum
from typing import TypeAlias

import msgspec

from qts.capital.contracts import Pool
from qts.money import minus
from qts.risk.contracts import OrderRequest
from qts.safety.scoped_stops import Scope
from qts.strategy.contracts import Side


class OrderState(str, Enum):
    """The life of an order; the table of allowed steps is in :mod:`qts.execution.lifecycle`.

    INTENT: being written down, nothing has left. PENDING_NEW: given to the gateway, and not yet answered: it may
    be at the broker, and only the gateway can say that it is not. UNKNOWN: it will not be answered any more: never
    sent again before the broker was asked (``no-resend``).
    """

    INTENT = "INTENT"
    PENDING_NEW = "PENDING_NEW"
    UNKNOWN = "UNKNOWN"
    WORKING = "WORKING"
    PARTIAL = "PARTIAL"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    NOT_SENT = "NOT_SENT"
    FILLED_LATE = "FILLED_LATE"


class VenueRef(msgspec.Struct, frozen=True):
    """The name of one order at a venue: ``number`` is unique only on its ``day``, at its ``venue``, in its
    ``branch``.

    ``day`` is the venue's own date. ``venue`` and ``branch`` are those that a cancel has to name; ``branch`` is ""
    where the venue has none. A broker names an order in the same way in answers, reports and lists: a reference
    that differs in any part is another order's.
    """

    day: date
    number: str
    venue: str
    branch: str = ""


class Fill(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """One execution as the broker reports it; applied exactly once.

    Its identity is account, broker, the market's date of ``ts_ns``, order and execution id: an exchange's number
    can come back on another order or another day.

    ``client_order_id`` is "" where the broker names the order by its own number alone, which is ``ref`` then; it is
    booked under the id that we gave that order. ``execution_id`` is "" where the broker does not number executions:
    such a notice has ``ref``, is published once for each connection, and the session makes the id.
    ``fee`` and ``tax`` in the instrument's currency. ``last``: the broker says that nothing is left to fill.
    ``inferred``: no notice told it; it follows from the quantity executed in all, at an average price.
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
    inferred: bool = False
    ref: VenueRef | None = None


class OrderCancelled(msgspec.Struct, frozen=True, tag=True):
    """The broker confirms that the rest of an order will not be filled.

    ``expired``: because the time that it works was over; False also where the broker does not say. ``ref``: the
    order's number where ``client_order_id`` is "", as in :class:`Fill`; here and below.
    """

    broker: str
    client_order_id: str
    symbol: str
    ts_ns: int
    reason: str
    expired: bool = False
    ref: VenueRef | None = None


class OrderRejected(msgspec.Struct, frozen=True, tag=True):
    """The broker rejected an order after it had accepted it for routing."""

    broker: str
    client_order_id: str
    symbol: str
    ts_ns: int
    reason: str
    ref: VenueRef | None = None


class FillReversed(msgspec.Struct, frozen=True, tag=True):
    """The broker has taken an execution back (a bust). A correction is this, and a new fill with an id of its own.

    ``broker``, ``execution_id``, ``client_order_id`` and ``symbol`` are those of the fill, ``traded_ns`` a moment
    on the market's date of it (its own ``ts_ns`` is one); together they identify it. ``ts_ns``: when it was taken
    back.
    """

    broker: str
    execution_id: str
    client_order_id: str
    symbol: str
    traded_ns: int
    ts_ns: int
    reason: str
    ref: VenueRef | None = None


class EmergencyStop(msgspec.Struct, frozen=True, tag=True):
    """A stop of everything, or of one part (``scope``).

    No entries; open orders are cancelled, holdings sold when ``liquidate``.
    """

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


class AckStatus(str, Enum):
    """The answers to an order. UNKNOWN: there was no proof of any other.

    NOT_SENT: it never left. No broker says that, the gateway alone does.
    """

    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"
    UNKNOWN = "UNKNOWN"
    NOT_SENT = "NOT_SENT"


class OrderAck(msgspec.Struct, frozen=True):
    """The answer to ``place``, ``replace`` or ``cancel``. A timeout is UNKNOWN, never REJECTED.

    ``ref``: the number that the venue gave to this message, None when it named none.
    """

    status: AckStatus
    client_order_id: str
    ref: VenueRef | None = None
    reason: str = ""


class Order(msgspec.Struct, frozen=True):
    """The book of record's view of one order: what was asked for, and how far it has come; replaced, never changed.

    ``venue_refs``: every number under which venues know it. The last is the one by which it goes; before it are
    those that replacements have ended, and those of cancels.
    ``filled``: all that was executed, also what the broker has taken back since, which makes no order fill again;
    what is held of it the book says. ``ts_update_ns``: of the newest report. ``note``: what was odd about it, ""
    for nothing.
    """

    request: OrderRequest
    approval_id: str
    state: OrderState
    filled: Decimal
    ts_update_ns: int
    venue_refs: tuple[VenueRef, ...] = ()
    note: str = ""

    @property
    def remaining(self) -> Decimal:
        """Return what is not yet filled, in shares or contracts."""
        return minus(self.request.qty, self.filled)

    @property
    def ref(self) -> VenueRef | None:
        """Return the number by which it goes now, which a cancel or a replacement has to name; None for none."""
        return self.venue_refs[-1] if self.venue_refs else None

    @property
    def newest_number(self) -> str:
        """Return the number by which it goes now as a text; "" while it has none."""
        return "" if self.ref is None else self.ref.number

    @property
    def client_order_id(self) -> str:
        """Return the id that we gave the order."""
        return self.request.client_order_id

    @property
    def decision_id(self) -> str:
        """Return the id of the decision that led to it."""
        return self.request.decision_id

    @property
    def strategy(self) -> str:
        """Return the name of the strategy that wanted it."""
        return self.request.strategy

    @property
    def pool(self) -> Pool:
        """Return the pool that pays for it."""
        return self.request.pool

    @property
    def symbol(self) -> str:
        """Return its symbol."""
        return self.request.symbol

    @property
    def side(self) -> Side:
        """Return its side."""
        return self.request.side

    @property
    def qty(self) -> Decimal:
        """Return the quantity ordered, in shares or contracts."""
        return self.request.qty

    @property
    def limit(self) -> Decimal | None:
        """Return its limit in the instrument's currency; None for a market order."""
        return self.request.limit

    @property
    def decision_price(self) -> Decimal:
        """Return the price that the decision was made on."""
        return self.request.decision_price

    @property
    def ts_intent_ns(self) -> int:
        """Return when its intent was made (ns since 1970, UTC)."""
        return self.request.ts_ns

    @property
    def reduce_only(self) -> bool:
        """Return whether it may only reduce a holding."""
        return self.request.reduce_only

    @property
    def forced(self) -> bool:
        """Return whether a rule wanted it, not the strategy."""
        return self.request.forced

    @property
    def reason(self) -> str:
        """Return why it was wanted."""
        return self.request.reason


ExecutionReport: TypeAlias = Fill | OrderCancelled | OrderRejected | FillReversed
