"""Local books whose batches and copies are what their stores give to followers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal as D
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from qts.capital.contracts import Transfer
from qts.db.adapter import RunCopy
from qts.db.batch import Batch
from qts.db.contracts import (
    ActionRow,
    BookingRow,
    ConfigRow,
    DayCloseRow,
    DecisionRow,
    EquityRow,
    Execution,
    HoldingCloseRow,
    LedgerRow,
    PoolRow,
    PositionRow,
    QuarantineRow,
    Record,
    RefusalRow,
    RunRow,
    SafetyRow,
    StageRow,
    StateRow,
    StrategyFile,
)
from qts.db.sqlite import SqliteStore
from qts.execution.contracts import Order
from qts.market.contracts import Bar
from tests.db import rows

READERS: dict[type[Any], str] = {
    LedgerRow: "ledger",
    ActionRow: "actions",
    BookingRow: "bookings",
    DayCloseRow: "day_closes",
    HoldingCloseRow: "holding_closes",
    Order: "orders",
    PositionRow: "positions",
    PoolRow: "pools",
    Transfer: "transfers",
    StateRow: "state_history",
    SafetyRow: "safety_history",
    EquityRow: "equity_curve",
    RefusalRow: "refusals",
    QuarantineRow: "quarantine",
    DecisionRow: "decisions",
    Bar: "bars",
    Execution: "executions",
    StageRow: "stages",
}
"""Every kind of record, and the method of a local book that reads it."""
FILES = (StrategyFile(0, "Ema", b"", "ab" * 32), StrategyFile(0, "Ema", b"helpers-\xff.py", "cd" * 32))
CONFIGS = (ConfigRow(1, "cfg", 5, "qts", "begun", '{"a": "1"}'), ConfigRow(2, "cfg2", 6, "kim", "tighter", "{}"))
OUTBOX = "copy"


@cache
def _empty() -> bytes:
    """The file of a store without a run: to make its schema takes longer than most tests do."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.sqlite"
        SqliteStore(path, durability="NORMAL").close()
        return path.read_bytes()


class Book:
    """A new local book in the file ``path``, of a run with a real broker: each batch is offered at once."""

    def __init__(self, path: Path, run_id: str = "run-1", account: str = "main") -> None:
        self.run = RunRow(run_id, "run", 7, "csv:abc", "cfg", "2026-01-02T09:00:00+09:00", False, "", account)
        path.write_bytes(_empty())
        self.store = SqliteStore(path, durability="NORMAL")
        self.store.open_run(self.run, FILES)
        for config in CONFIGS:
            self.store.accept_config(config)
        self.store.follow([OUTBOX])

    def write(self, *records: Record, inbox: Sequence[str] = ()) -> Batch:
        """Commit records and return the batch that followers are sent."""
        seq = self.store.commit(records, inbox=inbox)
        return self.batches()[seq - 1]

    def batches(self) -> Sequence[Batch]:
        """Return every batch; nothing is ever done with."""
        return self.store.pending(OUTBOX, 1 << 20, 1 << 40)

    @contextmanager
    def copy(self) -> Iterator[RunCopy]:
        with self.store.copy() as copy:
            yield copy

    def content(self) -> dict[str, list[Any]]:
        """Return every record, by kind."""
        return {name: list(getattr(self.store, name)()) for name in READERS.values()}

    def close(self) -> None:
        self.store.close()


def one_of_each(account: str = "main", at_ns: int = 1_700_000_000_000_000_001) -> list[Record]:
    """Return one record of each kind, with every sign and form of a number that a book may hold."""
    of = {"account": account}
    return [
        rows.ledger(ts_ns=at_ns, qty=D("0.00000001"), price=D("71200.50"), **of),
        rows.action(amount=D("1E+3"), tax=D("-0"), **of),
        rows.booking(amount=D("-12005.1234567890123456789"), **of),
        rows.day_close(**of),
        rows.holding_close(**of),
        rows.holding_close(pool=None, strategy="", **of),
        rows.decision(),
        rows.order(),
        rows.position(),
        rows.pool(),
        rows.transfer(),
        rows.state(),
        rows.safety(),
        rows.equity(),
        rows.refusal(),
        QuarantineRow(at_ns, "ContractError", "no price", '{"price": "NaN"}'),
        bar(),
        bar(value=None, trades=None, partial=True),
        rows.execution(),
        rows.execution("d-10", plan=None, children=(), code="GR061", reason="no money"),
        rows.stage(),
        rows.stage(own_ns=None, order_id=""),
    ]


def bar(**changes: Any) -> Bar:
    """Return a bar of five minutes."""
    prices = (D("100"), D("101.5"), D("99.25"), D("100.10"))
    row = Bar("005930", 600_000_000_000, *prices, D("12"), "5m", "2026-01-22", 300_000_000_000, D("1200.50"), 3)
    return msgspec.structs.replace(row, **changes)
