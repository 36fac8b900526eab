"""Limits that count, at one less, at the bound and at one more: messages, repeated orders, losses of a day."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.broker.gateway.limits.count_config import CountLimits
from qts.capital.contracts import Pool
from qts.strategy.contracts import Side
from tests.broker.counted_rig import CountedRig
from tests.effort import examples
from tests.risk.requests import D, entry

EXIT: dict[str, Any] = {"side": Side.SELL, "limit": None, "reduce_only": True}
SECOND: dict[str, Any] = {"messages_per_second": 5, "messages_per_second_kept": 2}
DAY: dict[str, Any] = {"messages_per_day": 5, "messages_per_day_kept": 2}
KEPT = "(2 are kept for exits and cancels)"
REFUSED = f"limit messages_per_second: 3 messages within a second, at most 3 before an entry {KEPT}"


def test_entries_leave_up_to_the_part_of_a_second_that_is_not_kept() -> None:
    rig = CountedRig(**SECOND)

    assert [rig.submit() for _ in range(4)] == ["", "", "", REFUSED]


@pytest.mark.parametrize(("ms", "said"), [(999.999_999, REFUSED), (1_000, "")])
def test_a_message_counts_for_exactly_a_second(ms: float, said: str) -> None:
    rig = CountedRig(**SECOND)
    for _ in range(3):
        rig.submit()

    rig.after(ms)

    assert rig.submit() == said


def test_exits_and_cancels_count_and_always_leave() -> None:
    rig = CountedRig(**SECOND)

    # When a cancel, and more exits than a second has messages, leave
    rig.gateway.cancel("o1")
    assert [rig.submit(**EXIT) for _ in range(9)] == [""] * 9
    rig.gateway.cancel("o2")

    # Then all of them have reached the broker, and no entry does
    assert (len(rig.broker.placed), rig.broker.cancels) == (9, ["o1", "o2"])
    assert rig.submit().startswith("limit messages_per_second: 5 messages within a second")
    assert rig.counted.messages.sent().second == 11


def test_a_cancel_takes_the_place_of_an_entry() -> None:
    rig = CountedRig(**SECOND)

    rig.gateway.cancel("o1")

    assert [rig.submit() for _ in range(3)] == ["", "", REFUSED]


def test_a_refused_entry_is_no_message() -> None:
    rig = CountedRig(**SECOND)
    for _ in range(9):
        rig.submit()

    assert rig.counted.messages.sent().second == 3


def test_entries_leave_up_to_the_part_of_a_day_that_is_not_kept_and_again_on_the_next() -> None:
    rig = CountedRig(**DAY)
    refused = f"limit messages_per_day: 3 messages today, at most 3 before an entry {KEPT}"

    assert [rig.submit() for _ in range(4)] == ["", "", "", refused]
    rig.after(3_600_000)
    assert rig.submit() == refused
    assert rig.submit(**EXIT) == ""

    # and a clock that is set back to the day before brings nothing back
    rig.day.day = "2026-01-21"
    assert rig.submit() == refused.replace("3 messages", "4 messages", 1)
    rig.day.day = "2026-01-23"
    assert rig.submit() == ""


def test_messages_count_over_a_restart() -> None:
    rig = CountedRig(**SECOND, **DAY)
    rig.submit()
    rig.after(400)
    rig.submit()

    other = rig.restarted()

    assert [other.submit() for _ in range(2)] == ["", REFUSED]
    other.after(600)  # the first message has left the second, the day has it
    assert other.submit().startswith("limit messages_per_day: 3 messages today")


@settings(max_examples=examples(40, whole=2_000), deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 700), st.sampled_from(["entry", "exit", "cancel", "restart"])),
        min_size=1,
        max_size=40,
    )
)
def test_an_entry_never_leaves_when_the_second_has_no_room_for_one(steps: list[tuple[int, str]]) -> None:
    rig, left_ns = CountedRig(**SECOND), list[int]()
    for ms, what in steps:
        rig.after(ms)
        now_ns = rig.clock.time_ns()
        in_second = sum(1 for one in left_ns if one > now_ns - 1_000_000_000)
        if what == "restart":
            rig = rig.restarted()
        elif what == "entry":
            leaves = rig.submit() == ""
            assert leaves is (in_second < 3)
            left_ns += [now_ns] * leaves
        else:
            rig.gateway.cancel("o1") if what == "cancel" else rig.submit(**EXIT)
            left_ns.append(now_ns)


# -- the same order again ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (
            499.999,
            "limit duplicate_window_ms: the same order was sent or filled 499.999 ms ago, "
            "one may follow after 500 ms",
        ),
        (500, ""),
        (500.001, ""),
    ],
)
def test_the_same_entry_leaves_again_after_the_window(ms: float, said: str) -> None:
    rig = CountedRig(duplicate_window_ms=500)
    rig.submit()

    rig.after(ms)

    assert rig.submit() == said


def test_a_fill_begins_the_window_again() -> None:
    rig = CountedRig(duplicate_window_ms=500)
    rig.submit()
    rig.after(600)

    rig.counted.note(entry())

    rig.after(100)
    assert "100.000 ms ago" in rig.submit()


@pytest.mark.parametrize("other", [{"qty": D(99)}, {"limit": D(49_900)}, {"strategy": "b"}, {"symbol": "000660"}])
def test_another_entry_does_not_wait(other: dict[str, Any]) -> None:
    rig = CountedRig(duplicate_window_ms=500)
    rig.submit()

    assert rig.submit(**other) == ""


def test_exits_may_repeat() -> None:
    rig = CountedRig(duplicate_window_ms=500)

    assert [rig.submit(**EXIT) for _ in range(3)] == ["", "", ""]


def test_a_window_of_nothing_lets_every_entry_repeat() -> None:
    rig = CountedRig(duplicate_window_ms=0)

    assert [rig.submit() for _ in range(3)] == ["", "", ""]


def test_an_entry_that_was_refused_is_not_repeated_by_the_next() -> None:
    rig = CountedRig(duplicate_window_ms=500, **SECOND)
    for number in range(3):
        rig.submit(symbol=f"s{number}")
    assert rig.submit() == REFUSED

    rig.after(1_000)
    assert rig.submit() == ""


def test_the_window_counts_over_a_restart() -> None:
    rig = CountedRig(duplicate_window_ms=500)
    rig.submit()
    rig.after(400)

    other = rig.restarted()

    assert "400.000 ms ago" in other.submit()


# -- losses of a day -----------------------------------------------------------------------------------------------


LOST = "strategy two-ema has lost 5,000,000 today, entries end at 5,000,000, 0.05 of the day's opening equity"


@pytest.mark.parametrize(
    ("result", "said"), [("-4999999.99", ""), ("-5000000", f"limit strategy_day_loss: {LOST}"), ("1", "")]
)
def test_a_strategy_takes_entries_until_it_has_lost_its_share(result: str, said: str) -> None:
    rig = CountedRig(strategy_day_loss=D("0.05"))
    rig.day.strategies["two-ema"] = D(result)

    assert rig.submit() == said
    assert rig.submit(**EXIT) == ""
    assert rig.submit(strategy="other") == ""


@pytest.mark.parametrize(("result", "is_refused"), [("-2999999", False), ("-3000000", True), ("-3000001", True)])
def test_a_pool_takes_entries_until_its_strategies_have_lost_its_share(result: str, is_refused: bool) -> None:
    rig = CountedRig(pool_day_loss=D("0.03"))
    rig.day.pools[Pool.SCALP] = D(result)

    assert rig.submit().startswith("limit pool_day_loss: pool SCALP has lost 3,000,00") is is_refused
    assert rig.submit(**EXIT) == ""
    assert rig.submit(pool=Pool.SWING) == ""


def test_a_result_that_is_not_known_lets_no_entry_leave() -> None:
    rig = CountedRig()
    rig.day.strategies["two-ema"] = None
    rig.day.pools[Pool.SWING] = None

    unknown = "today is not known: something it holds has no price"
    assert rig.submit() == f"limit strategy_day_loss: the result of strategy two-ema {unknown}"
    assert rig.submit(**EXIT) == ""
    assert rig.submit(strategy="b", pool=Pool.SWING) == f"limit pool_day_loss: the result of pool SWING {unknown}"


# -- settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kept", "is_wrong"), [(14, False), (15, True), (16, True)])
def test_more_is_not_kept_than_there_is(kept: int, is_wrong: bool) -> None:
    found = CountLimits(messages_per_second=15, messages_per_second_kept=kept).problems()

    assert [field for field, _ in found] == ["messages_per_second_kept"] * is_wrong


def test_what_stands_is_shown_with_its_bound() -> None:
    rig = CountedRig(**SECOND, **DAY)
    rig.submit()
    rig.submit(**EXIT)

    assert [(one.limit, one.value, one.bound) for one in rig.counted.rows()] == [
        ("messages_per_second", 2, 5),
        ("messages_per_day", 2, 5),
    ]
