"""Sources of bars alone: from the next bar's open on, inside its range, within a share of its volume."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.broker.sim.config import SimConfig
from qts.clock import from_ns, to_ns
from qts.execution.contracts import AckStatus, OrderCancelled, OrderRejected
from qts.market.contracts import Instrument
from qts.market.generic import AlwaysOpen, FixedTicks, RateCosts
from qts.risk.sizing import cost_of

from .exchange_rig import BUY, COIN, INSTANT, SAMSUNG, SELL, SHARE, ExchangeRig, kst

D = Decimal
MIDNIGHT = datetime(2024, 8, 8, tzinfo=UTC)
ALL = msgspec.structs.replace(INSTANT, snapshot_participation=1.0)
"""The whole volume of a bar is ours."""


def with_settings(**changes: object) -> SimConfig:
    return msgspec.structs.replace(ALL, **changes)


def after_a_bar(
    *instruments: Instrument, config: SimConfig = ALL, prices: str = "100 100 100 100", held: str = ""
) -> ExchangeRig:
    """A market that never closes, at the midnight at which a day is known; ``held``: bought the day before."""
    rig = ExchangeRig(*(instruments or (SHARE,)), at=MIDNIGHT - timedelta(days=1), config=config)
    if held:
        rig.ohlc(prices)
        rig.place("hold", BUY, held)
        next_day(rig, prices, "1000000")
        rig.reports.clear()
    else:
        next_day(rig, prices)
    return rig


def next_day(rig: ExchangeRig, prices: str, volume: str = "1000") -> None:
    rig.at(rig.now + timedelta(days=1))
    rig.ohlc(prices, volume)


def reasons(rig: ExchangeRig) -> list[str]:
    return [report.reason for report in rig.reports if isinstance(report, OrderCancelled | OrderRejected)]


# -- which bar ----------------------------------------------------------------------------------------------


def test_an_order_fills_in_the_bar_after_the_one_on_which_it_was_decided() -> None:
    rig = after_a_bar()
    rig.place("o", BUY, "10")
    rig.ohlc("90 95 85 92")  # another bar of the moment of the decision
    assert rig.filled == []
    next_day(rig, "101 110 99 105")
    assert rig.filled == [("o", "10", "101")]


def test_an_order_that_was_entered_while_a_bar_was_under_way_waits_for_the_one_after_it() -> None:
    rig = after_a_bar()
    rig.after(1_000)
    rig.place("o", BUY, "10")
    rig.at(MIDNIGHT + timedelta(days=1))
    rig.ohlc("101 110 99 105")
    assert rig.filled == []


def test_in_real_time_an_order_leaves_a_moment_after_its_bar_and_counts_as_entered_at_its_end() -> None:
    rig = after_a_bar()
    rig.after(999)
    rig.place("o", BUY, "10")
    rig.at(MIDNIGHT + timedelta(days=1))
    rig.ohlc("101 110 99 105")
    assert rig.filled == [("o", "10", "101")]


def test_an_order_decided_on_a_value_does_not_count_as_entered_before_it() -> None:
    """Given bars of a second that are stamped with their last millisecond, the second itself is too early."""
    rig = ExchangeRig(SHARE, COIN, at=MIDNIGHT - timedelta(milliseconds=1), config=ALL)
    rig.ohlc("100 100 100 100", interval="1s")
    rig.at(MIDNIGHT + timedelta(milliseconds=999))
    rig.last_values.feed_ts_ns = rig.clock.time_ns()  # the other symbol's bar of the same second
    rig.place("o", BUY, "10")
    rig.ohlc("101 110 99 105", interval="1s")
    assert rig.filled == []


@pytest.mark.parametrize("interval", ["1m", "1d"])
def test_the_time_on_its_way_does_not_count_unless_it_is_longer_than_the_bar(interval: str) -> None:
    rig = after_a_bar(config=with_settings(order_latency_ms=60_000.0))
    rig.place("o", BUY, "10")
    rig.after(59_000 if interval == "1m" else 86_400_000)
    rig.ohlc("101 110 99 105", interval=interval)
    assert rig.filled == ([] if interval == "1m" else [("o", "10", "101")])


def test_an_order_of_the_morning_fills_in_the_bar_of_its_day_and_one_of_the_session_does_not() -> None:
    rig = ExchangeRig(SAMSUNG, at=kst("2018-01-22 08:40:00"), config=ALL)
    rig.place("morning", BUY, "1")
    rig.at(kst("2018-01-22 09:00:01"))
    rig.place("session", BUY, "1")
    rig.at(kst("2018-01-22 15:30:00"))
    rig.ohlc("50000 51000 49000 50500")
    assert rig.filled == [("morning", "1", "50000")]


def test_a_bar_of_another_interval_fills_nothing_that_finer_bars_have_shown() -> None:
    rig = after_a_bar()
    rig.place("o", BUY, "10", "90")
    rig.after(60_000)
    rig.ohlc("101 110 95 105", interval="1m")
    rig.at(MIDNIGHT + timedelta(days=1))
    rig.ohlc("101 110 85 105", interval="1d")
    assert rig.filled == []


def test_a_quote_or_a_trade_during_a_bar_shows_more_than_it() -> None:
    rig = after_a_bar()
    rig.place("o", BUY, "10", "90")
    rig.trade("101", "5")
    rig.at(MIDNIGHT + timedelta(days=1))
    rig.ohlc("101 110 85 105")
    assert rig.filled == []


@pytest.mark.parametrize(
    ("prices", "volume"),
    [("101 110 99 105", "0"), ("101 110 99 105", "-5"), ("98 110 99 105", "1000"), ("NaN 110 99 105", "1000")],
)
def test_a_bar_without_volume_or_with_prices_that_contradict_each_other_fills_nothing(
    prices: str, volume: str
) -> None:
    rig = after_a_bar()
    rig.place("o", BUY, "10")
    next_day(rig, prices, volume)
    assert rig.filled == []


def test_bars_of_symbols_without_orders_and_of_unknown_symbols_are_passed_over() -> None:
    rig = after_a_bar(SHARE, COIN)
    rig.place("o", BUY, "10")
    for symbol in ("COIN", "NOPE"):
        rig.symbol = symbol
        rig.ohlc("101 110 99 105")
    assert rig.filled == []


# -- at which price -----------------------------------------------------------------------------------------


def test_market_limits_and_stops_have_their_own_prices_in_a_bar() -> None:
    rig = after_a_bar(held="50")
    rig.place("market", BUY, "1")
    rig.place("better open", BUY, "1", "105")
    rig.place("reached", BUY, "1", "95")
    rig.place("not reached", BUY, "1", "89")
    rig.place("take", SELL, "1", "108")
    rig.place("gap", SELL, "1", stop="102")
    rig.place("hit", SELL, "1", stop="92")
    rig.place("far", SELL, "1", stop="88")
    next_day(rig, "101 110 90 105")
    assert rig.filled == [
        ("market", "1", "101"),
        ("gap", "1", "101"),
        ("better open", "1", "101"),
        ("hit", "1", "92"),
        ("reached", "1", "95"),
        ("take", "1", "108"),
    ]


def test_a_stop_hit_at_the_low_has_its_trigger_and_not_the_high_that_follows() -> None:
    """Four ticks made of a bar (open, low, high, close) would sell at the high what the low has triggered."""
    rig = after_a_bar(held="10")
    rig.place("stop", SELL, "10", stop="95")
    next_day(rig, "100 120 94 118")
    assert rig.filled == [("stop", "10", "95")]


@pytest.mark.parametrize(
    ("side", "stop", "limit", "price"),
    [(SELL, None, None, "100"), (BUY, None, None, "102"), (SELL, "95", None, "94")],
)
def test_slippage_makes_market_orders_and_stops_worse(
    side: object, stop: str | None, limit: str | None, price: str
) -> None:
    rig = after_a_bar(held="10", config=with_settings(slippage_ticks=1))
    rig.place("o", side, "1", limit, stop=stop)  # type: ignore[arg-type]
    next_day(rig, "101 110 90 105")
    assert rig.filled == [("o", "1", price)]


@pytest.mark.parametrize(("limit", "price"), [("105", "103"), ("102", "102"), ("95", "95")])
def test_slippage_never_moves_a_limit_beyond_itself(limit: str, price: str) -> None:
    rig = after_a_bar(config=with_settings(slippage_ticks=2))
    rig.place("o", BUY, "1", limit)
    next_day(rig, "101 110 90 105")
    assert rig.filled == [("o", "1", price)]


def test_slippage_does_not_leave_the_band_of_the_day() -> None:
    """Given a base of 50,000, the band of 2018 ends at 65,000."""
    rig = ExchangeRig(SAMSUNG, at=kst("2018-01-22 15:30:00"), config=with_settings(slippage_ticks=5))
    rig.ohlc("50000 50000 50000 50000")
    rig.place("o", BUY, "1")
    rig.at(kst("2018-01-23 15:30:00"))
    rig.ohlc("64900 65000 64000 65000")
    assert rig.filled == [("o", "1", "65000")]


# -- how much -----------------------------------------------------------------------------------------------


def test_all_orders_together_get_a_share_of_the_volume_market_orders_and_stops_first() -> None:
    rig = after_a_bar(config=with_settings(snapshot_participation=0.1), held="60")
    rig.place("limit", BUY, "80", "95")
    rig.place("stop", SELL, "60", stop="96")
    rig.place("market", BUY, "30")
    next_day(rig, "101 110 90 105", "1000")
    assert rig.filled == [("market", "30", "101"), ("stop", "60", "96"), ("limit", "10", "95")]


def test_what_is_left_of_an_order_fills_at_the_open_of_the_next_bar_of_its_day() -> None:
    rig = after_a_bar(config=with_settings(snapshot_participation=0.1), held="30")
    rig.place("stop", SELL, "30", stop="99")
    for prices in ("100 101 98 100", "97 99 96 98", "103 105 102 104"):
        rig.after(60_000)
        rig.ohlc(prices, "150", interval="1m")
    assert rig.filled == [("stop", "15", "99"), ("stop", "15", "97")]


def test_a_stop_with_a_limit_goes_on_as_a_limit_when_its_limit_let_nothing_through() -> None:
    rig = after_a_bar(held="10")
    rig.place("o", SELL, "10", "97", stop="95")
    for prices in ("100 101 94 96", "96 99 95 98"):
        rig.after(60_000)
        rig.ohlc(prices, interval="1m")
    assert rig.filled == [("o", "10", "97")]


def test_a_bar_too_small_for_one_lot_still_triggers_a_stop() -> None:
    rig = after_a_bar(config=with_settings(snapshot_participation=0.1), held="10")
    rig.place("o", SELL, "10", stop="95")
    for prices, volume in (("100 101 94 99", "9"), ("99 102 98 101", "1000")):
        rig.after(60_000)
        rig.ohlc(prices, volume, interval="1m")
    assert rig.filled == [("o", "10", "99")]


# -- with how much money ------------------------------------------------------------------------------------


def test_a_buy_spends_no_more_than_its_cap_and_ends_when_the_price_asks_for_more() -> None:
    """Given 1,000 for 10 shares and an open of 110: nine are 990, one won is kept for rounding."""
    rig = after_a_bar()
    rig.place("o", BUY, "10", max_cost="1000")
    next_day(rig, "110 120 100 115")
    assert rig.filled == [("o", "9", "110")]
    assert reasons(rig) == ["the price asks for more than the money set aside"]
    assert rig.open == []


def test_a_buy_that_its_cap_does_not_pay_a_lot_of_ends_without_a_fill() -> None:
    rig = after_a_bar()
    rig.place("o", BUY, "1", max_cost="100")
    next_day(rig, "101 120 100 115")
    assert (rig.filled, rig.open) == ([], [])


def test_a_cap_holds_over_several_fills() -> None:
    """Given 2,001 for 20 shares: ten at 100 leave 1,001, which pay eight at 120."""
    rig = after_a_bar(config=with_settings(snapshot_participation=0.1))
    rig.place("o", BUY, "20", max_cost="2001")
    for prices in ("100 100 100 100", "120 120 120 120"):
        rig.after(60_000)
        rig.ohlc(prices, "100", interval="1m")
    assert rig.filled == [("o", "10", "100"), ("o", "8", "120")]
    assert rig.open == []


# -- how long -----------------------------------------------------------------------------------------------


def test_an_order_of_the_close_lives_for_the_next_session() -> None:
    rig = ExchangeRig(SAMSUNG, at=kst("2018-01-22 15:30:00"), config=ALL)
    rig.ohlc("50000 50000 50000 50000")
    rig.place("o", BUY, "1", "49000")
    rig.exchange.on_session_end(kst("2018-01-22 15:31:00").date(), rig.clock.time_ns())
    assert rig.open == ["o"]
    rig.at(kst("2018-01-23 15:30:00"))
    rig.ohlc("50000 50500 49500 50200")
    assert (rig.open, reasons(rig)) == ([], ["expired at the close"])


@pytest.mark.parametrize("volume", ["1000", "0"])
def test_an_order_of_a_market_that_never_closes_lives_for_the_next_daily_bar(volume: str) -> None:
    rig = after_a_bar()
    rig.place("o", BUY, "1", "50")
    next_day(rig, "100 101 99 100", volume)
    assert (rig.open, reasons(rig)) == ([], ["expired at the close"])


@pytest.mark.parametrize(
    ("hour", "first", "second"),
    [(5, "2024-08-07", "2024-08-08"), (15, "2024-08-08", "2024-08-09")],
    ids=["days of New York", "days of Seoul"],
)
def test_the_days_of_a_market_that_never_closes_may_be_those_of_any_time_zone(
    hour: int, first: str, second: str
) -> None:
    rig = ExchangeRig(SHARE, at=MIDNIGHT + timedelta(hours=hour), config=ALL)
    rig.ohlc("100 100 100 100", day=first)
    rig.place("reached", BUY, "1")
    rig.place("far", BUY, "1", "50")
    rig.at(rig.now + timedelta(days=1, minutes=-1))
    rig.exchange.on_time(rig.clock.time_ns())
    assert rig.open == ["reached", "far"]
    rig.after(60_000)
    rig.ohlc("101 110 99 105", day=second)
    assert (rig.filled, rig.open) == ([("reached", "1", "101")], [])
    # booked on the bar's own day, and within the bar
    assert from_ns(rig.fills[0].ts_ns).date().isoformat() == second
    assert to_ns(MIDNIGHT + timedelta(hours=hour)) <= rig.fills[0].ts_ns <= rig.clock.time_ns()


def test_an_hourly_order_of_a_market_that_never_closes_lives_for_a_day() -> None:
    rig = ExchangeRig(SHARE, at=MIDNIGHT, config=ALL)
    rig.ohlc("100 100 100 100", interval="1h")
    rig.place("o", BUY, "1", "50")
    for hour in range(1, 25):
        assert rig.open == ["o"]
        rig.at(MIDNIGHT + timedelta(hours=hour))
        rig.ohlc("100 101 99 100", interval="1h")
    assert rig.open == []


def test_an_order_that_waits_for_a_weekly_bar_outlives_the_sessions_before_it() -> None:
    rig = ExchangeRig(SAMSUNG, at=kst("2018-01-19 15:30:00"), config=ALL)
    rig.ohlc("50000 50000 50000 50000", interval="1w")
    rig.place("o", BUY, "1")
    rig.place("far", BUY, "1", "40000")
    for day in range(22, 26):
        rig.at(kst(f"2018-01-{day} 15:31:00"))
        rig.exchange.on_session_end(rig.now.date(), rig.clock.time_ns())
    assert rig.open == ["o", "far"]
    rig.at(kst("2018-01-26 15:30:00"))
    rig.ohlc("50300 51000 49000 50500", interval="1w")
    assert (rig.filled, rig.open) == ([("o", "1", "50300")], [])


def test_an_order_on_daily_bars_waits_over_a_weekend() -> None:
    # Given an order that was decided on Friday's bar, where shares have no calendar of their own
    rig = after_a_bar()
    rig.place("o", BUY, "1")
    # When the venue's time passes on Saturday, Sunday and Monday, and Monday's bar is known at its end
    for days in (1, 2, 3):
        rig.at(MIDNIGHT + timedelta(days=days, seconds=-1))
        rig.exchange.on_time(rig.clock.time_ns())
    rig.at(MIDNIGHT + timedelta(days=3))
    rig.ohlc("101 110 99 105")
    # Then it has filled at the open
    assert [(fill.qty, fill.price) for fill in rig.fills] == [(1, 101)]


def test_an_order_on_daily_bars_ends_when_none_comes_for_fifteen_days() -> None:
    rig = after_a_bar()
    rig.place("o", BUY, "1", "50")
    rig.at(MIDNIGHT + timedelta(days=15, seconds=59))
    rig.exchange.on_time(rig.clock.time_ns())
    assert rig.open == ["o"]
    rig.after(1_000)
    assert rig.exchange.due_ns == rig.clock.time_ns()
    rig.exchange.on_time(rig.clock.time_ns())
    assert rig.open == []


def test_a_cancel_before_the_next_bar_comes_first() -> None:
    rig = after_a_bar()
    rig.place("o", BUY, "1")
    rig.cancel("o")
    next_day(rig, "101 110 99 105")
    assert (rig.filled, rig.open) == ([], [])


# -- what is taken ------------------------------------------------------------------------------------------


def test_a_stop_that_waits_is_no_order_for_quotes_and_trades() -> None:
    rig = after_a_bar(held="10")
    rig.place("o", SELL, "10", stop="95")
    rig.quote("96", "100", "97", "100")
    rig.trade("96", "100")
    assert (rig.filled, rig.open) == ([], ["o"])


def test_a_stop_off_the_grid_or_outside_the_band_of_its_own_day_is_rejected() -> None:
    rig = ExchangeRig(SAMSUNG, at=kst("2018-01-22 15:30:00"), config=ALL)
    rig.ohlc("50000 50000 50000 50000")
    assert rig.place("grid", BUY, "1", stop="50001").reason == "stop price 50001 is off the tick grid (step 100)"
    assert rig.place("band", BUY, "1", stop="65100").reason == (
        "stop price 65100 is outside the daily band 35000..65000 around 50000"
    )
    assert rig.place("fits", BUY, "1", stop="65000").status is AckStatus.ACCEPTED


def test_with_fills_on_the_close_no_caps_are_taken() -> None:
    rig = after_a_bar(config=with_settings(fill_on="close"))
    assert rig.place("cap", BUY, "1", max_cost="100").reason == "orders with a cap on their cost are not taken here"


# -- continuing elsewhere -----------------------------------------------------------------------------------


def test_an_exchange_that_was_stored_between_two_bars_goes_on_as_if_it_had_not_been() -> None:
    rig = after_a_bar(held="10", config=with_settings(snapshot_participation=0.1))
    rig.place("capped", BUY, "30", max_cost="3001")
    rig.place("stop", SELL, "10", stop="95")
    rig.after(60_000)
    rig.ohlc("99 101 96 100", "100", interval="1m")
    assert rig.filled == [("capped", "10", "99")]

    other = ExchangeRig(SHARE, at=rig.now, config=with_settings(snapshot_participation=0.1))
    other.last_values.bars.update(rig.last_values.bars)
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(rig.exchange.export_state()))
    other.exchange.import_state(stored)
    for one in (rig, other):
        one.after(60_000)
        one.ohlc("100 130 90 110", "200", interval="1m")
        one.after(60_000)
        one.ohlc("150 150 150 150", "200", interval="1m")

    # 2,011 left after ten at 99; then twenty at 100 are its rest, within the cap; the stop has what volume is left
    assert rig.filled[1:] == other.filled
    assert other.filled == [("capped", "20", "100"), ("stop", "10", "150")]


def test_the_state_of_a_version_that_knew_no_bars_is_read() -> None:
    rig = ExchangeRig(SHARE)
    rig.place("o", BUY, "10", "100")
    state = rig.exchange.export_state()
    state["orders"] = [order[:14] for order in state["orders"]]
    state["desks"] = [book[:9] for book in state["desks"]]
    other = ExchangeRig(SHARE)
    other.exchange.import_state(state)
    other.quote(ask="100", ask_size="10")
    assert other.filled == [("o", "10", "100")]


# -- properties ---------------------------------------------------------------------------------------------

FEES = Instrument("FEES", "KRW", D(1), D(1), FixedTicks("1"), RateCosts("0.003", "0.002", "1"), AlwaysOpen())
PRICE = st.integers(20, 60)


@st.composite
def bars(draw: st.DrawFn) -> tuple[str, int]:
    """Prices of a bar and its volume."""
    first, second, third, fourth = (draw(PRICE) for _ in range(4))
    every = (first, second, third, fourth)
    return f"{first} {max(every)} {min(every)} {second}", draw(st.integers(0, 200))


ORDERS = st.lists(
    st.tuples(
        st.sampled_from([BUY, SELL]),
        st.integers(1, 30),
        st.none() | PRICE,  # limit
        st.none() | PRICE,  # stop
        st.none() | st.integers(1, 1_500),  # cap of a market buy
    ),
    max_size=3,
)


@settings(deadline=None)
@given(st.lists(st.tuples(ORDERS, bars()), max_size=6), st.integers(0, 3), st.sampled_from(["1d", "1h"]))
def test_fills_keep_to_range_limit_volume_and_money(
    script: list[tuple[list[tuple[object, int, int | None, int | None, int | None]], tuple[str, int]]],
    slippage: int,
    interval: str,
) -> None:
    config = with_settings(snapshot_participation=0.25, slippage_ticks=slippage)
    rig = after_a_bar(FEES, config=config, prices="40 40 40 40", held="50")
    held, asked, count = D(50), {}, 0
    for orders, (prices, volume) in script:
        for side, qty, limit, stop, cap in orders:
            count += 1
            key = f"o{count}"
            capped = cap if side is BUY and limit is None and stop is None else None
            texts = [None if number is None else str(number) for number in (limit, stop, capped)]
            ack = rig.place(key, side, str(qty), texts[0], stop=texts[1], max_cost=texts[2])  # type: ignore[arg-type]
            if ack.status is AckStatus.ACCEPTED:
                asked[key] = (qty, limit, stop, capped)
        rig.at(rig.now + timedelta(days=1) if interval == "1d" else rig.now + timedelta(hours=1))
        before = len(rig.fills)
        rig.ohlc(prices, str(volume), interval=interval)
        _, high, low, _ = map(D, prices.split())
        new = rig.fills[before:]
        assert sum(fill.qty for fill in new) <= volume // 4
        for fill in new:
            limit = asked[fill.client_order_id][1]
            # slippage makes it worse by its ticks at most, and never worse than the limit
            assert low - slippage <= fill.price <= high + slippage
            if limit is not None:
                assert fill.price <= limit if fill.side is BUY else fill.price >= limit
            held += fill.qty if fill.side is BUY else -fill.qty
            assert held >= 0
    for key, (qty, _, _, capped) in asked.items():
        mine = [fill for fill in rig.fills if fill.client_order_id == key]
        assert sum(fill.qty for fill in mine) <= qty
        if capped is not None:
            assert sum(fill.qty * fill.price + fill.fee + fill.tax for fill in mine) <= capped
            for fill in mine:
                assert cost_of(fill.qty, fill.price, FEES, MIDNIGHT.date()) <= capped
    assert rig.positions.get("FEES", D(0)) == held
