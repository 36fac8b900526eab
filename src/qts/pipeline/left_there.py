"""Says how much of a symbol is at the broker and not yet being sold, where others have sold some of ours."""

from __future__ import annotations

from decimal import Decimal

from qts.execution.working import WorkingOrders
from qts.ledger.account import Account
from qts.money import ZERO, minus


def left_there(account: Account, orders: WorkingOrders, symbol: str) -> Decimal | None:
    """Return what the open sells of all strategies leave of ``symbol`` at the broker, at least 0.

    None: all that strategies hold is there, so each may sell its own.
    """
    missing = account.sold_by_others(symbol)
    if not missing and not account.short_of(symbol):
        return None
    return max(minus(minus(account.position(symbol), missing), orders.sells_of_all(symbol)), ZERO)
