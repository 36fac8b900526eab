"""Writes a prepared capture while a feed reads the text, block by block.

What is done here is paid by the first replay, so the rows of a block of the text are taken apart together: nearly
every step is one call for all of them.
"""

from __future__ import annotations

import zlib
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import compress, count, islice
from operator import attrgetter, gt, lt
from typing import Any, BinaryIO, Final

import msgspec

from qts.market.contracts import BookUpdate, MarketValue, Quote, Tick
from qts.market.depth import FALLING, RISING, UNSORTED, KeptBook, UnreadLevels, text_of
from qts.market.files.refusals import RefusalExample
from qts.market.files.row_memory import (
    BOOK,
    GAP_BIT,
    OTHER,
    QUOTE,
    SNAPSHOT_BIT,
    TICK,
    TICK_OF_MAKER,
    TICK_OF_TAKER,
    WIDE_QUOTE,
    Recorded,
)
from qts.market.prepared.book_keeper import BookKeeper
from qts.market.prepared.layout import (
    ALIGNMENT,
    BLOCK_ROWS,
    CLOSING,
    IS_BOOK,
    IS_OTHER,
    IS_QUOTE,
    IS_TICK,
    IS_WIDE,
    MAGIC,
    QUOTE_NUMBERS,
    TICK_NUMBERS,
    WIDE_NUMBERS,
    BlockContents,
    Column,
    Contents,
    Head,
    Lesson,
    Refused,
    TextBlock,
)

KIND_OF_TICK: Final = {None: TICK, False: TICK_OF_TAKER, True: TICK_OF_MAKER}
_SHORT_CODES: Final = 1 << 16
_symbol_of: Final = attrgetter("symbol")
_ts_ns_of: Final = attrgetter("ts_ns")

Positions = Callable[[], dict[str, Any]]


class CaptureWriter:
    """A writer of the columns: it keeps what a feed gives it.

    ``open_file`` is called once, before the first byte is written; ``position`` is that of the feed. Raises OSError
    when the file cannot be opened or written, and OverflowError for a number of a message that fits no column.
    """

    def __init__(self, open_file: Callable[[], BinaryIO], key: str, head: Head, position: Positions) -> None:
        self._open_file = open_file
        self._file: BinaryIO | None = None
        self._key = key
        self._head = head
        self._position = position
        self._blocks: list[BlockContents] = []
        self._block = _Block(position())
        self._books = BookKeeper()
        self.values: list[MarketValue] = []
        """The values of the block of the text that is being read."""
        self.size = 0
        """Bytes written so far."""

    def on_other(self, reason: str, example: RefusalExample | None) -> None:
        """Keep that a row had no value."""
        self._block.add_other(len(self.values), reason, example)

    def on_book(self, update: BookUpdate) -> None:
        """Keep the depth book behind ``update`` from time to time."""
        self._block.add_book(self._books.take(update))

    def on_learned(self, what: str, particulars: Sequence[Any]) -> None:
        """Keep what the parser's memory learned."""
        self._block.add_lesson(len(self.values), what, particulars)

    def on_block(self, text: TextBlock, checksums: Sequence[int], recorded: Recorded) -> None:
        """Keep the rows of a block of the text; write a block of columns when it is full."""
        block = self._block
        block.text_blocks.append(text)
        if self.values:
            block.add(self.values, checksums, recorded)
            self.values.clear()
        if block.rows >= BLOCK_ROWS:
            self._write_block()
            self._block = _Block(self._position())

    def on_end(self) -> None:
        """Write the last block, the contents and the closing record."""
        if self._block.rows or self._block.lessons:
            self._write_block()
        contents = msgspec.msgpack.encode(Contents(self._key, self._head, self._blocks, self._position()))
        begin = self.size
        self._write(contents)
        self._write(CLOSING.pack(begin, len(contents), zlib.crc32(contents), MAGIC))
        assert self._file is not None
        self._file.flush()

    def _write_block(self) -> None:
        block = self._block
        if self._file is None:
            self._file = self._open_file()
            self._write(MAGIC)
        first_byte = self.size
        checksum = 0
        columns: dict[str, Column] = {}
        for name, data in block.columns().items():
            content = memoryview(data).cast("B")
            padding = bytes(-self.size % ALIGNMENT)
            checksum = zlib.crc32(content, zlib.crc32(padding, checksum))
            self._write(padding)
            code: Any = data.typecode if isinstance(data, array) else "B"
            columns[name] = Column(code, self.size, len(data))
            self._write(content)
        self._blocks.append(
            BlockContents(
                rows=block.rows,
                first_ns=block.ts_ns[0] if block.rows else 0,
                last_ns=block.ts_ns[-1] if block.rows else 0,
                begin=block.begin,
                columns=columns,
                names=list(block.names),
                reasons=list(block.reasons),
                examples=block.examples,
                lessons=block.lessons,
                text_blocks=block.text_blocks,
                first_byte=first_byte,
                last_byte=self.size,
                checksum=checksum,
            )
        )

    def _write(self, data: bytes | memoryview) -> None:
        assert self._file is not None
        self._file.write(data)
        self.size += len(data)


class _Codes:
    """The numbers of a block by their text, from 1 in order of appearance."""

    def __init__(self) -> None:
        self.by_text: defaultdict[bytes, int] = defaultdict(count(1).__next__)
        self._by_object: dict[int, int] = {id(None): 0}
        self._objects: list[Decimal | None] = []  # kept alive: the identity of a dead one may return

    def of(self, column: Sequence[Decimal | None]) -> array[int]:
        """Return the codes of ``column``, 0 for None; each object is written out once, however often it occurs."""
        keys = list(map(id, column))
        known = self._by_object
        for key, number in dict(zip(keys, column, strict=True)).items():
            if key not in known:
                known[key] = self.by_text[str(number).encode()]
                self._objects.append(number)
        return array("I", map(known.__getitem__, keys))

    def of_texts(self, texts: Iterable[bytes]) -> array[int]:
        """Return the codes of numbers that are texts already."""
        return array("I", map(self.by_text.__getitem__, texts))

    def decimals(self) -> list[Decimal | None]:
        """Return the numbers by their codes."""
        return [None, *map(Decimal, map(bytes.decode, self.by_text))]


class _Block:
    """The columns of a block while rows are added; ``begin`` is the position of the text before the first.

    ``others`` has an entry for every row without a value: the number of values before it.
    """

    def __init__(self, begin: dict[str, Any]) -> None:
        self.begin = begin
        self.rows = 0
        self.ts_ns = array("q")
        self.names: dict[tuple[str, str], int] = defaultdict(count().__next__)
        self.reasons: dict[str, int] = {}
        self.examples: list[Refused] = []
        self.lessons: list[Lesson] = []
        self.text_blocks: list[TextBlock] = []
        self._codes = _Codes()
        self._kinds = bytearray()
        self._names = array("H")
        self._keys = array("q")
        self._checksums = array("I")
        self._numbers = {name: array("I") for name in (*QUOTE_NUMBERS, *TICK_NUMBERS, *WIDE_NUMBERS)}
        self._level_counts = array("I")
        self._levels = array("I")
        self._packed = bytearray()
        self._packed_sizes = array("I")
        self._books = 0
        self._kept_at = array("I")
        self._kept_updates = array("I")
        self._kept_sizes = array("I")
        self._kept = bytearray()
        self._others = array("I")
        self._other_reasons = array("B")

    def add_other(self, given: int, reason: str, example: RefusalExample | None) -> None:
        """Add a row without a value behind ``given`` values that are not added yet."""
        if example is not None:
            self.examples.append(Refused(len(self._others), example))
        self._others.append(self.rows + given)
        self._other_reasons.append(self.reasons.setdefault(reason, len(self.reasons)))

    def add_book(self, kept: KeptBook | None) -> None:
        """Add the next book update; ``kept`` is the depth book behind it, None where none is kept."""
        if kept is not None:
            self._kept_at.append(self._books)
            self._kept_updates.append(kept.updates)
            self._kept_sizes.append(len(kept.state))
            self._kept += kept.state
        self._books += 1

    def add_lesson(self, given: int, what: str, particulars: Sequence[Any]) -> None:
        """Add what was learned behind ``given`` values that are not added yet."""
        self.lessons.append(Lesson(self.rows + given, what, list(particulars)))

    def add(self, values: Sequence[MarketValue], checksums: Sequence[int], recorded: Recorded) -> None:
        """Add the rows of ``values``."""
        kinds = bytes(map(_kind_of, values))
        symbols = list(map(_symbol_of, values))
        self.rows += len(values)
        self._kinds += kinds
        self.ts_ns.extend(map(_ts_ns_of, values))
        self._names.extend(map(self.names.__getitem__, zip(symbols, recorded.names or symbols, strict=True)))
        self._keys.extend(recorded.keys)
        self._checksums.extend(checksums)
        for chosen, names in ((IS_QUOTE, QUOTE_NUMBERS), (IS_TICK, TICK_NUMBERS), (IS_WIDE, WIDE_NUMBERS)):
            some = list(compress(values, kinds.translate(chosen)))
            if some:
                for name, field in names.items():
                    self._numbers[name] += self._codes.of(list(map(attrgetter(field), some)))
        self._add_books(compress(values, kinds.translate(IS_BOOK)))
        for value in compress(values, kinds.translate(IS_OTHER)):
            packed = msgspec.msgpack.encode(value)
            self._packed += packed
            self._packed_sizes.append(len(packed))

    def columns(self) -> dict[str, array[int] | bytes]:
        """Return the entries of each column, as :class:`~qts.market.prepared.block.Block` names them."""
        prices, sizes = self._levels[::2], self._levels[1::2]
        return {
            "kinds": bytes(self._kinds),
            "ts_ns": self.ts_ns,
            "names": self._names,
            "keys": self._keys,
            "checksums": self._checksums,
            **{name: _narrow(codes) for name, codes in self._numbers.items()},
            "level_counts": self._level_counts,
            "level_orders": bytes(_orders(prices, self._level_counts, self._codes.decimals())),
            "level_prices": _narrow(prices),
            "level_sizes": _narrow(sizes),
            "kept_at": self._kept_at,
            "kept_updates": self._kept_updates,
            "kept_sizes": self._kept_sizes,
            "kept": bytes(self._kept),
            "others": self._others,
            "other_reasons": self._other_reasons,
            "packed_sizes": self._packed_sizes,
            "packed": bytes(self._packed),
            "numbers": b"\n".join(self._codes.by_text),
        }

    def _add_books(self, books: Iterable[Any]) -> None:
        texts = [
            levels.text() if isinstance(levels, UnreadLevels) else text_of(levels)
            for book in books
            for levels in (book.bids, book.asks)
        ]
        self._level_counts.extend([text.count(b"[") - 1 for text in texts])
        # All levels as one list: "price","size","price",…
        flat = b",".join([text for text in texts if text != b"[]"]).translate(None, b"[]")
        if flat:
            self._levels += self._codes.of_texts(flat[1:-1].split(b'","'))


def _kind_of(value: MarketValue) -> int:
    if isinstance(value, Quote):
        is_wide = value.last is not None or value.last_size is not None or value.volume is not None
        return WIDE_QUOTE if is_wide else QUOTE
    if isinstance(value, Tick):
        return KIND_OF_TICK[value.buyer_is_maker]
    if isinstance(value, BookUpdate):
        return BOOK | (SNAPSHOT_BIT * value.snapshot) | (GAP_BIT * value.after_gap)
    return OTHER


def _orders(prices: Sequence[int], counts: Sequence[int], decimals: Sequence[Any]) -> Iterator[int]:
    """Yield the order of each side: of as many ``prices``, codes of ``decimals``, as ``counts`` says."""
    numbers = list(map(decimals.__getitem__, prices))
    rises = bytes(map(lt, numbers, islice(numbers, 1, None)))
    begin = 0
    for count_ in counts:
        last = begin + count_ - 1
        if rises.find(0, begin, max(last, begin)) < 0:
            yield RISING
        else:
            yield FALLING if all(map(gt, numbers[begin:last], numbers[begin + 1 : last + 1])) else UNSORTED
        begin += count_


def _narrow(codes: array[int]) -> array[int]:
    """Return ``codes`` in half the space where they fit."""
    return array("H", codes) if max(codes, default=0) < _SHORT_CODES else codes
