"""Files of bars as text: encoding, delimiter, columns, order of day and month, meaning of a comma; then the rows.

What the head shows beyond doubt is taken and told; what it does not is asked for.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from itertools import repeat
from pathlib import Path
from typing import Final, NamedTuple

from qts.errors import DataError
from qts.market.bars import dates
from qts.market.bars.dates import Stamp
from qts.market.bars.figures import Signs, comma_of
from qts.market.bars.header import Columns, columns_of, is_klines, klines, looks_like_bars, places_of
from qts.market.bars.table import Batch
from qts.market.files.line_source import LineSource, OverlongLine
from qts.market.files.reading import DELIMITERS, ReadAs
from qts.market.files.refusals import MALFORMED, Refusals, shorten
from qts.market.files.remedies import KOREAN_WINDOWS, seems_encoded_as, sentence_of, time_remedy
from qts.market.files.table_rows import MARKS
from qts.notes import Note, in_english

UTF8: Final = "utf-8"
_TICKER: Final = "ticker"
_PRICE: Final = "price"


class Head(NamedTuple):
    """The shape of a text file of bars; ``skipped`` lines stand before the first row."""

    encoding: str
    delimiter: str
    columns: Columns
    skipped: int
    symbol: str
    notes: tuple[Note, ...]


def head_of(path: Path, lines: Sequence[bytes], wanted: ReadAs) -> Head | None:
    """Return the shape of a file from its first ``lines``; None when these are no bars.

    Raises DataError for a file of bars that lacks something.
    """
    at = next((at for at, line in enumerate(lines) if line.strip()), None)
    if at is None or isinstance(lines[at], OverlongLine):
        return None
    encoding, is_seen = _encoding_of(lines[at], wanted)
    mark = wanted.delimiter or _delimiter_of(lines[at], encoding)
    names = split(_text(lines[at], encoding), mark)
    if names is None:
        return None
    if is_klines(names):
        return Head(encoding, mark, klines(len(names)), at, "", ())
    notes = [Note.of("bars-encoding", encoding=encoding.upper())] if is_seen else []
    if wanted.delimiter is None and mark != ",":
        notes.append(Note.of("input-delimiter", mark=MARKS[mark]))
    if names[0].strip().lower() == _PRICE and len(lines) > at + 2:
        tickers = split(_text(lines[at + 1], encoding), mark) or [""]
        if tickers[0].strip().lower() == _TICKER:
            return _with_tickers(f"{path}, line {at + 2}", encoding, mark, names, tickers, at)
    if not looks_like_bars(names):
        return None
    return Head(encoding, mark, columns_of(names, f"{path}, line {at + 1}"), at + 1, "", tuple(notes))


def _with_tickers(place: str, encoding: str, mark: str, names: list[str], tickers: list[str], at: int) -> Head:
    """Return the shape of a file with three lines of header: names of prices, tickers, the word Date."""
    symbols = {name.strip() for name in tickers[1:]}
    if len(symbols) != 1:
        raise DataError(
            f"{place}: the columns are those of {len(symbols)} symbols; write one file for each symbol, or one row "
            "for each symbol and date with a column symbol"
        )
    columns = columns_of(["date", *names[1:]], place)
    return Head(encoding, mark, columns, at + 3, symbols.pop(), ())


class TextBars:
    """The rows of a text file of bars as batches. Raises DataError for bytes of another encoding."""

    def __init__(
        self, path: Path, digest: str, source: LineSource, head: Head, wanted: ReadAs, refusals: Refusals
    ) -> None:
        self._path = path
        self._source = source
        self._head = head
        self._wanted = wanted
        self._refusals = refusals
        self.digest = digest
        self.symbol = head.symbol
        self.has_symbols = head.columns.symbol is not None
        self.notes = head.notes

    def batches(self) -> Iterator[Batch]:
        """Yield the rows, in batches of about 128 KiB. Raises DataError for a file that ends in its middle."""
        columns = self._head.columns
        for numbers, cells in self._columns():
            days: Sequence[str] = cells[columns.date]
            if columns.time is not None:
                days = [
                    f"{day.strip()} {time.strip()}".strip()
                    for day, time in zip(days, cells[columns.time], strict=True)
                ]
            opens, highs, lows, closes = (cells[place] for place in columns.prices)
            yield Batch(
                numbers,
                days,
                None if columns.symbol is None else [cell.strip() for cell in cells[columns.symbol]],
                (opens, highs, lows, closes),
                cells[columns.volume],
                None if columns.adjusted is None else cells[columns.adjusted],
            )
        damage = self._source.damage
        if damage is not None:
            raise DataError(f"{self._path}: {in_english(damage.note)}; get the whole file")

    @cached_property
    def parse(self) -> Callable[[str], Stamp]:
        """Return the reader of this file's dates."""
        if self._wanted.date_format is not None:
            return dates.declared(self._wanted)
        order = ""
        for number, text in self._dates():
            if not dates.is_year_last(text):
                if dates.is_date(text):
                    break
                continue
            shown = dates.order_shown(text)
            if shown:
                return partial(dates.stamp_of, order=shown)
            order = order or f"line {number}: {shorten(text)!r}"
        if order:
            raise DataError(
                f"{self._path}, {order} may begin with the day or with the month, and no date of the file settles "
                f"it; {sentence_of(time_remedy('03/04/2024'))}"
            )
        return dates.stamp_of

    @cached_property
    def signs(self) -> Signs:
        """Return how the numbers of this file are written."""
        return Signs(comma_of(self._cells_with_comma()) or "")

    def _dates(self) -> Iterator[tuple[int, str]]:
        """Yield the dates with their lines, each as it is asked for: the first one is mostly enough."""
        head = self._head
        for block in self._source.blocks(0, 1):
            for number, line in enumerate(block.rows, block.first):
                cells = split(_text(line, head.encoding), head.delimiter) if number > head.skipped else None
                if cells is not None and len(cells) == len(head.columns.names) and cells[head.columns.date].strip():
                    yield number, cells[head.columns.date].strip()

    def _cells_with_comma(self) -> Iterator[str]:
        mark = self._head.delimiter
        for block in self._source.blocks(0, 1):
            text = b"\n".join(block.rows)
            if b"," not in text or (mark == "," and b'"' not in text):
                continue
            for line in block.rows[max(self._head.skipped + 1 - block.first, 0) :]:
                yield from (cell for cell in split(_text(line, self._head.encoding), mark) or () if "," in cell)

    def _columns(self) -> Iterator[tuple[Sequence[int], Sequence[Sequence[str]]]]:
        """Yield the columns of the rows with their line numbers; broken rows are counted as refused."""
        head = self._head
        width, mark = len(head.columns.names), head.delimiter
        for block in self._source.blocks(0, 1):
            first = max(head.skipped + 1 - block.first, 0)
            if first >= len(block.rows):
                continue
            number = block.first + first
            text = self._text(block.rows[first:], number)
            lines = text.split("\n")
            if '"' not in text and set(map(str.count, lines, repeat(mark))) == {width - 1}:
                # Cut once and sliced, not row by row: a universe has millions of them.
                cells = text.replace("\n", mark).split(mark)
                yield range(number, number + len(lines)), [cells[place::width] for place in range(width)]
                continue
            rows = [split(line, mark) or [] for line in lines]
            self._count_broken(rows, number, width)
            whole = [(at, row) for at, row in enumerate(rows, number) if len(row) == width]
            if whole:
                yield [at for at, _ in whole], list(zip(*(row for _, row in whole), strict=True))

    def _text(self, lines: list[bytes], number: int) -> str:
        if any(isinstance(line, OverlongLine) for line in (lines[0], lines[-1])):
            lines = [b"" if isinstance(line, OverlongLine) else line for line in lines]
        try:
            text = b"\n".join(lines).decode(self._head.encoding)
        except UnicodeDecodeError:
            raise self._wrong_encoding(lines, number) from None
        return text.replace("\r", "") if "\r" in text else text

    def _count_broken(self, rows: Sequence[Sequence[str]], first: int, width: int) -> None:
        for number, row in enumerate(rows, first):
            if len(row) != width and any(cell.strip() for cell in row):
                shown = self._head.delimiter.join(row)
                value = f"{len(row)} cells instead of {width}: {shown}"
                self._refusals.add(MALFORMED, number, value, file=str(self._path))

    def _wrong_encoding(self, lines: Sequence[bytes], first: int) -> DataError:
        for number, line in enumerate(lines, first):
            try:
                line.decode(self._head.encoding)
            except UnicodeDecodeError:
                seems = seems_encoded_as(line)
                advice = f"it seems to be {seems}: --encoding {seems}" if seems else "declare it with --encoding"
                return DataError(
                    f"{self._path}, line {number}: bytes that are no {self._head.encoding.upper()}; {advice}"
                )
        raise AssertionError("one of the lines cannot be decoded")


def split(text: str, mark: str) -> list[str] | None:
    """Return the cells of a line; None when its quotes are broken."""
    if '"' not in text:
        return text.split(mark)
    try:
        return next(csv.reader([text], strict=True, delimiter=mark))
    except (csv.Error, StopIteration):
        return None


def _text(line: bytes, encoding: str) -> str:
    return line.decode(encoding, "replace").rstrip("\r")


def _encoding_of(line: bytes, wanted: ReadAs) -> tuple[str, bool]:
    """Return the encoding, and whether it was seen from Korean names of columns in a header that is no UTF-8."""
    if wanted.encoding is not None:
        return wanted.encoding, False
    try:
        line.decode(UTF8)
    except UnicodeDecodeError:
        names = line.decode(KOREAN_WINDOWS, "replace").replace('"', "")
        if any(looks_like_bars(names.split(mark)) for mark in DELIMITERS):
            return KOREAN_WINDOWS, True
    return UTF8, False


def _delimiter_of(line: bytes, encoding: str) -> str:
    """Return the character that cuts ``line`` into the most names of columns, or, without any, into most cells."""
    text = _text(line, encoding)

    def score(mark: str) -> tuple[int, int]:
        cells = split(text, mark) or []
        return len(places_of(cells)), len(cells)

    return max(DELIMITERS, key=score)
