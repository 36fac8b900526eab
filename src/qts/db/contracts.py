"""The stored rows: one frozen struct for each kind of row.

The port that writes a run's rows is :mod:`qts.db.session`, that of servers which follow is :mod:`qts.db.adapter`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TypeAlias

import msgspec

from qts.capital.contracts import Transfer
from qts.execution.contracts import Order
from qts.execution.executions import Execution, StageRow
from qts.ledger.closes import DayCloseRow, HoldingCloseRow
from qts.ledger.contracts import DEFAULT_ACCOUNT, ActionRow, BookingRow, LedgerRow, PoolRow, PositionRow
from qts.market.contracts import Bar
from qts.strategy.contracts import Side

__all__ = [
    "ActionRow",
    "BatchRow",
    "BookingRow",
    "ConfigRow",
    "DayCloseRow",
    "DecisionRow",
    "EquityRow",
    "Execution",
    "HoldingCloseRow",
    "LedgerRow",
    "PoolRow",
    "PositionRow",
    "QuarantineRow",
    "Record",
    "RefusalRow",
    "RunRow",
    "SafetyRow",
    "StageRow",
    "StateRow",
    "StrategyFile",
]


class StateRow(msgspec.Struct, frozen=True):
    """One operating-state transition. ``seq`` counts from 1 within the run."""

    seq: int
    ts_ns: int
    from_state: str
    to_state: str
    reason: str
    meta: str


class SafetyRow(msgspec.Struct, frozen=True):
    """One safety cause and what it did; ``actor`` is "rule" or an operator."""

    seq: int
    ts_ns: int
    from_state: str
    to_state: str
    code: str
    actor: str
    reason: str


class EquityRow(msgspec.Struct, frozen=True):
    """A sample for the plots: equity, cash and pool totals, with the states of that moment."""

    ts_ns: int
    equity: Decimal
    cash: Decimal
    scalp: Decimal
    swing: Decimal
    portfolio: Decimal
    state: str
    safety: str


class RefusalRow(msgspec.Struct, frozen=True):
    """An intent that came to nothing: why, by which rule, with which numbers, when."""

    decision_id: str
    ts_ns: int
    strategy: str
    symbol: str
    side: Side
    reason: str
    detail: str


class QuarantineRow(msgspec.Struct, frozen=True):
    """A notice that was not booked: ``notice`` as it came, in ASCII; ``reason`` why, ``code`` what was raised."""

    ts_ns: int
    code: str
    reason: str
    notice: str


class DecisionRow(msgspec.Struct, frozen=True):
    """The approval an order left with: what was known, which limits were in force, when it expired."""

    approval_id: str
    decision_id: str
    client_order_id: str
    ts_ns: int
    expires_ns: int
    config_hash: str
    inputs: str


Record: TypeAlias = (
    LedgerRow
    | ActionRow
    | BookingRow
    | DayCloseRow
    | HoldingCloseRow
    | PositionRow
    | PoolRow
    | StateRow
    | SafetyRow
    | EquityRow
    | RefusalRow
    | QuarantineRow
    | DecisionRow
    | Order
    | Execution
    | StageRow
    | Transfer
    | Bar
)


class RunRow(msgspec.Struct, frozen=True):
    """The run a data directory belongs to, and the ``account`` it trades."""

    run_id: str
    command: str
    seed: int
    source_id: str
    config_hash: str
    started_at: str
    finished: bool
    result: str = ""
    account: str = DEFAULT_ACCOUNT


class BatchRow(msgspec.Struct, frozen=True):
    """The content of one transaction, in short. ``seq`` counts from 1 within the run, without gaps.

    ``inbox``: the ids of the P0 events whose effect is in it.
    """

    seq: int
    inbox: tuple[str, ...]


class ConfigRow(msgspec.Struct, frozen=True):
    """A configuration the run has had in force. ``version`` counts from 1; ``settings``: JSON, secrets masked."""

    version: int
    config_hash: str
    ts_ns: int
    actor: str
    reason: str
    settings: str


class StrategyFile(msgspec.Struct, frozen=True):
    """A file that the ``strategy``-th strategy of a run is made of. ``name`` is relative to its folder, as bytes.

    ``digest`` is the SHA-256 (hex) of the content. The strategy's own file has the name b"".
    """

    strategy: int
    class_name: str
    name: bytes
    digest: str
