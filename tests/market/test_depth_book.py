"""The depth book: best by price, bounded, and honest about what it does not know."""

from __future__ import annotations

import json
from decimal import Decimal
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from qts.market.contracts import BookUpdate
from qts.market.depth import FALLING, RISING, sides_of
from qts.market.depth_book import DepthBook
from qts.market.files.numbers import PriceTable, SizeTable
from qts.market.prepared.block import ColumnLevels

D = Decimal


def update(
    ts: int, bids: dict[int, int] | None = None, asks: dict[int, int] | None = None, snapshot: bool = False
) -> BookUpdate:
    def levels(side: dict[int, int] | None) -> tuple[tuple[Decimal, Decimal], ...]:
        return tuple((D(price), D(size)) for price, size in (side or {}).items())

    return BookUpdate("X", ts, levels(bids), levels(asks), snapshot)


def test_the_best_level_is_the_best_price_not_the_biggest() -> None:
    book = DepthBook(5)
    book.apply(update(1, {98: 900, 99: 1}, {101: 900, 100: 1}, snapshot=True))
    assert [int(price) for price, _ in book.offers(True)] == [100, 101]
    assert [int(price) for price, _ in book.offers(False)] == [99, 98]


def test_size_zero_removes_and_a_snapshot_replaces() -> None:
    book = DepthBook(5)
    book.apply(update(1, {99: 1}, {100: 1, 101: 2}, snapshot=True))
    book.apply(update(2, {}, {100: 0, 105: 0}))
    assert list(book.offers(True)) == [(D(101), D(2))]
    book.apply(update(3, {}, {200: 1}, snapshot=True))
    assert list(book.offers(True)) == [(D(200), D(1))]
    assert list(book.offers(False)) == []


def test_an_older_update_is_dropped() -> None:
    book = DepthBook(5)
    book.apply(update(2, {}, {100: 1}, snapshot=True))
    book.apply(update(1, {}, {100: 9}))
    assert list(book.offers(True)) == [(D(100), D(1))]


def test_only_the_best_levels_are_kept_and_beyond_them_nothing_is_known() -> None:
    book = DepthBook(2)
    book.apply(update(1, {97: 1, 98: 2, 99: 3}, {100: 1, 101: 2, 102: 3}, snapshot=True))
    assert [int(price) for price, _ in book.offers(True)] == [100, 101]
    assert [int(price) for price, _ in book.offers(False)] == [99, 98]
    assert book.displayed(True, D(97)) is None
    assert book.displayed(False, D(102)) is None
    assert book.displayed(False, D(100)) == 1


def test_an_absent_level_is_empty_only_in_a_book_that_began_with_a_snapshot() -> None:
    whole, piece = DepthBook(5), DepthBook(5)
    whole.apply(update(1, {99: 1, 97: 1}, {}, snapshot=True))
    piece.apply(update(1, {99: 1, 97: 1}, {}))
    assert whole.displayed(True, D(98)) == 0
    assert piece.displayed(True, D(98)) is None
    assert whole.displayed(False, D(100)) is None  # a side that was never shown


def test_what_we_take_is_gone_until_stated_again() -> None:
    book = DepthBook(5)
    book.apply(update(1, {}, {100: 5, 101: 2}, snapshot=True))
    book.take(True, D(100), D(3))
    book.take(True, D(101), D(2))
    book.take(True, D(103), D(2))
    assert list(book.offers(True)) == [(D(100), D(2))]
    book.apply(update(2, {}, {101: 2}))
    assert list(book.offers(True)) == [(D(100), D(2)), (D(101), D(2))]


changes = st.lists(st.tuples(st.booleans(), st.integers(1, 30), st.integers(0, 5)), max_size=60)


@given(changes, st.integers(1, 40))
def test_the_book_agrees_with_a_plain_dictionary_as_far_as_it_reaches(
    told: list[tuple[bool, int, int]], levels: int
) -> None:
    book = DepthBook(levels)
    model: dict[bool, dict[int, int]] = {True: {}, False: {}}
    for ts, (is_bid, price, size) in enumerate(told):
        book.apply(update(ts, {price: size} if is_bid else {}, {} if is_bid else {price: size}))
        model[is_bid][price] = size
        for side in (True, False):
            kept = [(int(p), int(s)) for p, s in book.offers(not side)]
            assert len(kept) <= levels
            assert kept == sorted(kept, reverse=side)
            assert all(model[side][p] == s > 0 for p, s in kept)
            if levels == 40:
                assert len(kept) == sum(1 for s in model[side].values() if s)


@given(st.lists(changes, max_size=8), st.integers(1, 10))
def test_levels_that_are_still_text_change_the_book_like_any_others(
    updates: list[list[tuple[bool, int, int]]], limit: int
) -> None:
    read, unread = DepthBook(limit), DepthBook(limit)
    prices, sizes = PriceTable(), SizeTable()
    for ts_ns, told in enumerate(updates, 1):
        sides = [
            [(f"{price + 1}.0", f"{size}.0") for buy, price, size in told if buy is side] for side in (True, False)
        ]
        texts = [json.dumps(side, separators=(",", ":")).encode() for side in sides]
        unread.apply(BookUpdate("A", ts_ns, *sides_of(*texts, prices, sizes)))
        read.apply(BookUpdate("A", ts_ns, *(tuple((D(p), D(s)) for p, s in side) for side in sides)))
    assert unread.export_state() == read.export_state()


def columns(side: list[tuple[Decimal, Decimal]], order: int) -> ColumnLevels:
    """Levels as a prepared capture has them: indices of a table of numbers."""
    numbers = [None, *(number for level in side for number in level)]
    codes = range(1, len(numbers), 2)
    block = SimpleNamespace(numbers=numbers, level_prices=list(codes), level_sizes=[code + 1 for code in codes])
    return ColumnLevels(block, 0, len(side), order)  # type: ignore[arg-type]


@given(st.lists(changes, max_size=8), st.integers(1, 10), st.booleans())
def test_sorted_changes_beyond_the_worst_level_are_left_out_without_a_difference(
    updates: list[list[tuple[bool, int, int]]], limit: int, rising: bool
) -> None:
    whole, short = DepthBook(limit), DepthBook(limit)
    order = RISING if rising else FALLING
    for ts_ns, told in enumerate(updates, 1):
        sides = []
        for side in (True, False):
            found = {D(price): D(size) for buy, price, size in told if buy is side}
            sides.append(sorted(found.items(), reverse=not rising))
        whole.apply(BookUpdate("A", ts_ns, *map(tuple, sides)))
        short.apply(BookUpdate("A", ts_ns, *(columns(side, order) for side in sides)))
        assert short.export_state() == whole.export_state()


def test_a_sorted_change_beyond_a_full_side_is_never_read() -> None:
    """Given the best two bids and asks kept, changes far from them leave their sizes unread and mark the cut."""
    book = DepthBook(2)
    book.apply(update(1, {99: 1, 98: 1}, {101: 1, 102: 1}, snapshot=True))
    far = {
        True: [(D(1), D(5)), (D(2), D(5)), (D(99), D(7))],
        False: [(D(101), D(7)), (D(200), D(5)), (D(300), D(5))],
    }
    bids, asks = columns(far[True], RISING), columns(far[False], RISING)
    for levels, unread in ((bids, (2, 4)), (asks, (6,))):
        for code in unread:
            levels._block.numbers[code] = None  # comparing it would fail

    book.apply(BookUpdate("A", 2, bids, asks))

    assert list(book.offers(False)) == [(D(99), D(7)), (D(98), D(1))]
    assert list(book.offers(True)) == [(D(101), D(7)), (D(102), D(1))]
    assert book.displayed(True, D(50)) is None


@given(changes)
def test_an_exported_book_goes_on_alike(told: list[tuple[bool, int, int]]) -> None:
    book, copy = DepthBook(3), DepthBook(3)
    for ts, (is_bid, price, size) in enumerate(told):
        copy.import_state(book.export_state())
        for each in (book, copy):
            each.apply(update(ts, {price: size} if is_bid else {}, {} if is_bid else {price: size}))
        assert book.export_state() == copy.export_state()


def test_after_a_gap_nothing_is_known_until_the_next_snapshot() -> None:
    """Given a whole book, when an update says that others before it are missing, then no level is offered."""
    book = DepthBook(5)
    book.apply(update(1, {99: 1}, {100: 1}, snapshot=True))

    book.apply(BookUpdate("X", 2, ((D(98), D(5)),), (), after_gap=True))
    book.apply(update(3, {97: 5}, {101: 5}))

    assert book.broken
    assert list(book.offers(True)) == list(book.offers(False)) == []
    restored = DepthBook(5)
    restored.import_state(book.export_state())
    assert restored.broken
    restored.apply(update(4, {99: 1}, {100: 2}, snapshot=True))
    assert not restored.broken
    assert list(restored.offers(True)) == [(D(100), D(2))]
