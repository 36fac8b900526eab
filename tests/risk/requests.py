"""A plain account in won and the requests put to its gate; every test changes one thing of them.

100,000,000 won of equity, all cash, 40,000,000 of it free in the SCALP pool, price and base price 50,000, grid 100,
band ±30 % (35,000 to 65,000), fee 0.1 % truncated to the won, lot 1, continuous trading, BALANCED, NORMAL.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import ROUND_DOWN, ROUND_FLOOR, Decimal
from typing import Any

from qts.capital.contracts import Pool
from qts.ids import CounterIds
from qts.market.contracts import Instrument, Phase
from qts.risk.config import RiskConfig
from qts.risk.contracts import AccountView, OrderRequest, OrderType
from qts.risk.gate import RiskGate
from qts.safety.contracts import SafetyState
from qts.state.contracts import STATE_PROPERTIES, OperatingState
from qts.strategy.contracts import Side

D = Decimal
NOW = 1_769_126_400_000_000_000  # 2026-01-23 09:00 KST
MAX_AGE = 5_000_000_000


class Grid100:
    """Tick 100 everywhere, ±30 %."""

    def tick(self, price: Decimal, day: date) -> Decimal:
        return D(100)

    def is_valid(self, price: Decimal, day: date) -> bool:
        return price % 100 == 0

    def round_down(self, price: Decimal, day: date) -> Decimal:
        return (price / 100).to_integral_value(rounding=ROUND_FLOOR) * 100

    def round_up(self, price: Decimal, day: date) -> Decimal:
        return -self.round_down(-price, day)

    def band(self, base: Decimal, day: date) -> tuple[Decimal, Decimal] | None:
        return base * D("0.7"), base * D("1.3")


class NoBand(Grid100):
    def band(self, base: Decimal, day: date) -> None:
        return None


class OneInThousand:
    """Fee 0.1 % truncated to the won, no tax."""

    def fee(self, amount: Decimal, day: date) -> Decimal:
        return (amount / 1000).to_integral_value(rounding=ROUND_DOWN)

    def tax(self, amount: Decimal, *, is_sell: bool, day: date) -> Decimal:
        return D(0)


class AlwaysOpen:
    """UTC days; the gate takes the phase from the view, so the rest of a calendar is not asked for."""

    name = "test"

    def phase(self, moment: datetime) -> Phase:
        return Phase.CONTINUOUS

    def local_date(self, moment: datetime) -> date:
        return moment.date()

    def is_trading_day(self, day: date) -> bool:
        return True

    def next_open(self, moment: datetime) -> datetime | None:
        return moment

    def at(self, day: date, hour: int, minute: int = 0) -> datetime:
        raise NotImplementedError


def instrument(lot: str = "1", ticks: Grid100 | None = None, quantum: str = "1") -> Instrument:
    return Instrument(
        symbol="005930",
        currency="KRW",
        quantum=D(quantum),
        lot=D(lot),
        ticks=ticks or Grid100(),
        costs=OneInThousand(),
        calendar=AlwaysOpen(),
    )


def gate(**config: Any) -> RiskGate:
    return RiskGate(RiskConfig(**config), STATE_PROPERTIES, "hash-1", CounterIds("ok"))


def view(**changes: Any) -> AccountView:
    values: dict[str, Any] = {
        "now_ns": NOW,
        "phase": Phase.CONTINUOUS,
        "safety": SafetyState.NORMAL,
        "state": OperatingState.BALANCED,
        "instrument": instrument(),
        "price": D(50_000),
        "base_price": D(50_000),
        "price_ts_ns": NOW,
        "max_age_ns": MAX_AGE,
        "equity": D(100_000_000),
        "day_open_equity": D(100_000_000),
        "cash": D(100_000_000),
        "pool_available": D(40_000_000),
        "pool_locked": False,
        "exposure": D(0),
        "symbol_exposure": D(0),
        "holding": D(0),
        "holding_working_sells": D(0),
        "open_positions": 0,
        "has_position": False,
        "working_same_side": False,
        "working_other_side": False,
        "unknown_order": False,
        "entries_today": 0,
        "orders_last_second": 0,
        "critical_only": False,
        "open_orders": 0,
    }
    return AccountView(**{**values, **changes})


def entry(**changes: Any) -> OrderRequest:
    """BUY 100 at a limit of 50,000: 5,000,000 won, 5,005,001 with fee and rounding."""
    values: dict[str, Any] = {
        "client_order_id": "order-1",
        "decision_id": "decision-1",
        "strategy": "two-ema",
        "pool": Pool.SCALP,
        "symbol": "005930",
        "side": Side.BUY,
        "qty": D(100),
        "limit": D(50_000),
        "decision_price": D(50_000),
        "ts_ns": NOW,
    }
    asked = {**values, **changes}
    asked.setdefault("type", OrderType.MARKET if asked["limit"] is None else OrderType.LIMIT)
    return OrderRequest(**asked)


def leave(**changes: Any) -> OrderRequest:
    """SELL 100 at market, reduce only; ask it with a view that holds 100."""
    return entry(**{"side": Side.SELL, "limit": None, "reduce_only": True, **changes})


def holding(**changes: Any) -> AccountView:
    return view(
        **{"holding": D(100), "has_position": True, "open_positions": 1, "exposure": D(5_000_000), **changes}
    )
