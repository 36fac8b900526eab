"""Only the risk gate: how much may be bought, what is approved, what is refused and why."""

from datetime import UTC, datetime
from decimal import Decimal

from msgspec.structs import replace

from qts.capital.contracts import Pool
from qts.clock import to_ns
from qts.ids import CounterIds
from qts.market.contracts import Phase
from qts.market.krx import krx_instrument
from qts.risk.config import RiskConfig
from qts.risk.contracts import AccountView, Approved, OrderRequest, OrderType
from qts.risk.gate import RiskGate
from qts.risk.sizing import qty_for
from qts.safety import SafetyState
from qts.state import STATE_PROPERTIES, OperatingState
from qts.strategy.contracts import Side

NOW = to_ns(datetime(2026, 1, 23, 1, 0, tzinfo=UTC))
PRICE, MONEY, NONE = Decimal(152_000), Decimal(100_000_000), Decimal(0)
VIEW = AccountView(
    now_ns=NOW, price_ts_ns=NOW, max_age_ns=5_000_000_000, phase=Phase.CONTINUOUS,
    safety=SafetyState.NORMAL, state=OperatingState.BALANCED,
    instrument=krx_instrument("005930"), price=PRICE, base_price=PRICE,
    equity=MONEY, day_open_equity=MONEY, cash=MONEY, pool_available=MONEY / 2, pool_locked=False,
    exposure=NONE, symbol_exposure=NONE, holding=NONE, holding_working_sells=NONE,
    open_positions=0, has_position=False, working_same_side=False, working_other_side=False,
    unknown_order=False, entries_today=0, orders_last_second=0,
)  # fmt: skip


def main():
    gate = RiskGate(RiskConfig(), STATE_PROPERTIES, config_hash="example", ids=CounterIds("approval"))
    qty = qty_for(VIEW.pool_available, PRICE, VIEW.instrument, gate.limits(VIEW.state), VIEW)
    what = ("order-1", "decision-1", "me", Pool.SWING, "005930", Side.BUY)
    buy = OrderRequest(*what, qty, PRICE, PRICE, NOW, type=OrderType.LIMIT)
    print(f"sized: {qty} shares at {PRICE}")
    for what, request, view in (
        ("as sized", buy, VIEW),
        ("twice as much", replace(buy, qty=qty * 2), VIEW),
        ("off the grid", replace(buy, limit=PRICE + 50), VIEW),
        ("on an old price", buy, replace(VIEW, now_ns=NOW + 6_000_000_000)),
        ("while safety is FAIL", buy, replace(VIEW, safety=SafetyState.FAIL)),
    ):
        verdict = gate.evaluate(request, view)
        if isinstance(verdict, Approved):
            print(f"{what:20} approved as {verdict.approval_id}")
        else:
            print(f"{what:20} refused, {verdict.reason.value}: {verdict.detail}")


if __name__ == "__main__":
    main()
