"""Stops, takes and trails of positions on quotes and trades: what reaches them, one order each, what ends them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal as D

import pytest

from qts.execution.contracts import Order, OrderState
from qts.execution.protective.contracts import Origin
from qts.market.contracts import Quote, Tick
from qts.runtime.drivers.sync import run_to_completion
from qts.strategy.contracts import Side
from qts.strategy.levels import Away, Levels
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, kst, with_ten

MakeRig = Callable[..., Rig]
S = 1_000_000_000
LOOSE = {"risk.symbol_weight_limit": "1", "risk.exposure_limit": "1"}


def bind(rig: Rig, strategy: str = "scripted", **levels: object) -> None:
    run = Levels(**levels)  # type: ignore[arg-type]
    rig.kernel.triggers.bind(strategy, SYMBOL, run, rig.clock.time_ns())


def bought(rig_of: MakeRig, **levels: object) -> tuple[Rig, ScriptedStrategy, int]:
    """Ten shares bought at 150,100 with levels; the market stands at 150,000 to 150,100."""
    scripted = ScriptedStrategy()
    rig = rig_of(scripted, settings=LOOSE)
    rig.quote(kst(9, 59))
    bind(rig, **levels)
    now = with_ten(rig, scripted)
    assert rig.held() == 10
    return rig, scripted, now


def sales(rig: Rig) -> list[Order]:
    return [order for order in rig.orders() if order.side is Side.SELL]


def reasons(rig: Rig) -> list[str]:
    return [order.reason for order in sales(rig)]


# -- what reaches a level ----------------------------------------------------------------------------------------


def test_a_bid_at_the_stop_sells_the_holding_by_one_reduce_only_order(rig_of: MakeRig) -> None:
    # Given ten shares bought at 150,100 and a stop 2 % below: 147,098, on the grid of 100 147,000
    rig, _, now = bought(rig_of, stop=Away(share=0.02))
    # When the bid is just above it, then nothing happens
    rig.quote(now + S, 147_100)
    assert sales(rig) == []
    # When the bid falls below it
    rig.quote(now + 2 * S, 146_900)
    rig.quotes(now + 3 * S, 2)
    # Then all is sold at the market
    (order,) = sales(rig)
    assert (order.qty, order.limit, order.forced, order.reduce_only) == (10, None, True, True)
    assert order.reason == "stop 147000 reached at 146900"
    assert order.state is OrderState.FILLED
    assert rig.held() == 0
    # And nothing is watched any more
    assert rig.kernel.triggers.bound == {}
    assert rig.kernel.triggers.bounds == {}


def test_a_take_waits_for_the_bid(rig_of: MakeRig) -> None:
    rig, _, now = bought(rig_of, take=D(153_000))
    # Given a trade and an ask at the take, when the bid is below it, then nothing is sold
    rig.show(Tick(SYMBOL, now + S, D(153_000), D(5)))
    rig.quote(now + 2 * S, 152_900, 153_000)
    assert sales(rig) == []
    # When the bid reaches it
    rig.quote(now + 3 * S, 153_000)
    assert reasons(rig) == ["take 153000 reached at 153000"]


def test_a_trade_at_the_stop_reaches_it_and_one_above_does_not(rig_of: MakeRig) -> None:
    rig, _, now = bought(rig_of, stop=D(148_000))
    rig.show(Tick(SYMBOL, now + S, D(148_100), D(1)))
    assert sales(rig) == []
    rig.show(Tick(SYMBOL, now + 2 * S, D(147_500), D(1)))
    assert reasons(rig) == ["stop 148000 reached at 147500"]


def test_a_trail_follows_the_best_bid_and_never_falls(rig_of: MakeRig) -> None:
    # Given a trail of 2,000 on ten shares bought at 150,100
    rig, _, now = bought(rig_of, trail=Away(2_000))
    # When the bid rises to 153,000 and falls to 151,100
    for second, bid in enumerate((151_000, 153_000, 152_000, 151_100), 1):
        rig.quote(now + second * S, bid)
    # Then it has not come within 2,000 of the best
    assert sales(rig) == []
    rig.quote(now + 5 * S, 151_000)
    assert reasons(rig) == ["trail 151000 reached at 151000"]


@pytest.mark.parametrize(
    "nothing",
    [
        {"bid": D(0), "ask": D(150_100)},
        {"ask": D(150_100)},
        {"bid": D(140_000), "bid_size": D(0), "ask": D(150_100)},
        {"bid": D(140_000), "ask": D(139_000)},  # crossed
        {"bid": D(149_900), "ask": D(150_100), "last": D(140_000)},  # some trade before
        {"bid": D(100), "ask": D(200)},  # outside the day's price band
    ],
)
def test_prices_that_cannot_be_believed_reach_nothing(rig_of: MakeRig, nothing: dict[str, D]) -> None:
    rig, _, now = bought(rig_of, stop=D(145_000), take=D(155_000))
    rig.shared.base_prices[SYMBOL] = D(150_000)
    rig.show(Quote(SYMBOL, now + S, **nothing))  # type: ignore[arg-type]
    assert sales(rig) == []


def test_displayed_prices_of_the_closing_auction_are_no_offers(rig_of: MakeRig) -> None:
    rig, _, _ = bought(rig_of, stop=D(148_000))
    rig.quote(kst(15, 25), 147_000)
    assert sales(rig) == []
    rig.show(Tick(SYMBOL, kst(15, 30), D(147_000), D(10)))
    assert reasons(rig) == ["stop 148000 reached at 147000"]


# -- a holding that grows, and other orders ----------------------------------------------------------------------


def test_a_distance_is_measured_again_from_the_average_cost_of_every_partial_fill(rig_of: MakeRig) -> None:
    # Given a purchase that fills 4 at 150,100 and the other 6 at 150,600
    scripted = ScriptedStrategy()
    rig = rig_of(scripted, settings=LOOSE)
    rig.quote(kst(9, 59))
    bind(rig, stop=Away(1_000), take=D(160_000))
    scripted.wants(Side.BUY, qty=10)
    rig.quote(kst(10), size=4)
    rig.quote(kst(10, 0, 1), size=4)
    of = rig.kernel.triggers.of
    bound = of("scripted", SYMBOL)
    assert bound is not None
    assert (rig.held(), bound.stop, bound.take) == (4, D(149_100), D(160_000))
    # When the rest fills
    rig.quote(kst(10, 0, 2), 150_500, 150_600)
    # Then the cost is 150,400 and the stop 149,400
    bound = of("scripted", SYMBOL)
    assert bound is not None
    assert (rig.held(), bound.stop, bound.take) == (10, D(149_400), D(160_000))


def test_the_strategys_own_orders_end_before_the_holding_is_sold(rig_of: MakeRig) -> None:
    # Given a working sale of 4 far above the market
    rig, scripted, now = bought(rig_of, stop=D(148_000))
    scripted.wants(Side.SELL, qty=4, limit=D(155_000))
    now = rig.quotes(now + S, 2)
    assert [order.state for order in sales(rig)] == [OrderState.WORKING]
    # When the stop is reached
    rig.quote(now + S, 147_000)
    rig.quotes(now + 2 * S, 3)
    # Then 6 were free and are sold, the sale is cancelled, and its 4 shares are sold after it
    assert [(order.qty, order.limit, order.state) for order in sales(rig)] == [
        (4, 155_000, OrderState.CANCELLED),
        (6, None, OrderState.FILLED),
        (4, None, OrderState.FILLED),
    ]
    assert rig.held() == 0


def test_while_the_exit_works_the_strategy_neither_buys_nor_sells_nor_triggers_again(rig_of: MakeRig) -> None:
    # Given an exit at the market of which nothing fills yet
    rig, scripted, now = bought(rig_of, stop=D(148_000))
    rig.quote(now + S, 147_000, size=0)
    rig.show(Tick(SYMBOL, now + S, D(147_000), D(5)))
    # When the price goes on falling and the strategy wants to buy and to sell
    scripted.wants(Side.BUY, qty=1)
    scripted.wants(Side.SELL, qty=1)
    rig.show(Tick(SYMBOL, now + S, D(146_000), D(5)))
    rig.quote(now + S + 1, 146_000)
    # Then one order is live, and the strategy's are refused
    assert len(sales(rig)) == 1
    assert rig.refusals() == {"CONFLICTING_SIGNALS": 1, "NOTHING_TO_SELL": 1}


def test_a_stronger_exit_under_way_goes_on_alone(rig_of: MakeRig) -> None:
    # Given an emergency stop that has asked for the sale of everything, of which nothing fills yet
    rig, _, now = bought(rig_of, stop=D(148_000))
    rig.stop()
    rig.drain()
    # When the stop is reached as well
    rig.quote(now + S, 147_000)
    rig.quotes(now + 2 * S, 2)
    # Then there was one order
    (order,) = sales(rig)
    assert "drill" in order.reason
    assert rig.held() == 0
    assert rig.kernel.triggers.bound == {}


def test_an_operator_who_takes_an_exit_back_leaves_that_of_a_stop(rig_of: MakeRig) -> None:
    # Given a stop that is reached, and an operator who asks for the same exit and takes that back
    rig, _, now = bought(rig_of, stop=D(148_000))
    rig.show(Tick(SYMBOL, now + S, D(147_000), D(1)))
    exits = rig.kernel.exits
    exits.request("scripted", SYMBOL, Origin.OPERATOR, "an operator wants it", rig.clock.time_ns())
    exits.withdraw_requests(lambda strategy, symbol: True)
    # Then the stop's exit is still open
    assert exits.is_requested("scripted", SYMBOL)


def test_levels_of_two_strategies_in_one_symbol_are_apart(rig_of: MakeRig) -> None:
    one, other = ScriptedStrategy("one"), ScriptedStrategy("other")
    rig = rig_of(one, other, settings=LOOSE)
    rig.quote(kst(9, 59))
    bind(rig, "one", stop=D(149_000))
    bind(rig, "other", stop=D(148_000))
    now = with_ten(rig, one, other)
    rig.quote(now + S, 148_900)
    rig.quotes(now + 2 * S, 1)
    assert (rig.held("one"), rig.held("other")) == (0, 10)
    rig.quote(now + 4 * S, 147_900)
    rig.quotes(now + 5 * S, 1)
    assert (rig.held("one"), rig.held("other")) == (0, 0)


# -- what ends levels --------------------------------------------------------------------------------------------


def test_a_flat_position_has_no_levels(rig_of: MakeRig) -> None:
    # Given a holding with a stop that the strategy sells itself
    rig, scripted, now = bought(rig_of, stop=D(148_000))
    scripted.wants(Side.SELL)
    now = rig.quotes(now + S, 2)
    assert (rig.held(), rig.kernel.triggers.bound) == (0, {})
    # When it buys again without levels and the price falls
    scripted.wants(Side.BUY, qty=3)
    now = rig.quotes(now + S, 2)
    rig.quote(now + S, 147_000)
    # Then nothing is sold
    assert rig.held() == 3
    assert len(sales(rig)) == 1


def test_a_part_that_is_sold_leaves_the_levels_of_the_rest(rig_of: MakeRig) -> None:
    rig, scripted, now = bought(rig_of, stop=Away(2_100))
    scripted.wants(Side.SELL, qty=4)
    now = rig.quotes(now + S, 2)
    rig.quote(now + S, 147_900)
    rig.quotes(now + 2 * S, 1)
    assert [order.qty for order in sales(rig)] == [4, 6]


def test_levels_for_a_purchase_that_never_fills_end_with_it(rig_of: MakeRig) -> None:
    # Given levels for a bid far below the market
    scripted = ScriptedStrategy()
    rig = rig_of(scripted, settings=LOOSE)
    rig.quote(kst(9, 59))
    bind(rig, stop=D(140_000))
    scripted.wants(Side.BUY, qty=10, limit=D(145_000))
    now = rig.quotes(kst(10), 1)
    rig.kernel.triggers.drop_unneeded("scripted", SYMBOL)
    assert list(rig.kernel.triggers.bound) == [SYMBOL]
    # When the bid is cancelled at the close
    rig.quote(kst(16))
    # Then they are gone
    assert now < kst(16)
    assert rig.kernel.triggers.bound == {}


def test_levels_of_a_refused_purchase_are_dropped(rig_of: MakeRig) -> None:
    rig = rig_of(ScriptedStrategy(), settings=LOOSE)
    rig.quote(kst(9, 59))
    bind(rig, stop=D(140_000))
    rig.kernel.triggers.drop_unneeded("scripted", SYMBOL)
    assert rig.kernel.triggers.bound == {}


# -- levels of a holding that is there already -------------------------------------------------------------------


def test_a_trail_that_is_set_later_follows_the_best_price_from_then_on(rig_of: MakeRig) -> None:
    # Given ten shares bought at 150,100 with a stop, a best price of 155,000 and a present one of 152,000
    rig, _, now = bought(rig_of, stop=D(140_000))
    rig.quote(now + S, 155_000)
    rig.quote(now + 2 * S, 152_000)
    # When a trail of 1,000 is bound
    bind(rig, trail=Away(1_000))
    # Then it lies below the present price, and the stop stays
    bound = rig.kernel.triggers.of("scripted", SYMBOL)
    assert bound is not None
    assert bound.prices == (D(140_000), None, D(151_000))


def test_levels_survive_a_checkpoint(rig_of: MakeRig) -> None:
    # Given levels of a holding and levels that wait for one
    rig, _, now = bought(rig_of, stop=Away(share=0.02), take=D(160_000), trail=Away(3_000))
    rig.quote(now + S, 152_000)
    before = dict(rig.kernel.triggers.bound), dict(rig.kernel.triggers.bounds)
    state = rig.kernel.checkpoints.encode()
    share = rig.kernel.checkpoints.share(state, "exits")
    # When they are restored
    rig.kernel.triggers.bound.clear()
    rig.kernel.triggers.import_state(share["levels"])
    # Then they are what they were
    assert (rig.kernel.triggers.bound, rig.kernel.triggers.bounds) == before
    assert share["levels"]


def test_a_session_without_levels_has_none_in_its_checkpoint(rig_of: MakeRig) -> None:
    rig = rig_of(ScriptedStrategy())
    rig.quotes(kst(10), 2)
    run_to_completion(rig.shared.record.checkpoint())
    assert "levels" not in rig.kernel.checkpoints.share(rig.kernel.checkpoints.encode(), "exits")
