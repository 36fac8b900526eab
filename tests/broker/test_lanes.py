"""Requests leave in the order of the lanes, as often as the broker takes them, and as soon as was said."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.broker.gateway.lanes import Lane, Lanes
from qts.broker.gateway.tokens import ElapsedTime, Tokens
from qts.clock import NS_PER_S
from tests.effort import examples

CANCEL, EXIT, RESOLVE, ENTRY, BACKGROUND = Lane
MS = 1_000_000


def taken(lanes: Lanes[str], now_ns: int, *shut: str) -> list[str]:
    """What leaves at a moment; what is in ``shut`` may not go."""
    gone = []
    while (one := lanes.take(now_ns, lambda request: request not in shut)) is not None:
        lanes.spend(one, now_ns)
        gone.append(one.request)
    return gone


def filled(lanes: Lanes[str], *order: Lane) -> Lanes[str]:
    for number, lane in enumerate(order):
        lanes.put(f"{lane.name.lower()} {number}", lane, 0)
    return lanes


def test_a_lane_goes_before_the_ones_behind_it_and_within_it_first_comes_first() -> None:
    lanes = filled(Lanes(Tokens(None)), BACKGROUND, ENTRY, ENTRY, RESOLVE, EXIT, EXIT, CANCEL)

    assert taken(lanes, 0) == ["cancel 6", "exit 4", "exit 5", "resolve 3", "entry 1", "entry 2", "background 0"]
    assert lanes.taken == {CANCEL: 1, EXIT: 2, RESOLVE: 1, ENTRY: 2, BACKGROUND: 1}


def test_what_may_not_go_holds_back_nothing_else() -> None:
    lanes = filled(Lanes(Tokens(None)), EXIT, EXIT, ENTRY)

    assert taken(lanes, 0, "exit 0") == ["exit 1", "entry 2"]
    assert taken(lanes, 0) == ["exit 0"]


@pytest.mark.parametrize(
    ("per_s", "in_the_first_second", "of_all"),
    # half of them, rounded up, are kept from 4 a second up
    [(1, 1, 1), (3, 3, 3), (4, 2, 4), (5, 2, 5), (15, 7, 15)],
)
def test_from_four_in_a_second_up_half_are_kept_for_what_cannot_wait(
    per_s: int, in_the_first_second: int, of_all: int
) -> None:
    lanes = filled(Lanes(Tokens(per_s)), *[ENTRY] * 40)

    assert len(taken(lanes, 0)) == in_the_first_second
    filled(lanes, *[CANCEL] * 40)
    assert len(taken(lanes, NS_PER_S - 1)) == of_all - in_the_first_second


def test_a_token_comes_back_a_second_after_it_was_used() -> None:
    lanes = filled(Lanes(Tokens(2)), CANCEL, CANCEL, CANCEL)

    assert taken(lanes, 0) == ["cancel 0", "cancel 1"]
    assert taken(lanes, NS_PER_S - 1) == []
    assert taken(lanes, NS_PER_S) == ["cancel 2"]


def test_a_process_that_was_killed_a_moment_ago_may_have_used_all_tokens() -> None:
    lanes = filled(Lanes(Tokens(3, used_up_ns=0)), CANCEL)

    assert taken(lanes, NS_PER_S - 1) == []
    assert taken(lanes, NS_PER_S) == ["cancel 0"]


def test_a_question_that_an_exit_waits_for_takes_the_place_of_that_exit() -> None:
    """Given three exits of which the second waits until the fate of an order is known"""
    lanes: Lanes[str] = Lanes(
        Tokens(1), lambda exits: next((one.number for one in exits if one.request == "B"), None)
    )
    for exit_ in "ABC":
        lanes.put(exit_, EXIT, 0)
    lanes.put("question", RESOLVE, 0)

    order = [taken(lanes, second * NS_PER_S, "B") for second in range(3)]

    assert order == [["A"], ["question"], ["C"]]


def test_a_question_goes_among_the_exits_by_its_age_when_the_exit_waits_elsewhere() -> None:
    lanes: Lanes[str] = Lanes(Tokens(1), lambda exits: 0)
    lanes.put("earlier exit", EXIT, 0)
    lanes.put("question", RESOLVE, 0)
    lanes.put("later exit", EXIT, 0)
    lanes.put("cancel", CANCEL, 0)

    order = [taken(lanes, second * NS_PER_S) for second in range(4)]

    assert order == [["cancel"], ["earlier exit"], ["question"], ["later exit"]]


def test_entries_that_waited_too_long_are_taken_out() -> None:
    lanes: Lanes[str] = Lanes(Tokens(1))
    lanes.put("old", ENTRY, 0)
    lanes.put("young", ENTRY, 5)
    lanes.put("exit", EXIT, 0)

    assert [one.request for one in lanes.take_older(ENTRY, 5)] == ["old"]
    assert [one.request for one in lanes.take_all()] == ["exit", "young"]


def test_what_was_taken_out_does_not_leave() -> None:
    lanes: Lanes[str] = Lanes(Tokens(None))
    waiting = lanes.put("o", ENTRY, 0)

    assert lanes.remove(waiting)
    assert not lanes.remove(waiting)
    assert taken(lanes, 0) == []


class Set:
    """A clock that a test sets, back as well."""

    ns = 0

    def monotonic_ns(self) -> int:
        return self.ns


def test_a_clock_that_is_set_back_gives_no_token_and_stops_none() -> None:
    clock = Set()
    elapsed = ElapsedTime(clock)  # type: ignore[arg-type]
    lanes = filled(Lanes(Tokens(1)), CANCEL, CANCEL)
    clock.ns = 10 * NS_PER_S
    assert taken(lanes, elapsed.ns()) == ["cancel 0"]

    clock.ns = 2 * NS_PER_S
    assert taken(lanes, elapsed.ns()) == []
    clock.ns += NS_PER_S - 1
    assert taken(lanes, elapsed.ns()) == []
    clock.ns += 1
    assert taken(lanes, elapsed.ns()) == ["cancel 1"]


class Model:
    """The lanes by their rules alone: every request that ever left is kept, and all are sorted at each step."""

    def __init__(self, per_s: int) -> None:
        self.per_s = per_s
        self.kept = -(-per_s // 2) if per_s >= 4 else 0
        self.left: list[tuple[int, Lane]] = []
        self.waiting: list[tuple[Lane, int]] = []

    def leave(self, now: int) -> list[int]:
        gone = []
        for lane, number in sorted(self.waiting):
            used = sum(1 for at, _ in self.left if now - NS_PER_S < at <= now)
            if used >= self.per_s - (self.kept if lane in (ENTRY, BACKGROUND) else 0):
                break
            self.left.append((now, lane))
            gone.append(number)
        self.waiting = [one for one in self.waiting if one[1] not in gone]
        return gone


STEPS = st.lists(
    st.tuples(st.integers(0, 400), st.lists(st.sampled_from(list(Lane)), max_size=4)), min_size=1, max_size=40
)


@settings(max_examples=examples(60, whole=2_000), deadline=None)
@given(per_s=st.integers(1, 9), steps=STEPS)
def test_what_leaves_and_when_is_what_the_rules_say(per_s: int, steps: Sequence[tuple[int, list[Lane]]]) -> None:
    lanes: Lanes[int] = Lanes(Tokens(per_s))
    model, now, number = Model(per_s), 0, 0
    for wait_ms, arrivals in steps:
        now += wait_ms * MS
        for lane in arrivals:
            lanes.put(number, lane, now)
            model.waiting.append((lane, number))
            number += 1
        gone = []
        while (one := lanes.take(now)) is not None:
            lanes.spend(one, now)
            gone.append(one.request)
        assert gone == model.leave(now)
    for begin, _ in model.left:
        second = [lane for at, lane in model.left if begin <= at < begin + NS_PER_S]
        assert len(second) <= per_s
        assert sum(lane in (ENTRY, BACKGROUND) for lane in second) <= max(per_s - model.kept, 1)


@settings(max_examples=examples(60, whole=2_000), deadline=None)
@given(
    per_s=st.integers(1, 9),
    ahead=st.lists(st.sampled_from(list(Lane)), max_size=20),
    lane=st.sampled_from(list(Lane)),
    used=st.lists(st.integers(0, 999), max_size=9),
)
def test_a_request_leaves_exactly_when_was_said_if_no_other_comes(
    per_s: int, ahead: list[Lane], lane: Lane, used: list[int]
) -> None:
    tokens = Tokens(per_s)
    for at_ms in sorted(used[:per_s]):
        tokens.use(at_ms * MS)
    lanes: Lanes[str] = Lanes(tokens)
    for one in ahead:
        lanes.put("ahead", one, 0)
    now = 999 * MS
    said = now + lanes.delay_ns(lane, now)
    lanes.put("mine", lane, now)

    while True:
        if "mine" in taken(lanes, now):
            break
        now += MS
    assert now == said
