"""What the benches of servers share: a PostgreSQL whose data is on a disk, and a local book to write fills to."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.servers import sql
from tests.servers.postgres import Postgres

from qts.capital.contracts import Pool
from qts.db.batch import Batch
from qts.db.contracts import DecisionRow, LedgerRow, PoolRow, PositionRow, Record, RunRow
from qts.db.sqlite import Durability, SqliteStore
from qts.execution.contracts import Order, OrderState
from qts.market.contracts import Tick
from qts.risk.contracts import OrderRequest
from qts.strategy.contracts import Side

NAME = "bench"
BATCHES_PER_S = 200
TICKS_PER_S = 5_000
"""What a session is given to follow and to record: a busy one, on a feed of some hundred symbols."""


@contextmanager
def server() -> Iterator[Postgres]:
    """A PostgreSQL 18 with the schema of books whose data is not in memory: what it confirms is on a disk."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="qts-bench-") as folder:
        Path(folder).chmod(0o755)
        with Postgres("18", directory=Path(folder)) as started:
            sql.migrate(started.url())
            yield started


def target(what: str, value: float | None, bar: float, *, at_least: bool = False) -> dict[str, Any]:
    """A row of the table of targets."""
    met = None if value is None else (value >= bar if at_least else value <= bar)
    return {"what": what, "value": value, "bar": bar, "at_least": at_least, "met": met}


class Values:
    """Market values at a steady rate, numbered from 1."""

    def __init__(self) -> None:
        self._number = 0

    def due(self, passed_s: float, per_s: int) -> Iterator[tuple[int, Tick]]:
        """Those that came due within the first ``passed_s`` and were not given yet."""
        while self._number < int(passed_s * per_s):
            self._number += 1
            at_ns = 1_767_312_000_000_000_000 + self._number * 1_000
            price, qty = Decimal(71_200 + self._number % 50), Decimal(1 + self._number % 9)
            yield self._number, Tick("005930", at_ns, price, qty)


class Fills:
    """A local book of which each batch is one fill: the ledger's row, its order, position and pool.

    The first batch is the order, of which all fills are parts.
    """

    def __init__(
        self, path: Path, run_id: str, durability: Durability = "NORMAL", *, followed: bool = True
    ) -> None:
        self.run = RunRow(run_id, "run", 7, "bench", "c" * 64, "2026-01-02T09:00:00+09:00", False)
        self.store = SqliteStore(path, durability=durability)
        self.store.open_run(self.run)
        if followed:
            self.store.follow([NAME])
        self._number = 0
        names = (self._id("a"), self._id("d"), self._id("o"))
        self.store.commit([DecisionRow(*names, 1, 2, "c" * 64, "{}"), self._order()])

    def fill(self) -> int:
        """Commit one fill and return the number of its batch."""
        self._number += 1
        at_ns = 1_767_312_000_000_000_000 + self._number
        qty, price = Decimal(10), Decimal(71_200 + self._number % 97)
        money = (qty, price, qty * price, Decimal(106), Decimal(0), Decimal(-106))
        names = ("ema", Pool.SCALP, self._id("o"), "main", "2026-01-02")
        held = qty * self._number
        rows: list[Record] = [
            LedgerRow("sim", f"x-{self._number}", at_ns, "005930", Side.BUY, *money, *names),
            self._order(held),
            PositionRow("ema", Pool.SCALP, "005930", held, price * held, at_ns),
            PoolRow(Pool.SCALP, Decimal(10**12) - price * held, Decimal(-106) * self._number, at_ns),
        ]
        return self.store.commit(rows, inbox=[f"sim:{self._id('o')}:x-{self._number}"])

    def batches(self) -> Sequence[Batch]:
        """Return every batch that the follower is not done with."""
        return self.store.pending(NAME, 1 << 20, 1 << 40)

    def _id(self, kind: str) -> str:
        return f"{self.run.run_id}-{kind}-1"

    def _order(self, filled: Decimal = Decimal(0)) -> Order:
        request = OrderRequest(
            client_order_id=self._id("o"),
            decision_id=self._id("d"),
            strategy="ema",
            pool=Pool.SCALP,
            symbol="005930",
            side=Side.BUY,
            qty=Decimal(10**9),
            limit=None,
            decision_price=Decimal(71_200),
            ts_ns=1,
        )
        state = OrderState.PARTIAL if filled else OrderState.WORKING
        return Order(request, approval_id=self._id("a"), state=state, filled=filled, ts_update_ns=1)
