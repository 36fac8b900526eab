"""Rows as a book commits them."""

from __future__ import annotations

from decimal import Decimal as D

from qts.capital.contracts import Pool
from qts.execution.contracts import Order, OrderState
from qts.ledger.contracts import LedgerRow, PositionRow
from qts.risk.contracts import OrderRequest
from qts.strategy.contracts import Side

DAY = "2026-01-22"


def order(name: str, state: OrderState = OrderState.WORKING, *, filled: int = 0) -> Order:
    request = OrderRequest(
        client_order_id=name,
        decision_id=f"d-{name}",
        strategy="one",
        pool=Pool.SWING,
        symbol="A",
        side=Side.BUY,
        qty=D(10),
        limit=None,
        decision_price=D(100),
        ts_ns=1,
    )
    return Order(request, "a1", state, D(filled), 2)


def fill(name: str, execution: str, *, qty: int = 10, price: int = 100, day: str = DAY) -> LedgerRow:
    return LedgerRow(
        broker="sim",
        execution_id=execution,
        ts_ns=3,
        symbol="A",
        side=Side.BUY,
        qty=D(qty),
        price=D(price),
        amount=D(qty * price),
        fee=D(0),
        tax=D(0),
        realized_pnl=D(0),
        strategy="one",
        pool=Pool.SWING,
        order_id=name,
        account="QTS-1",
        trade_date=day,
    )


def held(qty: int, *, strategy: str = "one", symbol: str = "A", cost: int = 1_000) -> PositionRow:
    return PositionRow(strategy, Pool.SWING, symbol, D(qty), D(cost), 3)
