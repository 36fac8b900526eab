"""Quoted sources: what is taken from displayed size, and how a limit waits its turn."""

from __future__ import annotations

import pytest

from tests.broker.exchange_rig import BUY, COIN, SELL, ExchangeRig

# -- taking -------------------------------------------------------------------------------------------------


def test_a_market_buy_takes_the_ask_of_the_next_quote_not_of_the_one_it_was_decided_on() -> None:
    rig = ExchangeRig()
    rig.quote("99", "10", "100", "10")
    rig.place("o", BUY, "5")
    assert rig.filled == []
    rig.quote("100", "10", "101", "10")
    assert rig.filled == [("o", "5", "101")]
    assert rig.fills[0].last


def test_a_market_sell_takes_the_bid() -> None:
    rig = ExchangeRig()
    rig.hold("5")
    rig.place("o", SELL, "5")
    rig.quote("98", "10", "100", "10")
    assert rig.filled == [("o", "5", "98")]
    assert rig.positions == {}


def test_only_displayed_size_is_taken_and_the_rest_waits_for_the_next_statement_of_the_market() -> None:
    rig = ExchangeRig()
    rig.place("o", BUY, "12")
    rig.quote("99", "10", "100", "5")
    rig.quote("99", "10", "100", "5")
    rig.quote("99", "10", "101", "5")
    assert rig.filled == [("o", "5", "100"), ("o", "5", "100"), ("o", "2", "101")]
    assert [fill.last for fill in rig.fills] == [False, False, True]


def test_the_same_quote_sent_twice_offers_its_size_once() -> None:
    rig = ExchangeRig()
    rig.place("o", BUY, "12")
    rig.quote("99", "10", "100", "5")
    rig.quote("99", "10", "100", "5", ms=0)  # same stamp, same prices, same sizes
    assert rig.filled == [("o", "5", "100")]


def test_a_change_of_size_within_one_stamp_is_a_new_statement() -> None:
    rig = ExchangeRig()
    rig.place("o", BUY, "12")
    rig.quote("99", "10", "100", "5")
    rig.quote("99", "10", "100", "6", ms=0)
    assert rig.filled == [("o", "5", "100"), ("o", "6", "100")]


def test_two_orders_share_one_displayed_size_by_time() -> None:
    rig = ExchangeRig()
    rig.place("first", BUY, "4")
    rig.place("second", BUY, "4")
    rig.quote("99", "10", "100", "6")
    assert rig.filled == [("first", "4", "100"), ("second", "2", "100")]


def test_a_market_order_and_the_better_limit_go_before_an_earlier_worse_limit() -> None:
    rig = ExchangeRig()
    rig.place("low", BUY, "4", "100")
    rig.place("high", BUY, "4", "101")
    rig.place("market", BUY, "4")
    rig.quote("99", "10", "100", "9")
    assert rig.filled == [("market", "4", "100"), ("high", "4", "100"), ("low", "1", "100")]


@pytest.mark.parametrize(("ask", "filled"), [("100", [("o", "5", "100")]), ("101", [])])
def test_a_limit_buy_pays_its_limit_at_most(ask: str, filled: list[tuple[str, str, str]]) -> None:
    rig = ExchangeRig()
    rig.place("o", BUY, "5", "100")
    rig.quote("99", "10", ask, "10")
    assert rig.filled == filled


def test_a_marketable_limit_pays_the_ask_not_its_limit() -> None:
    rig = ExchangeRig()
    rig.place("o", BUY, "15", "105")
    rig.quote("99", "10", "100", "10")
    rig.quote("99", "10", "101", "10")
    assert rig.filled == [("o", "10", "100"), ("o", "5", "101")]


@pytest.mark.parametrize(("bid", "filled"), [("100", [("o", "5", "100")]), ("99", [])])
def test_a_limit_sell_gets_its_limit_at_least(bid: str, filled: list[tuple[str, str, str]]) -> None:
    rig = ExchangeRig()
    rig.hold("5")
    rig.place("o", SELL, "5", "100")
    rig.quote(bid, "10", "101", "10")
    assert rig.filled == filled


@pytest.mark.parametrize("missing", ["none", "zero"])
def test_an_empty_side_offers_nothing(missing: str) -> None:
    rig = ExchangeRig()
    rig.place("o", BUY, "5")
    rig.quote("99", "10", *((None, None) if missing == "none" else ("0", "0")))
    assert rig.filled == []
    assert rig.open == ["o"]


def test_a_price_without_a_size_stands_for_one_lot() -> None:
    rig = ExchangeRig(COIN)
    rig.place("o", BUY, "0.3")
    rig.quote("99", None, "100", None)
    assert rig.filled == [("o", "0.1", "100")]


def test_a_crossed_book_offers_nothing_a_locked_one_does() -> None:
    rig = ExchangeRig()
    rig.place("o", BUY, "5")
    rig.quote("101", "10", "100", "10")
    assert rig.filled == []
    rig.quote("100", "10", "100", "10")
    assert rig.filled == [("o", "5", "100")]


def test_sizes_that_are_no_whole_lots_are_floored_to_lots() -> None:
    rig = ExchangeRig(COIN)
    rig.place("o", BUY, "1.0")
    rig.quote("99.5", "1", "100", "0.37")
    assert rig.filled == [("o", "0.3", "100")]


def test_a_value_older_than_the_last_one_matches_nothing() -> None:
    rig = ExchangeRig()
    rig.place("o", BUY, "9")
    rig.quote("99", "10", "100", "4", ms=5)
    quote = rig.last_values.quotes["SHARE"]
    old = type(quote)("SHARE", quote.ts_ns - 1, quote.bid, quote.ask, quote.bid_size, quote.ask_size)
    rig.tell(old)
    assert rig.filled == [("o", "4", "100")]


# -- deeper levels ------------------------------------------------------------------------------------------


def test_what_the_touch_cannot_give_comes_from_deeper_levels_of_a_fresh_book() -> None:
    # given asks 100 x 5 (touch), 101 x 3, 103 x 9 in the book
    rig = ExchangeRig()
    rig.book({"99": "10"}, {"100": "5", "101": "3", "103": "9"}, snapshot=True)
    rig.place("o", BUY, "10")
    # when the quote states the touch with 4 only (newer than the book)
    rig.quote("99", "10", "100", "4")
    # then 4 at 100, 3 at 101, 3 at 103
    assert rig.filled == [("o", "4", "100"), ("o", "3", "101"), ("o", "3", "103")]


def test_a_limit_stops_the_walk_at_its_price() -> None:
    rig = ExchangeRig()
    rig.book({}, {"100": "5", "101": "3", "103": "9"}, snapshot=True)
    rig.place("o", BUY, "10", "101")
    rig.quote("99", "10", "100", "5")
    assert rig.filled == [("o", "5", "100"), ("o", "3", "101")]


def test_a_sell_walks_the_bids_downward() -> None:
    rig = ExchangeRig()
    rig.hold("10")
    rig.book({"99": "2", "98": "3", "96": "9"}, {"100": "5"}, snapshot=True)
    rig.place("o", SELL, "7")
    rig.quote("99", "2", "100", "5")
    assert rig.filled == [("o", "2", "99"), ("o", "3", "98"), ("o", "2", "96")]


def test_a_deeper_level_we_emptied_is_not_offered_again_until_the_book_states_it_again() -> None:
    rig = ExchangeRig()
    rig.book({}, {"100": "2", "101": "3"}, snapshot=True)
    rig.place("o", BUY, "20")
    rig.quote("99", "10", "100", "2")  # 2 + 3
    rig.quote("99", "10", "100", "2")  # 2, nothing at 101
    rig.book({}, {"101": "4"})
    rig.quote("99", "10", "100", "2")  # 2 + 4
    assert [qty for _, qty, _ in rig.filled] == ["2", "3", "2", "2", "4"]


@pytest.mark.parametrize(("age_ms", "qty"), [(1_000, ["2", "3"]), (1_000.001, ["2"])])
def test_a_stale_book_gives_no_depth(age_ms: float, qty: list[str]) -> None:
    rig = ExchangeRig()  # book_max_age_ms 1,000
    rig.book({}, {"100": "2", "101": "3"}, snapshot=True)
    rig.place("o", BUY, "20")
    rig.quote("99", "10", "100", "2", ms=age_ms)
    assert [filled for _, filled, _ in rig.filled] == qty


def test_book_levels_better_than_the_newer_touch_are_gone() -> None:
    rig = ExchangeRig()
    rig.book({}, {"100": "50", "101": "50"}, snapshot=True)
    rig.place("o", BUY, "5")
    rig.quote("99", "10", "101", "2")
    assert rig.filled == [("o", "2", "101")]


def test_without_any_quote_the_book_itself_is_matched() -> None:
    rig = ExchangeRig()
    rig.book({"99": "5"}, {"100": "2", "101": "9"}, snapshot=True)
    rig.place("o", BUY, "5")
    assert rig.filled == []
    rig.book({"98": "1"}, {})
    assert rig.filled == [("o", "2", "100"), ("o", "3", "101")]
    rig.place("p", BUY, "1", "100")
    rig.book({"97": "1"}, {})  # 100 is empty by our own taking
    assert rig.filled[2:] == []


# -- resting: the queue -------------------------------------------------------------------------------------


def resting_buy(qty: str = "10", at: str = "99", displayed: str = "30") -> ExchangeRig:
    """A limit buy resting at the bid behind ``displayed`` shares."""
    rig = ExchangeRig()
    rig.place("o", BUY, qty, at)
    rig.quote("99", displayed, "100", "50")
    assert rig.filled == []
    return rig


@pytest.mark.parametrize(
    ("traded", "filled"), [("30", []), ("31", [("o", "1", "99")]), ("45", [("o", "10", "99")])]
)
def test_the_size_displayed_when_we_joined_goes_first(traded: str, filled: list[tuple[str, str, str]]) -> None:
    rig = resting_buy()
    rig.trade("99", traded, buyer_is_maker=True)
    assert rig.filled == filled


def test_the_queue_is_eaten_over_several_trades() -> None:
    rig = resting_buy()
    for size in ("12", "12", "12", "3"):  # 12 + 12 of 30 eaten, then 6 eaten + 6 ours, then 3 ours
        rig.trade("99", size, buyer_is_maker=True)
    assert rig.filled == [("o", "6", "99"), ("o", "3", "99")]


def test_a_buyer_lifting_the_other_side_does_not_eat_our_queue() -> None:
    rig = resting_buy(displayed="0")
    rig.trade("99", "50", buyer_is_maker=False)
    assert rig.filled == []
    rig.trade("99", "4", buyer_is_maker=None)  # a source that does not say counts
    assert rig.filled == [("o", "4", "99")]


def test_a_trade_at_a_worse_price_for_us_changes_nothing() -> None:
    rig = resting_buy(displayed="0")
    rig.trade("100", "50", buyer_is_maker=True)
    assert rig.filled == []


def test_a_trade_beyond_our_price_fills_us_at_our_price_up_to_its_size() -> None:
    rig = resting_buy()
    rig.trade("98", "4", buyer_is_maker=True)
    assert rig.filled == [("o", "4", "99")]
    rig.trade("99", "1", buyer_is_maker=True)  # everything before us at 99 must be gone
    assert rig.filled == [("o", "4", "99"), ("o", "1", "99")]


def test_a_quote_reaching_our_price_fills_us_at_our_price_up_to_the_displayed_size() -> None:
    rig = resting_buy()
    rig.quote("97", "10", "98", "7")
    assert rig.filled == [("o", "7", "99")]


def test_the_queue_is_never_longer_than_what_is_displayed() -> None:
    rig = resting_buy()  # 30 ahead
    rig.quote("99", "5", "100", "50")  # cancels ahead of us: 5 at most are left
    rig.quote("99", "80", "100", "50")  # newcomers stand behind us
    rig.trade("99", "6", buyer_is_maker=True)
    assert rig.filled == [("o", "1", "99")]


def test_inside_the_spread_there_is_no_queue_ahead() -> None:
    rig = ExchangeRig()
    rig.place("o", BUY, "5", "100")
    rig.quote("99", "30", "101", "30")
    rig.trade("100", "2", buyer_is_maker=True)
    assert rig.filled == [("o", "2", "100")]


def test_an_unknown_queue_never_fills_at_its_price_only_beyond_it() -> None:
    rig = ExchangeRig()
    rig.place("o", BUY, "5", "97")
    rig.quote("99", "30", "100", "30")  # what stands at 97 is not shown
    rig.trade("97", "500", buyer_is_maker=True)
    assert rig.filled == []
    rig.trade("96", "2", buyer_is_maker=True)
    assert rig.filled == [("o", "2", "97")]


def test_the_depth_book_tells_the_queue_below_the_touch() -> None:
    rig = ExchangeRig()
    rig.book({"99": "30", "97": "8"}, {"100": "30"}, snapshot=True)
    rig.place("o", BUY, "5", "97")
    rig.quote("99", "30", "100", "30")
    rig.trade("97", "9", buyer_is_maker=True)
    assert rig.filled == [("o", "1", "97")]


def test_two_orders_of_ours_at_one_price_fill_in_turn_and_share_the_trade() -> None:
    rig = ExchangeRig()
    rig.place("first", BUY, "4", "99")
    rig.place("second", BUY, "4", "99")
    rig.quote("99", "10", "100", "10")
    rig.trade("99", "15", buyer_is_maker=True)  # 10 ahead of both, 4 to the first, 1 to the second
    assert rig.filled == [("first", "4", "99"), ("second", "1", "99")]


def test_one_trade_beyond_two_limits_is_given_once() -> None:
    rig = ExchangeRig()
    rig.place("high", BUY, "4", "99")
    rig.place("low", BUY, "4", "98")
    rig.quote("99", "10", "100", "10")
    rig.trade("97", "6", buyer_is_maker=True)
    assert rig.filled == [("high", "4", "99"), ("low", "2", "98")]


def test_a_resting_sell_mirrors_a_resting_buy() -> None:
    rig = ExchangeRig()
    rig.hold("20")
    rig.place("o", SELL, "10", "101")
    rig.quote("99", "10", "101", "20")
    rig.trade("101", "25", buyer_is_maker=True)  # a seller hit the bid: not our queue
    assert rig.filled == []
    rig.trade("101", "23", buyer_is_maker=False)
    rig.trade("102", "2", buyer_is_maker=False)
    rig.quote("102", "4", "103", "9")
    assert rig.filled == [("o", "3", "101"), ("o", "2", "101"), ("o", "4", "101")]


def test_a_limit_arriving_at_a_trade_joins_behind_the_standing_quote() -> None:
    rig = ExchangeRig()
    rig.quote("99", "10", "100", "10")
    rig.place("o", BUY, "5", "99")
    rig.trade("99", "12", buyer_is_maker=True)  # 10 ahead, 2 ours
    assert rig.filled == [("o", "2", "99")]


def test_a_marketable_limit_arriving_at_a_trade_waits_for_the_next_quote() -> None:
    rig = ExchangeRig()
    rig.quote("99", "10", "100", "10")
    rig.place("o", BUY, "5", "100")
    rig.place("m", BUY, "5")
    rig.trade("98", "50", buyer_is_maker=True)
    assert rig.filled == []
    rig.quote("99", "10", "100", "10")
    assert rig.filled == [("m", "5", "100"), ("o", "5", "100")]


# -- a quote that carries a trade -------------------------------------------------------------------------------


def test_the_trade_of_a_row_beyond_our_price_fills_us_at_our_price_up_to_its_size() -> None:
    """Given bid 99 and ask 100 in each row: the ask never comes to 99, only the trades go through it."""
    rig = resting_buy()
    rig.traded_quote("99", "30", "100", "50", "98", "4")
    rig.traded_quote("99", "30", "100", "50", "98", "50")
    assert rig.filled == [("o", "4", "99"), ("o", "6", "99")]


def test_the_trades_of_rows_eat_the_queue_at_our_price() -> None:
    rig = resting_buy()
    rig.traded_quote("99", "30", "100", "50", "99", "12")  # 30 ahead, 18 left
    rig.traded_quote("99", "20", "100", "50", "99", "12")  # 6 left; the 20 shown hold newcomers behind us
    assert rig.filled == []
    rig.traded_quote("99", "20", "100", "50", "99", "9")  # 6 go first
    assert rig.filled == [("o", "3", "99")]


@pytest.mark.parametrize("size", [None, "0"])
def test_a_last_price_without_size_is_no_trade(size: str | None) -> None:
    rig = resting_buy()
    rig.traded_quote("99", "30", "100", "50", "98", size)
    assert rig.filled == []


def test_an_order_that_comes_with_a_row_gets_nothing_of_the_trade_before_it() -> None:
    """Given that the row shows 10 at 99 after its trade: we join behind those 10, and the trade is over."""
    rig = ExchangeRig()
    rig.place("o", BUY, "5", "99")
    rig.traded_quote("99", "10", "100", "50", "98", "500")
    assert rig.filled == []
    rig.traded_quote("99", "10", "100", "50", "99", "12")  # 10 ahead, 2 ours
    assert rig.filled == [("o", "2", "99")]


def test_a_marketable_order_takes_the_offer_of_the_row_not_its_trade() -> None:
    rig = ExchangeRig()
    rig.place("o", BUY, "5", "100")
    rig.traded_quote("99", "10", "100", "3", "98", "500")
    assert rig.filled == [("o", "3", "100")]


def test_a_resting_sell_is_filled_by_the_trade_of_a_row_above_its_price() -> None:
    rig = ExchangeRig()
    rig.hold("10", "95")
    rig.place("o", SELL, "10", "101")
    rig.quote("99", "10", "100", "50")
    rig.traded_quote("99", "10", "100", "50", "102", "7")
    assert rig.filled == [("o", "7", "101")]


def test_the_trade_of_a_crossed_row_is_not_trusted_either() -> None:
    rig = resting_buy()
    rig.traded_quote("101", "30", "100", "50", "98", "50")
    assert rig.filled == []
