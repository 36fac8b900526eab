"""A trader whose fills are known beforehand, on a local book of a real broker.

Fill ``n`` is a function of ``n`` alone, so a third party can say what the books must show without reading either
of them: :func:`recount`. Each fill is two batches, as in a session: the order with its approval, then what became
of it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from qts.capital.contracts import Pool
from qts.db.contracts import DecisionRow, LedgerRow, PoolRow, PositionRow, RunRow
from qts.db.sqlite import SqliteStore
from qts.execution.contracts import OrderState
from qts.strategy.contracts import Side
from tests.execution.orders import changed, order_with

RUN = RunRow("0123456789abcdef", "live", 7, "script", "cfg", "2026-03-02T00:00:00+00:00", False)
START_CASH = Decimal(1_000_000)
START_NS = 1_772_409_600_000_000_000
SYMBOLS = ("005930", "000660", "BTCUSDT")
POOLS = (Pool.SCALP, Pool.SWING)


@dataclass(frozen=True)
class Fill:
    """Fill number ``n``, counted from 1: its amounts have digits that no double and no numeric(18,8) would keep."""

    n: int

    @property
    def symbol(self) -> str:
        return SYMBOLS[self.n % 3]

    @property
    def pool(self) -> Pool:
        return POOLS[self.n % 2]

    @property
    def side(self) -> Side:
        return Side.SELL if self.n % 5 == 0 else Side.BUY

    @property
    def qty(self) -> Decimal:
        return Decimal(self.n % 7 + 1) + Decimal("0.000000001")

    @property
    def price(self) -> Decimal:
        return Decimal(100 + self.n % 13) + Decimal("0.10")

    @property
    def signed(self) -> Decimal:
        return self.qty if self.side is Side.BUY else -self.qty


@dataclass
class Books:
    """What is held by symbol, and the cash of the pools."""

    held: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    cost: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    cash: dict[str, Decimal] = field(default_factory=lambda: {pool.value: START_CASH for pool in POOLS})

    def add(self, fill: Fill) -> None:
        self.held[fill.symbol] += fill.signed
        self.cost[fill.symbol] += fill.signed * fill.price
        self.cash[fill.pool.value] -= fill.signed * fill.price


def recount(fills: int) -> Books:
    """Return what the books must show after so many fills."""
    books = Books()
    for n in range(1, fills + 1):
        books.add(Fill(n))
    return books


class Trader:
    """The one writer of a local book; begins where the book ends."""

    def __init__(self, path: Path, run: RunRow = RUN) -> None:
        self.store = SqliteStore(path, durability="NORMAL")
        self.run = run
        self.store.open_run(run)
        self.fills = len(self.store.ledger())
        self._books = recount(self.fills)

    def trade(self) -> int:
        """Commit the next order and then its fill; return the number of the last batch."""
        self.intend()
        return self.fill()

    def intend(self) -> int:
        """Commit the order that the next fill belongs to; a second time the same."""
        fill = Fill(self.fills + 1)
        if any(order.request.client_order_id == self._order_id(fill) for order in self.store.open_orders()):
            return len(self.store.batches())
        at = START_NS + fill.n
        approval = DecisionRow(f"a-{fill.n}", f"d-{fill.n}", self._order_id(fill), at, at + 1, "cfg", "{}")
        return self.store.commit((approval, self._order(fill, OrderState.INTENT)))

    def fill(self) -> int:
        """Commit the next fill with all that it changes."""
        fill = Fill(self.fills + 1)
        at = START_NS + fill.n
        self._books.add(fill)
        held, cost = self._books.held[fill.symbol], self._books.cost[fill.symbol]
        seq = self.store.commit(
            (
                LedgerRow(
                    "broker", f"x-{fill.n}", at, fill.symbol, fill.side, fill.qty, fill.price,
                    fill.qty * fill.price, Decimal(0), Decimal(0), Decimal(0), "trend", fill.pool,
                    self._order_id(fill), self.run.account, "2026-03-02",
                ),
                self._order(fill, OrderState.FILLED),
                PositionRow("trend", Pool.SCALP, fill.symbol, held, cost, at),
                PoolRow(fill.pool, self._books.cash[fill.pool.value], Decimal(0), at),
            ),
            inbox=(f"event-{fill.n}",),
        )  # fmt: skip
        self.fills += 1
        return seq

    def _order_id(self, fill: Fill) -> str:
        """Return the order's id: two runs of an account have different ones."""
        return f"o-{fill.n}" if self.run.run_id == RUN.run_id else f"o-{self.run.run_id}-{fill.n}"

    def _order(self, fill: Fill, state: OrderState) -> object:
        order = order_with(
            client_order_id=self._order_id(fill),
            decision_id=f"d-{fill.n}",
            approval_id=f"a-{fill.n}",
            strategy="trend",
            pool=fill.pool,
            symbol=fill.symbol,
            side=fill.side,
            qty=fill.qty,
            decision_price=fill.price,
            state=state,
            ts_ns=START_NS + fill.n,
            ts_update_ns=START_NS + fill.n,
        )
        return changed(order, filled=fill.qty) if state is OrderState.FILLED else order
