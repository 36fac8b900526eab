"""Faults of prices and of the line that brings them."""

from __future__ import annotations

from tests.faults import Fault, Group

PRICES = Group(
    "Prices and their line",
    (
        Fault(
            "impossible price",
            "A price is outside the band of the day, or on the scale of a split that is not known.",
            "It is held back and in no table. While it is in doubt the symbol takes no entry, and nothing "
            "fills at it; "
            "a wrong print that reverts leaves nothing behind.",
            (
                "tests/runtime/test_price_bands.py::test_no_price_outside_is_ever_in_a_table",
                "tests/runtime/test_price_bands.py::test_an_entry_in_doubt_is_refused_by_a_reason_of_its_own",
                "tests/runtime/test_price_bands.py::test_a_wrong_print_that_reverts_leaves_no_doubt_behind",
                "tests/sim/test_impossible_prices.py::test_no_fill_and_no_value_ever_comes_from_the_other_scale",
            ),
        ),
        Fault(
            "line of prices down",
            "The live feed is not connected.",
            "It is told once; prices grow old, and old prices let no entry leave. The line is made again.",
            (
                "tests/runtime/test_live_driver.py::test_a_line_that_is_down_is_told_once",
                "tests/broker/kis/test_feed.py::test_a_lost_line_is_a_gap_and_is_made_again_without_a_new_key",
            ),
        ),
        Fault(
            "line that flaps",
            "The live feed is cut again and again.",
            "It is registered once each time, and no storm of keys or registrations follows.",
            ("tests/broker/kis/test_feed.py::test_cuts_one_after_the_other_make_no_storm",),
        ),
        Fault(
            "too many prices",
            "A live feed is faster than the session.",
            "The newest are given, the others counted and told, safety warns; depth is unknown after a gap.",
            (
                "tests/runtime/test_live_driver.py::test_what_comes_too_fast_is_dropped_counted_and_told",
                "tests/runtime/test_live_driver.py::"
                "test_a_gap_is_told_and_the_depth_of_the_book_is_unknown_after_it",
            ),
        ),
        Fault(
            "price out of order",
            "A trade of KIS comes again, or an older one comes late.",
            "It is counted, moves nothing back, and its volume counts once.",
            (
                "tests/broker/kis/test_frames.py::"
                "TestTrades::test_a_trade_that_comes_again_is_counted_and_not_told_twice",
                "tests/broker/kis/test_frames.py::TestTrades::test_an_older_trade_moves_nothing_back",
            ),
        ),
        Fault(
            "no price",
            "A price or size is NaN, infinite, 0, below 0, a text, or 1e308.",
            "The row never becomes a value and is counted by its reason; the last price grows old.",
            (
                "tests/market/files/test_csv.py::test_a_bad_row_is_refused_by_reason_and_its_neighbours_live",
                "tests/market/files/test_binance.py::test_a_bad_row_is_refused_by_reason_and_its_neighbours_live",
                "tests/broker/kis/test_frames.py::TestTrades::test_one_record_that_cannot_be_used_leaves_the_others",
            ),
        ),
        Fault(
            "old price",
            "No price comes for longer than its limit, or one is dated in the future.",
            "No entry leaves; exits do.",
            (
                "tests/risk/test_gate.py::TestPrice::test_as_old_as_its_limit_is_fresh",
                "tests/risk/test_gate.py::TestPrice::test_older_or_from_the_future_may_close_but_not_open",
                "tests/pipeline/test_extract.py::test_the_age_is_that_of_the_feed_not_of_the_symbol",
            ),
        ),
        Fault(
            "crossed or empty book",
            "A bid is above the ask, a side is empty, an ask is 0.",
            "No entry is decided on it, and nothing fills at it.",
            (
                "tests/pipeline/test_extract.py::test_an_entry_on_a_crossed_book_is_refused_and_an_exit_leaves",
                "tests/broker/test_matching_quotes.py::test_a_crossed_book_offers_nothing_a_locked_one_does",
                "tests/broker/kis/test_frames.py::TestBooks::test_a_crossed_book_is_refused",
            ),
        ),
        Fault(
            "time that goes back",
            "A row of a file is older than the one before it.",
            "It is left out and counted; time never goes back.",
            (
                "tests/market/files/test_times.py::test_the_same_time_is_fine_one_nanosecond_less_is_backwards",
                "tests/broker/test_matching_quotes.py::test_a_value_older_than_the_last_one_matches_nothing",
            ),
        ),
        Fault(
            "unknown symbol",
            "A symbol is not listed, not known, or has lost a leading zero.",
            "It is refused with what it may have been; no order for it ever leaves.",
            (
                "tests/risk/test_gate.py::TestSymbolAndQuantity::test_an_unknown_symbol_never_leaves",
                "tests/market/files/test_reading.py::test_a_lost_leading_zero_is_named",
                "tests/market/test_krx.py::TestInstrument::test_a_code_that_lost_its_zeros_gets_the_hint",
                "tests/broker/kis/test_feed.py::test_a_symbol_that_kis_does_not_know_is_told_and_left",
            ),
        ),
        Fault(
            "price off the grid",
            "A limit is off the price grid, a quantity is no whole lot or 0.",
            "It is rounded to the safe side where QTS makes it, and refused before it leaves where a strategy "
            "gives it.",
            (
                "tests/risk/test_gate.py::TestPrice::test_a_limit_off_the_grid_never_leaves",
                "tests/risk/test_gate.py::TestSymbolAndQuantity::test_only_whole_lots_leave",
                "tests/pipeline/test_transform.py::"
                "test_a_market_buy_leaves_as_a_limit_one_percent_above_the_ask_rounded_down_to_the_grid",
            ),
        ),
        Fault(
            "volatility index silent",
            "The feed declares a volatility index, and no level of it comes.",
            "It is unknown, never calm: the operating state can only become more careful.",
            (
                "tests/runtime/test_volatility.py::"
                "test_a_declared_index_is_known_for_thirty_hours_and_its_silence_is_never_calm",
                "tests/runtime/test_state_basis.py::test_the_stand_in_for_the_volatility_never_counts_as_known",
            ),
        ),
        Fault(
            "closed market",
            "It is a holiday, after the close, or an instrument is halted or interrupted.",
            "No entry leaves; an exit waits until the market takes it.",
            (
                "tests/risk/test_gate.py::TestMarketAndKeys::test_a_closed_market_takes_nothing",
                "tests/runtime/test_flatten.py::test_while_the_market_is_closed_it_waits_and_says_so",
                "tests/broker/kis/test_frames.py::TestStatus::test_halt_and_interruption_are_told",
            ),
        ),
    ),
)
GROUPS = (PRICES,)
