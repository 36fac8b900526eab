"""The same order again: same strategy, symbol, side, quantity and price."""

from __future__ import annotations

import pytest

from qts.risk.duplicates import Duplicates
from qts.strategy.contracts import Side
from tests.risk.requests import D, entry, leave

MS = 1_000_000
WINDOW = 500 * MS


def known(*, at_ns: int = 1_000 * MS, **request: object) -> Duplicates:
    made = Duplicates()
    made.add(entry(**request), at_ns, WINDOW)
    return made


def test_how_long_ago_the_same_order_was_is_known() -> None:
    assert known().since_ns(entry(), 1_400 * MS) == 400 * MS


@pytest.mark.parametrize(
    "other", [{"strategy": "other"}, {"symbol": "000660"}, {"qty": D(11)}, {"limit": D(50_100)}]
)
def test_another_order_is_no_repetition(other: dict[str, object]) -> None:
    assert known().since_ns(entry(**other), 1_400 * MS) is None
    assert known().since_ns(entry(client_order_id="o2", tag="t"), 1_400 * MS) == 400 * MS


def test_the_side_counts() -> None:
    made = Duplicates()
    made.add(leave(), 0, WINDOW)

    assert made.since_ns(entry(qty=leave().qty, limit=leave().limit), 1) is None


def test_a_fill_begins_the_time_again() -> None:
    made = known()
    made.add(entry(), 1_300 * MS, WINDOW)

    assert made.since_ns(entry(), 1_400 * MS) == 100 * MS


def test_what_is_older_than_the_window_is_forgotten() -> None:
    made = known(strategy="old")
    made.add(entry(), 1_000 * MS + WINDOW, WINDOW)

    assert len(made.export_state(1_500 * MS)) == 1


def test_a_clock_that_is_set_back_does_not_forget() -> None:
    assert known().since_ns(entry(), 0) == 0


def test_a_process_that_goes_on_knows_them() -> None:
    resumed = Duplicates()
    resumed.import_state(known().export_state(1_200 * MS), 7)

    assert resumed.since_ns(entry(), 7) == 200 * MS
    assert resumed.since_ns(entry(limit=D(1)), 7) is None
    assert resumed.export_state(7) == known().export_state(1_200 * MS)


def test_of_many_orders_the_newest_are_remembered() -> None:
    made = Duplicates()
    for number in range(10_001):
        made.add(entry(symbol=f"s{number}"), 1, WINDOW)

    assert made.since_ns(entry(symbol="s0"), 1) is None
    assert made.since_ns(entry(symbol="s1"), 1) == 0
    assert Side.BUY.value in made.export_state(1)[0]
