"""How much is sent next: on schedule what was planned, behind it no more than a share of the market."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from qts.execution.executions import Plan, PlannedSlice
from qts.execution.pacing import PaceInputs, next_part, next_part_ns
from qts.kit import Algo
from qts.strategy.contracts import Intent, Side
from tests.db import rows

MINUTE = 60_000_000_000
TEN = Plan(tuple(PlannedSlice(D(10), number * MINUTE) for number in range(10)), 10 * MINUTE)


def paced(filled: int, now: float, *, sent: float = 0, volume: int | None = None, share: str = "0.1") -> D:
    intent = Intent("005930", Side.BUY, 1.0, 100, algo=Algo.twap("10m", 10))
    one = rows.execution(intent=intent, qty=D(100), plan=TEN, filled=D(filled))
    seen = None if volume is None else D(volume)
    return next_part(PaceInputs(one, int(now * MINUTE), D(1), int(sent * MINUTE), seen, D(share)))


@pytest.mark.parametrize(
    ("filled", "now", "sent", "qty"),
    [
        (10, 1, 0, 10),  # the second part at its time
        (10, 0.99, 0, 0),  # and not before
        (10, 1.5, 1.2, 0),  # nor twice
        (20, 1, 0, 0),  # ahead of the plan nothing is due
        (15, 1, 0, 5),
    ],
)
def test_on_schedule_the_planned_part_is_sent(filled: int, now: float, sent: float, qty: int) -> None:
    assert paced(filled, now, sent=sent) == qty


@pytest.mark.parametrize(
    ("volume", "qty"),
    [
        (None, 10),  # of the market nothing is known: only the part that is due
        (0, 10),
        (49, 14),  # a tenth of 49 in whole lots
        (50, 15),
        (99, 19),
        (100, 20),  # as much again at most
        (100_000, 20),
    ],
)
def test_after_a_pause_it_catches_up_within_a_share_of_the_volume(volume: int | None, qty: int) -> None:
    # Given 60 due after five minutes without a part, and 10 filled
    assert paced(10, 5, sent=0, volume=volume) == qty


def test_after_the_last_part_the_rest_follows_at_the_pace_of_the_plan() -> None:
    assert paced(70, 9.5, sent=9) == 0
    assert paced(70, 10, sent=9) == 10
    assert paced(95, 10, sent=9) == 5
    assert paced(70, 10, sent=9, volume=50) == 5
    assert paced(100, 10, sent=9) == 0


def test_an_iceberg_sends_its_next_part_when_the_one_before_is_gone() -> None:
    intent = Intent("005930", Side.BUY, 1.0, 25, algo=Algo.iceberg(10))
    plan = Plan((PlannedSlice(D(10), 0), PlannedSlice(D(10), 0), PlannedSlice(D(5), 0)))
    for filled, qty in ((0, 10), (10, 10), (17, 8), (20, 5), (25, 0)):
        one = rows.execution(intent=intent, qty=D(25), plan=plan, filled=D(filled))
        assert next_part(PaceInputs(one, 5, D(1), 1, None, D("0.1"))) == qty


def test_the_next_part_is_due_at_its_time_and_behind_the_last_at_the_same_distance() -> None:
    intent = Intent("005930", Side.BUY, 1.0, 100, algo=Algo.twap("10m", 10))
    one = rows.execution(intent=intent, plan=TEN)

    assert next_part_ns(one, 0) == MINUTE
    assert next_part_ns(one, 9 * MINUTE) == 10 * MINUTE
