"""The port through which the session finds orders that it no longer holds in memory."""

from __future__ import annotations

from typing import Protocol

from qts.execution.contracts import Order


class PastOrders(Protocol):
    """Reads the stored orders. Called on the session's thread, inside a handler."""

    def order(self, client_order_id: str) -> Order | None:
        """Return an order as it last stood; None when it is not stored.

        Raises StorageError when that cannot be known.
        """
        ...
