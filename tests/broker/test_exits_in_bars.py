"""Exits whose price was watched outside: they execute in the bar that has just ended, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from qts.broker.sim.config import SimConfig
from qts.clock import to_ns
from qts.execution.contracts import AckStatus, OrderCancelled
from qts.market.contracts import Bar
from tests.broker.exchange_rig import BUY, INSTANT, SAMSUNG, SELL, D, ExchangeRig, kst

MIDNIGHT = datetime(2024, 8, 8, tzinfo=UTC)
ALL = SimConfig(
    order_latency_ms=0, order_jitter_ms=0, cancel_latency_ms=20, cancel_jitter_ms=0, snapshot_participation=1.0
)


def day(number: int) -> datetime:
    return MIDNIGHT + timedelta(days=number)


def with_ten(config: SimConfig = ALL) -> ExchangeRig:
    """An account that has bought 10 at the open of the first day, 100."""
    rig = ExchangeRig(at=day(0), config=config)
    rig.ohlc("100 100 100 100")
    rig.place("buy", BUY, "10")
    rig.at(day(1))
    rig.ohlc("100 104 96 102", "1000")
    rig.reports.clear()
    return rig


def show(rig: ExchangeRig, prices: str, volume: str = "1000", *, number: int = 2) -> None:
    """Show the bar of a day whose limits wait until stops of positions are executed."""
    rig.at(day(number))
    bar = Bar("SHARE", to_ns(day(number)), *map(D, prices.split()), D(volume))
    rig.last_values.bars["SHARE"] = bar
    rig.exchange.on_market(bar, holds_limits=True)


@pytest.mark.parametrize(
    ("prices", "stop", "limit", "price"),
    [
        ("98 99 90 91", "95", None, "95"),  # reached inside
        ("93 94 90 91", "95", None, "93"),  # a gap: the first price there was
        ("98 112 97 110", None, "110", "110"),
        ("111 112 97 110", None, "110", "111"),
    ],
)
def test_an_exit_executes_in_the_bar_that_reached_it(
    prices: str, stop: str | None, limit: str | None, price: str
) -> None:
    # Given a holding and a bar that is over
    rig = with_ten()
    show(rig, prices)
    # When an exit comes whose price was watched since before the bar began
    ack = rig.place("exit", SELL, "10", limit, stop=stop, armed_ns=to_ns(day(1)))
    # Then it is executed at once, at the moment of the bar
    assert ack.status is AckStatus.ACCEPTED
    assert rig.filled == [("exit", "10", price)]
    assert rig.fills[0].ts_ns == to_ns(day(2)) - 1  # the last moment of the day that the bar covers
    assert rig.open == []


def test_what_the_bar_has_no_volume_for_ends_with_it() -> None:
    # Given a bar of 60 shares of which at most a tenth is ours
    rig = with_ten(INSTANT)
    show(rig, "98 99 90 91", "60")
    # When ten are to be sold in it
    rig.place("exit", SELL, "10", stop="95", armed_ns=to_ns(day(1)))
    # Then six are, and the rest of the order ends
    assert rig.filled == [("exit", "6", "95")]
    assert isinstance(rig.reports[-1], OrderCancelled)
    assert (rig.reports[-1].reason, rig.open) == ("the bar had no more volume for it", [])


def test_orders_of_the_same_bar_share_its_volume() -> None:
    # Given a market sell of 4 that has filled at the open of a bar of which 6 may be ours
    rig = with_ten(INSTANT)
    rig.place("sell", SELL, "4")
    show(rig, "98 99 90 91", "60")
    assert rig.filled == [("sell", "4", "98")]
    # When the other 6 are to be sold in the same bar, then 2 can be
    rig.place("exit", SELL, "6", stop="95", armed_ns=to_ns(day(1)))
    assert rig.filled == [("sell", "4", "98"), ("exit", "2", "95")]


def test_slippage_makes_a_stop_worse_and_leaves_a_take() -> None:
    config = SimConfig(order_latency_ms=0, order_jitter_ms=0, snapshot_participation=1.0, slippage_ticks=2)
    rig = with_ten(config)
    show(rig, "98 112 90 91")
    rig.place("stop", SELL, "5", stop="95", armed_ns=to_ns(day(1)))
    rig.place("take", SELL, "5", "110", armed_ns=to_ns(day(1)))
    assert rig.filled == [("stop", "5", "93"), ("take", "5", "110")]


@pytest.mark.parametrize("armed", [day(1) + timedelta(seconds=1), day(2)])
def test_a_bar_that_began_before_the_price_was_watched_executes_nothing(armed: datetime) -> None:
    rig = with_ten()
    show(rig, "98 99 90 91")
    ack = rig.place("exit", SELL, "10", stop="95", armed_ns=to_ns(armed))
    assert ack.status is AckStatus.REJECTED
    assert ack.reason == "the newest bar of SHARE began before the price of the exit was watched"
    assert rig.filled == []


def test_an_exit_in_a_bar_is_no_way_to_sell_more_than_is_held_or_to_buy() -> None:
    rig = with_ten()
    show(rig, "98 99 90 91")
    assert rig.place("more", SELL, "11", stop="95", armed_ns=0).reason == (
        "selling 11 but holding 10, of which 0 already offered"
    )
    assert rig.place("other", BUY, "1", stop="95", armed_ns=0).status is AckStatus.REJECTED


def test_where_quotes_are_seen_no_bar_is_gone_back_to() -> None:
    rig = with_ten()
    rig.quote("99", "10", "100", "10")
    show(rig, "98 99 90 91")
    assert rig.place("exit", SELL, "10", stop="95", armed_ns=0).reason == (
        "an exit in a bar needs bars alone, and SHARE has other prices or none"
    )


def test_a_market_that_has_closed_with_the_bar_takes_its_exit_outside_the_band_of_the_next_day() -> None:
    # Given 10 shares bought at the open of Tuesday, and a Wednesday that closes 29 % lower: the band of Thursday
    # lies around 35,700, from 25,000 to 46,400
    rig = ExchangeRig(SAMSUNG, at=kst("2018-01-22 15:30:00"), config=ALL)
    rig.ohlc("50000 50000 50000 50000", day="2018-01-22")
    rig.place("buy", BUY, "10")
    rig.at(kst("2018-01-23 15:30:00"))
    rig.ohlc("50300 50800 50000 50300", day="2018-01-23")
    rig.at(kst("2018-01-24 15:31:00"))
    rig.ohlc("50000 50100 35700 35700", day="2018-01-24")
    rig.reports.clear()
    # When its stop at 48,000 comes a minute after the close
    ack = rig.place("exit", SELL, "10", stop="48000", armed_ns=to_ns(kst("2018-01-23 09:00:00")))
    # Then it is executed
    assert ack.status is AckStatus.ACCEPTED
    assert rig.filled == [("exit", "10", "48000")]


def test_limits_wait_until_the_stops_of_positions_are_executed() -> None:
    # Given a limit that sells 10 at 110, and a bar that reaches it and the stop at 95
    rig = with_ten()
    rig.place("limit", SELL, "10", "110")
    show(rig, "98 112 90 91")
    assert rig.filled == []
    # When the limit is cancelled for the stop, then the cancel counts at once and the stop is executed
    rig.cancel("limit")
    rig.exchange.end_cancels("SHARE")
    rig.place("exit", SELL, "10", stop="95", armed_ns=to_ns(day(1)))
    rig.exchange.finish_bar("SHARE")
    assert rig.filled == [("exit", "10", "95")]
    assert rig.open == []


def test_limits_fill_as_the_bar_is_finished_and_end_with_it() -> None:
    # Given limits of which a bar reaches one
    rig = with_ten()
    rig.place("reached", SELL, "4", "110")
    rig.place("beyond", SELL, "6", "120")
    show(rig, "98 112 90 91")
    assert rig.open == ["reached", "beyond"]
    # When no stop was reached, then the bar does what it would have done at once
    rig.exchange.finish_bar("SHARE")
    assert rig.filled == [("reached", "4", "110")]
    assert rig.open == []  # a daily bar ends what it did not fill
    # And only once
    reports = list(rig.reports)
    rig.exchange.finish_bar("SHARE")
    assert rig.reports == reports


def test_what_is_held_back_is_what_would_fill_at_once() -> None:
    # Given the same orders at two exchanges, when the limits of one are held back and nothing comes between
    rigs = with_ten(INSTANT), with_ten(INSTANT)
    for rig in rigs:
        rig.place("limit", SELL, "4", "103")
        rig.place("market", SELL, "3")
        rig.place("stop", SELL, "2", stop="97")
        rig.place("buy", BUY, "5", "99")
        rig.at(day(2))
    show(rigs[0], "100 105 95 101", "80")
    rigs[0].exchange.finish_bar("SHARE")
    rigs[1].ohlc("100 105 95 101", "80")
    # Then both have done the same
    assert rigs[0].reports == rigs[1].reports
    assert rigs[0].exchange.export_state() == rigs[1].exchange.export_state()
    assert rigs[0].filled == [("market", "3", "100"), ("stop", "2", "97"), ("limit", "3", "103")]


def test_an_exchange_that_fills_at_the_close_still_executes_an_exit_in_its_bar() -> None:
    # Given 10 shares bought at the close of a bar, 102
    config = SimConfig(order_latency_ms=0, order_jitter_ms=0, snapshot_participation=1.0, fill_on="close")
    rig = ExchangeRig(at=day(0), config=config)
    rig.ohlc("100 100 100 100")
    rig.place("buy", BUY, "10")
    rig.at(day(1) - timedelta(seconds=1))
    rig.ohlc("100 104 96 102")
    assert rig.filled == [("buy", "10", "102")]
    # When the next bar reaches a stop that was watched since then
    show(rig, "98 99 90 91", number=2)
    rig.place("exit", SELL, "10", stop="95", armed_ns=to_ns(day(1)) - 10**9)
    assert rig.filled[1:] == [("exit", "10", "95")]


def test_the_exchange_says_that_it_takes_such_exits() -> None:
    assert with_ten().exchange.capabilities.exits_in_bars is True
