"""What parts may take of what was approved, and how an execution moves on."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from qts.errors import ContractError
from qts.execution.contracts import Order, OrderState
from qts.execution.executions import committed, moved, why_too_much
from qts.execution.states import ExecutionState, ExecutionUpdate
from tests.db import rows
from tests.execution.orders import changed

S = OrderState


def child(state: OrderState, filled: str = "0") -> Order:
    return changed(rows.order(), qty=D(200), state=state, filled=D(filled))


@pytest.mark.parametrize(
    ("state", "filled", "taken"),
    [
        (S.INTENT, "0", "200"),
        (S.PENDING_NEW, "0", "200"),
        (S.UNKNOWN, "0", "200"),  # it may fill as a whole
        (S.UNKNOWN, "50", "200"),
        (S.WORKING, "0", "200"),
        (S.PARTIAL, "150", "200"),
        (S.FILLED, "200", "200"),
        (S.FILLED, "230", "230"),  # filled beyond what was ordered
        (S.CANCELLED, "0", "0"),
        (S.CANCELLED, "70", "70"),
        (S.REJECTED, "0", "0"),
        (S.NOT_SENT, "0", "0"),
        (S.FILLED_LATE, "30", "30"),
    ],
)
def test_a_part_takes_what_it_has_filled_or_may_still_fill(state: OrderState, filled: str, taken: str) -> None:
    assert committed([child(state, filled)]) == D(taken)


def test_five_parts_of_which_two_are_unknown_leave_the_rest_alone() -> None:
    # Given 1,000 approved: two parts filled, two of unknown fate, one cancelled with 50 filled
    parts = [
        child(S.FILLED, "200"),
        child(S.FILLED, "200"),
        child(S.UNKNOWN),
        child(S.UNKNOWN),
        child(S.CANCELLED, "50"),
    ]

    # Then 150 more may be sent and not one more
    assert why_too_much(D(1000), parts, D(150)) == ""
    assert why_too_much(D(1000), parts, D(151)) == (
        "151 more would be over the 1000 that were approved: 850 are executed or on their way"
    )


def test_a_part_without_a_quantity_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ContractError):
        why_too_much(D(1000), [], D(0))


def test_an_update_moves_an_execution_and_a_barred_one_does_not() -> None:
    one = rows.execution(state=ExecutionState.MONITORING, changed_ns=7)

    slow = moved(one, ExecutionUpdate.SLOW, 60, code="GR064")

    assert (slow.state, slow.changed_ns, slow.code) == (ExecutionState.ADJUSTING, 60, "GR064")
    assert moved(one, ExecutionUpdate.FLAT, 60) is one


def test_an_execution_knows_its_rest_and_its_average_price() -> None:
    one = rows.execution(qty=D(10), filled=D(6), amount=D("420000"))

    assert (one.remaining, one.average_price) == (D(4), D(70000))
    assert rows.execution(filled=D(0), amount=D(0)).average_price is None
    assert rows.execution(filled=D(12)).remaining == D(0)
