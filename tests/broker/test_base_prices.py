"""The base of the daily band: the last price of an earlier day, whatever became known since."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from qts.broker.sim.base_prices import BasePrices

D = Decimal
MON, TUE, WED = date(2018, 1, 22), date(2018, 1, 23), date(2018, 1, 24)


def test_a_price_of_the_day_itself_is_no_base() -> None:
    bases = BasePrices()
    bases.note("X", MON, D(100))
    assert bases.base("X", MON) is None
    assert bases.base("X", TUE) == D(100)
    assert bases.base("Y", TUE) is None


def test_the_newest_price_of_a_day_counts_and_older_days_never_return() -> None:
    bases = BasePrices()
    bases.note("X", MON, D(100))
    bases.note("X", TUE, D(110))
    bases.note("X", TUE, D(120))
    bases.note("X", MON, D(90))
    assert bases.base("X", TUE) == D(100)
    assert bases.base("X", WED) == D(120)


def test_an_exported_table_answers_alike_and_follows_later_changes() -> None:
    bases, copy = BasePrices(), BasePrices()
    bases.note("X", MON, D("100.50"))
    bases.note("Y", MON, D(7))
    bases.note("X", TUE, D(110))
    copy.import_state(bases.export_state())
    assert copy.export_state() == bases.export_state()
    assert [copy.base(symbol, day) for symbol in "XY" for day in (MON, TUE, WED)] == [
        None,
        D("100.50"),
        D(110),
        None,
        D(7),
        D(7),
    ]
    before = bases.export_state()
    bases.note("X", TUE, D(111))
    assert bases.export_state() != before


def test_a_split_converts_both_closes_of_its_symbol() -> None:
    bases = BasePrices()
    bases.note("A", date(2024, 8, 7), D(100))
    bases.note("A", date(2024, 8, 8), D(90))
    bases.note("B", date(2024, 8, 8), D(90))
    before = bases.export_state()
    bases.rescale("A", lambda price: price / 2)
    bases.rescale("unknown", lambda price: price / 2)
    assert bases.base("A", date(2024, 8, 9)) == 45
    assert bases.base("A", date(2024, 8, 8)) == 50
    assert bases.base("B", date(2024, 8, 9)) == 90
    assert bases.export_state() != before
