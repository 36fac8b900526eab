"""News of orders, as strategies are told of them beside their fills."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from typing import Protocol

import msgspec

from qts.strategy.contracts import Context, Side


class OrderStatus(str, Enum):
    """The events in the life of an order.

    SENT: it was approved and given to the broker. REFUSED: the rules let nothing leave. REJECTED: the broker did
    not take it. CANCELLED: it was taken out before it was filled, or even before it was sent. EXPIRED: its time was
    over. STOPPED_OUT: a stop, take or trail of the position was reached, and the rules sell the holding with this
    order.
    """

    SENT = "SENT"
    REFUSED = "REFUSED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    STOPPED_OUT = "STOPPED_OUT"


class OrderNews(msgspec.Struct, frozen=True, tag=True):
    """One event in the life of an order of the strategy, as given to ``on_order``; a fill comes by ``on_fill``.

    ``qty`` is the quantity ordered, 0 where nothing was sized; ``filled`` what has been executed of it. ``tag`` is
    the strategy's own word, ``order_id`` "" for an order that never was. ``reason``: of a refusal the name of its
    rule (:class:`~qts.risk.contracts.Refusal`), else what the order was wanted for. ``detail``: a sentence with the
    numbers of the rule, or what the broker said; "" for none. ``code``: the guardrail's, "" for none. ``ts_ns``:
    when it happened (ns since 1970, UTC).
    """

    symbol: str
    side: Side
    status: OrderStatus
    qty: Decimal
    filled: Decimal
    tag: str
    order_id: str
    reason: str
    detail: str
    code: str
    ts_ns: int

    @property
    def sent(self) -> bool:
        """Return whether the order was given to the broker."""
        return self.status is OrderStatus.SENT

    @property
    def refused(self) -> bool:
        """Return whether the rules let nothing leave."""
        return self.status is OrderStatus.REFUSED

    @property
    def rejected(self) -> bool:
        """Return whether the broker did not take the order."""
        return self.status is OrderStatus.REJECTED

    @property
    def cancelled(self) -> bool:
        """Return whether the order was taken out before it was filled."""
        return self.status is OrderStatus.CANCELLED

    @property
    def expired(self) -> bool:
        """Return whether the order's time was over before it was filled."""
        return self.status is OrderStatus.EXPIRED

    @property
    def stopped_out(self) -> bool:
        """Return whether the order sells the holding because a level of the position was reached."""
        return self.status is OrderStatus.STOPPED_OUT


class OrderHook(Protocol):
    """The hook by which a strategy is told of its orders; one that lacks it is not called."""

    def on_order(self, ctx: Context, news: OrderNews) -> None:
        """Take the news of an order of its own, before any fill of that order.

        Called like :meth:`~qts.strategy.contracts.Strategy.on_fill`, and like it returns no intents. Its failures
        count with the others.
        """
        ...
