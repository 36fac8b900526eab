"""Counts of the trading day."""

from __future__ import annotations

from decimal import Decimal as D

from qts.runtime.session.trading_day import TradingDay

S = 1_000_000_000


def test_entries_count_and_exits_do_not() -> None:
    day = TradingDay(D(100))
    day.count_order(1, is_entry=True)
    day.count_order(2, is_entry=False)

    assert day.entries == 1
    assert day.orders_within(S, 2) == 2


def test_an_order_leaves_the_window_exactly_when_it_is_that_old() -> None:
    day = TradingDay(D(100))
    day.count_order(10 * S, is_entry=True)

    assert day.orders_within(S, 11 * S - 1) == 1
    assert day.orders_within(S, 11 * S) == 0


def test_a_new_day_starts_at_its_own_equity_with_nothing_counted() -> None:
    day = TradingDay(D(100))
    day.count_order(5 * S, is_entry=True)
    day.moved = D(7)

    day.start(D(103))

    assert (day.open_equity, day.entries, day.moved) == (D(103), 0, D(0))
    assert day.orders_within(S, 5 * S) == 1, "the rate of orders knows no midnight"


def test_a_restart_forgets_nothing_that_can_still_matter() -> None:
    day = TradingDay(D("100.5"))
    for second in range(0, 120, 10):
        day.count_order(second * S, is_entry=second % 20 == 0)
    day.moved = D(3)
    other = TradingDay(D(0))

    other.import_state(day.export_state())

    assert (other.open_equity, other.entries, other.moved) == (D("100.5"), 6, D(3))
    for window in (S, 10 * S, 60 * S):
        assert other.orders_within(window, 110 * S) == day.orders_within(window, 110 * S)


def test_only_the_newest_thousand_sends_are_remembered() -> None:
    day = TradingDay(D(100))
    for number in range(1_500):
        day.count_order(number, is_entry=False)

    assert day.orders_within(S, 1_500) == 1_000
