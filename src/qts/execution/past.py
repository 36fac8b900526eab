"""The port through which the session finds orders that it no longer holds in memory."""

from __future__ import annotations

from typing import Protocol

from qts.execution.contracts import Order, VenueRef


class PastOrders(Protocol):
    """Reads the stored orders. Called on the session's thread, inside a handler."""

    def order(self, client_order_id: str) -> Order | None:
        """Return an order as it last stood; None when it is not stored.

        Raises StorageError when that cannot be known.
        """
        ...

    def numbered(self, ref: VenueRef) -> Order | None:
        """Return the order that has the number ``ref`` as it last stood; None when none is stored.

        Raises StorageError when that cannot be known.
        """
        ...
