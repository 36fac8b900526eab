"""The columns of one block of a prepared capture, and the values made of them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from itertools import compress, count, repeat
from typing import Any, Final

import msgspec

from qts.market.contracts import BookUpdate, MarketValue, Quote, Tick
from qts.market.depth import KeptBook, Pairs, PriceLevel, UnreadLevels
from qts.market.files.row_memory import (
    BOOK,
    GAP_BIT,
    SNAPSHOT_BIT,
    TICK,
    TICK_OF_MAKER,
    TICK_OF_TAKER,
    WIDE_QUOTE,
    PastRows,
)
from qts.market.prepared.book_keeper import LIMIT
from qts.market.prepared.layout import (
    IS_BOOK,
    IS_OTHER,
    IS_QUOTE,
    IS_TICK,
    IS_WIDE,
    QUOTE_NUMBERS,
    TICK_NUMBERS,
    WIDE_NUMBERS,
    BlockContents,
    TextBlock,
)

_SIZES: Final = {"B": 1, "H": 2, "I": 4, "q": 8}
_MAKERS: Final = {TICK: None, TICK_OF_TAKER: False, TICK_OF_MAKER: True}
_decode_value: Final = msgspec.msgpack.Decoder(MarketValue).decode


class ColumnLevels(UnreadLevels):
    """Levels ``begin`` to ``end`` of a block, read from its columns when they are looked at.

    ``order`` is what the recorder found: UNSORTED, RISING or FALLING.
    """

    __slots__ = ("_begin", "_block", "_end", "_kept_book", "_levels", "_order")

    def __init__(self, block: Block, begin: int, end: int, order: int, kept_book: KeptBook | None = None) -> None:
        self._block = block
        self._kept_book = kept_book
        self._begin = begin
        self._end = end
        self._levels: tuple[PriceLevel, ...] | None = None
        self._order = order

    @property
    def kept_book(self) -> KeptBook | None:
        """Return the book after the update that these levels are a side of; None where none is kept."""
        return self._kept_book

    @property
    def order(self) -> int:
        """Return the order of the prices."""
        return self._order

    def __len__(self) -> int:
        return self._end - self._begin

    def up_from(self, price: Decimal) -> ColumnLevels:
        """Return the rest of RISING levels from ``price`` up."""
        numbers = self._block.numbers
        return self._from(lambda code: numbers[code] >= price)

    def down_from(self, price: Decimal) -> ColumnLevels:
        """Return the rest of FALLING levels from ``price`` down."""
        numbers = self._block.numbers
        return self._from(lambda code: numbers[code] <= price)

    def _from(self, reached: Callable[[int], bool]) -> ColumnLevels:
        begin = bisect_left(self._block.level_prices, True, self._begin, self._end, key=reached)
        return ColumnLevels(self._block, begin, self._end, self._order)

    def pairs(self) -> Pairs:
        """Return what :func:`qts.market.depth.pairs_of` returns: indices of the block's numbers."""
        block, begin, end = self._block, self._begin, self._end
        numbers = block.numbers
        return zip(block.level_prices[begin:end], block.level_sizes[begin:end], strict=True), numbers, numbers

    def read(self) -> tuple[PriceLevel, ...]:
        """Return the levels."""
        if self._levels is None:
            pairs, price_of, size_of = self.pairs()
            self._levels = tuple([(price_of[price], size_of[size]) for price, size in pairs])
        return self._levels


class Block:
    """The columns of one block.

    One entry for each value: ``kinds``, ``ts_ns``, ``names``, ``keys`` (none in formats without numbers) and
    ``checksums``; for each quote, trade or wide quote: the codes of its numbers; two for each book update, bids and
    asks: ``level_counts`` and ``level_orders``; for each level: the codes ``level_prices`` and ``level_sizes``; for
    each kept depth book: ``kept_at``, the number of the book update before it, ``kept_updates``, and
    ``kept_sizes``, its bytes in ``kept``; for each row without a value: ``others``, the number of values before it,
    and ``other_reasons``; for any further value: ``packed_sizes``, its bytes in ``packed``. ``numbers`` has the
    numbers by their codes; 0 is None.
    """

    def __init__(self, contents: BlockContents, view: memoryview) -> None:
        self.contents = contents
        self._view = view
        self.kinds = bytes(self.column("kinds"))
        self.ts_ns = self.column("ts_ns").tolist()
        self.others = self.column("others")
        self.level_prices = self.column("level_prices")
        self.level_sizes = self.column("level_sizes")
        texts = bytes(self.column("numbers")).decode("ascii").split("\n")
        self.numbers: list[Any] = [None, *map(Decimal, filter(None, texts))]

    def column(self, name: str) -> memoryview[int]:
        """Return the entries of a column."""
        place = self.contents.columns[name]
        size = place.count * _SIZES[place.code]
        return self._view[place.begin : place.begin + size].cast(place.code)

    def values(self, begin: int, kinds: Iterator[int]) -> Iterator[MarketValue]:
        """Return the values from ``begin`` on, one for each of ``kinds``, which must be the kinds from there on.

        The next one of ``kinds`` is taken when its value is asked for. Every class of values has an iterator of its
        own over its columns, and the kind says whose turn it is, so no step in between is one of the interpreter.
        """
        sources = [self._quotes(begin)] + [self._ticks(begin)] * (BOOK - TICK)
        sources += [self._books(begin)] * (WIDE_QUOTE - BOOK) + [self._wide_quotes(begin), self._packed(begin)]
        return map(next, map(sources.__getitem__, kinds))

    def past_rows(self, begin: int, end: int) -> PastRows:
        """Return the rows ``begin`` to ``end`` as a memory of rows takes them."""
        return PastRows(
            self.kinds[begin:end],
            self.ts_ns[begin:end],
            self.column("names")[begin:end],
            [name for _, name in self.contents.names],
            self.column("keys")[begin:end],
            self.column("checksums")[begin:end],
        )

    def others_before(self, given: int) -> int:
        """Return how many rows without a value come before the last of the first ``given`` values."""
        return bisect_right(self.others, given - 1) if given else 0

    def line_after(self, given: int) -> int:
        """Return the number (from 1) of the last row of the file that was used when ``given`` values were given."""
        begin = self.contents.begin
        before: int = begin["line"] + begin["skip"] - 1
        return before + given + self.others_before(given)

    def text_block_after(self, given: int) -> TextBlock:
        """Return the block of the text that has the row of the last of the first ``given`` values."""
        blocks = self.contents.text_blocks
        return blocks[bisect_right(blocks, self.line_after(given), key=lambda one: one.first) - 1]

    def _quotes(self, begin: int) -> Iterator[MarketValue]:
        return map(Quote, *self._labels(begin, IS_QUOTE), *self._numbers(begin, IS_QUOTE, QUOTE_NUMBERS))

    def _ticks(self, begin: int) -> Iterator[MarketValue]:
        makers = map(_MAKERS.__getitem__, compress(self.kinds[begin:], self.kinds[begin:].translate(IS_TICK)))
        return map(Tick, *self._labels(begin, IS_TICK), *self._numbers(begin, IS_TICK, TICK_NUMBERS), makers)

    def _wide_quotes(self, begin: int) -> Iterator[MarketValue]:
        return map(Quote, *self._labels(begin, IS_WIDE), *self._numbers(begin, IS_WIDE, WIDE_NUMBERS))

    def _books(self, begin: int) -> Iterator[MarketValue]:
        counts, orders = self.column("level_counts"), self.column("level_orders")
        sides = 2 * sum(self.kinds[:begin].translate(IS_BOOK))
        first = sum(counts[:sides])
        left = zip(counts[sides:], orders[sides:], strict=True)
        kept_after = self._kept_books().get
        for at, kind, symbol, ts_ns in zip(
            count(sides // 2),
            compress(self.kinds[begin:], self.kinds[begin:].translate(IS_BOOK)),
            *self._labels(begin, IS_BOOK),
            strict=False,
        ):
            kept = kept_after(at)
            middle, bid_order = next(left)
            end, ask_order = next(left)
            middle += first
            end += middle
            bids = ColumnLevels(self, first, middle, bid_order, kept) if first < middle else ()
            asks = ColumnLevels(self, middle, end, ask_order, kept) if middle < end else ()
            first = end
            yield BookUpdate(symbol, ts_ns, bids, asks, bool(kind & SNAPSHOT_BIT), bool(kind & GAP_BIT))

    def _kept_books(self) -> dict[int, KeptBook]:
        """Return the kept depth books by the number (from 0, in the block) of the update each is behind."""
        states, begin, kept = self.column("kept"), 0, {}
        for at, updates, size in zip(*map(self.column, ("kept_at", "kept_updates", "kept_sizes")), strict=True):
            kept[at] = KeptBook(LIMIT, updates, states[begin : begin + size])
            begin += size
        return kept

    def _packed(self, begin: int) -> Iterator[MarketValue]:
        content, sizes = self.column("packed"), self.column("packed_sizes")
        others = sum(self.kinds[:begin].translate(IS_OTHER))
        first = sum(sizes[:others])
        for size in sizes[others:]:
            yield _decode_value(content[first : first + size])
            first += size

    def _labels(self, begin: int, chosen: bytes) -> tuple[Iterator[str], Iterator[int]]:
        """Return symbols and times of the values of one class from ``begin`` on."""
        which = self.kinds[begin:].translate(chosen)
        symbols = [symbol for symbol, _ in self.contents.names]
        if len(symbols) == 1:
            return repeat(symbols[0]), compress(self.ts_ns[begin:], which)
        names = compress(self.column("names")[begin:], which)
        return map(symbols.__getitem__, names), compress(self.ts_ns[begin:], which)

    def _numbers(self, begin: int, chosen: bytes, columns: Iterable[str]) -> list[Iterator[Decimal | None]]:
        """Return the numbers of the values of one class from ``begin`` on."""
        before = sum(self.kinds[:begin].translate(chosen))
        return [map(self.numbers.__getitem__, self.column(name)[before:]) for name in columns]
