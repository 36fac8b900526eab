"""Times in force and stop orders at the simulated exchange, on quotes, trades, depth and bars."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from qts.execution.contracts import OrderCancelled
from qts.strategy.order_terms import TimeInForce

from .exchange_rig import BUY, INSTANT, SAMSUNG, SELL, SHARE, ExchangeRig, kst

IOC, FOK, GTC = TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTC
NOT_AT_ONCE = ("no more of it could be had at once", True)


def ends(rig: ExchangeRig) -> list[tuple[str, bool]]:
    return [(report.reason, report.expired) for report in rig.reports if isinstance(report, OrderCancelled)]


def on_bars() -> ExchangeRig:
    rig = ExchangeRig(SHARE)
    rig.ohlc("100 100 100 100")
    return rig


def next_bar(rig: ExchangeRig, prices: str, volume: str = "1000") -> None:
    rig.at(rig.now + timedelta(days=1))
    rig.ohlc(prices, volume)


# -- immediately ---------------------------------------------------------------------------------------------


def test_an_immediate_order_takes_what_is_shown_and_its_rest_ends() -> None:
    rig = ExchangeRig(SHARE)
    rig.place("o", BUY, "10", "101", tif=IOC)
    rig.quote("99", "5", "101", "4")

    assert rig.filled == [("o", "4", "101")]
    assert (rig.open, ends(rig)) == ([], [NOT_AT_ONCE])


def test_an_immediate_limit_that_cannot_trade_does_not_rest() -> None:
    rig = ExchangeRig(SHARE)
    rig.place("o", BUY, "10", "100", tif=IOC)
    rig.quote("99", "5", "101", "4")

    assert (rig.filled, rig.open, ends(rig)) == ([], [], [NOT_AT_ONCE])


@pytest.mark.parametrize(("size", "filled"), [("9", []), ("10", [("o", "10", "101")])])
def test_all_or_nothing_needs_the_whole_size(size: str, filled: list[tuple[str, str, str]]) -> None:
    rig = ExchangeRig(SHARE)
    rig.place("o", BUY, "10", "101", tif=FOK)
    rig.quote("99", "5", "101", size)

    assert (rig.filled, rig.open) == (filled, [])
    assert ends(rig) == ([] if filled else [NOT_AT_ONCE])


def test_what_all_or_nothing_did_not_take_is_still_there_for_others() -> None:
    """Given 9 at the ask, then the order of 10 takes none of them and the one of 9 that comes after it all."""
    rig = ExchangeRig(SHARE)
    rig.place("all", BUY, "10", tif=FOK)
    rig.place("some", BUY, "9")
    rig.quote("99", "5", "101", "9")

    assert rig.filled == [("some", "9", "101")]


def test_on_trades_alone_the_first_print_is_the_chance() -> None:
    rig = ExchangeRig(SHARE)
    rig.place("o", BUY, "10", tif=IOC)
    rig.trade("100", "40")  # a tenth of a trade is ours

    assert (rig.filled, rig.open, ends(rig)) == ([("o", "4", "100")], [], [NOT_AT_ONCE])


def test_beside_quotes_a_trade_is_no_chance_for_an_immediate_order() -> None:
    rig = ExchangeRig(SHARE)
    rig.quote("99", "5", "101", "5")
    rig.place("o", BUY, "3", tif=IOC)
    rig.trade("100", "50")
    assert rig.open == ["o"]
    rig.quote("99", "5", "101", "6")

    assert (rig.filled, rig.open) == ([("o", "3", "101")], [])


def test_on_bars_immediate_means_the_next_bar_or_nothing() -> None:
    rig = on_bars()
    rig.place("reached", BUY, "1", "98", tif=IOC)
    rig.place("not", BUY, "1", "90", tif=IOC)
    next_bar(rig, "100 103 97 101")

    assert (rig.filled, rig.open, ends(rig)) == ([("reached", "1", "98")], [], [NOT_AT_ONCE])


def test_on_bars_all_or_nothing_is_bounded_by_the_volume() -> None:
    """Given the default share of the volume, a tenth of 50 are 5: the order of 6 gets none."""
    share = INSTANT.snapshot_participation
    volume = str(int(5 / share))
    rig = on_bars()
    rig.place("six", BUY, "6", tif=FOK)
    next_bar(rig, "100 103 97 101", volume)
    assert (rig.filled, ends(rig)) == ([], [NOT_AT_ONCE])

    rig.reports.clear()
    rig.place("five", BUY, "5", tif=FOK)
    next_bar(rig, "100 103 97 101", volume)
    assert rig.filled == [("five", "5", "100")]


# -- until cancelled -----------------------------------------------------------------------------------------


def test_an_order_until_cancelled_outlives_the_session() -> None:
    rig = ExchangeRig(SAMSUNG, at=kst("2018-01-22 10:00:00"))
    rig.place("day", BUY, "1", "50000")
    rig.place("kept", BUY, "1", "50000", tif=GTC)
    rig.at(kst("2018-01-22 15:30:00"))
    rig.exchange.on_session_end(date(2018, 1, 22), rig.clock.time_ns())

    assert rig.open == ["kept"]


def test_on_bars_an_order_until_cancelled_waits_for_its_bar() -> None:
    rig = on_bars()
    rig.place("o", BUY, "1", "90", tif=GTC)
    for _ in range(30):
        next_bar(rig, "100 103 97 101")
    assert rig.open == ["o"]
    next_bar(rig, "95 96 89 92")

    assert rig.filled == [("o", "1", "90")]


@pytest.mark.parametrize("tif", [TimeInForce.DAY, IOC, FOK, GTC])
def test_the_time_in_force_is_kept_when_the_exchange_is_stored(tif: TimeInForce) -> None:
    rig = ExchangeRig(SHARE)
    rig.place("o", BUY, "10", "100", tif=tif)
    state = rig.exchange.export_state()
    other = ExchangeRig(SHARE, at=rig.now)
    other.exchange.import_state(state)

    assert other.exchange.export_state() == state
    other.quote("99", "5", "101", "4")
    assert other.open == ([] if tif in (IOC, FOK) else ["o"])


# -- stops ---------------------------------------------------------------------------------------------------


def test_a_stop_sells_at_the_first_bid_that_reaches_it_and_never_at_its_trigger() -> None:
    """Given a stop at 95, when the bid goes from 96 to 90, then it sells at 90: a gap fills at the first price."""
    rig = ExchangeRig(SHARE)
    rig.hold("10")
    rig.place("o", SELL, "10", stop="95")
    rig.quote("96", "50", "97", "50")
    assert rig.open == ["o"]
    rig.quote("90", "50", "91", "50")

    assert rig.filled == [("o", "10", "90")]


def test_a_stop_buys_once_the_ask_reaches_it() -> None:
    rig = ExchangeRig(SHARE)
    rig.place("o", BUY, "10", stop="105")
    rig.quote("103", "50", "104", "50")
    assert rig.open == ["o"]
    rig.quote("105", "50", "106", "50")

    assert rig.filled == [("o", "10", "106")]


def test_a_stop_with_a_limit_rests_where_the_gap_went_beyond_it() -> None:
    rig = ExchangeRig(SHARE)
    rig.hold("10")
    rig.place("o", SELL, "10", "94", stop="95")
    rig.quote("90", "50", "91", "50")
    assert (rig.filled, rig.open) == ([], ["o"])
    rig.quote("94", "50", "95", "50")

    assert rig.filled == [("o", "10", "94")]


def test_a_trade_reaches_a_stop_beside_quotes_and_the_next_quote_fills_it() -> None:
    rig = ExchangeRig(SHARE)
    rig.hold("10")
    rig.quote("96", "50", "97", "50")
    rig.place("o", SELL, "10", stop="95")
    rig.trade("95", "1")
    assert rig.filled == []
    rig.quote("96", "50", "97", "51")

    assert rig.filled == [("o", "10", "96")]


def test_on_trades_alone_a_stop_has_no_part_in_the_trade_that_reached_it() -> None:
    rig = ExchangeRig(SHARE)
    rig.place("in", BUY, "10")
    rig.trade("100", "100")
    rig.reports.clear()
    rig.place("o", SELL, "10", stop="95")
    rig.trade("94", "100")
    assert rig.filled == []
    rig.trade("93", "100")

    assert rig.filled == [("o", "10", "93")]


def test_depth_reaches_a_stop() -> None:
    rig = ExchangeRig(SHARE)
    rig.book({"99": "50"}, {"101": "50"}, snapshot=True)
    rig.place("in", BUY, "10")
    rig.book({"99": "50"}, {"101": "50"}, snapshot=True)
    rig.reports.clear()
    rig.place("o", SELL, "10", stop="95")
    rig.book({"94": "50"}, {"101": "50"}, snapshot=True)

    assert rig.filled == [("o", "10", "94")]


def test_an_immediate_stop_waits_for_its_trigger_and_then_no_longer() -> None:
    rig = ExchangeRig(SHARE)
    rig.hold("10")
    rig.place("o", SELL, "10", stop="95", tif=IOC)
    rig.quote("96", "50", "97", "50")
    assert rig.open == ["o"]
    rig.quote("94", "4", "97", "50")

    assert (rig.filled, rig.open) == ([("o", "4", "94")], [])
    assert rig.positions == {"SHARE": Decimal(6)}
