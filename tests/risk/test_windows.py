"""A moving window of time: never more events in it than were let pass, whatever the times."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.risk.windows import RateWindow
from tests.effort import examples

S = 1_000_000_000


def window(*times: int, length: int = S, kept: int = 10) -> RateWindow:
    made = RateWindow(length, kept)
    for at_ns in times:
        made.add(at_ns)
    return made


@pytest.mark.parametrize(("now_ns", "count"), [(S - 1, 2), (S, 1), (S + 1, 1), (S + 5, 0)])
def test_an_event_leaves_the_window_when_it_is_exactly_as_old_as_the_window_is_long(
    now_ns: int, count: int
) -> None:
    assert window(0, 5).count(now_ns) == count


def test_a_clock_that_is_set_back_lets_nothing_leave_early() -> None:
    # Given two events, and a clock that is set back by an hour between them
    made = window(3_600 * S)
    made.add(0)

    # Then both are in the window for one second from the first on
    assert made.count(0) == 2
    assert made.count(3_601 * S - 1) == 2
    assert made.count(3_601 * S) == 0


def test_what_came_while_the_clock_was_set_back_is_as_old_as_the_newest_before() -> None:
    made = window(3_600 * S)
    assert made.ages_ns(3_600 * S) == [0]
    made.add(0)
    assert made.ages_ns(3_600 * S + S // 2) == [S // 2, S // 2]


def test_more_than_are_kept_are_not_counted() -> None:
    assert window(*range(20), kept=10).count(20) == 10


def test_time_in_which_no_process_ran_lets_nothing_leave() -> None:
    # Given two events 0.3 s and 0.9 s ago
    ages = window(0, 600_000_000).ages_ns(900_000_000)
    assert ages == [900_000_000, 300_000_000]

    # When a process goes on with them an hour later, by another clock
    resumed = RateWindow(S, 10)
    resumed.restore(ages, 5)

    # Then the older one leaves 0.1 s from now, the newer one 0.7 s from now
    assert [resumed.count(5 + ms * 1_000_000) for ms in (0, 99, 100, 699, 700)] == [2, 2, 1, 1, 0]


STEPS = st.lists(st.tuples(st.integers(-2 * S, 2 * S), st.booleans()), min_size=1, max_size=60)


@settings(max_examples=examples(60, whole=5_000), deadline=None)
@given(STEPS, st.integers(1, 5))
def test_never_more_than_the_limit_are_in_any_window(steps: list[tuple[int, bool]], limit: int) -> None:
    # Given a clock that goes forward and is set back, and a process that is restarted now and then
    made, now_ns, elapsed_ns, passed_ns = RateWindow(S, 5), 0, 0, []
    for step_ns, is_restarted in steps:
        now_ns += step_ns
        elapsed_ns += max(step_ns, 0)
        if is_restarted:
            ages_ns, made = made.ages_ns(now_ns), RateWindow(S, 5)
            made.restore(ages_ns, now_ns)
        # When an event is let pass only while fewer than the limit are in the window
        if made.count(now_ns) < limit:
            made.add(now_ns)
            passed_ns.append(elapsed_ns)

    # Then no window of that length holds more
    assert all(later - earlier >= S for earlier, later in zip(passed_ns, passed_ns[limit:], strict=False))
