"""The only reader of time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.clock import NS_PER_S, Clock, ManualClock, PacedClock, SystemClock, from_ns, to_ns, zone_of
from qts.errors import ContractError

START = datetime(2026, 1, 22, 9, tzinfo=UTC)


def test_all_three_are_clocks() -> None:
    for clock in (SystemClock(), ManualClock(START), PacedClock(START)):
        assert isinstance(clock, Clock)
        assert clock.now().utcoffset() == timedelta(0)


def test_the_virtual_clock_moves_only_when_told_to() -> None:
    clock = ManualClock(START)
    assert (clock.now(), clock.now(), clock.monotonic_ns()) == (START, START, 0)

    clock.advance(timedelta(microseconds=1))
    assert clock.now() == START + timedelta(microseconds=1)
    clock.set(START + timedelta(seconds=2))
    assert clock.time_ns() == to_ns(START) + 2 * NS_PER_S
    assert clock.monotonic_ns() == 2 * NS_PER_S


def test_it_may_stop_but_never_goes_back() -> None:
    clock = ManualClock(START)
    clock.set(START)

    with pytest.raises(ContractError, match="never goes back"):
        clock.set(START - timedelta(microseconds=1))
    with pytest.raises(ContractError, match="never goes back"):
        clock.advance(timedelta(microseconds=-1))
    assert clock.now() == START


def test_it_keeps_nanoseconds() -> None:
    clock = ManualClock(START)
    clock.set_ns(to_ns(START) + 999)

    assert clock.time_ns() == to_ns(START) + 999
    assert clock.now() == START


def test_a_time_without_its_offset_is_refused() -> None:
    naive = datetime(2026, 1, 22, 9)
    for call in (lambda: ManualClock(naive), lambda: to_ns(naive), lambda: PacedClock(naive)):
        with pytest.raises(ContractError, match="offset"):
            call()


def test_an_offset_is_taken_into_account() -> None:
    kst = timezone(timedelta(hours=9))

    assert to_ns(datetime(2026, 1, 22, 18, tzinfo=kst)) == to_ns(START)


@settings(max_examples=100)
@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_moments_survive_the_way_to_nanoseconds_and_back(moment: datetime) -> None:
    assert from_ns(to_ns(moment)) == moment


def test_the_system_clock_moves_forward() -> None:
    clock = SystemClock()
    first = clock.monotonic_ns(), clock.time_ns()

    assert clock.monotonic_ns() >= first[0]
    assert abs(to_ns(clock.now()) - first[1]) < 60 * NS_PER_S


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_is_a_finite_number_above_zero(speed: float) -> None:
    with pytest.raises(ContractError, match="speed must be a finite number above 0"):
        PacedClock(START, speed)


def test_the_paced_clock_starts_where_told_and_goes_on() -> None:
    clock = PacedClock(START, 1e9)
    first = clock.time_ns()

    assert first >= to_ns(START)
    assert clock.time_ns() >= first
    assert clock.time_ns() - clock.monotonic_ns() >= to_ns(START) - NS_PER_S * 10**9


def test_waiting_ends_when_the_time_is_there_or_it_is_stopped() -> None:
    clock = PacedClock(START, 1e9)
    clock.wait_until_ns(to_ns(START) + 5 * NS_PER_S, lambda: False)
    assert clock.time_ns() >= to_ns(START) + 5 * NS_PER_S

    slow = PacedClock(START, 1.0)
    slow.wait_until_ns(to_ns(START) + 10**6 * NS_PER_S, lambda: True)  # would be eleven days
    asyncio.run(clock.sleep_until_ns(to_ns(START)))  # long past: returns at once
    asyncio.run(clock.sleep_until_ns(clock.time_ns() + NS_PER_S))


class TestZone:
    @pytest.mark.parametrize(
        ("text", "hours"), [("KST +0900", 9), ("EST -0500", -5), ("UTC +0000", 0), ("", 0), ("nonsense", 0)]
    )
    def test_is_the_offset_that_a_text_names_else_utc(self, text: str, hours: int) -> None:
        assert zone_of(text).utcoffset(None) == timedelta(hours=hours)

    def test_keeps_the_name(self) -> None:
        assert zone_of("KST +0900").tzname(None) == "KST"
