"""A depth book that takes in updates when someone looks, where its source keeps the book from time to time.

A kept book replaces all updates before it, so most updates of a prepared capture are never read. That holds only
for a book of the updates alone: what we took from a level is still in the kept one. So kept books are used from the
first one that equals ours until we take something again.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from qts.market.contracts import BookUpdate
from qts.market.depth import KeptBook
from qts.market.depth_book import DepthBook, kept_book_after

MAX_UNREAD: Final = 64
"""Updates that wait at most; a source keeps a book more often."""


class UnreadDepth:
    """The depth book of one symbol, ``limit`` levels a side, with the updates that no one has looked at yet."""

    __slots__ = ("_book", "_follows", "_kept", "_kept_after", "_limit", "_unread", "_updates")

    def __init__(self, limit: int) -> None:
        self._book = DepthBook(limit)
        self._limit = limit
        self._follows = False  # the book is known to be that of all updates, nothing taken from it
        self._kept: KeptBook | None = None  # where to begin with what is unread
        self._unread: list[BookUpdate] = []
        self._updates = 0  # seen since the newest kept book
        self._kept_after = 0  # the number of updates of the source behind which that was kept

    @property
    def book(self) -> DepthBook:
        """Return the book after all updates, to look at; it is changed by the methods of this class alone."""
        self._read()
        return self._book

    def add(self, update: BookUpdate) -> None:
        """Take in an update, at the latest when someone looks."""
        kept = kept_book_after(update)
        if kept is not None and kept.limit != self._limit:
            kept = None
        self._updates += 1
        if kept is None:
            if not self._follows:
                self._book.apply(update)
                return
            self._unread.append(update)
            if len(self._unread) >= MAX_UNREAD:
                self._change()
            return
        if self._follows and kept.updates == self._kept_after + self._updates:
            self._kept = kept
            self._unread.clear()
        else:
            self._read()
            self._book.apply(update)
            self._follows = self._book.is_same(kept)
        self._updates, self._kept_after = 0, kept.updates

    def take(self, is_buy: bool, price: Decimal, qty: Decimal) -> None:
        """Subtract what our buyer (or seller) took at ``price``."""
        self._change()
        self._book.take(is_buy, price, qty)

    def forget(self, update: BookUpdate) -> None:
        """Apply an ``update`` of our own making, which the source does not know of."""
        self._change()
        self._book.apply(update)

    def export_state(self) -> list[Any]:
        """Return the book as plain data."""
        return self.book.export_state()

    def import_state(self, state: list[Any]) -> None:
        """Restore what :meth:`export_state` returned."""
        self._book.import_state(state)

    def _read(self) -> None:
        if self._kept is not None:
            self._book.restore(self._kept)
            self._kept = None
        for update in self._unread:
            self._book.apply(update)
        self._unread.clear()

    def _change(self) -> None:
        """Read what is unread; a kept book counts again when one equals ours."""
        self._read()
        self._follows = False
