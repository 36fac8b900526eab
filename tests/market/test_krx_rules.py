"""The file of dated rules: what it must contain, and the errors for a wrong one."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D
from importlib import resources

import pytest

from qts.errors import DataError
from qts.market.krx import KrxCalendar, KrxTicks
from qts.market.krx_rules import embedded_rules, note_before_first, parse_rules, row_at
from qts.notes import Note


def text() -> str:
    return resources.files("qts.market").joinpath("data", "krx.yaml").read_text(encoding="utf-8")


def changed(old: str, new: str) -> str:
    assert text().count(old) >= 1, f"the file no longer has {old!r}"
    return text().replace(old, new, 1)


def test_every_row_names_its_source() -> None:
    rules = embedded_rules()
    tables = [*rules.ticks.values(), *rules.sell_tax.values()]
    rows = [row for table in tables for row in table] + [*rules.price_limits, *rules.sessions]
    rows += [*rules.broker_fee, *rules.dividend_tax]
    assert all(row.source for row in rows)
    assert all(row.source for row in rules.closed_days)


def test_the_row_in_force_starts_on_its_own_day() -> None:
    rows = embedded_rules().price_limits
    assert row_at(rows, date(2015, 6, 14)).limit == D("0.15")
    assert row_at(rows, date(2015, 6, 15)).limit == D("0.30")
    assert row_at(rows, date(1900, 1, 1)).limit == D("0.15")


def test_the_note_starts_the_day_before_the_first_row() -> None:
    rows = embedded_rules().price_limits
    assert note_before_first(rows, date(1998, 12, 7), Note.of("price-limit")) == []
    assert len(note_before_first(rows, date(1998, 12, 6), Note.of("price-limit"))) == 1


def test_corrected_rows_take_effect_without_code() -> None:
    rules = parse_rules(changed("2016-08-01\n    order_entry", "2016-08-02\n    order_entry"), "mine.yaml")
    close = KrxCalendar(rules=rules).close(date(2016, 8, 1))
    assert close is not None
    assert close.hour == 15
    assert close.minute == 0
    assert KrxTicks("KOSPI", rules).tick(D(40_000), date(2016, 8, 1)) == 50


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('limit: "0.15"', 'limit: "much"', r"limit"),
        ("price_limits:", "price_limitz:", r"price_limitz"),
        ("from: 1998-12-07", "from: 2015-06-15", r"price_limits needs .* no date twice"),
        ("from: 2010-10-04", "from: 2030-10-04", r"ticks.KOSPI needs .* oldest first"),
        ('["5000", "5"]', '["900", "5"]', r"ticks.KOSPI from 2010-10-04: bounds must rise"),
        ('["1000", "1"]', '[null, "1"]', r"only the last may be null"),
        ('["5000", "5"]', '["5000", "-5"]', r"steps must be above 0"),
        ('["5000", "5"]', '["5000", "7"]', r"bound 1000 must be a multiple of the steps 1 and 7"),
        ("ticks:", "ticks: [", r"mine.yaml"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(old: str, new: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        parse_rules(changed(old, new), "mine.yaml")
    assert str(caught.value).startswith("mine.yaml")
