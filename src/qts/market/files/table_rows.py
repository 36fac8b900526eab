"""The columns that CSV and Parquet share: one row of texts to one quote or trade.

Columns: ts (ISO time with an offset), symbol, bid, ask, bid_size, ask_size, last, size; in any order, others
are ignored, but for id or seq, which distinguishes rows that are alike in everything else. An empty cell is
unknown, never zero. At least bid and ask, or last, must exist.

A row with last and size reports a trade. It stays one value, so that a row is one step of the feed: a quote that
carries its trade, or, where the symbol has shown a side before, a bare trade that leaves the standing quote alone.
Where no side was ever shown the quote is all that strategies see of the price.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from qts.errors import DataError
from qts.market.contracts import MarketValue, Quote, Tick
from qts.market.files.line_source import BOM, OverlongLine, shown
from qts.market.files.noise import CleanPrices, CleanSizes, denoised
from qts.market.files.numbers import PriceTable, SizeTable
from qts.market.files.reading import DELIMITERS, ReadAs, times_of
from qts.market.files.refusals import (
    BAD_TIME,
    CROSSED_BOOK,
    INVALID_UTF8,
    MALFORMED,
    NO_PRICE,
    OVERLONG,
    BlankRow,
    RowRefused,
)
from qts.market.files.remedies import encoding_remedy
from qts.market.files.row_memory import MomentMemory
from qts.market.files.symbols import Grid, SymbolTable
from qts.market.files.times import TimeOrder
from qts.notes import Note

COLUMNS: Final = ("ts", "symbol", "bid", "ask", "bid_size", "ask_size", "last", "size")
IDS: Final = ("id", "seq")
"""Columns of which one may distinguish rows; a line of text is distinguished by all its bytes anyway."""
HEADER: Final = "a header with ts, symbol, and bid with ask or last among its columns"

MARKS: Final = {
    ",": Note.of("mark-comma"),
    ";": Note.of("mark-semicolon"),
    "\t": Note.of("mark-tab"),
    "|": Note.of("mark-bar"),
}
"""Characters that separate cells."""

Cells: TypeAlias = Sequence[str | None]
"""One row as texts in the order of :data:`COLUMNS`; None or "" is unknown."""


def missing_columns(names: Iterable[str]) -> list[str]:
    """Return the columns that a file with these names lacks; empty when it can be read."""
    have = set(names)
    missing = [name for name in ("ts", "symbol") if name not in have]
    if "last" not in have and not {"bid", "ask"} <= have:
        missing.append("bid and ask, or last")
    return missing


class CellValues:
    """From cells to quotes and trades, with what must be remembered of earlier rows."""

    def __init__(self, memory: MomentMemory, wanted: ReadAs, *, clean: bool) -> None:
        self._memory = memory
        self._order = memory.order
        self._symbols = memory.symbols
        self._clean = clean
        self._times = times_of(wanted)
        self._ahead = times_of(wanted)
        self._moment = memory.moment
        self._prices = CleanPrices() if clean else PriceTable()
        self._sizes = CleanSizes() if clean else SizeTable()

    def value(self, cells: Cells, checksum: int, time_of: Callable[[Any], int | None]) -> Quote | Tick:
        """Return the value of a row of cells; raises RowRefused."""
        ts, name, bid_text, ask_text, bid_size, ask_size, last_text, size = cells
        if not ts:
            raise RowRefused(BAD_TIME, "", column="ts", remedy="empty")
        ts_ns = self._times.ns(ts)
        self._order.check(ts_ns, time_of)
        if not name:
            raise RowRefused(MALFORMED, "", column="symbol", remedy="empty")
        self._moment.check(ts_ns, name, checksum)
        prices, sizes = self._prices, self._sizes
        bid = prices[bid_text] if bid_text else None
        ask = prices[ask_text] if ask_text else None
        last = prices[last_text] if last_text else None
        if bid is None or ask is None:
            if bid is None and ask is None and last is None:
                raise RowRefused(NO_PRICE)
        elif bid > ask:
            raise RowRefused(CROSSED_BOOK, f"{bid_text} > {ask_text}")
        symbol = self._symbols.admit(name, lambda: grids_of([cells], clean=self._clean)[name])
        bids = sizes[bid_size] if bid_size else None
        asks = sizes[ask_size] if ask_size else None
        traded = sizes[size] if size else None
        value: Quote | Tick
        if bid is not None or ask is not None:
            self._memory.quote(symbol)
            value = Quote(symbol, ts_ns, bid, ask, bids, asks, last, traded)
        elif last is not None and traded and symbol in self._memory.quoted:
            value = Tick(symbol, ts_ns, last, traded)
        else:
            value = Quote(symbol, ts_ns, None, None, bids, asks, last, traded)
        self._moment.accept(ts_ns, name, checksum)
        self._order.accept(ts_ns)
        return value

    def time(self, cells: Cells) -> int | None:
        """Return the time of a row in ns; raises RowRefused."""
        try:
            return self._ahead.ns(cells[0] or "")
        except RowRefused:
            return None


class CsvLayout:
    """The places of the columns in a CSV file, from its header line and from what was declared of it.

    Raises DataError when it has not enough columns.
    """

    def __init__(self, header: bytes, place: str, wanted: ReadAs) -> None:
        self.header = header
        self.encoding = wanted.encoding or "utf-8"
        self.delimiter = wanted.delimiter or delimiter_of(header, self.encoding)
        self.is_guessed = wanted.delimiter is None and self.delimiter != ","
        names = csv_names(header, self.delimiter, self.encoding)
        missing = missing_columns(names)
        if missing:
            raise DataError(f"{place}: a csv file needs {HEADER}; missing here: {'; '.join(missing)}")
        doubled = sorted({name for name in names if name in COLUMNS and names.count(name) > 1})
        if doubled:
            raise DataError(f"{place}: the column {doubled[0]!r} appears twice in the header")
        self.width = len(names)
        self.names = names
        self._at = tuple(names.index(name) if name in names else self.width for name in COLUMNS)
        self._straight = self._at == tuple(range(len(COLUMNS))) == tuple(range(self.width))

    def notes(self) -> list[Note]:
        """Return what was guessed of the layout."""
        return [Note.of("input-delimiter", mark=MARKS[self.delimiter])] if self.is_guessed else []

    def cells(self, line: bytes) -> Cells:
        """Return the cells of ``line``. Raises :class:`RowRefused` for one that is no row of this file."""
        if isinstance(line, OverlongLine):
            raise RowRefused(OVERLONG)
        if line == self.header:
            raise BlankRow
        try:
            text = line.decode(self.encoding).rstrip("\r")
        except UnicodeDecodeError:
            raise _undecodable(line, self.encoding) from None
        # A quoted cell never spans lines here, so a stray quote spoils its own line only.
        cells = _quoted(text, self.delimiter) if '"' in text else text.split(self.delimiter)
        if len(cells) != self.width:
            if not text.strip():
                raise BlankRow
            raise RowRefused(MALFORMED, f"{len(cells)} cells instead of {self.width}: {text[:80]}")
        if " " in text:  # blanks around a cell are no part of it
            cells = [cell.strip() for cell in cells]
        if self._straight:
            return cells
        cells.append("")
        return [cells[at] for at in self._at]


class CsvRows:
    """Parser of CSV lines; ``clean`` takes binary noise away."""

    def __init__(
        self, layout: CsvLayout, symbols: SymbolTable, order: TimeOrder, wanted: ReadAs, *, clean: bool = False
    ) -> None:
        self.memory = MomentMemory(symbols, order, keeps_quoted=True, notes=layout.notes())
        self._layout = layout
        self._values = CellValues(self.memory, wanted, clean=clean)

    def parse(self, row: bytes) -> MarketValue:
        """Return the value of a row; raises RowRefused."""
        return self._values.value(self._layout.cells(row), zlib.crc32(row), self.time_of)

    def time_of(self, row: bytes) -> int | None:
        """Return the time of a row in ns; None when it cannot be read."""
        try:
            return self._values.time(self._layout.cells(row))
        except RowRefused:
            return None

    def checksum(self, row: bytes) -> int:
        """Return the CRC-32 of a row."""
        return zlib.crc32(row)

    def show(self, row: bytes) -> str | bytes:
        """Return the row for a message."""
        return shown(row)

    def column_of(self, row: bytes, value: str) -> str:
        """Return the name of the cell that holds ``value``; "" when none does."""
        try:
            return column_with(self._layout.cells(row), value)
        except RowRefused:
            return ""


class CellRows:
    """Parser of rows that come as cells (Parquet); ``clean`` takes binary noise away."""

    def __init__(self, symbols: SymbolTable, order: TimeOrder, *, clean: bool = False) -> None:
        self.memory = MomentMemory(symbols, order, keeps_quoted=True)
        self._values = CellValues(self.memory, ReadAs(), clean=clean)
        self.time_of = self._values.time

    def parse(self, row: Cells) -> MarketValue:
        """Return the value of a row; raises RowRefused."""
        return self._values.value(row[: len(COLUMNS)], self.checksum(row), self.time_of)

    def checksum(self, row: Cells) -> int:
        """Return the CRC-32 of a row's cells."""
        return zlib.crc32(repr(row).encode("utf-8", "backslashreplace"))

    def show(self, row: Cells) -> str | bytes:
        """Return the row for a message."""
        return ",".join(cell or "" for cell in row)

    def column_of(self, row: Cells, value: str) -> str:
        """Return the name of the cell that holds ``value``; "" when none does."""
        return column_with(row, value)


def csv_names(header: bytes, delimiter: str = ",", encoding: str = "utf-8") -> list[str]:
    """Return the column names of a header line, lower case; nothing when it is no text."""
    try:
        text = header.removeprefix(BOM).decode(encoding).rstrip("\r")
        return [
            name.strip().lower() for name in (_quoted(text, delimiter) if '"' in text else text.split(delimiter))
        ]
    except (UnicodeDecodeError, RowRefused):
        return []


def delimiter_of(header: bytes, encoding: str = "utf-8") -> str:
    """Return the delimiter with which ``header`` has every column it needs; a comma when none gives them."""
    for mark in DELIMITERS:
        if not missing_columns(csv_names(header, mark, encoding)):
            return mark
    return ","


def column_with(cells: Cells, value: str) -> str:
    """Return the column of ``cells`` that holds ``value``; "" for none, or for no value."""
    return next((name for name, cell in zip(COLUMNS, cells, strict=False) if cell == value), "") if value else ""


def _undecodable(line: bytes, encoding: str) -> RowRefused:
    return RowRefused(INVALID_UTF8, remedy=encoding_remedy(line) if encoding == "utf-8" else "")


def grids_of(rows: Iterable[Cells], *, clean: bool = False) -> dict[str, Grid]:
    """Return the decimals of every symbol in ``rows``, in order of appearance."""
    grids: dict[str, Grid] = {}
    for _, symbol, bid, ask, bid_size, ask_size, last, size, *_ in rows:
        if not symbol:
            continue
        grid = grids.setdefault(symbol, Grid())
        for add, texts in (
            (grid.prices.add, (bid, ask)),
            (grid.trades.add, (last,)),
            (grid.sizes.add, (bid_size, ask_size, size)),
        ):
            for text in texts:
                if text:
                    add(denoised(text) if clean else text)
    return grids


def csv_rows(layout: CsvLayout, lines: Iterable[bytes]) -> Iterator[tuple[int, Cells]]:
    """Yield the rows in the head of a CSV file, each with its line (from 1)."""
    for number, line in enumerate(lines, 1):
        try:
            yield number, layout.cells(line)
        except RowRefused:
            continue


def _quoted(text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([text], strict=True, delimiter=delimiter))
    except (csv.Error, StopIteration):
        raise RowRefused(MALFORMED, text[:80]) from None
