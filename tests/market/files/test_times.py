"""Time never moves back, and one wrong stamp does not swallow the rest of a file."""

import pytest

from qts.market.files.refusals import RowRefused
from qts.market.files.times import IsoTimes, TimeOrder

S = 1_000_000_000
DAY = 86_400 * S
NOW = 1_700_000_000 * S


def order_with(last: int, following: list[int]) -> TimeOrder:
    order = TimeOrder()
    if last:
        order.accept(last)
    order.following = lambda count: following[:count]
    return order


def reason_of(order: TimeOrder, ts_ns: int) -> str | None:
    try:
        order.check(ts_ns, lambda row: row)
    except RowRefused as refused:
        return refused.reason
    return None


def test_the_same_time_is_fine_one_nanosecond_less_is_backwards() -> None:
    assert reason_of(order_with(NOW, []), NOW) is None
    assert reason_of(order_with(NOW, []), NOW - 1) == "time_backwards"


def test_a_step_of_a_second_is_believed_without_looking_ahead() -> None:
    order = order_with(NOW, [])
    order.following = lambda _: pytest.fail("looked ahead")
    assert reason_of(order, NOW + S) is None


def test_a_jump_that_the_next_rows_do_not_follow_is_in_the_future() -> None:
    assert reason_of(order_with(NOW, [NOW + 1, NOW + 2, NOW + 3]), NOW + DAY) == "future"
    assert reason_of(order_with(NOW, [NOW + 1, NOW + 2, NOW + 3]), NOW + 10 * S) == "future"


def test_a_jump_that_the_next_row_follows_is_a_gap() -> None:
    assert reason_of(order_with(NOW, [NOW + 10 * S]), NOW + 10 * S) is None
    assert reason_of(order_with(NOW, [NOW + 3 * DAY] * 5), NOW + 3 * DAY) is None


def test_a_row_up_to_a_second_ahead_of_the_next_is_no_future() -> None:
    assert reason_of(order_with(NOW, [NOW + 9 * S] * 5), NOW + 10 * S) is None
    assert reason_of(order_with(NOW, [NOW + 9 * S - 1] * 5), NOW + 10 * S) == "future"


def test_two_rows_that_changed_places_do_not_cost_the_good_one() -> None:
    """Given minutes 1, 3, 2, 4, 5, 6: minute 3 is kept (minute 2 will be refused as backwards)."""
    minute = 60 * S
    following = [NOW + minute * count for count in (2, 4, 5, 6)]
    assert reason_of(order_with(NOW, following), NOW + 3 * minute) is None


def test_a_late_row_behind_the_accepted_time_is_no_witness() -> None:
    assert reason_of(order_with(NOW, [NOW - S, NOW + 10 * S, NOW - S]), NOW + 10 * S) is None


def test_two_wrong_stamps_in_a_row_are_both_found_when_they_leap_over_a_day() -> None:
    far = NOW + 1000 * DAY
    assert reason_of(order_with(NOW, [far, NOW + 1, NOW + 2, NOW + 3]), far) == "future"
    assert reason_of(order_with(NOW, [NOW + 1, NOW + 2, NOW + 3]), far) == "future"


def test_the_first_row_of_a_file_is_judged_too() -> None:
    assert reason_of(order_with(0, [NOW, NOW + 1]), NOW + 1000 * DAY) == "future"
    assert reason_of(order_with(0, [NOW, NOW + 1]), NOW) is None


def test_the_last_row_has_no_witness_and_is_believed() -> None:
    assert reason_of(order_with(NOW, []), NOW + DAY) is None


def test_when_the_present_is_known_nothing_comes_after_it() -> None:
    order = TimeOrder(not_after_ns=NOW)
    assert reason_of(order, NOW + S) is None
    assert reason_of(order, NOW + S + 1) == "future"


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-02T00:00:00Z", DAY),
        ("2026-01-23T09:01:06.601983+09:00", 1_769_126_466_601_983_000),
        ("2026-01-23T00:01:06.601983Z", 1_769_126_466_601_983_000),
        ("2026-01-23 00:01:06.601983999+00:00", 1_769_126_466_601_983_000),
    ],
)
def test_an_iso_time_with_an_offset_becomes_utc_nanoseconds(text: str, ns: int) -> None:
    times = IsoTimes()
    assert times.ns(text) == ns
    assert times.ns(text) == ns


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-01-23T00:01:06", "2026-13-01T00:00:00Z", "1969-12-31T23:59:59Z", "1723161255", "2026-01-23"],
)
def test_a_time_without_offset_or_before_1970_is_no_time(text: str) -> None:
    with pytest.raises(RowRefused) as refused:
        IsoTimes().ns(text)
    assert refused.value.reason == "bad_time"
