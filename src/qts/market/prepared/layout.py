"""The format of a prepared capture: blocks of columns, a table of contents, a closing record.

::

    MAGIC
    block 0: its columns, each beginning at a multiple of 8 bytes
    block 1 …
    contents: MessagePack of :class:`Contents`
    closing record: place, length and CRC-32 of the contents, MAGIC

Columns are arrays in the machine's own byte order, which is part of the name of the file. Each block has a CRC-32,
and so have the contents: a file is used only if everything in it is as it was written. A file without its closing
record was never complete.
"""

from __future__ import annotations

import struct
from typing import Any, Final, Literal

import msgspec

from qts.market.files.refusals import RefusalExample
from qts.market.files.row_memory import BOOK, OTHER, QUOTE, WIDE_QUOTE

MAGIC: Final = b"QTSPREP3"
"""Raised with every change of the format: older files are then made again."""
BLOCK_ROWS: Final = 65_536
"""Values of a block; bounds what recording and replaying hold in memory."""
ALIGNMENT: Final = 8
CLOSING: Final = struct.Struct("<QQI8s")
"""Place and length of the contents, their CRC-32, the magic."""

IS_QUOTE: Final = bytes(kind == QUOTE for kind in range(256))
IS_TICK: Final = bytes(QUOTE < kind < BOOK for kind in range(256))
IS_BOOK: Final = bytes(BOOK <= kind < WIDE_QUOTE for kind in range(256))
IS_WIDE: Final = bytes(kind == WIDE_QUOTE for kind in range(256))
IS_OTHER: Final = bytes(kind == OTHER for kind in range(256))
"""Tables for ``bytes.translate``: 1 for the kinds of one class of values."""

QUOTE_NUMBERS: Final = {f"quote_{name}": name for name in ("bid", "ask", "bid_size", "ask_size")}
TICK_NUMBERS: Final = {f"tick_{name}": name for name in ("price", "size")}
WIDE_NUMBERS: Final = {
    f"wide_{name}": name for name in ("bid", "ask", "bid_size", "ask_size", "last", "last_size", "volume")
}
"""Columns of numbers with the field each is for: of quotes of the best prices alone, of trades, of other quotes."""


class Column(msgspec.Struct, frozen=True, array_like=True):
    """The place of a column: the type code of :mod:`array`, its first byte in the file, its number of entries."""

    code: Literal["B", "H", "I", "q"]
    begin: int
    count: int


class Refused(msgspec.Struct, frozen=True, array_like=True):
    """An example kept of the row without value number ``other`` (from 0) of a block."""

    other: int
    example: RefusalExample


class Lesson(msgspec.Struct, frozen=True, array_like=True):
    """Something the parser's memory learned on the way to value ``at`` (from 0) of a block."""

    at: int
    what: str
    particulars: list[Any]


class TextBlock(msgspec.Struct, frozen=True, array_like=True):
    """A block of the file the capture was made of: where it begins, the number of its first row, the share of the
    file (0..1) read by then."""

    offset: int
    first: int
    share: float


class BlockContents(msgspec.Struct, frozen=True):
    """One block: ``rows`` values between the times ``first_ns`` and ``last_ns``, and what else came with them.

    ``begin`` is the position of the text feed before its first value. ``columns`` by name (:mod:`recorder` writes
    them). ``numbers`` is a column of text: the distinct numbers, one a line; number 0 is None and not among them.
    ``names`` are the symbols with their spelling in the file. ``reasons`` are those of rows without a value, "" for
    blank ones.
    """

    rows: int
    first_ns: int
    last_ns: int
    begin: dict[str, Any]
    columns: dict[str, Column]
    names: list[tuple[str, str]]
    reasons: list[str]
    examples: list[Refused]
    lessons: list[Lesson]
    text_blocks: list[TextBlock]
    first_byte: int
    last_byte: int
    checksum: int


class Head(msgspec.Struct, frozen=True):
    """The facts known before the first row: the format of the file, the decimals of prices and sizes of each symbol
    in its head, and the notes on its numbers and on its layout."""

    format: str
    steps: dict[str, tuple[int, int]]
    notes: list[dict[str, Any]]
    layout_notes: list[dict[str, Any]]


class Contents(msgspec.Struct, frozen=True):
    """The table of contents: ``key`` is what the capture was made of, ``end`` the position behind the last row."""

    key: str
    head: Head
    blocks: list[BlockContents]
    end: dict[str, Any]
