"""Warm-up: bars built from rows before a session, from where they came, and how many are missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from hypothesis import example, given, settings
from hypothesis import strategies as st

from qts.clock import NS_PER_S
from qts.market.contracts import Bar, Tick
from qts.market.series.builder import BarBuilder, EndedBars
from qts.market.series.history import History, RowHistory, Rows
from qts.market.series.origin_notes import notes_on_origins
from qts.market.series.wanted import wanted_bars
from qts.notes import in_english, in_korean

from .samples import KRX, SAMSUNG, bars_of, builder, feed_bar, give, kst, prices_of, trade
from .test_builder_properties import ALL, DAY, all_of, tapes

MINUTE = 60 * NS_PER_S
OPEN = kst("2024-03-04 09:00:00")
CLOSE = kst("2024-03-04 15:30:00")


def read(sources: Sequence[Rows], before_ns: int, declared: dict[str, int]) -> RowHistory:
    history = RowHistory(wanted_bars(declared, (), "bars"), KRX)
    history.read(sources, before_ns)
    return history


def rows(values: Iterable[Tick | Bar], name: str = "old.csv", rank: int = 1) -> Rows:
    return Rows(name, rank, list(values))


def minutes(first: int, last: int, volume: str = "1") -> list[Bar]:
    return [feed_bar(OPEN + n * MINUTE, f"{n} {n} {n} {n}", volume, "1m") for n in range(first, last + 1)]


def test_the_last_bars_before_a_moment_are_given_in_order() -> None:
    history: History = read([rows(minutes(1, 9))], OPEN + 9 * MINUTE, {"1m": 5, "5m": 3})

    assert [bar.close for bar in history.bars(SAMSUNG, "1m", 3, OPEN + 9 * MINUTE)] == [7, 8, 9]
    assert [bar.close for bar in history.bars(SAMSUNG, "1m", 3, OPEN + 8 * MINUTE)] == [6, 7, 8]
    assert [prices_of(bar) for bar in history.bars(SAMSUNG, "5m", 3, OPEN + 9 * MINUTE)] == ["1 5 1 5 5 None None"]
    assert history.bars(SAMSUNG, "1h", 3, OPEN + 9 * MINUTE) == []
    assert history.bars("000660", "1m", 3, OPEN + 9 * MINUTE) == []


def test_the_session_goes_on_with_the_running_bar() -> None:
    # Given three of the five minutes of a bar
    history = read([rows(minutes(1, 3))], OPEN + 3 * MINUTE + 1, {"5m": 5})

    # When the session brings the others
    moments = [moment for bar in minutes(4, 5) for moment in give(history.builder, bar)] + history.builder.finish()

    # Then it is whole
    assert [prices_of(bar) for bar in bars_of(moments, "5m")] == ["1 5 1 5 5 None None"]


def test_a_session_on_trades_goes_on_with_what_bars_began_and_the_other_way_round() -> None:
    from_bars = read([rows(minutes(1, 3))], OPEN + 3 * MINUTE + 1, {"5m": 5}).builder
    moments = give(from_bars, trade(OPEN + 4 * MINUTE, "9", "2")) + from_bars.take_ended(OPEN + 5 * MINUTE)
    assert [prices_of(bar) for bar in bars_of(moments, "5m")] == ["1 9 1 9 5 None None"]

    from_trades = read([rows([trade(OPEN, "9", "2")])], OPEN + MINUTE, {"5m": 5}).builder
    moments = [moment for bar in minutes(2, 5) for moment in give(from_trades, bar)] + from_trades.finish()
    assert [prices_of(bar) for bar in bars_of(moments, "5m")] == ["9 9 2 5 6 None None"]


def test_the_last_bars_of_a_session_that_ended_before_are_there() -> None:
    values = [trade(CLOSE - 1, "100", "1"), trade(CLOSE + 10 * NS_PER_S, "101", "2")]

    history = read([rows(values)], kst("2024-03-05 00:00:00"), {"1d": 5, "1m": 5})

    assert [prices_of(bar) for bar in history.bars(SAMSUNG, "1d", 5, CLOSE)] == ["100 101 100 101 3 302 2"]
    assert [prices_of(bar) for bar in history.bars(SAMSUNG, "1m", 5, CLOSE)] == ["100 101 100 101 3 302 2"]


def test_trades_a_minute_after_a_close_and_later_are_in_the_first_bars_of_the_next_session() -> None:
    late = [
        trade(CLOSE + MINUTE - 1, "101", "1"),
        trade(CLOSE + MINUTE, "102", "1"),
        trade(CLOSE + 2 * MINUTE, "103", "1"),
    ]

    history = read([rows([trade(OPEN, "100", "1"), *late])], OPEN + 3 * DAY, {"1d": 5, "1m": 5})

    days = history.bars(SAMSUNG, "1d", 5, OPEN + 3 * DAY)
    assert [(bar.day, prices_of(bar)) for bar in days] == [
        ("2024-03-04", "100 101 100 101 2 201 2"),
        ("2024-03-05", "102 103 102 103 2 205 2"),
    ]


def test_a_daily_bar_that_is_known_after_the_end_of_its_session_stays_that_of_its_day() -> None:
    days = [
        feed_bar(CLOSE + n * DAY + 8 * 60 * MINUTE, "1 1 1 1", "1", "1d", day=f"2024-03-0{4 + n}") for n in range(5)
    ]

    history = read([rows(days)], OPEN + 7 * DAY, {"1d": 9, "1w": 9})

    found = history.bars(SAMSUNG, "1d", 9, OPEN + 7 * DAY)
    assert [bar.day for bar in found] == ["2024-03-04", "2024-03-05", "2024-03-06", "2024-03-07", "2024-03-08"]
    assert [bar.volume for bar in history.bars(SAMSUNG, "1w", 9, OPEN + 7 * DAY)] == [5]


def test_own_rows_take_over_from_files_at_their_first_row_of_a_symbol() -> None:
    # Given a file whose rows overlap those of the input from the fourth minute on
    file, own = rows(minutes(1, 6, volume="7")), rows(minutes(4, 6), "own", 0)

    history = read([own, file], OPEN + 7 * MINUTE, {"1m": 10})

    found = history.bars(SAMSUNG, "1m", 10, OPEN + 7 * MINUTE)
    assert [(bar.close, bar.volume) for bar in found] == [(1, 7), (2, 7), (3, 7), (4, 1), (5, 1), (6, 1)]


def test_files_that_repeat_a_bar_show_it_once() -> None:
    history = read([rows(minutes(1, 3)), rows(minutes(2, 5), "b.csv")], OPEN + 9 * MINUTE, {"1m": 10})

    found = history.bars(SAMSUNG, "1m", 10, OPEN + 9 * MINUTE)
    assert [bar.close for bar in found] == [1, 2, 3, 4, 5]


def test_what_is_told_of_the_rows_does_not_count_for_the_session() -> None:
    late = [trade(OPEN + MINUTE, "1", "1"), trade(OPEN, "1", "1")]
    bars = read([Rows("a", 1, [late[0]]), Rows("b", 1, [late[1]])], OPEN + 2 * MINUTE, {"1m": 5}).builder

    assert (bars.late, bars.before_open, bars.repeated) == (0, 0, 0)


def test_each_series_says_from_where_it_came_and_what_is_missing() -> None:
    file, own = rows(minutes(1, 3)), rows(minutes(4, 7), "own", 0)

    history = read([own, file], OPEN + 7 * MINUTE + 1, {"1m": 6, "5m": 2})

    told = {(one.symbol, one.interval): (one.sources, one.missing) for one in history.origins()}
    assert told == {
        ("000660", "1m"): ((), 6),
        ("005930", "1m"): ((("old.csv", 2), ("own", 4)), 0),
        ("000660", "5m"): ((), 2),
        ("005930", "5m"): ((("own", 1),), 1),
    }


def test_the_report_names_sources_and_what_is_missing_in_both_languages() -> None:
    history = read([rows(minutes(1, 3))], OPEN + 7 * MINUTE, {"1m": 6})

    notes = notes_on_origins(history.origins())

    assert [in_english(note) for note in notes] == [
        "warm-up: bars of 1m for 1 symbol, from old.csv (3 bars)",
        "warm-up: too few bars of 1m for 2 symbols: 000660 has 0 of 6, 005930 has 3 of 6; until they are there no "
        "entry leaves; rows before --from and files of --history give them",
    ]
    assert [in_korean(note) for note in notes] == [
        "준비 구간: 1종목의 1m봉을 다음에서 읽었습니다: old.csv(3개).",
        "준비 구간: 2종목의 1m봉이 부족합니다: 000660 6개 중 0개, 005930 6개 중 3개. 다 채워질 때까지 진입 주문은 "
        "나가지 않으며, --from 이전 행이나 --history 파일로 미리 채울 수 있습니다.",
    ]


def test_warm_up_is_told_by_moment() -> None:
    history = read([rows(minutes(1, 5))], OPEN + 5 * MINUTE + 1, {"1m": 2, "5m": 2})

    told: list[EndedBars] = history.moments()

    assert [(moment.ts_ns, [bar.interval for bar in moment.bars]) for moment in told] == [
        (OPEN + 4 * MINUTE, ["1m"]),
        (OPEN + 5 * MINUTE, ["1m", "5m"]),
    ]


def in_session(to: BarBuilder, tape: Iterable[Tick]) -> list[EndedBars]:
    """Give trades as a session does: a task a minute after each close comes before a trade of its time."""
    moments, task_ns = [], CLOSE + MINUTE
    for tick in tape:
        while task_ns <= tick.ts_ns:
            moments += to.take_ended(task_ns - 1)
            to.end_session(task_ns)
            moments += to.take_ended(task_ns)
            task_ns += DAY
        moments += give(to, tick)
    return moments


CLOSE_AND_AFTER = [trade(CLOSE + ns, "100", "1") for ns in (-1, MINUTE, MINUTE + 1)]


@given(tapes(), st.integers(0, 59))
@example(CLOSE_AND_AFTER, 1)
@example(CLOSE_AND_AFTER, 2)
@settings(deadline=None)
def test_a_tape_cut_in_two_and_warmed_up_gives_the_bars_of_the_whole(tape: list[Tick], place: int) -> None:
    # Given a tape in one piece
    seam = tape[place % len(tape)].ts_ns
    whole = builder(ALL)
    expected = in_session(whole, tape)

    # When its first part is history and the rest a session
    history = read([rows(tick for tick in tape if tick.ts_ns < seam)], seam, dict.fromkeys(ALL, 1_000))
    after = in_session(history.builder, [tick for tick in tape if tick.ts_ns >= seam])

    # Then each bar is there once, and none differs
    def by_series(bars: Iterable[Bar]) -> dict[tuple[str, str], list[Bar]]:
        found: dict[tuple[str, str], list[Bar]] = {}
        for bar in bars:
            found.setdefault((bar.symbol, bar.interval), []).append(bar)
        return found

    ended = kst("2024-06-01 00:00:00")
    whole.end_session(ended)
    history.builder.end_session(ended)
    expected += whole.take_ended(ended)
    after += history.builder.take_ended(ended)
    assert by_series([*all_of(history.moments()), *all_of(after)]) == by_series(all_of(expected))
    assert all(isinstance(bar.volume, Decimal) for bar in all_of(after))
