"""Two sessions of one account in one cache are told of, and one that was started again is not taken for two."""

from __future__ import annotations

from qts.runtime.caching.other_writers import OtherWriters

S = 1_000_000_000


def told(counts: list[int | None]) -> list[str]:
    """What is told of counts at every second, of which four are one period."""
    others = OtherWriters("main")
    return [others.noted(count, (100 + number) * S).split(" as ")[0] for number, count in enumerate(counts)]


def test_a_session_by_itself_is_told_nothing() -> None:
    assert told([1] * 12) == [""] * 12


def test_one_that_was_started_again_meets_the_one_before_in_one_period_alone() -> None:
    assert told([2, 2, 2, 2, 1, 1, 1, 1]) == [""] * 8


def test_two_at_once_are_told_in_the_second_period_and_once() -> None:
    assert [one for one in enumerate(told([1, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 2])) if one[1]] == [
        (5, "another session writes to the cache")
    ]


def test_that_it_is_over_is_told_too() -> None:
    counts: list[int | None] = [2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1]
    assert [one for one in enumerate(told(counts)) if one[1]] == [
        (4, "another session writes to the cache"),
        (12, "no other session writes to the cache"),
    ]


def test_a_cache_that_does_not_answer_says_nothing_of_others() -> None:
    assert told([2, 2, 2, 2, None, None, None, None, 2, 2]) == [""] * 10
