"""Executions: one approved quantity each, worked off by one order or by many, and what every stage answered.

An execution has the id of the decision that approved it. Its parts are orders with decisions of their own, whose
``parent_id`` is that id.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from enum import Enum

import msgspec

from qts.capital.contracts import Pool
from qts.errors import ContractError
from qts.execution.contracts import Order, OrderState
from qts.execution.states import Barred, ExecutionState, ExecutionUpdate, next_execution_state
from qts.money import ZERO, minus, ratio, sum_of
from qts.strategy.algo import Algo, AlgoKind
from qts.strategy.contracts import Intent, Side


class Stage(str, Enum):
    """The six stages of an execution, each a pure decision."""

    PRECHECK = "PRECHECK"
    SPLIT = "SPLIT"
    SEND = "SEND"
    MONITOR = "MONITOR"
    ADJUST = "ADJUST"
    ESCAPE = "ESCAPE"


class PlannedSlice(msgspec.Struct, frozen=True):
    """One part of a plan: ``qty`` in shares or contracts, due at ``due_ns`` (ns since 1970, UTC)."""

    qty: Decimal
    due_ns: int


class Plan(msgspec.Struct, frozen=True):
    """The parts of an execution in their order; their quantities sum to what was approved.

    ``end_ns``: when the time that was given for it is over; None without one. ``profile``: the shares of the
    volume that it follows, ``profile_from_ns`` and ``profile_to_ns`` the time in which they were measured; empty
    and 0 where none was. ``note``: why it is another plan than was asked for, "" for none.
    """

    slices: tuple[PlannedSlice, ...]
    end_ns: int | None = None
    profile: tuple[Decimal, ...] = ()
    profile_from_ns: int = 0
    profile_to_ns: int = 0
    note: str = ""

    def due_qty(self, now_ns: int) -> Decimal:
        """Return the quantity of all parts that are due by ``now_ns``."""
        return sum_of(one.qty for one in self.slices if one.due_ns <= now_ns)


class Execution(msgspec.Struct, frozen=True):
    """One execution as it stands; replaced, never changed.

    ``qty`` is what risk approved, ``intent`` what was wanted. ``children`` are the client order ids of its parts in
    the order of sending. ``filled`` and ``amount`` (quantity times price) are those of all its executions, without
    fees. ``rounds``: adjustments of the part that works. ``changed_ns``: since when it is in its state.
    ``code`` and ``reason``: why it ended or escapes, "" for nothing.
    """

    execution_id: str
    strategy: str
    pool: Pool
    symbol: str
    side: Side
    qty: Decimal
    intent: Intent
    decision_price: Decimal
    created_ns: int
    state: ExecutionState
    changed_ns: int
    plan: Plan | None = None
    children: tuple[str, ...] = ()
    filled: Decimal = ZERO
    amount: Decimal = ZERO
    rounds: int = 0
    code: str = ""
    reason: str = ""

    @property
    def kind(self) -> AlgoKind:
        """Return by which algorithm it is worked off."""
        algo: Algo | None = self.intent.algo
        return AlgoKind.SINGLE if algo is None else algo.kind

    @property
    def remaining(self) -> Decimal:
        """Return what is not filled, 0 or more."""
        return max(minus(self.qty, self.filled), ZERO)

    @property
    def average_price(self) -> Decimal | None:
        """Return the average price of its executions; None before the first."""
        return ratio(self.amount, self.filled) if self.filled else None


class StageRow(msgspec.Struct, frozen=True):
    """The answer of one stage and its inputs, both as JSON, and its own time.

    ``order_id``: the part that it was about, "" for none. ``own_ns``: how long the stage itself took; None on the
    virtual clock, where what is stored depends on the input alone.
    """

    ts_ns: int
    execution_id: str
    stage: Stage
    from_state: ExecutionState
    to_state: ExecutionState
    order_id: str
    code: str
    inputs: str
    answer: str
    own_ns: int | None = None


def moved(
    execution: Execution, update: ExecutionUpdate, now_ns: int, *, code: str = "", reason: str = ""
) -> Execution:
    """Return the execution after ``update``; the same where the table bars it.

    ``code`` and ``reason`` are kept where they are given.
    """
    step = next_execution_state(execution.state, update)
    if isinstance(step, Barred):
        return execution
    return msgspec.structs.replace(
        execution,
        state=step,
        changed_ns=now_ns,
        code=code or execution.code,
        reason=reason or execution.reason,
    )


_NEVER_LEFT = frozenset({OrderState.NOT_SENT})
_ENDED = frozenset({OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED, OrderState.FILLED_LATE})


def committed(children: Iterable[Order]) -> Decimal:
    """Return the quantity that parts have executed or may still execute.

    Of a part that has ended what it filled, of any other all of it: one whose fate is unknown may fill as a whole.
    """
    return sum_of(_committed(child) for child in children)


def _committed(child: Order) -> Decimal:
    if child.state in _NEVER_LEFT:
        return child.filled
    return child.filled if child.state in _ENDED else max(child.qty, child.filled)


def why_too_much(approved: Decimal, children: Iterable[Order], qty: Decimal) -> str:
    """Return why another part of ``qty`` may not be sent, in words; "" when it may.

    Parts together never exceed what was approved. Raises ContractError for a quantity that is not above 0.
    """
    if not qty > 0:
        raise ContractError(f"a part has a quantity above 0, got {qty}")
    taken = committed(children)
    if minus(approved, taken) >= qty:
        return ""
    return f"{qty:f} more would be over the {approved:f} that were approved: {taken:f} are executed or on their way"
