"""Sources without quotes: snapshots, trades, bars; and the closing auction."""

from __future__ import annotations

import pytest

from qts.broker.sim.config import SimConfig
from tests.broker.exchange_rig import BUY, COIN, SAMSUNG, SELL, ExchangeRig, kst

MORNING = kst("2018-01-22 10:00:00")


# -- snapshots ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("volume", "filled"),
    [
        ("1000", []),  # no rise
        ("1009", []),  # 10 % of 9 is less than a share
        ("1010", [("o", "1", "50000")]),
        ("1999", [("o", "99", "50000")]),  # 99.9 floored
        ("9000", [("o", "300", "50000")]),  # 800 would be allowed, 300 were ordered
    ],
)
def test_a_snapshot_fills_at_its_last_price_a_tenth_of_the_rise(volume: str, filled: list[object]) -> None:
    rig = ExchangeRig(SAMSUNG, at=MORNING)
    rig.row("49500", "1000")
    rig.place("o", BUY, "300")
    rig.row("50000", volume)
    assert rig.filled == filled


def test_each_row_counts_its_own_rise_only() -> None:
    rig = ExchangeRig(SAMSUNG, at=MORNING)
    rig.row("50000", "1000")
    rig.place("o", BUY, "300")
    for volume in ("1100", "1100", "1300"):
        rig.row("50000", volume)
    assert rig.filled == [("o", "10", "50000"), ("o", "20", "50000")]


def test_a_volume_corrected_downward_is_not_counted_twice() -> None:
    rig = ExchangeRig(SAMSUNG, at=MORNING)
    rig.row("50000", "1000")
    rig.place("o", BUY, "300")
    for volume in ("2000", "1500", "2000", "2010"):
        rig.row("50000", volume)
    assert rig.filled == [("o", "100", "50000"), ("o", "1", "50000")]


def test_rows_that_passed_while_nothing_was_ordered_are_no_rise() -> None:
    rig = ExchangeRig(SAMSUNG, at=MORNING)
    rig.place("first", BUY, "1")
    rig.row("50000", "1000")
    rig.row("50000", "9000")  # no order waits any more: not even shown to the exchange
    rig.place("second", BUY, "500")
    rig.row("50000", "9100")
    assert rig.filled == [("first", "1", "50000"), ("second", "10", "50000")]


def test_the_first_row_of_a_day_rises_from_nothing() -> None:
    rig = ExchangeRig(SAMSUNG, at=kst("2018-01-22 15:00:00"))
    rig.row("50000", "700000")
    rig.at(kst("2018-01-23 08:40:00"))
    rig.place("o", BUY, "300")
    rig.at(kst("2018-01-23 09:01:00"))
    rig.row("50500", "2000")
    assert rig.filled == [("o", "200", "50500")]


def test_a_limit_fills_at_the_row_price_or_not_at_all() -> None:
    rig = ExchangeRig(SAMSUNG, at=MORNING)
    rig.row("50000", "1000")
    rig.place("o", BUY, "10", "50000")
    rig.row("50100", "2000")
    assert rig.filled == []
    rig.row("49950", "3000")
    assert rig.filled == [("o", "10", "49950")]


def test_two_orders_share_the_tenth() -> None:
    rig = ExchangeRig(SAMSUNG, at=MORNING)
    rig.row("50000", "1000")
    rig.place("first", BUY, "60")
    rig.place("second", BUY, "60")
    rig.row("50000", "2000")
    assert rig.filled == [("first", "60", "50000"), ("second", "40", "50000")]


def test_a_row_before_the_arrival_gives_nothing_and_its_rise_is_gone() -> None:
    rig = ExchangeRig(SAMSUNG, at=MORNING, config=SimConfig(order_latency_ms=100, order_jitter_ms=0))
    rig.row("50000", "1000")
    rig.place("o", BUY, "300")
    rig.row("50000", "2000", ms=99)
    assert rig.filled == []
    rig.row("50000", "2100", ms=1)  # exactly 100 ms after the order left
    assert rig.filled == [("o", "10", "50000")]


@pytest.mark.parametrize(("last", "volume"), [(None, "9000"), ("50000", None), ("0", "9000")])
def test_a_row_without_price_or_volume_fills_nothing(last: str | None, volume: str | None) -> None:
    rig = ExchangeRig(SAMSUNG, at=MORNING)
    rig.place("o", BUY, "1")
    rig.row(last, volume)
    assert rig.filled == []


# -- trades only --------------------------------------------------------------------------------------------


def test_trades_fill_a_tenth_of_their_size_at_their_price() -> None:
    rig = ExchangeRig(COIN)
    rig.place("o", BUY, "2.0")
    rig.trade("100.5", "0.9")  # a tenth is below the lot of 0.1
    rig.trade("100.5", "7.9")
    rig.trade("101", "50")
    assert rig.filled == [("o", "0.7", "100.5"), ("o", "1.3", "101")]


def test_trades_respect_a_limit() -> None:
    rig = ExchangeRig(COIN)
    rig.place("o", BUY, "2.0", "100")
    rig.trade("100.5", "50")
    assert rig.filled == []
    rig.trade("99.5", "50")
    assert rig.filled == [("o", "2.0", "99.5")]


def test_rows_that_are_trades_alone_fill_the_same() -> None:
    """Given rows of last and size without sides: a tenth of 79 is 7 (whole shares), then 3 are left of 10."""
    rig = ExchangeRig(SAMSUNG, at=MORNING)
    rig.place("o", BUY, "10", "50000")
    rig.traded_quote(None, None, None, None, "50100", "500")
    assert rig.filled == []
    rig.traded_quote(None, None, None, None, "49900", "79")
    rig.traded_quote(None, None, None, None, "50000", "500")
    assert rig.filled == [("o", "7", "49900"), ("o", "3", "50000")]


# -- bars only ----------------------------------------------------------------------------------------------


def test_a_bar_fills_at_its_close_what_was_ordered_on_its_day() -> None:
    rig = ExchangeRig(SAMSUNG, at=kst("2018-01-22 08:40:00"))
    rig.place("o", BUY, "300")
    rig.at(kst("2018-01-22 15:30:00"))
    rig.bar("50000", "1000", "2018-01-22")
    assert rig.filled == [("o", "100", "50000")]


def test_a_bar_of_yesterday_fills_nothing_today() -> None:
    rig = ExchangeRig(SAMSUNG, at=kst("2018-01-23 08:40:00"))
    rig.place("o", BUY, "300")
    rig.after(1)
    rig.bar("50000", "1000", "2018-01-22")
    assert rig.filled == []


def test_a_bar_fills_nothing_where_the_day_was_seen_in_detail() -> None:
    rig = ExchangeRig(SAMSUNG, at=MORNING)
    rig.place("o", BUY, "300")
    rig.row("50000", "1000")
    rig.at(kst("2018-01-22 15:30:00"))
    rig.bar("50000", "1000", "2018-01-22")
    assert rig.filled == [("o", "100", "50000")]


# -- phases -------------------------------------------------------------------------------------------------


def test_an_order_entered_before_the_opening_waits_for_it() -> None:
    rig = ExchangeRig(SAMSUNG, at=kst("2018-01-22 08:40:00"))
    rig.place("o", BUY, "10")
    rig.quote("49950", "10", "50000", "10")
    assert rig.filled == []
    rig.at(kst("2018-01-22 09:00:00"))
    rig.quote("50000", "10", "50100", "10", ms=0)
    assert rig.filled == [("o", "10", "50100")]


def test_a_limit_entered_before_the_opening_does_not_join_by_yesterdays_quote() -> None:
    # given a close at 50,000 and an opening at 49,000: the buyer at 50,000 gets today's ask, not the own limit
    rig = ExchangeRig(SAMSUNG, at=kst("2018-01-19 15:00:00"))
    rig.quote("50000", "10", "50100", "10")
    rig.at(kst("2018-01-22 08:40:00"))
    rig.place("o", BUY, "10", "50000")
    rig.at(kst("2018-01-22 09:00:00"))
    rig.trade("49000", "500")
    rig.quote("49000", "10", "49050", "10")
    assert rig.filled == [("o", "10", "49050")]


def test_in_the_closing_auction_displayed_prices_are_no_offers_but_prints_fill() -> None:
    rig = ExchangeRig(SAMSUNG, at=kst("2018-01-22 15:19:00"))
    rig.place("o", BUY, "10")
    rig.at(kst("2018-01-22 15:20:00"))
    rig.quote("49950", "10", "50000", "10")
    assert rig.filled == []
    rig.trade("50000", "70")
    assert rig.filled == [("o", "7", "50000")]


def test_in_the_closing_auction_the_trade_of_a_row_is_a_print() -> None:
    rig = ExchangeRig(SAMSUNG, at=kst("2018-01-22 15:19:00"))
    rig.place("o", BUY, "10")
    rig.at(kst("2018-01-22 15:20:00"))
    rig.traded_quote("49950", "10", "50000", "10", "50000", "70")
    assert rig.filled == [("o", "7", "50000")]


def test_the_closing_print_belongs_to_the_closing_auction() -> None:
    rig = ExchangeRig(SAMSUNG, at=kst("2018-01-22 15:29:00"))
    rig.place("o", BUY, "10")
    rig.at(kst("2018-01-22 15:30:00"))
    rig.trade("50000", "700", ms=0)
    assert rig.filled == [("o", "10", "50000")]


def test_nothing_fills_after_the_close() -> None:
    rig = ExchangeRig(SAMSUNG, at=kst("2018-01-22 15:29:00"))
    rig.place("o", BUY, "10")
    rig.at(kst("2018-01-22 15:30:00"))
    rig.trade("50000", "700", ms=0.001)
    rig.row("50000", "99999")
    rig.quote("49950", "10", "50000", "10")
    assert rig.filled == []


def test_a_sell_in_a_snapshot_source_gets_the_row_price() -> None:
    rig = ExchangeRig(SAMSUNG, at=MORNING)
    rig.place("b", BUY, "10")
    rig.row("50000", "1000")
    rig.place("s", SELL, "10", "50100")
    rig.row("50000", "2000")
    rig.row("50200", "3000")
    assert rig.filled == [("b", "10", "50000"), ("s", "10", "50200")]
