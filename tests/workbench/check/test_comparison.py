"""The first intent in which two runs differ, and how it is told."""

from __future__ import annotations

from decimal import Decimal

from qts.kit import Away, FillView, Intent, Side, Target
from qts.workbench.check.comparison import (
    changed_fields,
    first_difference,
    first_fill_difference,
    intent_text,
)
from qts.workbench.check.recorder import Filled, Said


def buy(ts_ns: int, *, qty: int = 10, row: int = 1, after_end: bool = False) -> Said:
    return Said(row, ts_ns, "mine", Intent("A", Side.BUY, 1.0, qty=qty), after_end)


def fill(ts_ns: int, *, price: int = 70, order_id: str = "o-1") -> Filled:
    return Filled(
        1, FillView("A", Side.BUY, Decimal(1), Decimal(price), Decimal(0), Decimal(0), ts_ns, order_id, "e", False)
    )


def test_runs_that_say_the_same_do_not_differ_whatever_their_rows() -> None:
    assert first_difference([buy(5), buy(9)], [buy(5, row=3), buy(9)]) is None


def test_the_first_difference_has_both_sides() -> None:
    found = first_difference([buy(5), buy(9)], [buy(5), buy(9, qty=11)])
    assert found is not None
    assert (found.at.ts_ns, changed_fields(found)) == (9, ["qty 10 / 11"])


def test_an_intent_that_only_one_run_has_is_a_difference() -> None:
    missing = first_difference([buy(5), buy(9)], [buy(5)])
    added = first_difference([buy(5)], [buy(5), buy(9)])
    assert missing is not None
    assert (missing.whole, missing.other) == (buy(9), None)
    assert added is not None
    assert (added.whole, added.other) == (None, buy(9))


def test_behind_the_cut_nothing_is_compared() -> None:
    assert first_difference([buy(5), buy(9)], [buy(5)], until_ns=8) is None
    assert first_difference([buy(5)], [buy(5), buy(9)], until_ns=8) is None


def test_what_a_cut_run_adds_counts_only_before_its_end() -> None:
    assert first_difference([buy(5)], [buy(5), buy(8, after_end=True)], until_ns=8) is None
    assert first_difference([buy(5)], [buy(5), buy(8)], until_ns=8) is not None


def test_what_both_say_after_the_last_row_of_the_cut_is_compared() -> None:
    # Bars of one moment may be told when the input ends: the whole run has them in the same moment
    assert first_difference([buy(8)], [buy(8, after_end=True)], until_ns=8) is None
    assert first_difference([buy(8)], [buy(8, qty=11, after_end=True)], until_ns=8) is not None


def test_an_intent_is_told_without_its_defaults() -> None:
    assert intent_text(Intent("A", Side.SELL, 1.0, reason="fell")) == "SELL A, confidence 1.0, reason 'fell'"


def test_fills_differ_by_moment_price_and_size_and_not_by_their_ids() -> None:
    assert first_fill_difference([fill(5), fill(9)], [fill(5, order_id="p-1"), fill(9)]) is None
    assert first_fill_difference([fill(5), fill(9)], [fill(5), fill(9, price=71)]) == 9
    assert first_fill_difference([fill(5), fill(9)], [fill(5)]) == 9


def test_numbers_that_hardly_differ_are_the_same_where_that_is_allowed() -> None:
    near, far = [buy(5, qty=1001)], [buy(5, qty=1002)]
    assert first_difference([buy(5, qty=1000)], near) is not None
    assert first_difference([buy(5, qty=1000)], near, near=0.001) is None
    assert first_difference([buy(5, qty=1000)], far, near=0.001) is not None
    # Not so moments, symbols and sides
    assert first_difference([buy(5)], [buy(6)], near=0.5) is not None


def test_a_distance_within_an_intent_may_hardly_differ_too() -> None:
    def target(stop: str) -> Said:
        return Said(1, 5, "mine", Target("A", 10, stop=Away(Decimal(stop))))

    assert first_difference([target("100.05")], [target("100.06")], near=0.001) is None
    assert first_difference([target("100.05")], [target("101")], near=0.001) is not None
