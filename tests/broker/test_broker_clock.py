"""Our clock beside a broker's: answers that tell whole seconds bound the difference, several of them closely."""

from __future__ import annotations

from qts.broker.broker_clock import BrokerClock, Offset
from qts.clock import NS_PER_MS, NS_PER_S

MS, S = NS_PER_MS, NS_PER_S


def told(clock: BrokerClock, ahead_ms: int, *ours_ms: int, way_ms: int = 40) -> None:
    """Let answers come at moments of our clock, which is ahead; each was ``way_ms`` under way, half of it back."""
    for at in ours_ms:
        theirs = at - way_ms // 2 - ahead_ms
        clock.note(theirs // 1_000 * S, (at - way_ms) * MS, at * MS)


def test_before_any_answer_nothing_is_known() -> None:
    assert BrokerClock().offset() is None


def test_one_answer_bounds_the_difference_to_its_second_and_the_time_on_the_way() -> None:
    clock = BrokerClock()
    clock.note(10 * S, 10_300 * MS, 10_340 * MS)

    assert clock.offset() == Offset(-700 * MS, 340 * MS)
    assert clock.offset().apart_ns == 0  # type: ignore[union-attr]


def test_clocks_that_agree_are_never_found_apart() -> None:
    clock = BrokerClock()
    told(clock, 0, *range(100_000, 160_000, 1_037))

    assert clock.offset().apart_ns == 0  # type: ignore[union-attr]


def test_several_answers_prove_what_one_cannot() -> None:
    """700 ms ahead: an answer late in the broker's second shows it."""
    clock = BrokerClock()
    told(clock, 700, 100_720)  # its clock says 100.000
    assert clock.offset().apart_ns == 0  # type: ignore[union-attr]

    told(clock, 700, *range(101_000, 160_000, 1_037))

    offset = clock.offset()
    assert offset is not None
    assert 600 * MS <= offset.apart_ns <= 700 * MS
    assert offset.low_ns > 0, "ours is ahead"


def test_a_clock_behind_is_found_as_well() -> None:
    clock = BrokerClock()
    told(clock, -2_500, *range(100_000, 160_000, 1_037))

    offset = clock.offset()
    assert offset is not None
    assert 2_400 * MS <= offset.apart_ns <= 2_500 * MS
    assert offset.high_ns < 0


def test_after_a_clock_was_set_only_younger_answers_count() -> None:
    clock = BrokerClock()
    told(clock, 5_000, *range(100_000, 130_000, 1_037))
    assert clock.offset().apart_ns > 4_000 * MS  # type: ignore[union-attr]

    told(clock, 0, *range(130_000, 160_000, 1_037))

    assert clock.offset().apart_ns == 0  # type: ignore[union-attr]


def test_old_answers_are_forgotten() -> None:
    clock = BrokerClock()
    told(clock, 700, *range(100_000, 130_000, 1_037))
    told(clock, 700, 600_720)

    assert clock.offset().apart_ns == 0  # type: ignore[union-attr]
