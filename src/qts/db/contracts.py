"""What is stored, and the port every store implements.

A run writes *batches*: a list of records and, when there is one, the checkpoint that belongs to them. A batch
is one transaction: wholly there or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol, TypeAlias

import msgspec

from qts.capital.contracts import Transfer
from qts.execution.contracts import Order
from qts.ledger.contracts import LedgerRow, PoolRow, PositionRow
from qts.strategy.contracts import Side

__all__ = [
    "ConfigRow",
    "DecisionRow",
    "EquityRow",
    "LedgerRow",
    "PoolRow",
    "PositionRow",
    "QuarantineRow",
    "Record",
    "RefusalRow",
    "RunRow",
    "SafetyRow",
    "StateRow",
    "Store",
    "StrategyFile",
]


class StateRow(msgspec.Struct, frozen=True):
    """One operating-state transition (spec 02). ``seq`` counts from 1 within the run."""

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
    """An intent that came to nothing: inputs, rule, numbers, time (spec 00 invariant 9)."""

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
    | PositionRow
    | PoolRow
    | StateRow
    | SafetyRow
    | EquityRow
    | RefusalRow
    | QuarantineRow
    | DecisionRow
    | Order
    | Transfer
)


class RunRow(msgspec.Struct, frozen=True):
    """The run a data directory belongs to."""

    run_id: str
    command: str
    seed: int
    source_id: str
    config_hash: str
    started_at: str
    finished: bool
    result: str = ""


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


class Store(Protocol):
    """The book of record of one run. Every method raises StorageError when its promise cannot be kept."""

    def move_off_loop(self) -> None:
        """From here on work is awaited on the running event loop and done elsewhere; before, at once."""
        ...

    async def move_back(self) -> None:
        """Undo :meth:`move_off_loop` once everything under way is done."""
        ...

    async def open_run(self, run: RunRow, files: Sequence[StrategyFile] = ()) -> None: ...

    async def strategy_files(self) -> Sequence[StrategyFile]: ...

    async def verify_history(self, *, only_new: bool = False) -> str:
        """Raise StorageError, naming table and row, for history that is not what was written."""
        ...

    async def run(self) -> RunRow | None: ...

    async def finish_run(self, result: str) -> None: ...

    async def accept_config(self, row: ConfigRow) -> None:
        """Durable when it returns, and never rewound. A version seen before raises StorageError."""
        ...

    async def configs(self) -> Sequence[ConfigRow]: ...

    async def commit(self, records: Sequence[Record], checkpoint: bytes | None = None) -> None:
        """Write all of it in one transaction. A ledger row seen before raises StorageError: the book filters."""
        ...

    @property
    def checkpoint_number(self) -> int:
        """Number of the newest checkpoint on disk, counted from 1 over all lives of the run; 0 for none."""
        ...

    async def checkpoint(self) -> bytes | None: ...

    async def rewind_to_checkpoint(self) -> None:
        """Drop what was written after the newest checkpoint (its re-execution writes it again)."""
        ...

    async def ledger(self) -> Sequence[LedgerRow]: ...

    async def orders(self) -> Sequence[Order]: ...

    async def positions(self) -> Sequence[PositionRow]: ...

    async def pools(self) -> Sequence[PoolRow]: ...

    async def transfers(self) -> Sequence[Transfer]: ...

    async def state_history(self) -> Sequence[StateRow]: ...

    async def safety_history(self) -> Sequence[SafetyRow]: ...

    async def equity_curve(self) -> Sequence[EquityRow]: ...

    async def refusals(self) -> Sequence[RefusalRow]: ...

    async def quarantine(self) -> Sequence[QuarantineRow]: ...

    async def decisions(self) -> Sequence[DecisionRow]: ...

    async def close(self) -> None: ...
