"""From paths to a feed of bars: reads every file once, checks what can be wrong with bars, and merges them by time.

A folder is all files of bars in it. Several files of one symbol are one series, if they do not overlap.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from qts.errors import ContractError, DataError
from qts.market.actions import CorporateAction, Dividend, in_order
from qts.market.bars.action_files import FILE_NAME, actions_from_adjusted, read_actions
from qts.market.bars.arrow import FEATHER_MAGICS, PARQUET_MAGIC, ArrowBars
from qts.market.bars.columns import BarColumns
from qts.market.bars.currency import currency_of
from qts.market.bars.dates import DateTable, stamp_of
from qts.market.bars.feed import BarFeed
from qts.market.bars.json_rows import JsonBars
from qts.market.bars.sources import BarSource
from qts.market.bars.symbols import SUFFIXES, symbol_of_name
from qts.market.bars.table import BarTable, RawBars
from qts.market.bars.text import TextBars, head_of
from qts.market.bars.universe import put_in_order, series_of
from qts.market.contracts import Instrument
from qts.market.files.content import hash_and_magic
from qts.market.files.line_source import GZIP_MAGIC, LineSource
from qts.market.files.reading import ReadAs
from qts.market.files.refusals import Refusals
from qts.market.files.remedies import refusals_text
from qts.market.files.symbols import SymbolTable, instrument_maker
from qts.market.krx import KrxCalendar
from qts.market.series.intervals import DAY, MONTH, WEEK
from qts.notes import Note

MAX_BARS: Final = 20_000_000
"""Bars of one run; they take about 50 bytes each."""
_NAMED: Final = 3
_HEAD_LINES: Final = 20


def open_bars(
    paths: Sequence[Path],
    *,
    currency: str | None,
    own: Mapping[str, Instrument] | None = None,
    max_age_ns: int | None = None,
    read_as: ReadAs,
) -> BarFeed:
    """Open files and folders of bars as one feed.

    ``currency`` is that of the account, None where the user has set none: then the symbols' own. ``own`` are
    instruments that stand in place of those which the files would give, ``max_age_ns`` the age of a price up to
    which it may decide (None: that of the bar before), ``read_as`` declares how the files are to be read.

    Raises :class:`~qts.errors.DataError` (exit code 2), one line that names file, line, value and what to do, and
    :class:`~qts.errors.MissingExtraError` for a Parquet or Feather file without pyarrow.
    """
    actions = [path for path in named_files(paths) if path.name.lower() == FILE_NAME]
    files = files_in(paths)
    if read_as.symbol is not None and len(files) > 1:
        raise DataError(
            f"--symbol {read_as.symbol} names one symbol, and there are {len(files)} files; call each by its symbol"
        )
    reading = _Reading(read_as)
    for file in files:
        reading.read(file)
    own = own or {}
    table = SymbolTable(instrument_maker(currency or currency_of(reading.symbols, own)), own=own)
    name = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    return reading.feed(name, table, max_age_ns, actions)


def is_file_of_bars(path: Path, read_as: ReadAs) -> bool:
    """Return whether a file looks like bars, even like broken ones. Raises DataError as :func:`open_bars` does."""
    return _source_of(path, read_as, Refusals()) is not None


def files_in(paths: Iterable[Path]) -> list[Path]:
    """Return the files of bars that ``paths`` name, those of a folder by name.

    Raises DataError for a folder without any, and where only a file of corporate actions is named.
    """
    files = [path for path in named_files(paths) if path.name.lower() != FILE_NAME]
    if not files:
        raise DataError(f"only {FILE_NAME} is named, which holds corporate actions; name files of bars as well")
    return files


def named_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the files that ``paths`` name, those of a folder by name, corporate actions among them.

    Raises DataError for a folder without any.
    """
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        names = sorted(one for one in path.iterdir() if one.is_file() and one.name[0] != ".")
        inside = [one for one in names if one.name.lower().endswith(SUFFIXES)]
        if not inside:
            raise DataError(f"{path}: no file of bars in this folder; their names end in {', '.join(SUFFIXES)}")
        yield from inside


def _source_of(path: Path, read_as: ReadAs, refusals: Refusals) -> BarSource | None:
    """Return the reader of a file; None when it holds no bars."""
    digest, magic = hash_and_magic(path)
    if magic == PARQUET_MAGIC or magic in FEATHER_MAGICS:
        _refuse_texts(path, read_as)
        return ArrowBars.open(path, digest, magic, read_as)
    gzipped = magic.startswith(GZIP_MAGIC)
    source = LineSource(path, gzipped=gzipped)
    block = next(source.blocks(0, 1), None)
    lines = [] if block is None else block.rows[:_HEAD_LINES]
    if next((line for line in lines if line.strip()), b"").lstrip().startswith(b"["):
        _refuse_texts(path, read_as)
        return JsonBars.open(path, digest, read_as, gzipped=gzipped)
    head = head_of(path, lines, read_as)
    return None if head is None else TextBars(path, digest, source, head, read_as, refusals)


def _refuse_texts(path: Path, read_as: ReadAs) -> None:
    """Raise DataError where the encoding or the delimiter of a file is declared that has neither."""
    for name in ("encoding", "delimiter"):
        if getattr(read_as, name) is not None:
            raise DataError(f"{path}: --{name} is for files of text; leave it out")


class _Reading:
    """The files of one feed, read one after the other, and what was met on the way."""

    def __init__(self, read_as: ReadAs) -> None:
        self.symbols: list[str] = []
        self._read_as = read_as
        self._refusals = Refusals()
        self._notes: list[Note] = []
        self._hashes: list[str] = []
        self._raw: list[RawBars] = []
        self._count = 0
        self._newest_first: list[str] = []
        self._named: list[str] = []
        self._stamps = DateTable(stamp_of)

    def read(self, path: Path) -> None:
        """Read one file."""
        source = _source_of(path, self._read_as, self._refusals)
        if source is None:
            raise DataError(
                f"{path}: no file of bars; its first line must name date, open, high, low, close and volume"
            )
        symbol = self._symbol_of(path, source)
        table = BarTable(str(path), symbol, self._stamps_of(source), lambda: source.signs, self._refusals)
        for batch in source.batches():
            table.add(batch)
            self._count += len(batch.lines)
            if self._count > MAX_BARS:
                raise DataError(f"{path}: more than {MAX_BARS:,} bars; give fewer files, or a shorter time")
        if not table.bars:
            raise DataError(f"{path}: no usable row; {refusals_text(self._refusals)}")
        for raw in table.bars.values():
            if put_in_order(raw) and path.name not in self._newest_first:
                self._newest_first.append(path.name)
        self._raw += table.bars.values()
        self.symbols += (name for name in table.bars if name not in self.symbols)
        self._notes += [note for note in (*source.notes, *table.notes()) if note not in self._notes]
        self._hashes.append(f"{source.digest} {symbol}")

    def _stamps_of(self, source: BarSource) -> DateTable:
        """Return a table of dates, one for all files whose dates leave no doubt: those of a universe repeat."""
        return self._stamps if source.parse is stamp_of else DateTable(source.parse)

    def _symbol_of(self, path: Path, source: BarSource) -> str:
        """Return the symbol of all rows; "" where the file has a column of symbols."""
        wanted = self._read_as.symbol
        if source.has_symbols:
            if wanted is not None:
                raise DataError(f"{path}: it has a column of symbols; leave --symbol {wanted} out")
            return ""
        named = wanted or (self._read_as.symbols or {}).get(str(path)) or source.symbol
        if named:
            return named
        symbol = symbol_of_name(path)
        if symbol not in self._named:
            self._named.append(symbol)
        return symbol

    def feed(self, name: str, table: SymbolTable, max_age_ns: int | None, action_files: Sequence[Path]) -> BarFeed:
        """Return the feed of everything read."""
        timezone = self._read_as.timezone
        series = series_of(self._raw, table, None if timezone is None else ZoneInfo(timezone), self._refusals)
        actions = self._actions(series, table, action_files)
        digest = hashlib.sha256("\n".join(sorted(self._hashes)).encode()).hexdigest()
        declared = self._read_as.declared
        source_id = f"bars:{digest}?{declared}" if declared else f"bars:{digest}"
        notes = [*self._notes, *self._notes_on(series, table), *table.notes()]
        return BarFeed(name, source_id, series, table.instruments, self._refusals, notes, max_age_ns, actions)

    def _actions(
        self, series: Sequence[BarColumns], table: SymbolTable, files: Sequence[Path]
    ) -> tuple[CorporateAction, ...]:
        """Return the actions of the files, and for symbols without any those of their adjusted close."""
        named: list[CorporateAction] = []
        for path in files:
            read = read_actions(path, self._read_as, table.name_of)
            self._hashes.append(f"{read.digest} {FILE_NAME}")
            named += read.actions
        used = [action for action in named if action.symbol in table.instruments]
        if files:
            self._notes.append(Note.of("bars-actions", count=len(used), left=len(named) - len(used)))
        known = {action.symbol for action in used}
        derived: list[CorporateAction] = []
        for one in series:
            if one.symbol not in known and one.adjusted is not None:
                if one.interval == DAY:
                    derived += actions_from_adjusted(one)
                else:
                    self._notes.append(Note.of("bars-adjusted-unused", symbol=one.symbol, interval=one.interval))
        if derived:
            first = derived[0]
            text = f"{first.amount:f}" if isinstance(first, Dividend) else f"{first}"
            self._notes.append(
                Note.of(
                    "bars-actions-derived",
                    count=len(derived),
                    symbol=first.symbol,
                    day=f"{first.day}",
                    kind=Note.of("action-dividend") if isinstance(first, Dividend) else Note.of("action-split"),
                    value=text,
                )
            )
        try:
            return in_order([*used, *derived])
        except ContractError as error:
            raise DataError(f"{files[0] if files else series[0].files[0]}: {error}") from None

    def _notes_on(self, series: Sequence[BarColumns], table: SymbolTable) -> Iterator[Note]:
        interval = series[0].interval
        if interval not in (DAY, WEEK, MONTH):
            known = Note.of("bars-known-at-end")
        elif isinstance(table.instruments[series[0].symbol].calendar, KrxCalendar):
            known = Note.of("bars-known-at-close")
        else:
            known = Note.of("bars-known-at-midnight")
        count = sum(map(len, series))
        yield Note.of("bars-read", symbols=len(series), bars=count, interval=interval, known=known)
        if empty := sum(not size for one in series for size in one.volume):
            yield Note.of("bars-without-volume", bars=empty)
        if self._named:
            yield Note.of("bars-symbols-named", named=_some(self._named))
        if self._newest_first:
            yield Note.of("bars-newest-first", named=_some(self._newest_first))


def _some(named: Sequence[str]) -> list[str | Note] | Note:
    shown: list[str | Note] = list(named[:_NAMED])
    return shown if len(named) <= _NAMED else Note.of("some-of", named=shown, count=len(named) - _NAMED)
