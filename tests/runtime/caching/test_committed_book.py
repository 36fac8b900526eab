"""What the cache is told of the book: rows that are on disk, the newest of each, and each fill once."""

from __future__ import annotations

from qts.execution.contracts import OrderState
from qts.runtime.caching.committed_book import CommittedBook
from tests.runtime.caching.rows import DAY, fill, held, order


def test_the_newest_row_of_a_holding_and_of_an_order_counts() -> None:
    book = CommittedBook(10)
    book.add([order("o1"), held(10), order("o1", OrderState.PARTIAL, filled=4), held(14)])

    assert book.positions == {("one", "A"): held(14)}
    assert book.working == {"o1": order("o1", OrderState.PARTIAL, filled=4)}
    assert book.take_orders() == [order("o1", OrderState.PARTIAL, filled=4)]
    assert book.take_orders() == []


def test_an_order_that_has_ended_is_told_once_and_works_no_more() -> None:
    book = CommittedBook(10)
    book.add([order("o1")])
    book.add([order("o1", OrderState.FILLED, filled=10)])

    assert book.working == {}
    assert [one.state for one in book.take_orders()] == [OrderState.FILLED]


def test_each_fill_is_counted_on_its_day_of_the_market() -> None:
    book = CommittedBook(10)
    book.begin([], [], DAY, 2)
    book.add([fill("o1", "e1"), fill("o1", "e2")])
    assert book.trades_of(DAY) == 4
    # When the next day has one, and one of the day before comes late
    book.add([fill("o2", "e1", day="2026-01-23"), fill("o1", "e3")])

    assert book.trades_of("2026-01-23") == 1
    assert book.trades_of("2026-01-26") == 0
    assert len(book.take_fills()) == 4


def test_what_a_session_begins_with_does_not_replace_what_was_committed_since() -> None:
    book = CommittedBook(10)
    book.add([held(14), order("o1", OrderState.FILLED, filled=10)])

    book.begin([held(10), held(5, symbol="B")], [order("o1"), order("o2")], DAY, 0)

    assert book.positions == {("one", "A"): held(14), ("one", "B"): held(5, symbol="B")}
    assert book.working == {"o2": order("o2")}


def test_what_no_one_takes_is_bounded_and_counted() -> None:
    book = CommittedBook(2)
    book.add([order(f"o{number}", OrderState.FILLED) for number in range(5)])
    book.add([fill("o1", f"e{number}") for number in range(3)])

    assert [one.client_order_id for one in book.take_orders()] == ["o3", "o4"]
    assert [one.execution_id for one in book.take_fills()] == ["e1", "e2"]
    assert book.dropped == {"ord": 3, "trades": 1}
