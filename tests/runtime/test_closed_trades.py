"""One sale is one trade, whatever number of fills it takes; it is closed when its order has ended."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from qts.execution.contracts import Fill, OrderCancelled
from qts.runtime.orders.closed_trades import ClosedTrades
from qts.strategy.contracts import Side
from tests.risk.requests import D
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, kst

MakeRig = Callable[..., Rig]
S = 1_000_000_000


def losses(rig: Rig) -> tuple[int | None, float | None]:
    """Scalp losses in a row, win rate of thirty days."""
    seen = rig.shared.metrics.metrics(rig.clock.time_ns())
    return seen.consecutive_scalp_losses, seen.win_rate_30d


def selling(rig_of: MakeRig, **intent: object) -> tuple[Rig, int]:
    """Ten shares bought at 150,100 are for sale while one a second finds a buyer at 150,000: at a loss."""
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    scripted.wants(Side.BUY, qty=10)
    now = rig.quotes(kst(10), 3)
    scripted.wants(Side.SELL, **intent)
    rig.quote(now + S)
    return rig, now + S


def test_a_loss_in_many_parts_is_one_loss_once_all_of_it_is_sold(rig_of: MakeRig) -> None:
    rig, now = selling(rig_of)

    for second in range(1, 10):
        rig.quote(now + second * S, size=1)
    assert rig.held() == 1
    assert losses(rig) == (0, None)
    rig.quote(now + 10 * S, size=1)

    assert rig.held() == 0
    assert losses(rig) == (1, 0.0)


def test_parts_that_lost_do_not_make_a_loss_of_a_sale_that_won(rig_of: MakeRig) -> None:
    """One share at 150,000 loses 100 and costs, nine at 152,000 win 1,900 each, less costs of some 330."""
    rig, now = selling(rig_of)

    rig.quote(now + S, size=1)
    rig.quote(now + 2 * S, bid=152_000)

    assert rig.held() == 0
    assert losses(rig) == (0, 1.0)


def test_a_sale_that_ends_before_all_is_sold_is_a_trade_too(rig_of: MakeRig) -> None:
    rig, now = selling(rig_of, limit=150_000)
    rig.quote(now + S, size=3)

    rig.quote(now + 2 * S, bid=149_900)
    rig.stop(liquidate=False)
    rig.quotes(now + 3 * S, 2)

    assert rig.held() == 7
    assert losses(rig) == (1, 0.0)


@pytest.mark.parametrize("before", [0, 3])
def test_what_fills_after_a_sale_has_ended_is_no_further_trade(before: int, rig_of: MakeRig) -> None:
    """The notices of three fills come after that of the cancel, which had left them behind."""
    # Given a sale that is cancelled before or after a part of it was sold
    rig, now = selling(rig_of, limit=150_000)
    rig.quote(now + S, bid=150_000 if before else 149_900, size=3)
    (order,) = rig.shared.orders
    rig.kernel.components.report_relay(OrderCancelled("sim", order.client_order_id, SYMBOL, now + S, "asked"))
    # when the broker reports more, at a loss too
    for number in range(3):
        values = {"qty": D(1), "price": D(150_000), "fee": D(20), "tax": D(0), "ts_ns": now + 2 * S, "last": False}
        late = Fill("sim", f"late-{number}", order.client_order_id, SYMBOL, Side.SELL, **values)
        rig.kernel.components.report_relay(late)
    rig.drain()
    # then it is one loss
    assert rig.held() == 10 - before - 3
    assert losses(rig) == (1, 0.0)


def test_a_purchase_closes_nothing(rig_of: MakeRig) -> None:
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    scripted.wants(Side.BUY, qty=10)
    rig.quotes(kst(10), 3)

    assert rig.held() == 10
    assert losses(rig) == (0, None)


def test_what_a_sale_has_brought_so_far_survives_a_restart(rig_of: MakeRig) -> None:
    rig, now = selling(rig_of)
    rig.quote(now + S, size=4)

    saved = msgspec.msgpack.decode(msgspec.msgpack.encode(rig.kernel.trades.export_state()))
    other = ClosedTrades(rig.shared.metrics, rig.kernel.counters)
    other.import_state(saved)
    (order,) = rig.shared.orders
    other.on_ended(order)
    other.on_ended(order)

    assert losses(rig) == (1, 0.0)
