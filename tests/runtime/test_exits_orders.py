"""A forced exit and the orders of its strategy: what they hold is freed and sold once, what they buy late too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from qts.clock import from_ns
from qts.db.contracts import Record
from qts.execution.contracts import Fill, Order, OrderCancelled, OrderState
from qts.execution.protective.contracts import Origin
from qts.safety.contracts import SafetyState
from qts.state.contracts import ManualOverride, OperatingState
from qts.strategy.contracts import Side
from tests.risk.requests import D
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, defensive, kst, with_ten

MakeRig = Callable[..., Rig]


# -- shares that a working order of the strategy holds -----------------------------------------------------------


def far_sell(rig: Rig, scripted: ScriptedStrategy, now: int, **intent: Any) -> int:
    """An order to sell above the market, where none buys; the moment after it has arrived."""
    scripted.wants(Side.SELL, limit=154_000, **intent)
    return rig.quotes(now + 1_000_000_000, 2)


def sells(rig: Rig) -> list[tuple[bool, OrderState, int]]:
    """Every sell, oldest first: forced, state, filled."""
    return [(o.forced, o.state, int(o.filled)) for o in rig.orders() if o.side is Side.SELL]


def test_a_working_sell_far_away_is_cancelled_and_its_shares_are_sold_once_it_is(rig_of: MakeRig) -> None:
    """A cancel takes 20 ms: confirmed with the next quote, sold at the one after it."""
    scalp = ScriptedStrategy("scalp")
    rig = rig_of(scalp)
    now = far_sell(rig, scalp, with_ten(rig, scalp))

    defensive(rig, now + 1_000_000_000)
    assert sells(rig) == [(False, OrderState.WORKING, 0)], "never two orders for the same shares"
    rig.quote(now + 2_000_000_000)
    assert sells(rig) == [(False, OrderState.CANCELLED, 0), (True, OrderState.WORKING, 0)]
    rig.quote(now + 3_000_000_000)

    assert sells(rig) == [(False, OrderState.CANCELLED, 0), (True, OrderState.FILLED, 10)]
    assert rig.held("scalp") == 0
    assert rig.kernel.counters.forced_exits == 1
    assert rig.shared.account.open_reservations == ()
    assert not rig.kernel.exits.is_requested("scalp", SYMBOL), "and the key is free again at once"


def test_shares_that_no_order_holds_are_sold_without_waiting(rig_of: MakeRig) -> None:
    scalp = ScriptedStrategy("scalp")
    rig = rig_of(scalp)
    now = far_sell(rig, scalp, with_ten(rig, scalp), qty=4)

    defensive(rig, now + 1_000_000_000)
    assert [order.qty for order in rig.orders() if order.forced] == [6]
    rig.quotes(now + 2_000_000_000, 3)

    assert [order.qty for order in rig.orders() if order.forced] == [6, 4]
    assert rig.held("scalp") == 0


def test_a_cancel_that_crosses_a_fill_never_sells_more_than_is_left(rig_of: MakeRig) -> None:
    """While the cancel travels 7 of the 10 are bought at 154,000 after all: the exit sells the other 3."""
    scalp = ScriptedStrategy("scalp")
    rig = rig_of(scalp)
    now = far_sell(rig, scalp, with_ten(rig, scalp))

    defensive(rig, now + 1_000_000_000)
    rig.quote(now + 1_010_000_000, bid=154_000, size=7)
    rig.quotes(now + 2_000_000_000, 3)

    assert sells(rig) == [(False, OrderState.CANCELLED, 7), (True, OrderState.FILLED, 3)]
    assert rig.held("scalp") == 0
    assert rig.kernel.invariants.summary()["inv04"]["ok"] is True


def test_a_cancel_that_comes_too_late_leaves_nothing_to_sell(rig_of: MakeRig) -> None:
    scalp = ScriptedStrategy("scalp")
    rig = rig_of(scalp)
    now = far_sell(rig, scalp, with_ten(rig, scalp))

    defensive(rig, now + 1_000_000_000)
    rig.quote(now + 1_010_000_000, bid=154_000)
    rig.quotes(now + 2_000_000_000, 3)

    assert sells(rig) == [(False, OrderState.FILLED, 10)]
    assert not rig.kernel.exits.is_requested("scalp", SYMBOL)


def test_a_strategy_that_offers_its_shares_again_does_not_keep_them_from_the_exit(rig_of: MakeRig) -> None:
    """Its signals are decided before the exit's next attempt; safety is NORMAL, so they are not paused."""
    scalp = ScriptedStrategy("scalp")
    rig = rig_of(scalp)
    now = far_sell(rig, scalp, with_ten(rig, scalp))
    moment = from_ns(now)
    rig.shared.state.apply_override(
        ManualOverride(
            OperatingState.DEFENSIVE, "a test", "alice", moment, moment + timedelta(days=1), OperatingState.BALANCED
        )
    )

    for second in range(1, 5):
        scalp.wants(Side.SELL, limit=154_000)
        rig.quote(now + second * 1_000_000_000)

    assert rig.shared.safety.current_state is SafetyState.NORMAL
    assert sells(rig) == [(False, OrderState.CANCELLED, 0), (True, OrderState.FILLED, 10)]
    assert rig.refusals()["CONFLICTING_SIGNALS"] >= 1


def test_a_market_sell_of_the_strategy_s_own_is_left_to_finish(rig_of: MakeRig) -> None:
    """It will not wait for a price; a second order could not be faster."""
    scalp = ScriptedStrategy("scalp")
    rig = rig_of(scalp)
    now = with_ten(rig, scalp)
    scalp.wants(Side.SELL)
    rig.quote(now + 1_000_000_000)

    defensive(rig, now + 1_005_000_000)
    rig.quotes(now + 2_000_000_000, 2)

    assert sells(rig) == [(False, OrderState.FILLED, 10)]


def test_while_the_line_is_down_the_shares_wait_and_are_sold_when_it_is_back(rig_of: MakeRig) -> None:
    """The cancel is asked for again with every attempt, a minute apart, until it is heard."""
    scalp = ScriptedStrategy("scalp")
    rig = rig_of(scalp, settings={"broker.sim.disconnect_ms": "90000"})
    now = far_sell(rig, scalp, with_ten(rig, scalp))
    rig.exchange.disconnect(now, "cable")

    defensive(rig, now + 1_000_000_000)
    rig.quotes(now + 2_000_000_000, 100)
    assert sells(rig) == [(False, OrderState.WORKING, 0)]
    rig.quotes(now + 120_000_000_000, 10)

    assert sells(rig) == [(False, OrderState.CANCELLED, 0), (True, OrderState.FILLED, 10)]


def test_an_emergency_stop_does_not_wait_for_a_sell_that_no_one_buys(rig_of: MakeRig) -> None:
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    now = far_sell(rig, scripted, with_ten(rig, scripted))

    rig.stop()
    rig.quotes(now + 1_000_000_000, 3)

    assert rig.shared.account.positions() == {}
    assert rig.invariant(10)["ok"] is True


def test_an_order_whose_intent_is_being_written_does_not_leave_any_more(rig_of: MakeRig) -> None:
    """An exit is asked for while the strategy's order is on its way to the disk: it is withdrawn, not chased."""
    scalp = ScriptedStrategy("scalp")
    rig = rig_of(scalp)
    now = with_ten(rig, scalp)
    record, exits = rig.shared.record, rig.kernel.exits
    write = record.write_intent

    async def meanwhile(records: Sequence[Record]) -> None:
        record.write_intent = write  # type: ignore[method-assign]
        for row in records:
            record.write_later(row)
        exits.request("scalp", SYMBOL, Origin.HALTED, "the rules say so", now)
        await exits.retry_due(now)

    record.write_intent = meanwhile  # type: ignore[method-assign]
    far_sell(rig, scalp, now)

    assert sells(rig) == [(False, OrderState.NOT_SENT, 0), (True, OrderState.FILLED, 10)]
    assert rig.shared.account.open_reservations == ()


# -- what fills after the exit has ended ---------------------------------------------------------------------------


def late_fill(order: Order, ts_ns: int) -> Fill:
    """Four shares of a buy that was thought to be over."""
    values = {"qty": D(4), "price": D(149_000), "fee": D(10), "tax": D(0)}
    return Fill("sim", "late", order.client_order_id, SYMBOL, Side.BUY, ts_ns=ts_ns, last=False, **values)


@pytest.mark.parametrize("after_restart", [False, True])
def test_a_buy_that_fills_after_its_exit_has_ended_is_sold_too(rig_of: MakeRig, after_restart: bool) -> None:
    # Given an emergency stop that has cancelled a working buy and ended flat
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    scripted.wants(Side.BUY, qty=10, limit=149_000)
    now = rig.quotes(kst(10), 2)
    (order,) = rig.shared.orders
    rig.stop()
    now = rig.quotes(now + 1_000_000_000, 130, 10)
    assert (len(rig.shared.orders), rig.shared.protective.reasons()) == (0, {})
    if after_restart:
        rig.kernel.exits.import_state(
            msgspec.msgpack.decode(msgspec.msgpack.encode(rig.kernel.exits.export_state()))
        )
    # when the broker reports a fill from before the cancel
    rig.kernel.components.report_relay(late_fill(order, now))
    rig.drain()
    # then the four shares are wanted out, for the same reason
    assert rig.held() == 4
    assert list(rig.shared.protective.reasons().values()) == ["emergency stop by kim: drill"]
    assert rig.kernel.counters.forced_exits == 1


def test_a_late_fill_of_a_strategy_without_a_forced_exit_stays_its_own(rig_of: MakeRig) -> None:
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    scripted.wants(Side.BUY, qty=10, limit=149_000)
    now = rig.quotes(kst(10), 2)
    (order,) = rig.shared.orders
    rig.kernel.components.report_relay(OrderCancelled("sim", order.client_order_id, SYMBOL, now, "asked"))
    rig.kernel.components.report_relay(late_fill(order, now + 1))
    rig.drain()

    assert rig.held() == 4
    assert rig.shared.protective.reasons() == {}


def test_a_late_fill_does_not_sell_what_was_bought_after_the_exit_was_over(rig_of: MakeRig) -> None:
    # Given a bid that was cancelled on the way into DEFENSIVE, an exit that is over, and ten shares bought since
    scalp = ScriptedStrategy("scalp")
    rig = rig_of(scalp)
    scalp.wants(Side.BUY, qty=10, limit=149_000)
    now = rig.quotes(kst(10), 2)
    (order,) = rig.shared.orders
    override(rig, OperatingState.DEFENSIVE, now)
    now = rig.quotes(now + 1_000_000_000, 130, 10)
    assert (len(rig.shared.orders), rig.shared.protective.reasons()) == (0, {})
    override(rig, OperatingState.BALANCED, now)
    scalp.wants(Side.BUY, qty=10)
    now = rig.quotes(now + 1_000_000_000, 3)
    assert rig.held("scalp") == 10
    # when the broker reports a fill from before the cancel
    rig.kernel.components.report_relay(late_fill(order, now))
    rig.drain()
    # then it joins what the rules let the strategy hold
    assert rig.held("scalp") == 14
    assert rig.shared.protective.reasons() == {}
    assert rig.kernel.counters.forced_exits == 0


def override(rig: Rig, state: OperatingState, now: int) -> None:
    """An operator's word, in force at once."""
    moment = from_ns(now)
    rig.shared.state.apply_override(
        ManualOverride(state, "a test", "alice", moment, moment + timedelta(days=1), OperatingState.BALANCED)
    )
    rig.drain()
