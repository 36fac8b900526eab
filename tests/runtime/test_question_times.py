"""When the broker is asked next: at once until it was asked, then after the interval that fits."""

from __future__ import annotations

import pytest

from qts.clock import NS_PER_S
from qts.runtime.due_work import GUARD_INTERVAL_NS
from qts.runtime.orders.question_times import QuestionTimes, interval_ns
from tests.runtime.rig import kst


def test_the_next_question_is_due_now_until_one_was_asked_and_while_one_is_under_way() -> None:
    times = QuestionTimes(is_simulated=False)
    assert times.next_ns(3 * NS_PER_S) == 0

    times.count(["o"], kst(10))
    assert times.next_ns(3 * NS_PER_S) == kst(10, 0, 3)
    times.is_asking = True
    assert times.next_ns(3 * NS_PER_S) == 0


def test_a_simulated_venue_is_asked_in_an_interval_of_its_own() -> None:
    times = QuestionTimes(is_simulated=True)
    times.count([], kst(10))

    assert times.next_ns(3 * NS_PER_S) == kst(10) + GUARD_INTERVAL_NS


def test_questions_are_counted_while_an_order_stays_unknown() -> None:
    times = QuestionTimes(is_simulated=False)
    times.count(["a", "b"], kst(10))
    times.count(["a"], kst(10, 0, 1))
    assert (times.about("a"), times.about("b")) == (2, 0)

    times.count(["b"], kst(10, 0, 2))
    assert (times.about("a"), times.about("b")) == (0, 1)


@pytest.mark.parametrize(("requests_per_s", "usual_s", "soon_s"), [(None, 3, 1), (4, 3, 1), (3, 30, 3), (1, 30, 3)])
def test_a_broker_that_takes_fewer_than_four_requests_a_second_is_asked_seldom(
    requests_per_s: int | None, usual_s: int, soon_s: int
) -> None:
    assert interval_ns(requests_per_s, is_uncertain=False) == usual_s * NS_PER_S
    assert interval_ns(requests_per_s, is_uncertain=True) == soon_s * NS_PER_S
