"""The open orders and the questions everybody asks about them."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.capital.contracts import Pool
from qts.execution.contracts import Order, OrderState
from qts.execution.working import FINAL_STATES, WorkingOrders
from qts.strategy.contracts import Side
from tests.execution.orders import order_with


def order(key: str, **changes: Any) -> Order:
    values: dict[str, Any] = {
        "client_order_id": key,
        "decision_id": "d",
        "approval_id": "a",
        "strategy": "s",
        "pool": Pool.SCALP,
        "symbol": "005930",
        "side": Side.BUY,
        "qty": D(10),
        "limit": D(100),
        "decision_price": D(99),
        "state": OrderState.WORKING,
        "filled": D(0),
        "ts_ns": 1,
        "ts_update_ns": 1,
    }
    return order_with(**{**values, **changes})


def book(*orders: Order, keep_final: int = 1_000) -> WorkingOrders:
    working = WorkingOrders(keep_final)
    for one in orders:
        working.put(one)
    return working


@pytest.mark.parametrize("state", list(OrderState))
def test_open_orders_are_listed_and_final_ones_only_remembered(state: OrderState) -> None:
    working = book(order("o", state=state))

    is_open = state not in FINAL_STATES
    assert len(working) == is_open
    assert [one.client_order_id for one in working] == (["o"] if is_open else [])
    assert working.get("o") is not None


def test_an_order_is_replaced_not_doubled_even_when_it_opens_again() -> None:
    working = book(order("o"), order("o", filled=D(4), state=OrderState.PARTIAL))
    assert [one.filled for one in working] == [D(4)]

    working.put(order("o", state=OrderState.CANCELLED))
    assert len(working) == 0
    working.put(order("o", state=OrderState.WORKING))
    assert len(working) == 1


def test_an_order_that_never_was_is_unknown() -> None:
    assert book(order("o")).get("x") is None


def test_final_orders_are_forgotten_oldest_first() -> None:
    ended = [order(f"o{n}", state=OrderState.FILLED) for n in range(3)]
    working = book(*ended, keep_final=2)

    assert working.get("o0") is None
    assert working.get("o1") is not None
    working.put(ended[1])  # reported again: it is the newest now
    working.put(order("o3", state=OrderState.FILLED))
    assert working.get("o2") is None
    assert working.get("o1") is not None


def test_open_orders_are_never_forgotten() -> None:
    assert len(book(*(order(f"o{n}") for n in range(50)), keep_final=1)) == 50


def test_one_s_own_orders_are_those_of_strategy_and_symbol() -> None:
    working = book(order("a"), order("b", strategy="t"), order("c", symbol="000660"))

    assert [one.client_order_id for one in working.of("s", "005930")] == ["a"]


def test_what_open_buys_would_still_add() -> None:
    working = book(
        order("a", filled=D(4)),  # 6 × 100
        order("b", limit=None, symbol="000660"),  # 10 × 99, the decision's price
        order("c", side=Side.SELL),
        order("d", state=OrderState.CANCELLED),
        order("e", state=OrderState.UNKNOWN, qty=D(1)),  # it may well be alive
    )

    assert working.entry_value() == 600 + 990 + 100
    assert working.entry_value("005930") == 700
    assert working.entry_symbols() == {"005930", "000660"}


def test_what_is_leaving_already() -> None:
    working = book(
        order("a", side=Side.SELL, filled=D(3)),
        order("b", side=Side.SELL, qty=D(2)),
        order("c"),
        order("d", strategy="t"),
    )

    assert working.working_sells("s", "005930") == D(9)
    assert working.working_sells("t", "005930") == 0


def test_an_unknown_order_closes_its_key_and_no_other() -> None:
    working = book(order("a", state=OrderState.UNKNOWN), order("b", symbol="000660"))

    assert working.unknown("005930", Side.BUY)
    assert not working.unknown("005930", Side.SELL)
    assert not working.unknown("000660", Side.BUY)


def test_looking_through_the_orders_bears_changes_on_the_way() -> None:
    working = book(order("a"), order("b"))

    for one in working:
        working.put(msgspec.structs.replace(one, state=OrderState.CANCELLED))

    assert len(working) == 0


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(list(OrderState))), max_size=40))
def test_an_export_brings_the_open_orders_back_in_their_order(steps: list[tuple[int, OrderState]]) -> None:
    working = WorkingOrders()
    for number, state in steps:
        working.put(order(f"o{number}", state=state))
    other = book(order("stray"))

    other.import_state(working.get(key) for key in working.export_state())

    assert list(other) == list(working)
    assert other.get("stray") is None
