"""One of each record, and a driver for coroutines that may not suspend."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from qts.capital.contracts import Pool, Transfer
from qts.db.contracts import (
    ActionRow,
    BookingRow,
    DecisionRow,
    EquityRow,
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
from qts.ledger.contracts import ActionKind, BookingKind
from qts.strategy.contracts import Side
from tests.execution.orders import changed, order_with

T = TypeVar("T")
KINDS = (
    "ledger",
    "actions",
    "bookings",
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
)
"""The reading methods of a store."""
RUN = RunRow("run-1", "replay", 7, "csv:abc", "cfg", "2026-01-02T09:00:00+09:00", False)


def opened(path: Path) -> SqliteStore:
    return SqliteStore(path, durability="NORMAL", rewindable=True)


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
