"""The depth book of one symbol as the market shows it, best levels by price, bounded.

Levels are kept in two sorted lists per side (best first in the order of ``prices``, see :class:`_Side`), never by
size. What we take from a level is subtracted until the source reports a new size for it: displayed size that we
consumed is not offered twice.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from qts.market.contracts import BookUpdate
from qts.market.depth import FALLING, RISING, UNSORTED, KeptBook, PriceLevel, UnreadLevels, pairs_of
from qts.money import ZERO, minus


class _Side:
    """One side. ``prices`` ascend; the best price is the last of the bids and the first of the asks."""

    __slots__ = ("cut", "is_bid", "limit", "prices", "sizes")

    def __init__(self, is_bid: bool, limit: int) -> None:
        self.is_bid = is_bid
        self.limit = limit
        self.prices: list[Decimal] = []
        self.sizes: list[Decimal] = []
        self.cut = False  # levels beyond the worst one kept were dropped: absence there means unknown

    def clear(self) -> None:
        self.prices.clear()
        self.sizes.clear()
        self.cut = False

    def change_all(self, levels: Sequence[PriceLevel]) -> None:
        """Take in many changes, size 0 removes; most of a busy book's lie beyond the worst kept and end there.

        Sorted changes beyond it are left out unread. Where the nearest comes first, only farther ones follow the
        first one beyond a full side; where it comes last, the worst price kept stays until they are reached.
        """
        prices, sizes, limit, is_bid = self.prices, self.sizes, self.limit, self.is_bid
        nearest_first = False
        if isinstance(levels, UnreadLevels) and levels.order != UNSORTED:
            nearest_first = levels.order == (FALLING if is_bid else RISING)
            if not nearest_first and len(prices) >= limit:
                levels, count = self._reaching(levels), len(levels)
                self.cut = self.cut or len(levels) < count
        pairs, price_of, size_of = pairs_of(levels)
        worst = 0 if is_bid else -1
        for price_text, size_text in pairs:
            price = price_of[price_text]
            if len(prices) >= limit and (price < prices[0] if is_bid else price > prices[-1]):
                self.cut = True
                if nearest_first:
                    return
                continue
            size = size_of[size_text]
            at = bisect_left(prices, price)
            if at < len(prices) and prices[at] == price:
                if size > 0:
                    sizes[at] = size
                else:
                    del prices[at], sizes[at]
            elif size > 0:
                prices.insert(at, price)
                sizes.insert(at, size)
                if len(prices) > limit:
                    del prices[worst], sizes[worst]
                    self.cut = True

    def _reaching(self, levels: UnreadLevels) -> Sequence[PriceLevel]:
        """Return sorted changes, the farthest first, from the first one that a full side can keep."""
        return levels.up_from(self.prices[0]) if self.is_bid else levels.down_from(self.prices[-1])

    def _beyond_worst(self, price: Decimal) -> bool:
        return price < self.prices[0] if self.is_bid else price > self.prices[-1]

    def size_at(self, price: Decimal) -> Decimal | None:
        """Return the size displayed at ``price``: zero for an empty level, None beyond the levels that are kept."""
        at = bisect_left(self.prices, price)
        if at < len(self.prices) and self.prices[at] == price:
            return self.sizes[at]
        if not self.prices or (self.cut and self._beyond_worst(price)):
            return None
        return ZERO

    def take(self, price: Decimal, qty: Decimal) -> None:
        at = bisect_left(self.prices, price)
        if at < len(self.prices) and self.prices[at] == price:
            self.change_all(((price, minus(self.sizes[at], qty)),))

    def levels(self) -> Iterator[PriceLevel]:
        """Yield (price, size) from the best outward."""
        if self.is_bid:
            return zip(reversed(self.prices), reversed(self.sizes), strict=True)
        return zip(self.prices, self.sizes, strict=True)


class DepthBook:
    """Both sides of a depth book, at most ``limit`` levels each; ``ts_ns`` is the last update's time.

    ``complete`` turns true with the first snapshot: before it an absent level means unknown, not empty. ``broken``:
    updates are missing, so nothing is known until the next snapshot.
    """

    __slots__ = ("asks", "bids", "broken", "complete", "ts_ns")

    def __init__(self, limit: int) -> None:
        self.bids = _Side(True, limit)
        self.asks = _Side(False, limit)
        self.ts_ns = 0
        self.complete = False
        self.broken = False

    def apply(self, update: BookUpdate) -> None:
        """Take in changed levels; a snapshot replaces everything. An update older than the book is dropped."""
        if update.ts_ns < self.ts_ns:
            return
        self.ts_ns = update.ts_ns
        if update.snapshot or update.after_gap:
            self.bids.clear()
            self.asks.clear()
            self.complete, self.broken = update.snapshot, not update.snapshot
        if self.broken:
            return
        self.bids.change_all(update.bids)
        self.asks.change_all(update.asks)

    def offers(self, is_buy: bool) -> Iterator[PriceLevel]:
        """Return what a buyer (the asks) or a seller (the bids) can take, best first."""
        return (self.asks if is_buy else self.bids).levels()

    def best(self, is_buy: bool) -> Decimal | None:
        """Return the best price of :meth:`offers`; None when the side is empty."""
        if is_buy:
            return self.asks.prices[0] if self.asks.prices else None
        return self.bids.prices[-1] if self.bids.prices else None

    def displayed(self, is_buy: bool, price: Decimal) -> Decimal | None:
        """Return the size on an order's own side at ``price`` (what it queues behind); None: unknown."""
        size = (self.bids if is_buy else self.asks).size_at(price)
        return None if size == 0 and not self.complete else size

    def take(self, is_buy: bool, price: Decimal, qty: Decimal) -> None:
        """Subtract what our buyer (or seller) took at ``price``."""
        (self.asks if is_buy else self.bids).take(price, qty)

    def export_state(self) -> list[Any]:
        """Return both sides as plain data, numbers as text."""
        return [
            self.ts_ns,
            self.complete,
            self.broken,
            *(
                [side.cut, " ".join(map(str, side.prices)), " ".join(map(str, side.sizes))]
                for side in (self.bids, self.asks)
            ),
        ]

    def import_state(self, state: list[Any]) -> None:
        """Restore what :meth:`export_state` returned."""
        self.ts_ns, self.complete, self.broken = state[:3]
        for side, (cut, prices, sizes) in zip((self.bids, self.asks), state[3:], strict=True):
            side.cut = cut
            side.prices = [Decimal(text) for text in prices.split()]
            side.sizes = [Decimal(text) for text in sizes.split()]

    def keep(self, limit: int, updates: int) -> KeptBook:
        """Return a copy of the book, which was made with ``limit``, after so many ``updates`` of its source."""
        return KeptBook(limit, updates, msgspec.msgpack.encode(self.export_state()))

    def restore(self, kept: KeptBook) -> None:
        """Restore what :meth:`keep` was called on; both have the same limit."""
        self.import_state(msgspec.msgpack.decode(kept.state))

    def is_same(self, kept: KeptBook) -> bool:
        """Return whether this is the book that was kept, to the last digit."""
        return bool(self.export_state() == msgspec.msgpack.decode(kept.state))


def kept_book_after(update: BookUpdate) -> KeptBook | None:
    """Return the book that its source kept after ``update``; None where it kept none."""
    for levels in (update.bids, update.asks):
        if isinstance(levels, UnreadLevels):
            return levels.kept_book
    return None
