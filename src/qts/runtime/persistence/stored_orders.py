"""Sorts the store's orders as a session's book held them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qts.errors import StorageError
from qts.execution.contracts import Order
from qts.execution.working import FINAL_STATES


def in_book_order(stored: Sequence[Order], share: Any) -> list[Order]:
    """Return the store's orders as the book held them: ended ones by time, open ones in the checkpoint's order.

    Cancels and exits iterate over the open orders and must meet them in the same order as without the restart.
    """
    by_id = {order.client_order_id: order for order in stored}
    for key in share:
        if key not in by_id:
            raise StorageError(
                f"table orders: order {key}, which the checkpoint knows as open, is gone; the "
                "store is damaged: restore it from a backup or start with a new data directory"
            )
    ended = sorted((o for o in stored if o.state in FINAL_STATES), key=lambda order: order.ts_update_ns)
    return [*ended, *(by_id[key] for key in share)]
