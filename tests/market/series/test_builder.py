"""Bars worked by hand: from trades and from a feed's own bars, in a market with hours and in one without."""

from __future__ import annotations

import pytest

from qts.clock import NEVER_NS, NS_PER_MS, NS_PER_S

from .samples import COINS, bars_of, builder, feed_bar, give, kst, prices_of, told, trade, utc

MINUTE = 60 * NS_PER_S
OPEN = kst("2024-03-04 09:00:00")
CLOSE = kst("2024-03-04 15:30:00")
SESSION_END = kst("2024-03-04 15:31:00")


def test_a_time_bar_has_the_first_highest_lowest_and_last_price_and_the_sums_of_its_trades() -> None:
    # Given three trades of one minute
    bars = builder({"1m": 5})
    trades = [trade(OPEN, "100", "2"), trade(OPEN + 30 * NS_PER_S, "103", "1"), trade(OPEN + MINUTE - 1, "99", "4")]

    # When the minute is over
    moments = told(bars, trades, until_ns=OPEN + MINUTE)

    # Then 2 × 100 + 1 × 103 + 4 × 99 = 699 is its value
    (bar,) = bars_of(moments, "1m")
    assert prices_of(bar) == "100 103 99 99 7 699 3"
    assert (bar.start_ns, bar.ts_ns, bar.day, bar.partial) == (OPEN, OPEN + MINUTE, "2024-03-04", False)
    assert [moment.ts_ns for moment in moments] == [OPEN + MINUTE]


def test_the_end_belongs_to_the_next_bar_and_is_told_before_its_trade() -> None:
    bars = builder({"1m": 5})
    give(bars, trade(OPEN, "100", "1"))
    assert bars.due_ns == OPEN + MINUTE

    moments = give(bars, trade(OPEN + MINUTE, "101", "1"))

    assert [prices_of(bar) for bar in bars_of(moments, "1m")] == ["100 100 100 100 1 100 1"]
    assert [prices_of(bar) for bar in bars_of(bars.take_ended(OPEN + 2 * MINUTE), "1m")] == [
        "101 101 101 101 1 101 1"
    ]


def test_nothing_is_told_before_the_end_and_each_bar_once() -> None:
    bars = builder({"1m": 5})
    give(bars, trade(OPEN, "100", "1"))

    assert bars.take_ended(OPEN + MINUTE - 1) == []
    assert len(bars.take_ended(OPEN + MINUTE)) == 1
    assert bars.take_ended(OPEN + MINUTE) == []
    assert bars.due_ns == NEVER_NS


def test_a_minute_without_trades_has_no_bar() -> None:
    bars = builder({"1m": 5})

    moments = told(bars, [trade(OPEN, "100", "1"), trade(OPEN + 5 * MINUTE, "101", "1")], until_ns=NEVER_NS - 1)

    assert [bar.start_ns for bar in bars_of(moments, "1m")] == [OPEN, OPEN + 5 * MINUTE]


def test_bars_of_one_moment_come_by_interval_then_by_symbol() -> None:
    bars = builder({"5m": 5, "1m": 5})
    trades = [trade(OPEN + 4 * MINUTE, "50", "1"), trade(OPEN + 4 * MINUTE, "60", "1", "000660")]

    (moment,) = told(bars, trades, until_ns=OPEN + 5 * MINUTE)

    assert [(bar.interval, bar.symbol) for bar in moment.bars] == [
        ("1m", "000660"),
        ("1m", "005930"),
        ("5m", "000660"),
        ("5m", "005930"),
    ]


def test_bars_begin_with_the_session_and_the_last_one_before_the_close_is_cut() -> None:
    # Given seven-minute bars: 390 minutes are 55 of them and 5 minutes
    bars = builder({"7m": 5})
    moments = told(bars, [trade(OPEN + 8 * MINUTE, "100", "1"), trade(CLOSE - MINUTE, "101", "1")])
    assert [(bar.start_ns - OPEN) // MINUTE for bar in bars_of(moments, "7m")] == [7]

    # When the session ends
    bars.end_session(SESSION_END)
    (moment,) = bars.take_ended(SESSION_END)

    # Then the bar of its last five minutes says so
    (last,) = moment.bars
    assert (moment.ts_ns, last.ts_ns, (CLOSE - last.start_ns) // MINUTE) == (SESSION_END, CLOSE, 5)
    assert last.partial


def test_a_trade_of_the_closing_auction_belongs_to_the_last_bar_of_the_session() -> None:
    bars = builder({"1m": 5, "1d": 5})
    moments = told(bars, [trade(CLOSE - 30 * NS_PER_S, "100", "1"), trade(CLOSE + 12 * NS_PER_S, "104", "9")])
    assert moments == []
    assert bars.due_ns == NEVER_NS  # the close alone does not end it

    bars.end_session(SESSION_END)

    (moment,) = bars.take_ended(SESSION_END)
    assert [prices_of(bar) for bar in moment.bars] == ["100 104 100 104 10 1036 2"] * 2
    assert [(bar.start_ns, bar.ts_ns, bar.partial) for bar in moment.bars] == [
        (CLOSE - MINUTE, CLOSE, False),
        (OPEN, CLOSE, False),
    ]


def test_a_trade_after_the_session_has_ended_is_in_the_next_one_and_counted() -> None:
    bars = builder({"1m": 5, "1000t": 5})
    give(bars, trade(CLOSE - 1, "100", "1"))
    bars.end_session(SESSION_END)
    bars.take_ended(SESSION_END)

    give(bars, trade(SESSION_END + 1, "101", "1"))

    tuesday = kst("2024-03-05 09:00:00")
    assert bars.due_ns == tuesday + MINUTE
    (bar,) = bars_of(bars.take_ended(tuesday + MINUTE), "1m")
    assert (bar.start_ns, bar.day, bars.late) == (tuesday, "2024-03-05", 1)


def test_a_late_trade_is_in_the_running_bar_and_counted() -> None:
    # Given a bar that was told
    bars = builder({"1m": 5, "5m": 5})
    told(bars, [trade(OPEN, "100", "1"), trade(OPEN + MINUTE, "101", "1")])

    # When a trade comes that is older than its end
    give(bars, trade(OPEN + MINUTE - NS_PER_MS, "105", "2"))

    # Then the next bar has it, and the coarser one is still the sum
    moments = told(bars, [], until_ns=OPEN + 5 * MINUTE)
    assert [prices_of(bar) for bar in bars_of(moments, "1m")] == ["101 105 101 105 3 311 2"]
    assert [prices_of(bar) for bar in bars_of(moments, "5m")] == ["100 105 100 105 4 411 3"]
    assert bars.late == 1


def test_no_symbol_is_late_for_a_moment_that_was_told_of_another() -> None:
    bars = builder({"1m": 5})
    told(bars, [trade(OPEN, "100", "1")], until_ns=OPEN + MINUTE)

    give(bars, trade(OPEN + MINUTE - 1, "50", "1", "000660"))

    (bar,) = bars_of(bars.take_ended(OPEN + 2 * MINUTE), "1m", "000660")
    assert (bar.start_ns, bars.late) == (OPEN + MINUTE, 1)


def test_a_trade_before_the_open_is_in_the_first_bar_and_counted() -> None:
    bars = builder({"1m": 5})

    moments = told(bars, [trade(OPEN - MINUTE, "99", "1"), trade(OPEN, "100", "1")], until_ns=OPEN + MINUTE)

    assert [prices_of(bar) for bar in bars_of(moments, "1m")] == ["99 100 99 100 2 199 2"]
    assert (bars.before_open, bars.late) == (1, 0)


def test_the_next_session_ends_bars_whose_session_end_was_never_told() -> None:
    bars = builder({"1m": 5, "1d": 5, "1000t": 5})
    tuesday = kst("2024-03-05 09:00:00")

    moments = told(bars, [trade(CLOSE - 1, "100", "1"), trade(tuesday, "101", "1")])

    assert [(bar.interval, bar.day, bar.partial) for moment in moments for bar in moment.bars][:3] == [
        ("1m", "2024-03-04", False),
        ("1d", "2024-03-04", False),
        ("1000t", "2024-03-04", True),
    ]


def test_a_week_goes_from_its_first_open_to_its_last_close() -> None:
    # Given a week whose Friday is a holiday (2026-05-01)
    bars = builder({"1w": 5})
    moments = told(
        bars, [trade(kst("2026-04-27 10:00:00"), "100", "1"), trade(kst("2026-04-30 10:00:00"), "90", "1")]
    )
    assert moments == []

    # When the session of Thursday ends
    bars.end_session(kst("2026-04-30 15:31:00"))

    # Then the week is over
    (bar,) = bars_of(bars.take_ended(kst("2026-04-30 15:31:00")), "1w")
    assert (bar.start_ns, bar.ts_ns) == (kst("2026-04-27 09:00:00"), kst("2026-04-30 15:30:00"))
    assert (bar.day, bar.partial) == ("2026-04-30", False)


def test_a_week_is_not_over_while_it_has_sessions() -> None:
    bars = builder({"1w": 5})
    give(bars, trade(kst("2026-04-27 10:00:00"), "100", "1"))

    bars.end_session(kst("2026-04-27 15:31:00"))

    assert bars.take_ended(kst("2026-04-27 15:31:00")) == []


def test_a_market_that_never_closes_has_days_from_midnight_to_midnight() -> None:
    bars = builder({"1h": 5, "1d": 5, "7h": 5}, COINS)
    late = utc("2024-03-04 23:59:59")

    moments = told(bars, [trade(late, "100", "1", "BTC")], until_ns=utc("2024-03-05 00:00:00"))

    ended = {bar.interval: bar for moment in moments for bar in moment.bars}
    assert {name: bar.start_ns for name, bar in ended.items()} == {
        "1h": utc("2024-03-04 23:00:00"),
        "7h": utc("2024-03-04 21:00:00"),
        "1d": utc("2024-03-04 00:00:00"),
    }
    assert {name: bar.partial for name, bar in ended.items()} == {"1h": False, "7h": True, "1d": False}


def test_a_bar_of_trades_ends_with_the_trade_that_completes_it() -> None:
    bars = builder({"3t": 5})
    first = [trade(OPEN + n, str(100 + n), "1") for n in range(3)]
    assert [give(bars, one) for one in first[:2]] == [[], []]

    (moment,) = give(bars, first[2])

    (bar,) = moment.bars
    assert (moment.ts_ns, bar.start_ns, bar.ts_ns) == (OPEN + 2, OPEN, OPEN + 2)
    assert prices_of(bar) == "100 102 100 102 3 303 3"


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        # A trade of 7 is not divided: the bar of 5 has 3 + 7.
        ("5v", ["100 101 100 101 10 1007 2", "102 102 102 102 5 510 1"]),
        # 300 + 707 = 1,007 and 510 + 103 = 613, with 500 as the bar.
        ("500$", ["100 101 100 101 10 1007 2", "102 102 102 102 5 510 1"]),
    ],
)
def test_a_trade_is_not_divided_between_bars_of_volume_or_value(interval: str, expected: list[str]) -> None:
    bars = builder({interval: 5})
    trades = [
        trade(OPEN, "100", "3"),
        trade(OPEN + 1, "101", "7"),
        trade(OPEN + 2, "102", "5"),
        trade(OPEN + 3, "103", "1"),
    ]

    moments = told(bars, trades)

    assert [prices_of(bar) for bar in bars_of(moments, interval)] == expected


def test_bars_of_trades_end_partially_with_the_session_and_go_on_where_there_is_none() -> None:
    krx, coins = builder({"3t": 5}), builder({"3t": 5}, COINS)
    told(krx, [trade(OPEN, "100", "1")])
    told(coins, [trade(OPEN, "100", "1", "BTC")])

    for one in (krx, coins):
        one.end_session(SESSION_END)

    (bar,) = bars_of(krx.take_ended(SESSION_END), "3t")
    assert (bar.partial, bar.trades) == (True, 1)
    assert coins.take_ended(SESSION_END) == []


def test_bars_that_a_feed_sends_are_told_with_their_beginning_at_the_next_moment() -> None:
    # Given bars of two symbols at one time, the second symbol's first
    bars = builder({"1m": 5})
    first = [feed_bar(OPEN + MINUTE, "1 2 1 2", "5", "1m", symbol) for symbol in ("005930", "000660")]
    assert [give(bars, bar) for bar in first] == [[], []]
    assert bars.due_ns == OPEN + MINUTE + 1

    # When a later value comes
    (moment,) = give(bars, feed_bar(OPEN + 2 * MINUTE, "2 3 2 3", "5", "1m"))

    # Then they are one moment
    assert (moment.ts_ns, [bar.symbol for bar in moment.bars]) == (OPEN + MINUTE, ["000660", "005930"])
    assert {(bar.start_ns, bar.ts_ns, bar.day) for bar in moment.bars} == {(OPEN, OPEN + MINUTE, "2024-03-04")}
    assert [moment.ts_ns for moment in bars.finish()] == [OPEN + 2 * MINUTE]


def test_longer_bars_are_folded_from_the_feeds_shorter_ones_and_told_with_the_last_of_them() -> None:
    bars = builder({"1m": 5, "5m": 5})
    sent = [feed_bar(OPEN + n * MINUTE, f"{n} {n + 2} {n - 1} {n + 1}", str(n), "1m") for n in range(1, 6)]

    moments = [*told(bars, sent), *bars.finish()]

    (five,) = bars_of(moments, "5m")
    assert prices_of(five) == "1 7 0 6 15 None None"
    assert [bar.interval for bar in moments[-1].bars] == ["1m", "5m"]


def test_a_longer_bar_whose_last_part_never_comes_is_told_after_its_end() -> None:
    bars = builder({"5m": 5})
    give(bars, feed_bar(OPEN + MINUTE, "1 2 1 2", "5", "1m"))
    assert bars.due_ns == OPEN + 5 * MINUTE + 1  # what is known at its end comes first

    (moment,) = bars.take_ended(bars.due_ns)

    assert (moment.ts_ns, moment.bars[0].ts_ns) == (OPEN + 5 * MINUTE, OPEN + 5 * MINUTE)


def test_a_day_is_folded_from_minutes_with_those_after_the_close_and_told_at_the_sessions_end() -> None:
    bars = builder({"1d": 5})
    told(bars, [feed_bar(CLOSE, "1 2 1 2", "5", "1m"), feed_bar(CLOSE + MINUTE, "3 3 3 3", "7", "1m")])

    bars.end_session(SESSION_END)

    (bar,) = bars_of(bars.take_ended(SESSION_END), "1d")
    assert prices_of(bar) == "1 3 1 3 12 None None"


def test_a_week_is_folded_from_days_and_told_with_its_last() -> None:
    bars = builder({"1d": 5, "1w": 5})
    days = ["2026-04-27", "2026-04-28", "2026-04-29", "2026-04-30"]
    sent = [feed_bar(kst(f"{day} 15:30:00"), "1 2 1 2", "5", "1d", day=day) for day in days]

    moments = [*told(bars, sent), *bars.finish()]

    (week,) = bars_of(moments, "1w")
    assert (week.volume, week.start_ns, week.ts_ns) == (20, kst("2026-04-27 09:00:00"), kst("2026-04-30 15:30:00"))
    assert [bar.interval for bar in moments[-1].bars] == ["1d", "1w"]


def test_a_daily_bar_that_is_known_the_next_morning_covers_its_own_session() -> None:
    bars = builder({"1d": 5})
    known = kst("2024-03-05 08:30:00")

    give(bars, feed_bar(known, "1 2 1 2", "5", "1d", day="2024-03-04"))

    (moment,) = bars.finish()
    assert moment.ts_ns == known
    assert (moment.bars[0].start_ns, moment.bars[0].ts_ns, moment.bars[0].day) == (OPEN, known, "2024-03-04")


def test_a_bar_that_the_feed_repeats_is_dropped_and_counted() -> None:
    bars = builder({"1m": 5})
    sent = feed_bar(OPEN + MINUTE, "1 2 1 2", "5", "1m")

    moments = [*told(bars, [sent, sent]), *bars.finish()]

    assert (len(bars_of(moments, "1m")), bars.repeated) == (1, 1)


def test_a_bar_is_not_built_from_bars_that_do_not_divide_it() -> None:
    bars = builder({"5m": 5, "30s": 5, "10t": 5})

    moments = [
        *told(bars, [feed_bar(OPEN + n * 2 * MINUTE, "1 2 1 2", "5", "2m") for n in range(1, 9)]),
        *bars.finish(),
    ]

    assert moments == []


def test_a_longer_bar_takes_bars_of_one_length_alone() -> None:
    # Given a feed that sends bars of one and of five minutes
    bars = builder({"15m": 5})
    sent = [feed_bar(OPEN + n * MINUTE, "1 2 1 2", "1", "1m") for n in range(1, 16)]
    sent += [feed_bar(OPEN + n * 5 * MINUTE, "1 2 1 2", "5", "5m") for n in range(1, 4)]

    moments = [*told(bars, sorted(sent, key=lambda bar: (bar.ts_ns, bar.volume))), *bars.finish()]

    # Then nothing is added twice
    assert [bar.volume for bar in bars_of(moments, "15m")] == [15]


def test_where_trades_are_seen_the_feeds_bars_are_not_used() -> None:
    bars = builder({"1m": 5, "5m": 5})
    give(bars, trade(OPEN, "100", "1"))

    moments = told(bars, [feed_bar(OPEN + MINUTE, "1 2 1 2", "5", "1m")], until_ns=OPEN + 5 * MINUTE)

    assert [prices_of(bar) for bar in bars_of(moments, "5m")] == ["100 100 100 100 1 100 1"]
    assert [prices_of(bar) for bar in bars_of(moments, "1m")] == ["100 100 100 100 1 100 1"]


def test_symbols_that_are_not_wanted_and_unknown_ones_build_nothing() -> None:
    bars = builder({"1m": 5}, {})

    assert told(bars, [trade(OPEN, "100", "1"), feed_bar(OPEN + MINUTE, "1 2 1 2", "5", "1m")]) == []
    assert bars.due_ns == NEVER_NS


def test_a_bar_that_still_runs_at_the_end_of_the_input_is_not_told() -> None:
    bars = builder({"1m": 5}, COINS)
    give(bars, trade(OPEN, "100", "1", "BTC"))

    assert bars.finish() == []
