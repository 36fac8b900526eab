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


def test_a_time_from_the_year_2200_on_is_in_the_future_though_all_rows_agree() -> None:
    """2200-01-01T00:00:00Z is 7,258,118,400 s: 230 years with 56 leap days (2100 has none) are 84,006 days."""
    first_of_2200 = 84_006 * DAY
    assert reason_of(order_with(0, [first_of_2200] * 9), first_of_2200) == "future"
    assert reason_of(order_with(NOW, [first_of_2200] * 9), first_of_2200) == "future"
    assert reason_of(order_with(NOW, [first_of_2200] * 9), first_of_2200 - 1) is None


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


HOURS = 3 * 3_600 * S


def accepted(times: list[int | None]) -> list[int]:
    """The times a file of these rows gives, one second apart being normal; None is a line without a time."""
    order = TimeOrder()
    given = []
    for at, time in enumerate(times):
        order.following = lambda count, at=at: times[at + 1 : at + 1 + count]
        if time is not None and reason_of(order, time) is None:
            order.accept(time)
            given.append(time)
    return given


@pytest.mark.parametrize("wrong", [1, 2, 3, 8])
def test_a_run_of_wrong_stamps_costs_only_itself(wrong: int) -> None:
    """Given 20 good rows, up to eight rows three hours ahead, and 40 good rows: all 60 good ones are kept."""
    good = [NOW + at * S for at in range(60)]
    ahead = [NOW + 20 * S + HOURS + at for at in range(wrong)]
    assert accepted([*good[:20], *ahead, *good[20:]]) == good


def test_nine_rows_in_a_row_are_believed_and_the_rows_before_that_time_are_backwards() -> None:
    good = [NOW + at * S for at in range(60)]
    ahead = [NOW + 20 * S + HOURS + at for at in range(9)]
    assert accepted([*good[:20], *ahead, *good[20:]]) == [*good[:20], *ahead]


@pytest.mark.parametrize("broken", [1, 5, 60])
def test_a_broken_line_is_no_witness_for_a_jump(broken: int) -> None:
    """Given a row three hours ahead and then lines without a time: the readable rows behind them decide."""
    good = [NOW + at * S for at in range(30)]
    assert accepted([*good[:10], NOW + HOURS, *[None] * broken, *good[10:]]) == good


def test_wrong_and_broken_rows_mixed_cost_only_themselves() -> None:
    good = [NOW + at * S for at in range(60)]
    trouble = [NOW + HOURS, None, NOW + HOURS + 5 * S, None, NOW - 5 * S, NOW + DAY]
    assert accepted([*good[:20], *trouble, *good[20:]]) == good


def test_a_gap_of_hours_in_a_file_in_order_costs_nothing() -> None:
    """Rows a minute apart, one gap of three hours, one over a weekend: every row is kept, to the last."""
    minute = 60 * S
    times = [NOW + at * minute for at in range(10)]
    times += [times[-1] + HOURS + at * minute for at in range(2)]
    times += [times[-1] + 3 * DAY + at * minute for at in range(10)]
    assert accepted(list(times)) == times


def test_when_for_and_against_are_even_the_jump_is_not_believed() -> None:
    ahead = NOW + HOURS
    assert reason_of(order_with(NOW, [ahead, NOW + 1]), ahead) == "future"
    assert reason_of(order_with(NOW, [ahead, NOW + 1, ahead]), ahead) is None
    assert reason_of(order_with(0, [ahead, NOW + 1]), ahead) is None  # no row before it speaks for the others


def test_each_row_ahead_is_read_once_however_many_rows_look_at_it() -> None:
    """Given rows two seconds apart, so that each step is a jump."""
    times = [NOW + 2 * at * S for at in range(40)]
    read: list[int] = []
    order = TimeOrder()

    def time_of(row: int) -> int:
        read.append(row)
        return row

    for at, time in enumerate(times):
        order.following = lambda count, at=at: times[at + 1 : at + 1 + count]
        order.check(time, time_of)
        order.accept(time)
    assert read == times[1:]


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
