"""Transform: quantity and price of the order as it would be, and the account it would meet."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from qts.capital.contracts import Pool
from qts.market.contracts import Instrument
from qts.market.krx import KrxTicks
from qts.pipeline.prices import collared
from qts.risk.contracts import OrderRequest, OrderType
from qts.state.contracts import OperatingState
from qts.strategy.contracts import Side
from tests.pipeline.rig import SYMBOL, PipelineRig
from tests.risk.requests import NOW, D, NoBand, instrument

DAY = date(2026, 1, 23)


def request(rig: PipelineRig, side: Side = Side.BUY, **more: object) -> OrderRequest:
    return rig.transform(rig.extract(rig.signal(side, **more))).request  # type: ignore[arg-type]


# -- the price ---------------------------------------------------------------------------------------------------


def test_a_market_buy_leaves_as_a_limit_one_percent_above_the_ask_rounded_down_to_the_grid() -> None:
    # 50,100 × 1.01 = 50,601; the grid is 100.
    assert request(PipelineRig()).limit == D(50_600)


def test_a_market_sell_leaves_without_a_limit() -> None:
    rig = PipelineRig()
    rig.hold(10)

    assert request(rig, Side.SELL).limit is None


def test_the_limit_of_a_strategy_is_kept_as_it_is_even_off_the_grid() -> None:
    assert request(PipelineRig(), limit=49_950).limit == D(49_950)  # the gate refuses it, it is not repaired
    assert isinstance(request(PipelineRig(), limit=49_900).limit, Decimal)


@pytest.mark.parametrize(
    ("price", "base", "collar", "limit"),
    [
        (50_000, 50_000, "0.01", 50_500),
        (50_000, 50_000, "0", 50_000),
        (50_050, 50_000, "0", 50_100),  # a collar finer than the grid still reaches the touch
        (64_500, 50_000, "0.01", 65_000),  # 65,145 would be above the day's upper limit of 65,000
        (64_300, 50_000, "0.01", 64_900),  # 64,943 lies below it
        (64_500, None, "0.01", 65_100),  # without a base price there is no band to keep to
    ],
)
def test_the_collar_stays_on_the_grid_and_inside_the_band(
    price: int, base: int | None, collar: str, limit: int
) -> None:
    known = None if base is None else D(base)

    assert collared(D(price), known, instrument(), D(collar), DAY) == D(limit)


def test_where_there_is_no_band_the_collar_alone_counts() -> None:
    assert collared(D(64_500), D(50_000), instrument(ticks=NoBand()), D("0.01"), DAY) == D(65_100)


def test_the_collar_uses_the_grid_of_the_date() -> None:
    krx = Instrument(
        symbol=SYMBOL,
        currency="KRW",
        quantum=D(1),
        lot=D(1),
        ticks=KrxTicks(),
        costs=instrument().costs,
        calendar=instrument().calendar,
    )
    # 150,000 × 1.01 = 151,500: on the grid of 500 before 2023-01-25 and on the grid of 100 since.
    # 150,200 × 1.01 = 151,702.
    assert collared(D(150_200), None, krx, D("0.01"), date(2023, 1, 20)) == D(151_500)
    assert collared(D(150_200), None, krx, D("0.01"), date(2023, 1, 25)) == D(151_700)


# -- on bars -----------------------------------------------------------------------------------------------------


def on_a_bar(close: int = 50_000, caps_cost: bool = True) -> PipelineRig:
    rig = PipelineRig(caps_cost=caps_cost)
    rig.bar(close)
    return rig


def test_a_market_buy_on_bars_leaves_without_a_limit_and_sets_a_reserve_aside_for_a_higher_open() -> None:
    """Given 33,333,333 free, of which 2 % are 666,666.66: more than 30 % of a small order's cost."""
    asked = request(on_a_bar(), qty=7)
    # 7 × 50,000 + 350 fee + 1 won for rounding; and 30 % of it, cut to the won
    assert (asked.type, asked.limit, asked.max_cost) == (OrderType.MARKET, None, D(350_351 + 105_105))


def test_the_reserve_of_a_large_order_is_a_share_of_the_free_money() -> None:
    # 200 × 50,000 + 10,000 + 1; and 2 % of 33,333,333
    assert request(on_a_bar(), qty=200).max_cost == D(10_010_001 + 666_666)


def test_no_more_is_set_aside_than_is_free_and_never_less_than_the_cost() -> None:
    # 660 × 50,000 + 33,000 + 1 = 33,033,001; with the reserve it would be 33,699,667
    assert request(on_a_bar(), qty=660).max_cost == D(33_333_333)
    # 700 cost 35,035,001, which the gate refuses
    assert request(on_a_bar(), qty=700).max_cost == D(35_035_001)


def test_a_buy_on_bars_is_sized_at_its_collar() -> None:
    # a fifth of 33,333,333 at 50,500: 131 cost 6,615,500 + 6,615 + 1 = 6,622,116, and 132 more than 6,666,666
    assert request(on_a_bar()).qty == D(131)


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_an_order_with_a_limit_and_a_sale_are_on_bars_what_they_are_elsewhere(side: Side) -> None:
    rig = on_a_bar()
    rig.hold(10)
    asked = request(rig, side, qty=1, limit=50_000)
    assert (asked.type, asked.limit, asked.max_cost) == (OrderType.LIMIT, D(50_000), None)
    assert request(rig, Side.SELL).max_cost is None


def test_where_quotes_are_seen_or_the_broker_caps_no_cost_a_market_buy_keeps_its_limit() -> None:
    quoted = on_a_bar()
    quoted.quote()
    for rig, limit in ((quoted, 50_600), (on_a_bar(caps_cost=False), 50_500)):
        asked = request(rig, qty=7)
        assert (asked.limit, asked.max_cost) == (D(limit), None)


def test_nothing_is_set_aside_for_nothing() -> None:
    assert request(on_a_bar(close=90_000_000)).max_cost is None  # not one share fits


async def test_the_money_set_aside_is_reserved_and_given_back_with_the_order() -> None:
    rig = on_a_bar()
    before = rig.account.available(Pool.SCALP)
    outcome = await rig.run(qty=7)
    (sent,) = rig.sent
    assert sent.max_cost is not None
    assert rig.account.available(Pool.SCALP) == before - sent.max_cost
    assert rig.account.release(sent.client_order_id)
    assert (rig.account.available(Pool.SCALP), outcome is None) == (before, False)


# -- the quantity ------------------------------------------------------------------------------------------------


def test_a_buy_without_quantity_takes_the_pool_s_share_at_its_limit() -> None:
    # SCALP has 33,333,333 free, a fifth of it is 6,666,666.6; at 50,600 with 0.1 % fee and one won for rounding:
    # 131 cost 6,628,600 + 6,628 + 1 = 6,635,229; 132 cost 6,679,200 + … and are too many.
    assert request(PipelineRig()).qty == D(131)


def test_the_state_s_multiplier_scales_it() -> None:
    # DEFENSIVE halves the share to a tenth: 3,333,333.3 / 50,600 = 65.9.
    assert request(PipelineRig(OperatingState.DEFENSIVE)).qty == D(65)
    # AGGRESSIVE makes it 0.24: 7,999,999.9 / 50,600 = 158.1; 158 cost 7,994,800 + 7,994 + 1 = 8,002,795: too much.
    assert request(PipelineRig(OperatingState.AGGRESSIVE)).qty == D(157)


def test_a_given_quantity_is_taken_as_it_is() -> None:
    assert request(PipelineRig(), qty=7).qty == D(7)
    assert isinstance(request(PipelineRig(), qty=7).qty, Decimal)


def test_a_sale_without_quantity_is_what_is_held_and_not_yet_leaving() -> None:
    rig = PipelineRig()
    rig.hold(10)
    rig.hold(5, strategy="other")

    assert request(rig, Side.SELL).qty == D(10)


async def test_what_is_leaving_already_is_not_sold_twice() -> None:
    rig = PipelineRig()
    rig.hold(10)
    await rig.run(Side.SELL, qty=4)

    assert request(rig, Side.SELL).qty == D(6)


def test_nothing_is_sized_without_a_price() -> None:
    rig = PipelineRig()
    rig.quote(bid=None, ask=None)

    asked = request(rig)

    assert asked.qty == 0
    assert asked.limit is None
    assert asked.decision_price == 0


def test_nothing_held_is_a_sale_of_nothing() -> None:
    assert request(PipelineRig(), Side.SELL).qty == 0


# -- the rest of the request -------------------------------------------------------------------------------------


def test_a_sale_only_reduces_and_a_forced_one_says_so() -> None:
    rig = PipelineRig()
    rig.hold(10)

    assert not request(rig).reduce_only
    assert request(rig, Side.SELL).reduce_only
    assert not request(rig, Side.SELL).forced
    assert request(rig, Side.SELL, forced=True).forced


def test_the_request_names_decision_strategy_pool_price_and_time() -> None:
    rig = PipelineRig()

    asked = request(rig, pool=Pool.SWING, strategy="swing", reason="because")

    assert asked.decision_id == "d-1"
    assert (asked.strategy, asked.pool, asked.symbol) == ("swing", Pool.SWING, SYMBOL)
    assert asked.decision_price == D(50_100)
    assert asked.ts_ns == NOW
    assert asked.reason == "because"


def test_every_request_has_an_id_of_its_own() -> None:
    rig = PipelineRig()

    assert request(rig).client_order_id != request(rig).client_order_id


# -- the account's view ------------------------------------------------------------------------------------------


async def test_open_buys_count_as_exposure_positions_and_orders() -> None:
    rig = PipelineRig()
    rig.hold(10, strategy="other")
    await rig.run(qty=100, limit=50_000)

    seen = rig.transform(rig.extract(rig.signal(strategy="third"))).view

    assert seen.exposure == 10 * D(50_000) + 100 * D(50_000)
    assert seen.symbol_exposure == seen.exposure
    assert seen.open_positions == 1  # held and being bought is one symbol
    assert seen.open_orders == 1
    assert not seen.working_same_side  # another strategy's order
    assert seen.pool_available == D(33_333_333) - 10 * D(50_000) - (D(5_000_000) + 5_000 + 1)


async def test_one_s_own_open_orders_are_seen_by_side() -> None:
    rig = PipelineRig()
    await rig.run(qty=1)

    buys = rig.transform(rig.extract(rig.signal(Side.BUY))).view
    sells = rig.transform(rig.extract(rig.signal(Side.SELL))).view

    assert (buys.working_same_side, buys.working_other_side) == (True, False)
    assert (sells.working_same_side, sells.working_other_side) == (False, True)


async def test_counts_of_the_day_are_told() -> None:
    rig = PipelineRig()
    rig.hold(5, strategy="b")
    await rig.run(qty=1, strategy="a")
    await rig.run(Side.SELL, strategy="b")

    seen = rig.transform(rig.extract(rig.signal())).view

    assert seen.entries_today == 1
    assert seen.orders_last_second == 2
    assert seen.day_open_equity == D(99_999_999)
