"""Closes of an account are those of its market's sessions."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from qts.clock import to_ns
from qts.db.contracts import EquityRow
from qts.market.krx import KST, KrxCalendar
from qts.runtime.session.assessment import session_closes

D = Decimal


def sample(day: date, hour: int, equity: int) -> EquityRow:
    ts_ns = to_ns(datetime(day.year, day.month, day.day, hour, tzinfo=KST))
    return EquityRow(ts_ns, D(equity), D(60), D(0), D(0), D(equity), "BALANCED", "NORMAL")


def test_the_last_sample_of_a_session_is_its_close_and_what_comes_on_a_holiday_belongs_to_it() -> None:
    # Given two sessions of KRX, the last of 2018, and a sample on New Year's Day, when an index abroad has closed
    first, last, holiday = date(2018, 12, 27), date(2018, 12, 28), date(2019, 1, 1)
    samples = [
        sample(first, 10, 100),
        sample(first, 15, 110),
        sample(last, 10, 105),
        sample(last, 15, 120),
        sample(holiday, 6, 121),
    ]
    # Then there are two closes, and the second has what was known last; of 121 there were 60 in cash
    closes = session_closes(samples, KrxCalendar())
    assert [(one.day, one.equity, one.held) for one in closes] == [(first, D(110), D(50)), (last, D(121), D(61))]
