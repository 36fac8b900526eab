"""Bookings of a session in its view, its performance, and on the day of a split."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime

from qts.broker.contracts import NotSimulated
from qts.capital.contracts import Pool
from qts.clock import to_ns
from qts.db.contracts import EquityRow
from qts.execution.contracts import Fill
from qts.ledger.contracts import BookingRow
from qts.market.actions import Split
from qts.market.krx import KST, KrxCalendar
from qts.notes import in_english
from qts.runtime.session.assessment import Books, assess
from qts.runtime.session.corporate_actions import CorporateActions
from qts.runtime.strategies.price_view import PriceView
from tests.ledger.book import account, bust, fill, note
from tests.risk.requests import D
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, kst
from tests.runtime.test_session_view import shown


def close_of(day: int, equity: int) -> EquityRow:
    ts_ns = to_ns(datetime(2026, 1, day, 15, 30, tzinfo=KST))
    return EquityRow(ts_ns, D(equity), D(equity), D(0), D(0), D(equity), "BALANCED", "NORMAL")


def test_money_that_comes_in_is_no_return() -> None:
    # Given a million won, 500,000 more on the second day, and 1 % earned on each of the two days
    book = account()
    when = to_ns(datetime(2026, 1, 23, 8, tzinfo=KST))
    money = book.deposit(D(500_000), note("c-1", when), weights={Pool.SCALP: D(1)}, remainder=Pool.SCALP)
    books = Books(
        D(1_000_000),
        [close_of(22, 1_010_000), close_of(23, 1_525_100)],
        [],
        [],
        bookings=[one.booking for one in money],
    )
    # When the run is judged
    found = assess(books, KrxCalendar(), risk_free=0.0).performance
    # Then it earned 1.01 × 1.01 − 1, not 52 %
    assert round(float(found.total_return.value or 0), 6) == 0.0201


def judged(fills: list[Fill], back: Fill | None) -> list[tuple[D, D]]:
    """Return amounts bought and results of the round trips of ``fills`` after ``back`` was taken back."""
    book, rows, bookings = account(), [], []
    for one in fills:
        effect = book.apply_fill(one, strategy="ema", pool=Pool.SCALP)
        assert effect is not None
        rows.append(effect.ledger)
    if back is not None:
        taken = book.reverse(bust(back, ts=kst(11)))
        assert taken is not None
        bookings.append(taken.booking)
    books = Books(D(1_000_000), [close_of(22, 1_000_000)], rows, [], bookings=bookings)
    return [(one.bought, one.result) for one in assess(books, KrxCalendar(), risk_free=0.0).trips]


def test_a_fill_that_was_taken_back_is_no_trade() -> None:
    # Given 10 bought at 1,000, 10 at 1,200, and 10 sold at 1,100
    fills = [fill("1", "BUY", 10, 1_000, ts=kst(10)), fill("2", "BUY", 10, 1_200, ts=kst(10) + 1)]
    fills.append(fill("3", "SELL", 10, 1_100, ts=kst(10) + 2))
    # Then 10 are still held and no trade is over; without the first, 1,000 were lost on the second
    assert judged(fills, None) == []
    assert judged(fills, fills[0]) == [(12_000, -1_000)]


def test_where_shares_were_sold_that_were_taken_back_the_trades_are_those_reported() -> None:
    fills = [fill("1", "BUY", 10, 1_000, ts=kst(10)), fill("2", "SELL", 10, 1_100, ts=kst(10) + 1)]
    assert judged(fills, fills[0]) == judged(fills, None) == [(10_000, 1_000)]


def test_a_sale_of_what_was_never_held_leaves_the_figures_unknown_and_says_why() -> None:
    # Given a broker that reports a sale of 10 that were never bought
    effect = account().apply_fill(fill("1", "SELL", 10, 1_100, ts=kst(10)), strategy="ema", pool=Pool.SCALP)
    assert effect is not None
    # When the run is judged
    found = assess(Books(D(1_000_000), [close_of(22, 1_000_000)], [effect.ledger], []), KrxCalendar(), risk_free=0)
    # Then there are no figures and no trips, and the reason names the fill
    assert (found.performance, found.trips) == (None, ())
    assert found.why is not None
    assert in_english(found.why) == (
        "performance: there are no figures: ema holds no 005930 at 2026-01-22T01:00:00+00:00, at a fill of 10"
    )


def test_a_day_that_began_without_equity_leaves_the_figures_unknown_and_says_why() -> None:
    books = Books(D(1_000_000), [close_of(22, -5), close_of(23, 10)], [], [])
    found = assess(books, KrxCalendar(), risk_free=0.0)
    assert found.performance is None
    assert found.why is not None
    assert "2026-01-23: equity 10 from a capital of -5 has no return" in in_english(found.why)


def test_the_view_tells_what_was_booked_beside_fills(rig_of: Callable[..., Rig]) -> None:
    # Given a session without bookings
    rig = rig_of(ScriptedStrategy())
    rig.quotes(kst(10), 1)
    assert shown(rig).bookings is None
    # When 4 shares are found at the broker that are not ours
    rig.shared.account.book_external(fill("e1", "BUY", 4, 100, symbol=SYMBOL), actor="rule", reason="")
    # Then the view shows them beside our account
    told = shown(rig).bookings
    assert told is not None
    assert (told.rows, told.deposits, told.withdrawals, told.adjustments) == (1, 0, 0, 0)
    assert (told.external_cash, told.external_positions) == (-400, {SYMBOL: 4})


def test_a_split_changes_what_is_not_ours_as_well(rig_of: Callable[..., Rig]) -> None:
    # Given 4 shares at the broker that are not ours, and a split 2:1 tomorrow
    rig = rig_of(ScriptedStrategy())
    rig.quotes(kst(10), 1)
    account_ = rig.shared.account
    account_.book_external(fill("e1", "BUY", 4, 100, symbol=SYMBOL), actor="rule", reason="")
    told: list[BookingRow] = []
    actions = CorporateActions(
        rig.shared,
        NotSimulated(),
        [Split(SYMBOL, date(2026, 1, 23), D(2), D(1))],
        PriceView("none"),
        counters=rig.kernel.counters,
        on_row=lambda row: None,
        on_booking=told.append,
        on_action=lambda action, now_ns: None,
        on_applied=lambda: None,
        log=lambda level, text, **more: None,
    )
    # When its day comes
    actions.apply_due(kst(0, day=23))
    # Then they are 8, at the same cost
    assert account_.external.positions() == {SYMBOL: 8}
    assert account_.external.cost(SYMBOL) == 400
    assert [(int(row.qty), row.pool, row.reason) for row in told] == [(4, None, "split 2:1")]
