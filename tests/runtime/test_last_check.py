"""The questions right before an order leaves: what was true when it was decided may not be any more."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from qts.execution.contracts import Order, OrderState
from qts.risk.contracts import OrderRequest
from qts.runtime.orders.last_check import LastCheck
from qts.strategy.contracts import Side
from tests.risk.requests import leave
from tests.runtime.books_rig import session
from tests.runtime.rig import SYMBOL, kst
from tests.runtime.test_recovery import RunningSession, Session
from tests.runtime.test_rejected_exits import holding, sells_by_hand

__all__ = ["session"]


def on_its_way(running: RunningSession, qty: int) -> OrderRequest:
    """Have a sale of the strategy wait for its turn."""
    request = leave(client_order_id="exit", strategy="scripted", symbol=SYMBOL, qty=D(qty))
    running.shared.orders.put(Order(request, "a-exit", OrderState.PENDING_NEW, D(0), kst(10, 0, 1)))
    return request


@pytest.mark.parametrize(("qty", "why"), [(10, ""), (11, "scripted holds 10 005930")])
def test_an_exit_leaves_while_its_shares_are_held(session: Session, qty: int, why: str) -> None:
    running = holding(session)

    assert LastCheck(running.shared).why_not(on_its_way(running, qty)) == why


@pytest.mark.parametrize(("qty", "why"), [(7, ""), (8, "others have sold 3 005930")])
def test_and_while_others_have_not_sold_them(session: Session, qty: int, why: str) -> None:
    running = holding(session)
    sale = on_its_way(running, qty)

    sells_by_hand(session, running, 3)

    assert LastCheck(running.shared).why_not(sale) == why


def test_an_order_that_has_left_already_does_not_leave_again(session: Session) -> None:
    running = holding(session)
    sale = on_its_way(running, 10)
    assert sale.side is Side.SELL
    running.shared.orders.put(Order(sale, "a-exit", OrderState.WORKING, D(0), kst(10, 0, 1)))

    assert LastCheck(running.shared).why_not(sale) == "it is WORKING"
