"""Keeps the depth book of each symbol from time to time, so that a replay need not read all updates."""

from __future__ import annotations

from typing import Final

from qts.market.contracts import BookUpdate
from qts.market.depth import KeptBook, LazyLevels
from qts.market.depth_book import DepthBook

LIMIT: Final = 50
"""Levels of a side; a simulated exchange with another ``book_levels`` cannot use the kept books."""
KEPT_EVERY: Final = 16
"""Updates from one kept book to the next."""


class BookKeeper:
    """The depth books of a file as the market alone leaves them."""

    def __init__(self) -> None:
        self._books: dict[str, DepthBook] = {}
        self._updates: dict[str, int] = {}
        self._kept_after: dict[str, int] = {}  # the number of updates behind which the newest one was kept

    def take(self, update: BookUpdate) -> KeptBook | None:
        """Apply ``update``; return the book after it when it is time to keep one.

        It is given to the levels, too, so that the one who sees the update has it as well.
        """
        symbol = update.symbol
        book = self._books.get(symbol)
        if book is None:
            book = self._books[symbol] = DepthBook(LIMIT)
        book.apply(update)
        updates = self._updates[symbol] = self._updates.get(symbol, 0) + 1
        if updates - self._kept_after.get(symbol, 0) < KEPT_EVERY:
            return None
        levels = next((one for one in (update.bids, update.asks) if isinstance(one, LazyLevels)), None)
        if levels is None:  # nothing that can pass the book on: the next update will do
            return None
        kept = book.keep(LIMIT, updates)
        levels.keep(kept)
        self._kept_after[symbol] = updates
        return kept
