"""A depth book whose updates wait until someone looks equals one that takes in each of them at once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.broker.sim.config import SimConfig
from qts.broker.sim.unread_depth import MAX_UNREAD, UnreadDepth
from qts.market.contracts import BookUpdate
from qts.market.depth import LazyLevels
from qts.market.depth_book import DepthBook
from qts.market.files.numbers import PriceTable, SizeTable
from qts.market.prepared.book_keeper import KEPT_EVERY
from qts.market.prepared.book_keeper import LIMIT as KEPT_LIMIT

LIMIT = 3


def lazy(rows: list[list[str]]) -> Any:
    return LazyLevels(msgspec.json.encode(rows), PriceTable(), SizeTable()) if rows else ()


def update(ts_ns: int, bids: list[list[str]], asks: list[list[str]], **more: bool) -> BookUpdate:
    return BookUpdate("BTC", ts_ns, lazy(bids), lazy(asks), **more)


class Source:
    """Gives updates, with the book behind every ``every``-th one."""

    def __init__(self, every: int, limit: int = LIMIT) -> None:
        self.book = DepthBook(limit)
        self.every, self.limit, self.updates, self.kept_after = every, limit, 0, 0

    def give(self, one: BookUpdate) -> BookUpdate:
        self.book.apply(one)
        self.updates += 1
        if self.updates - self.kept_after >= self.every and (levels := one.bids or one.asks):
            assert isinstance(levels, LazyLevels)
            levels.keep(self.book.keep(self.limit, self.updates))
            self.kept_after = self.updates
        return one


def prices(low: int) -> st.SearchStrategy[list[list[str]]]:
    level = st.tuples(st.integers(low, low + 7).map(lambda at: f"{at}.0"), st.sampled_from(["0.0", "1.0", "2.00"]))
    return st.lists(level.map(list), max_size=4)


UPDATES = st.tuples(
    st.just("update"), prices(10), prices(18), st.sampled_from([{}] * 8 + [{"snapshot": True}, {"after_gap": True}])
)
ACTIONS = st.one_of(
    UPDATES,
    UPDATES,
    UPDATES,
    st.tuples(st.sampled_from(["look", "forget", "stop", "older"])),
    st.tuples(st.just("miss"), prices(10)),
    st.tuples(st.just("take"), st.booleans(), st.integers(10, 25).map(Decimal)),
)


@given(every=st.integers(1, 4), limit=st.sampled_from([LIMIT, LIMIT, 2]), actions=st.lists(ACTIONS, max_size=60))
def test_whenever_someone_looks_the_book_is_that_of_all_updates(
    every: int, limit: int, actions: list[tuple[Any, ...]]
) -> None:
    """Ours are taken from, rows are missed, a session stops and goes on, kept books have another limit."""
    source, at_once, waiting = Source(every, limit), DepthBook(LIMIT), UnreadDepth(LIMIT)
    for at, (action, *what) in enumerate(actions, start=1):
        if action == "update":
            given_ = source.give(update(at, what[0], what[1], **what[2]))
            at_once.apply(given_)
            waiting.add(given_)
        elif action == "older":
            given_ = source.give(update(at - 3, [["12.0", "9.0"]], []))
            at_once.apply(given_)
            waiting.add(given_)
        elif action == "miss":
            source.give(update(at, what[0], []))
        elif action == "take":
            at_once.take(what[0], what[1], Decimal("0.5"))
            waiting.take(what[0], what[1], Decimal("0.5"))
        elif action == "forget":
            gap = update(at, [], [], after_gap=True)
            at_once.apply(gap)
            waiting.forget(gap)
        elif action == "stop":
            stored, waiting = waiting.export_state(), UnreadDepth(LIMIT)
            waiting.import_state(stored)
        else:
            assert waiting.book.export_state() == at_once.export_state()
    assert waiting.book.export_state() == at_once.export_state()


def test_a_kept_book_counts_only_where_no_update_before_it_was_missed() -> None:
    # Given a source that keeps a book behind every update, of which ours misses the second
    source, depth = Source(1), UnreadDepth(LIMIT)
    depth.add(source.give(update(1, [], [["18.0", "0.0"]])))
    source.give(update(2, [["10.0", "1.0"]], []))
    # When the third comes
    depth.add(source.give(update(3, [], [["18.0", "0.0"]])))
    # Then what was missed stays missing: the source's book does not take the place of ours
    assert depth.book.best(False) is None


def applied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note the times of the updates that a book takes in."""
    times: list[int] = []
    original = DepthBook.apply

    def noted(self: DepthBook, one: BookUpdate) -> None:
        times.append(one.ts_ns)
        original(self, one)

    monkeypatch.setattr(DepthBook, "apply", noted)
    return times


def test_updates_before_a_kept_book_are_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a book kept behind every second update, the first proves that ours is the same; others replace it."""
    source = Source(2)
    given_ = [source.give(update(at, [["11.0", f"{at}.0"]], [])) for at in range(1, 8)]
    times, depth = applied(monkeypatch), UnreadDepth(LIMIT)

    for one in given_:
        depth.add(one)
    assert times == [1, 2]
    assert depth.book.best(False) == Decimal("11.0")

    assert times == [1, 2, 7]
    assert depth.book.displayed(True, Decimal("11.0")) == Decimal("7.0")


def test_what_we_took_is_missing_until_the_market_shows_the_level_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a book that follows its source, and half a lot of the bid at 11 that we took
    source, depth = Source(1), UnreadDepth(LIMIT)
    for at in (1, 2):
        depth.add(source.give(update(at, [["11.0", "3.0"], ["10.0", "1.0"]], [])))
    depth.take(False, Decimal("11.0"), Decimal("0.5"))

    # When the market changes another level, then ours
    depth.add(source.give(update(3, [["10.0", "2.0"]], [])))
    left = depth.book.displayed(True, Decimal("11.0"))
    depth.add(source.give(update(4, [["11.0", "4.0"]], [])))
    times = applied(monkeypatch)
    depth.add(source.give(update(5, [["11.0", "5.0"]], [])))

    # Then what is left is ours first and the market's afterwards, from where on the kept book is used again
    assert left == Decimal("2.5")
    assert depth.book.displayed(True, Decimal("11.0")) == Decimal("5.0")
    assert times == [5]  # the source's own


def test_without_kept_books_each_update_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    times, depth = applied(monkeypatch), UnreadDepth(LIMIT)

    for at in range(1, 4):
        depth.add(update(at, [["11.0", "1.0"]], []))

    assert times == [1, 2, 3]


def test_a_source_that_stops_keeping_books_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    source, depth = Source(1), UnreadDepth(LIMIT)
    depth.add(source.give(update(1, [["11.0", "1.0"]], [])))
    times = applied(monkeypatch)

    for at in range(MAX_UNREAD + 2):
        depth.add(update(2 + at, [["11.0", "1.0"]], []))

    assert times == list(range(2, MAX_UNREAD + 4))


def test_captures_keep_the_book_that_a_simulated_exchange_has_by_default() -> None:
    assert SimConfig().book_levels == KEPT_LIMIT
    assert KEPT_EVERY < MAX_UNREAD
