"""One of each record, and a driver for coroutines that may not suspend."""

from __future__ import annotations

import sqlite3
from datetime import date
from decimal import Decimal as D
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from qts.capital.contracts import Pool, Transfer
from qts.db.contracts import (
    ActionRow,
    BookingRow,
    DayCloseRow,
    DecisionRow,
    EquityRow,
    HoldingCloseRow,
    LedgerRow,
    PoolRow,
    PositionRow,
    RefusalRow,
    RunRow,
    SafetyRow,
    StateRow,
)
from qts.db.sqlite import SqliteStore
from qts.execution.contracts import Order, OrderState, VenueRef
from qts.execution.executions import Execution, Plan, PlannedSlice, Stage, StageRow
from qts.execution.states import ExecutionState
from qts.ledger.contracts import ActionKind, BookingKind
from qts.strategy.algo import Algo
from qts.strategy.contracts import Intent, Side
from tests.execution.orders import changed, order_with

T = TypeVar("T")
KINDS = (
    "ledger",
    "actions",
    "bookings",
    "day_closes",
    "holding_closes",
    "orders",
    "positions",
    "pools",
    "transfers",
    "state_history",
    "safety_history",
    "equity_curve",
    "refusals",
    "decisions",
    "bars",
    "executions",
    "stages",
)
"""The reading methods of a store."""
RUN = RunRow("run-1", "replay", 7, "csv:abc", "cfg", "2026-01-02T09:00:00+09:00", False)


def opened(path: Path) -> SqliteStore:
    """Open the store of :data:`RUN` at ``path``, made when missing."""
    store = SqliteStore(path, durability="NORMAL", rewindable=True)
    if store.run() is None:
        store.open_run(RUN)
    return store


def begin_run_of_before(connection: sqlite3.Connection) -> None:
    """Write :data:`RUN` into a file of an earlier version, whose runs had no account."""
    values = msgspec.structs.astuple(RUN)[:-1]
    connection.execute(f"INSERT INTO runs VALUES ({', '.join('?' * len(values))})", values)


def ledger(execution_id: str = "x-1", **changes: Any) -> LedgerRow:
    row = LedgerRow(
        "sim",
        execution_id,
        1_700_000_000_000_000_001,
        "005930",
        Side.BUY,
        D("10"),
        D("71200.50"),
        D("712005.00"),
        D("106"),
        D("0"),
        D("-106"),
        "ema",
        Pool.SCALP,
        "o-1",
        "main",
    )
    return msgspec.structs.replace(row, **changes)


def action(ex_date: str = "2018-05-04", **changes: Any) -> ActionRow:
    row = ActionRow(
        ActionKind.SPLIT,
        1_525_359_600_000_000_001,
        "005930",
        "ema",
        Pool.SCALP,
        D("10"),
        D("-7"),
        D("1"),
        D("3"),
        D("1200.50"),
        D("1200"),
        D("0"),
        D("200"),
        "main",
        ex_date,
    )
    return msgspec.structs.replace(row, **changes)


def booking(reference: str = "c-1", **changes: Any) -> BookingRow:
    row = BookingRow(
        BookingKind.EXTERNAL_FILL,
        1_525_359_600_000_000_002,
        None,
        "",
        "005930",
        D("10"),
        D("1200.50"),
        D("-12005.00"),
        D("18"),
        D("0"),
        D("12005"),
        D("-18"),
        "sim",
        "by hand",
        reference,
        "2018-05-04",
        "rule",
        "an order that is not ours",
        "main",
    )
    return msgspec.structs.replace(row, **changes)


def day_close(day: str = "2018-05-04", **changes: Any) -> DayCloseRow:
    row = DayCloseRow(
        account="main",
        day=day,
        ts_ns=1_525_359_600_000_000_003,
        fills=3,
        actions=0,
        transfers=1,
        bookings=2,
        orders=5,
        causes=1,
        newest_trade_date=day,
        equity=D("1000000.50"),
        scalp_cash=D("400000.10"),
        scalp_realized=D("-1E+1"),
        scalp_ns=1,
        swing_cash=D("0"),
        swing_realized=D("0.00"),
        swing_ns=0,
        portfolio_cash=D("-5"),
        portfolio_realized=D("7"),
        portfolio_ns=3,
        fees=D("106"),
        taxes=D("0"),
        dividends=D("1"),
        dividend_taxes=D("2"),
        fractions=D("3"),
        deposits=D("4"),
        withdrawals=D("5"),
        adjustments=D("-6"),
        contributions=D(750_000),
        contributed_value=D(800_000),
        external_cash=D("8"),
        external_realized=D("9"),
    )
    return msgspec.structs.replace(row, **changes)


def holding_close(day: str = "2018-05-04", **changes: Any) -> HoldingCloseRow:
    amounts = (D("10"), D("712005"), D("712005.000000"), D("-1.5"))
    place = (1_525_359_600_000_000_001, "sim", "x-1", "o-1")
    row = HoldingCloseRow("main", day, Pool.SCALP, "ema", "005930", *amounts, *place)
    return msgspec.structs.replace(row, **changes)


def decision(order_id: str = "o-1") -> DecisionRow:
    return DecisionRow(f"a-{order_id}", f"d-{order_id}", order_id, 5, 6, "cfg", '{"confidence": 0.9}')


def order(order_id: str = "o-1", state: str = "INTENT", **changes: Any) -> Order:
    row = order_with(
        client_order_id=order_id,
        decision_id=f"d-{order_id}",
        approval_id=f"a-{order_id}",
        strategy="ema",
        symbol="005930",
        side=Side.SELL,
        qty=D("10"),
        decision_price=D("71200"),
        state=OrderState(state),
        ts_ns=1,
        ts_update_ns=2,
        venue_refs=(VenueRef(date(2026, 1, 22), "b-1", "KRX"), VenueRef(date(2026, 1, 22), "b-2", "NXT", "00950")),
        reduce_only=True,
        reason="why",
        note="note",
    )
    return changed(row, **changes)


def position(symbol: str = "005930", qty: str = "-3", strategy: str = "ema") -> PositionRow:
    return PositionRow(strategy, Pool.SCALP, symbol, D(qty), D("-213600.123456"), 9)


def pool(name: Pool = Pool.SCALP, cash: str = "12345678.01") -> PoolRow:
    return PoolRow(name, D(cash), D("-106"), 9)


def transfer(transfer_id: str = "t-1", amount: str = "100000") -> Transfer:
    return Transfer(transfer_id, 4, Pool.SCALP, Pool.SWING, D(amount), "to_targets", "drift")


def state(seq: int = 1) -> StateRow:
    return StateRow(seq, 3, "BALANCED", "DEFENSIVE", "vix 31", "{}")


def safety(seq: int = 1) -> SafetyRow:
    return SafetyRow(seq, 3, "NORMAL", "FAIL", "FS040", "rule", "loss")


def equity(ts: int = 1) -> EquityRow:
    return EquityRow(ts, D("100"), D("50"), D("40.5"), D("35"), D("24.5"), "BALANCED", "NORMAL")


def refusal(decision_id: str = "d-9") -> RefusalRow:
    return RefusalRow(decision_id, 3, "ema", "005930", Side.BUY, "MARKET_CLOSED", "09:00")


def execution(execution_id: str = "d-9", **changed: Any) -> Execution:
    algo = Algo.vwap("30m", profile=(D("0.6"), D("0.4")))
    one = Execution(
        execution_id=execution_id,
        strategy="scalp",
        pool=Pool.SCALP,
        symbol="005930",
        side=Side.BUY,
        qty=D(10),
        intent=Intent("005930", Side.BUY, 0.9, 10, algo=algo),
        decision_price=D("70000"),
        created_ns=5,
        state=ExecutionState.MONITORING,
        changed_ns=7,
        plan=Plan((PlannedSlice(D(6), 5), PlannedSlice(D(4), 9)), 30, algo.profile, 1, 4),
        children=("o-1",),
        filled=D(6),
        amount=D("420000.0"),
    )
    return msgspec.structs.replace(one, **changed)


def stage(execution_id: str = "d-9", **changed: Any) -> StageRow:
    states = ExecutionState.SENDING, ExecutionState.MONITORING
    one = StageRow(6, execution_id, Stage.SEND, *states, "o-1", "", '{"qty":"6"}', '{"sent":true}', 900)
    return msgspec.structs.replace(one, **changed)
