"""What a strategy does again and again: each limit at one less, at it, and at one more."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.risk.strategy_counts import MOST_ASKED, Asked, Executions, StopOuts
from tests.effort import examples

S = 1_000_000_000
KIND = ("alpha", "005930", "BUY")
MINUTE = 60 * S


def test_a_strategy_may_ask_for_as_many_orders_in_a_second_as_the_limit_says() -> None:
    asked = Asked()

    assert [asked.is_over("alpha", 3, ns) for ns in (0, 1, 2)] == [False] * 3
    assert asked.is_over("alpha", 3, S - 1)
    assert asked.count("alpha", S - 1) == 4


def test_another_strategy_and_another_second_have_limits_of_their_own() -> None:
    asked = Asked()
    for ns in (0, 1, 2):
        asked.is_over("alpha", 3, ns)

    assert not asked.is_over("beta", 3, 2)
    assert not asked.is_over("alpha", 3, S)  # the one at 0 has left
    assert asked.is_over("alpha", 3, S)


@settings(max_examples=examples(50, whole=3_000), deadline=None)
@given(st.lists(st.integers(0, S), max_size=80), st.integers(1, 6), st.integers(0, 80))
def test_a_strategy_that_is_never_over_the_limit_never_asks_for_more(
    gaps_ns: list[int], limit: int, restart: int
) -> None:
    asked, now_ns, times = Asked(), 0, []
    for number, gap_ns in enumerate(gaps_ns):
        now_ns += gap_ns
        if number == restart:
            saved, asked = asked.export_state(now_ns), Asked()
            asked.import_state(saved, now_ns)
        times.append(now_ns)
        in_second = sum(1 for one in times if one > now_ns - S)
        assert asked.is_over("alpha", limit, now_ns) is (in_second > limit)


def test_a_kind_of_execution_reaches_its_limit_with_the_last_that_it_allows() -> None:
    executions = Executions()

    assert [executions.reaches(KIND, 3, MINUTE, second * S) for second in (0, 1)] == [False, False]
    assert executions.highest("alpha", S) == 2
    assert executions.reaches(KIND, 3, MINUTE, 59 * S)


def test_executions_count_within_the_window_alone() -> None:
    executions = Executions()
    for second in (0, 1):
        executions.reaches(KIND, 3, MINUTE, second * S)

    assert not executions.reaches(KIND, 3, MINUTE, 60 * S)  # the one at 0 has left
    assert executions.reaches(KIND, 3, MINUTE, 60 * S)


@pytest.mark.parametrize(
    "other", [("beta", "005930", "BUY"), ("alpha", "000660", "BUY"), ("alpha", "005930", "SELL")]
)
def test_executions_of_another_kind_count_apart(other: tuple[str, str, str]) -> None:
    executions = Executions()
    for _ in range(2):
        executions.reaches(KIND, 3, MINUTE, 0)

    assert not executions.reaches(other, 3, MINUTE, 0)


def test_after_the_limit_the_count_begins_again() -> None:
    executions = Executions()
    for _ in range(3):
        executions.reaches(KIND, 3, MINUTE, 0)

    assert executions.highest("alpha", 0) == 0
    assert [executions.reaches(KIND, 3, MINUTE, 0) for _ in range(3)] == [False, False, True]


def test_a_shorter_window_forgets_and_a_longer_one_goes_on_with_what_is_known() -> None:
    executions = Executions()
    for second in (0, 30):
        executions.reaches(KIND, 9, MINUTE, second * S)

    executions.reaches(KIND, 9, 10 * S, 35 * S)
    assert executions.highest("alpha", 35 * S) == 2
    executions.reaches(KIND, 9, MINUTE, 36 * S)
    assert executions.highest("alpha", 36 * S) == 3


def test_executions_survive_a_restart_and_kinds_that_are_past_are_not_kept() -> None:
    executions = Executions()
    executions.reaches(("beta", "000660", "SELL"), 9, MINUTE, 0)
    for second in (50, 60):
        executions.reaches(KIND, 9, MINUTE, second * S)

    saved = executions.export_state(61 * S)
    assert saved == [MINUTE, [["alpha", "005930", "BUY", [11 * S, S]]]]
    resumed = Executions()
    resumed.import_state(saved, 1_000 * S)
    assert resumed.highest("alpha", 1_000 * S) == 2
    assert resumed.reaches(KIND, 3, MINUTE, 1_000 * S)


def test_what_a_person_has_released_begins_again() -> None:
    executions, stop_outs = Executions(), StopOuts()
    for _ in range(2):
        executions.reaches(KIND, 3, MINUTE, 0)
        stop_outs.reaches("alpha", 3, "2026-01-22")

    executions.forget("alpha")
    stop_outs.forget("alpha")

    assert executions.highest("alpha", 0) == 0
    assert stop_outs.count("alpha", "2026-01-22") == 0


def test_the_stop_outs_of_a_day_reach_their_limit_with_the_last_that_it_allows() -> None:
    stop_outs = StopOuts()

    reached = [stop_outs.reaches("alpha", 3, "2026-01-22") for _ in range(4)]

    assert reached == [False, False, True, True]
    assert not stop_outs.reaches("beta", 3, "2026-01-22")


def test_the_next_day_has_stop_outs_of_its_own() -> None:
    stop_outs = StopOuts()
    for _ in range(2):
        stop_outs.reaches("alpha", 3, "2026-01-22")

    assert stop_outs.count("alpha", "2026-01-23") == 0
    assert not stop_outs.reaches("alpha", 3, "2026-01-23")
    # and a clock that is set back to the day before brings none of it again
    stop_outs.reaches("alpha", 3, "2026-01-22")
    assert stop_outs.reaches("alpha", 3, "2026-01-22")


def test_stop_outs_survive_a_restart() -> None:
    stop_outs, resumed = StopOuts(), StopOuts()
    for _ in range(2):
        stop_outs.reaches("alpha", 3, "2026-01-22")

    resumed.import_state(stop_outs.export_state())

    assert resumed.reaches("alpha", 3, "2026-01-22")
    assert (StopOuts().export_state(), Executions().export_state(0), Asked().export_state(0)) == ([], [], {})


def test_of_a_strategy_that_has_asked_for_nothing_nothing_is_counted() -> None:
    assert (Asked().count("alpha", 0), Executions().highest("alpha", 0)) == (0, 0)
    assert StopOuts().count("alpha", "2026-01-22") == 0


def test_the_highest_limit_of_orders_can_be_reached() -> None:
    # Given as many orders in this second as the highest limit allows, before a restart and after it
    asked, resumed = Asked(), Asked()
    resumed.import_state({"alpha": [0] * (MOST_ASKED - 1)}, 5)
    for one in (asked, resumed):
        for _ in range(MOST_ASKED - one.count("alpha", 5)):
            assert not one.is_over("alpha", MOST_ASKED, 5)
        # Then one more is over it
        assert one.is_over("alpha", MOST_ASKED, 5)


def test_what_is_resumed_takes_the_place_of_what_was_there() -> None:
    asked, executions = Asked(), Executions()
    asked.is_over("alpha", 9, 0)
    executions.reaches(KIND, 9, MINUTE, 0)
    asked.import_state({"beta": [0, 0]}, 0)
    executions.import_state([MINUTE, [["beta", "005930", "BUY", [0, 0]]]], 0)
    assert (asked.count("alpha", 0), asked.count("beta", 0)) == (0, 2)
    assert (executions.highest("alpha", 0), executions.highest("beta", 0)) == (0, 2)


def test_the_kind_with_the_most_executions_counts_and_what_is_past_is_let_go() -> None:
    executions = Executions()
    for number, symbol in enumerate(("000660", "005930", "005930", "035420")):
        executions.reaches(("alpha", symbol, "BUY"), 9, MINUTE, number)
    assert executions.highest("alpha", 3) == 2
    # When a new kind comes after the window of all of these
    executions.reaches(("alpha", "000270", "BUY"), 9, MINUTE, 2 * MINUTE)
    assert list(executions._windows) == [("alpha", "000270", "BUY")]


def test_a_new_kind_lets_nothing_go_that_still_counts() -> None:
    executions = Executions()
    executions.reaches(KIND, 9, MINUTE, 0)
    executions.reaches(("alpha", "000660", "BUY"), 9, MINUTE, 1)
    assert executions.highest("alpha", 1) == 1
    assert len(executions._windows) == 2


def test_stop_outs_are_those_of_the_newest_day() -> None:
    stop_outs = StopOuts()
    stop_outs.import_state([])
    assert not stop_outs.reaches("alpha", 3, "2026-01-22")
    counts = [stop_outs.count("alpha", day) for day in ("2026-01-21", "2026-01-22", "2026-01-23")]
    assert counts == [1, 1, 0]
    assert stop_outs.export_state() == ["2026-01-22", {"alpha": 1}]
