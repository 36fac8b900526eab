"""A clock that differs from the broker's: warned of, then a failure; what is not measured is said to be so."""

from __future__ import annotations

import pytest

from qts.broker.broker_clock import BrokerClock
from qts.broker.gateway.config import GatewayConfig
from qts.clock import NS_PER_MS
from qts.runtime.checks.clock_check import ClockWatch, check_clock
from qts.safety.contracts import SafetyState

CONFIG = GatewayConfig()


def apart(ms: int) -> BrokerClock:
    """A clock of a broker that tells its time to the ms, as ours is ``ms`` ahead (below 0: behind)."""
    clock = BrokerClock()
    clock.note(0, ms * NS_PER_MS, ms * NS_PER_MS, resolution_ns=0)
    return clock


@pytest.mark.parametrize(
    ("ms", "state"),
    [
        (0, SafetyState.NORMAL),
        (500, SafetyState.NORMAL),
        (501, SafetyState.WARNING),
        (-501, SafetyState.WARNING),
        (2_000, SafetyState.WARNING),
        (2_001, SafetyState.FAIL),
        (-3_600_000, SafetyState.FAIL),
    ],
)
def test_a_difference_is_judged_by_the_limits(ms: int, state: SafetyState) -> None:
    found = check_clock(apart(ms), CONFIG)

    assert (found.state, found.apart_ms) == (state, abs(ms))


def test_what_was_not_measured_is_no_agreement() -> None:
    for clock in (None, BrokerClock()):
        found = check_clock(clock, CONFIG)

        assert (found.state, found.apart_ms) == (None, None)
        assert found.text == "not measured: the broker has told no time"


def test_a_person_is_told_on_which_side_and_what_to_do() -> None:
    assert check_clock(apart(-700), CONFIG).text == (
        "our clock is at least 700 ms behind the broker's, allowed are 500 ms: set it"
    )


def test_the_watch_reports_as_long_as_it_lasts() -> None:
    codes: list[str] = []
    clock = apart(3_000)
    watch = ClockWatch(clock, lambda: CONFIG, lambda code, text: codes.append(code))

    watch.check()
    watch.check()
    assert codes == ["FS060", "FS060"]
    clock.note(0, 700 * NS_PER_MS, 700 * NS_PER_MS, resolution_ns=0)
    watch.check()
    assert codes[2:] == ["AN040"]
    clock.note(0, 0, 0, resolution_ns=0)
    watch.check()
    assert len(codes) == 3
    assert watch.view().apart_ms == 0
