"""A circuit breaker: five failures in a row, a minute's pause, one probe, and calls that end late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from qts.cache.breaker import BreakerState, CircuitBreaker
from qts.clock import ManualClock
from tests.effort import examples

CLOSED, OPEN, HALF_OPEN = BreakerState
SECOND = timedelta(seconds=1)


class Rig:
    """A breaker on a clock of the test, and what it said of its changes."""

    def __init__(self) -> None:
        self.clock = ManualClock(datetime(2026, 3, 2, tzinfo=UTC))
        self.changes: list[tuple[BreakerState, BreakerState]] = []
        self.breaker = CircuitBreaker(
            self.clock, failures=5, pause_s=60.0, on_change=lambda before, now: self.changes.append((before, now))
        )

    def let_in(self) -> int:
        ticket = self.breaker.enter()
        assert ticket is not None
        return ticket

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            self.breaker.fail(self.let_in())

    def opened(self) -> Rig:
        self.fail(5)
        return self


def test_it_opens_at_the_fifth_failure_in_a_row() -> None:
    rig = Rig()
    rig.fail(4)
    assert rig.breaker.state is CLOSED
    rig.fail()

    assert rig.breaker.state is OPEN
    assert rig.breaker.enter() is None
    assert rig.changes == [(CLOSED, OPEN)]


def test_an_answer_between_failures_begins_the_count_again() -> None:
    rig = Rig()
    for _ in range(3):
        rig.fail(4)
        rig.breaker.succeed(rig.let_in())

    assert rig.breaker.state is CLOSED


def test_it_stays_open_for_the_pause_and_then_lets_one_call_through() -> None:
    rig = Rig().opened()
    rig.clock.advance(59 * SECOND)
    assert rig.breaker.enter() is None
    rig.clock.advance(SECOND)

    assert rig.breaker.enter() is not None
    assert rig.breaker.state is HALF_OPEN
    assert rig.breaker.enter() is None


def test_the_probe_s_answer_closes_it() -> None:
    rig = Rig().opened()
    rig.clock.advance(60 * SECOND)
    rig.breaker.succeed(rig.let_in())

    assert rig.breaker.state is CLOSED
    assert rig.changes == [(CLOSED, OPEN), (OPEN, HALF_OPEN), (HALF_OPEN, CLOSED)]
    rig.fail(4)
    assert rig.breaker.state is CLOSED


def test_the_probe_s_failure_opens_it_for_another_pause() -> None:
    rig = Rig().opened()
    rig.clock.advance(60 * SECOND)
    rig.fail()

    assert rig.breaker.state is OPEN
    rig.clock.advance(59 * SECOND)
    assert rig.breaker.enter() is None
    rig.clock.advance(SECOND)
    assert rig.breaker.enter() is not None
    assert rig.breaker.opened == 1


def test_a_probe_that_ends_without_a_result_is_followed_by_another_one_at_once() -> None:
    rig = Rig().opened()
    rig.clock.advance(60 * SECOND)
    rig.breaker.leave(rig.let_in())

    assert rig.breaker.enter() is not None


def test_a_probe_that_never_ends_is_given_up_after_another_pause() -> None:
    rig = Rig().opened()
    rig.clock.advance(60 * SECOND)
    lost = rig.let_in()
    rig.clock.advance(60 * SECOND)
    probe = rig.let_in()

    rig.breaker.fail(lost)
    assert rig.breaker.state is HALF_OPEN
    rig.breaker.succeed(probe)
    assert rig.breaker.state is CLOSED


def test_calls_from_before_it_opened_change_nothing() -> None:
    rig = Rig()
    early = [rig.let_in() for _ in range(3)]
    rig.opened()
    rig.breaker.succeed(early[0])
    assert rig.breaker.state is OPEN
    rig.clock.advance(60 * SECOND)
    probe = rig.let_in()
    rig.breaker.succeed(early[1])
    rig.breaker.fail(early[2])

    assert rig.breaker.state is HALF_OPEN
    rig.breaker.succeed(probe)
    assert rig.breaker.state is CLOSED


class BreakerMachine(RuleBasedStateMachine):
    """Calls that begin and end in any order while time passes, beside a model that keeps only facts."""

    def __init__(self) -> None:
        super().__init__()
        self.rig = Rig()
        self.open: list[tuple[int, int]] = []  # calls under way: ticket, and the number of changes when it began
        self.in_a_row = 0
        self.until_ns = 0

    @property
    def state(self) -> BreakerState:
        return self.rig.changes[-1][1] if self.rig.changes else CLOSED

    @rule(seconds=st.sampled_from([0.5, 20.0, 59.0, 60.0, 61.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.rig.clock.advance(timedelta(seconds=seconds))

    @rule()
    def call(self) -> None:
        before, now_ns = self.state, self.rig.clock.monotonic_ns()
        ticket = self.rig.breaker.enter()

        assert (ticket is None) == (before is not CLOSED and now_ns < self.until_ns)
        if ticket is not None:
            if before is not CLOSED:
                assert self.state is HALF_OPEN
                self.until_ns = now_ns + 60 * 10**9
                self.open = [(old, -1) for old, _ in self.open]
            self.open.append((ticket, len(self.rig.changes)))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), end=st.sampled_from(["succeed", "fail", "leave"]))
    def end_a_call(self, data: st.DataObject, end: str) -> None:
        ticket, began = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        before, current = self.state, began == len(self.rig.changes)
        getattr(self.rig.breaker, end)(ticket)

        if not current or before is OPEN:
            assert self.state is before
            return
        now_ns = self.rig.clock.monotonic_ns()
        if before is CLOSED:
            self.in_a_row = {"succeed": 0, "fail": self.in_a_row + 1, "leave": self.in_a_row}[end]
            assert self.state is (OPEN if self.in_a_row == 5 else CLOSED)
        else:
            assert self.state is (CLOSED if end == "succeed" else OPEN)
        if self.state is not before:
            self.in_a_row = 0
            self.until_ns = now_ns + (0 if end == "leave" else 60 * 10**9)

    @invariant()
    def it_shows_the_state_of_its_last_change(self) -> None:
        assert self.rig.breaker.state is self.state
        assert self.rig.breaker.opened == self.rig.changes.count((CLOSED, OPEN))


TestBreaker = BreakerMachine.TestCase
TestBreaker.settings = settings(max_examples=examples(60, whole=2_000), stateful_step_count=40)
