"""How an approved quantity is cut: whole lots, exact sums, as many parts as lots at most."""

from __future__ import annotations

from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.execution.executions import Plan
from qts.execution.split import Profile, SplitInputs, Unplanned, split_order
from qts.money import remainder, sum_of
from qts.strategy.algo import Algo
from tests.effort import examples

MINUTE = 60_000_000_000
WORKED = tuple(map(D, (15, 12, 10, 8, 8, 8, 10, 10, 10, 6, 3)))


def planned(
    qty: str, algo: Algo | None, *, lot: str = "1", most: int = 100, profile: Profile | None = None
) -> Plan:
    plan = split_order(SplitInputs(D(qty), D(lot), algo, 0, 10, most, profile))
    assert isinstance(plan, Plan)
    return plan


def quantities(plan: Plan) -> list[str]:
    return [f"{part.qty:f}" for part in plan.slices]


def test_a_thousand_shares_by_the_shares_of_the_volume() -> None:
    plan = planned("1000", Algo.vwap("11m", profile=WORKED))

    assert quantities(plan) == ["150", "120", "100", "80", "80", "80", "100", "100", "100", "60", "30"]
    assert [part.due_ns for part in plan.slices] == [number * MINUTE for number in range(11)]
    assert (plan.end_ns, plan.profile) == (11 * MINUTE, WORKED)


def test_the_last_part_of_a_vwap_takes_the_remainder() -> None:
    plan = planned("1003", Algo.vwap("11m", profile=WORKED))

    assert quantities(plan) == ["150", "120", "100", "80", "80", "80", "100", "100", "100", "60", "33"]


@pytest.mark.parametrize(
    ("qty", "count", "cut"),
    [
        ("100", 4, ["25", "25", "25", "25"]),
        ("10", 4, ["3", "2", "3", "2"]),
        ("3", 10, ["1", "1", "1"]),
        ("1", 3, ["1"]),
    ],
)
def test_a_twap_is_spread_evenly(qty: str, count: int, cut: list[str]) -> None:
    assert quantities(planned(qty, Algo.twap("30m", count))) == cut


def test_a_small_order_does_not_lie_in_the_last_part_as_a_whole() -> None:
    assert quantities(planned("5", Algo.vwap("11m", profile=WORKED))) == ["1", "1", "1", "1", "1"]


@pytest.mark.parametrize(
    ("qty", "shown", "lot", "cut"),
    [
        ("250", 100, "1", ["100", "100", "50"]),
        ("200", 100, "1", ["100", "100"]),
        ("50", 100, "1", ["50"]),
        ("0.5", D("0.25"), "0.1", ["0.2", "0.2", "0.1"]),  # what is shown is cut to lots
    ],
)
def test_an_iceberg_shows_equal_parts_and_the_rest(qty: str, shown: D | int, lot: str, cut: list[str]) -> None:
    assert quantities(planned(qty, Algo.iceberg(shown), lot=lot)) == cut


@pytest.mark.parametrize(
    ("algo", "most", "refused"),
    [
        (Algo.twap("30m", 10), 10, False),
        (Algo.twap("30m", 11), 10, True),
        (Algo.iceberg(100), 10, False),
        (Algo.iceberg(99), 10, True),
    ],
)
def test_more_parts_than_allowed_are_refused(algo: Algo, most: int, refused: bool) -> None:
    answer = split_order(SplitInputs(D(1000), D(1), algo, 0, 10, most))

    assert isinstance(answer, Unplanned) is refused
    if isinstance(answer, Unplanned):
        assert (answer.code, answer.reason) == ("GR060", "11 parts are asked for, at most 10 are allowed")


def test_a_plain_order_is_one_part() -> None:
    assert quantities(planned("7", None)) == ["7"]


def test_a_measured_profile_is_kept_with_its_time_and_an_unknown_one_is_told() -> None:
    measured = Profile((D(30), D(10)), 5, 9)

    plan = planned("100", Algo.vwap("2m", 2), profile=measured)
    assert (quantities(plan), plan.profile_from_ns, plan.profile_to_ns) == (["75", "25"], 5, 9)

    plan = planned("100", Algo.vwap("2m", 2))
    assert quantities(plan) == ["50", "50"]
    assert plan.note == "no volume of 2m before is known: the parts are equal"


@given(
    lots=st.integers(1, 10_000),
    weights=st.lists(st.integers(0, 1_000), min_size=1, max_size=40).filter(any),
    lot=st.sampled_from(["1", "10", "0.00001"]),
)
@settings(max_examples=examples(60, whole=2_000), deadline=None)
def test_parts_sum_exactly_are_whole_lots_and_never_more_than_lots(lots: int, weights: list[int], lot: str) -> None:
    qty = D(lots) * D(lot)
    plan = planned(f"{qty:f}", Algo.vwap("1h", profile=tuple(map(D, weights))), lot=lot)

    parts = [part.qty for part in plan.slices]
    assert sum_of(parts) == qty
    assert all(part >= D(lot) and remainder(part, D(lot)) == 0 for part in parts)
    assert len(parts) <= min(lots, len(weights))
    assert [part.due_ns for part in plan.slices] == sorted(part.due_ns for part in plan.slices)
