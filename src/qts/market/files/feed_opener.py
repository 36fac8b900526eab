"""From a path to a feed: everything that can be wrong with the file as a whole is found here.

What is found: the format, the SHA-256 that names the input for the run id, the instruments of the head of the
file, and that at least one row can be used.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from qts.clock import NS_PER_MS, NS_PER_S
from qts.errors import DataError
from qts.market.contracts import Instrument
from qts.market.files.binance import BinanceRows
from qts.market.files.binance_probe import CaptureProbe
from qts.market.files.content import hash_and_magic
from qts.market.files.detect import BINANCE_RAW, CSV, FORMATS, JUDGED_LINES, OBSERVER_JSONL, PARQUET, detect
from qts.market.files.feed import FileFeed
from qts.market.files.line_source import GZIP_MAGIC, LineSource
from qts.market.files.noise import Noise
from qts.market.files.observer import ObserverRows, symbols_in
from qts.market.files.parquet import PARQUET_MAGIC, ParquetSource
from qts.market.files.reading import ReadAs
from qts.market.files.row_memory import CaptureMemory, MomentMemory, RowMemory
from qts.market.files.row_parser import RowParser
from qts.market.files.symbols import SymbolTable, instrument_maker, korean_instrument, steps_of, usdt_instrument
from qts.market.files.table_rows import CellRows, Cells, CsvLayout, CsvRows, csv_rows, grids_of
from qts.market.files.times import TimeOrder
from qts.market.prepared.capture import PreparedCapture
from qts.market.prepared.directory import CaptureDirectory
from qts.market.prepared.feed import PreparedFeed
from qts.market.prepared.key import capture_key
from qts.market.prepared.layout import Head
from qts.notes import Note, in_english

HEAD_ROWS: Final = 2_000
HEAD_BYTES: Final = 8 << 20
"""Bounds of what is read before the first value: grids, symbols and the clock offset come from it."""
MAX_AGE_NS: Final[Mapping[str, int]] = {
    BINANCE_RAW: 100 * NS_PER_MS,  # a live stream
    OBSERVER_JSONL: 15 * 60 * NS_PER_S,  # ten-minute snapshots
    CSV: 15 * 60 * NS_PER_S,  # how often the file has values is not known: taken as snapshots
    PARQUET: 15 * 60 * NS_PER_S,
}

AS_IT_IS: Final = ReadAs()
"""Nothing is declared: what the file shows without doubt."""

TextFeed: TypeAlias = FileFeed[bytes] | FileFeed[Cells]
AnyFeed: TypeAlias = TextFeed | PreparedFeed


def open_feed(
    path: str | Path,
    format: str | None = None,
    *,
    currency: str = "KRW",
    symbols: Collection[str] | None = None,
    instruments: Mapping[str, Instrument] | None = None,
    own: Mapping[str, Instrument] | None = None,
    max_age_ns: int | None = None,
    not_after_ns: int | None = None,
    read_as: ReadAs = AS_IT_IS,
    captures: CaptureDirectory | None = None,
) -> AnyFeed:
    """Open a recorded file as a feed.

    ``format`` is one of :data:`FORMATS`, None to judge by the content. ``currency`` is that of csv and parquet
    (binance-raw is USDT, observer-jsonl won). ``instruments`` replaces what would be made from the file, and
    ``symbols`` narrows it: rows of others are refused as ``unknown_symbol``. ``own`` replaces it for its symbols
    and refuses no other. ``max_age_ns`` overrides the freshness limit of the format, ``not_after_ns`` is the
    present, for files that must have no values of the future. ``read_as`` declares how the texts of a CSV file are
    to be read; it becomes part of the name of the input. ``captures`` has prepared captures: the feed replays
    that of this file, or makes it while it gives all values of the text; with ``not_after_ns`` it does neither.

    Raises :class:`~qts.errors.DataError` (exit code 2) for a file that cannot be read, is empty, has another format
    or no usable row, and :class:`~qts.errors.MissingExtraError` for Parquet without pyarrow.
    """
    if format is not None and format not in FORMATS:
        raise DataError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    path = Path(path)
    source_hash, magic = hash_and_magic(path)
    wanted = _Wanted(currency, instruments, symbols, own, read_as)

    def request() -> _OpenRequest:
        return _OpenRequest(path, format, magic, source_hash, max_age_ns, TimeOrder(not_after_ns), wanted)

    key = None if captures is None or not_after_ns is not None else _capture_key(request())
    if captures is not None and key is not None:
        capture = captures.find(key)
        if capture is not None:
            return _prepared_feed(capture, request())
    _find_first_value(_text_feed(request()).feed)
    opened = _text_feed(request())
    if captures is not None and key is not None:
        opened.feed.record_with(captures.recorder(key, opened.head, opened.feed.position))
    return opened.feed


class _Wanted:
    """The instruments that the caller asked for."""

    def __init__(
        self,
        currency: str,
        known: Mapping[str, Instrument] | None,
        only: Collection[str] | None,
        own: Mapping[str, Instrument] | None,
        read_as: ReadAs,
    ) -> None:
        self.currency = currency
        self.given = frozenset(known or ()) | frozenset(own or ())
        self.read_as = read_as
        self._known = known
        self._only = only
        self._own = own

    def table(self, format: str) -> SymbolTable:
        make = {BINANCE_RAW: usdt_instrument, OBSERVER_JSONL: korean_instrument}.get(format)
        return SymbolTable(
            make or instrument_maker(self.currency), known=self._known, only=self._only, own=self._own
        )

    def named(self) -> list[Any] | None:
        """Return, as plain data, what decides which rows have a symbol; None when an instrument has another name
        than its symbol, so that the rows of its symbol cannot be told from its values.
        """
        named: list[Any] = [self.currency, None if self._only is None else sorted(self._only)]
        for instruments in (self._known, self._own):
            for symbol, one in sorted((instruments or {}).items()):
                if symbol != one.symbol:
                    return None
                named.append([symbol, one.currency])
            named.append(instruments is None)
        return named


class _OpenRequest(NamedTuple):
    """A file that was read through once, and how its feed is to be made."""

    path: Path
    format: str | None
    magic: bytes
    source_hash: str
    max_age_ns: int | None
    order: TimeOrder
    wanted: _Wanted

    def named(self, format: str) -> tuple[str, str, int]:
        """Return name, name of the input and age limit of the feed in ``format``.

        What was declared of a CSV file is part of the name of the input.
        """
        limit = MAX_AGE_NS[format] if self.max_age_ns is None else self.max_age_ns
        declared = self.wanted.read_as.declared
        return str(self.path), f"{format}:{self.source_hash}{'?' if declared else ''}{declared}", limit


class _Opened(NamedTuple):
    """A feed of the text, and what was found in the head of the file."""

    feed: TextFeed
    head: Head


def _capture_key(request: _OpenRequest) -> str | None:
    """Return the name of the file's capture, None when it can have none; raises DataError like opening it."""
    named = request.wanted.named()
    if named is None:
        return None
    if request.magic == PARQUET_MAGIC:
        format = _parquet_format(request)
    else:
        source = LineSource(request.path, gzipped=request.magic.startswith(GZIP_MAGIC))
        format = _line_format(request, _head(source, JUDGED_LINES), source)
    return capture_key(request.source_hash, [format, request.wanted.read_as.declared, named])


def _prepared_feed(capture: PreparedCapture, request: _OpenRequest) -> PreparedFeed:
    head = capture.contents.head

    def remember() -> RowMemory:
        table, order = request.wanted.table(head.format), TimeOrder()
        table.prepare(head.steps)
        if head.format == BINANCE_RAW:
            return CaptureMemory(table, order)
        layout_notes = [msgspec.convert(note, Note) for note in head.layout_notes]
        return MomentMemory(table, order, keeps_quoted=head.format != OBSERVER_JSONL, notes=layout_notes)

    def open_text(table: SymbolTable) -> TextFeed:
        return _text_feed(request, table).feed

    return PreparedFeed(capture, *request.named(head.format), remember, open_text)


def _text_feed(request: _OpenRequest, table: SymbolTable | None = None) -> _Opened:
    """Make the feed of the text; ``table`` takes the place of a new one."""
    opens = _parquet_feed if request.magic == PARQUET_MAGIC else _line_feed
    return opens(request, table)


def _line_feed(request: _OpenRequest, table: SymbolTable | None) -> _Opened:
    path, order, wanted = request.path, request.order, request.wanted
    source = LineSource(path, gzipped=request.magic.startswith(GZIP_MAGIC))
    head = _head(source)
    format = _line_format(request, head, source)
    table = table or wanted.table(format)
    parser: RowParser[bytes]
    notes: list[Note] = []
    layout_notes: list[Note] = []
    if format == BINANCE_RAW:
        probe = CaptureProbe(head)
        steps = steps_of(probe.grids)
        parser = BinanceRows(probe, table, order)
    elif format == OBSERVER_JSONL:
        steps = steps_of(symbols_in(head))
        parser = ObserverRows(table, order)
    else:
        number, header = next((number, line) for number, line in enumerate(head, 1) if line.strip())
        layout = CsvLayout(header, f"{path}, line {number}", wanted.read_as)
        rows = list(csv_rows(layout, head))
        noise = Noise().look(rows)
        clean = noise.noisy > 0
        steps = steps_of(grids_of((cells for _, cells in rows), clean=clean))
        parser = CsvRows(layout, table, order, wanted.read_as, clean=clean)
        notes, layout_notes = noise.notes(wanted.given), layout.notes()
    table.prepare(steps)
    feed = FileFeed(*request.named(format), source, parser, notes)
    return _Opened(feed, _head_of(format, steps, notes, layout_notes))


def _line_format(request: _OpenRequest, head: Sequence[bytes], source: LineSource) -> str:
    """Return the format of a file that begins with ``head``; DataError when it is not the declared one."""
    if not head and source.damage is not None:
        raise DataError(f"{request.path}: no usable row; {in_english(source.damage.note)}")
    format = detect(head, request.format, str(request.path), request.wanted.read_as)
    if format != CSV:
        _refuse_declared(request.path, format, request.wanted.read_as)
    return format


def _refuse_declared(path: Path, format: str, read_as: ReadAs) -> None:
    """Raise where encoding, delimiter or form of times is declared and the format, not being CSV, has its own."""
    for name in read_as.__struct_fields__:
        if getattr(read_as, name) is not None:
            raise DataError(f"{path}: --{name.replace('_', '-')} is for csv files; this one is {format}")


def _parquet_format(request: _OpenRequest) -> str:
    """Return the format of a Parquet file; DataError when another one was declared, or how to read its texts."""
    if request.format not in (None, PARQUET):
        raise DataError(
            f"{request.path}, line 1: not {request.format}; the file looks like parquet: {request.magic.decode()!r}"
        )
    _refuse_declared(request.path, PARQUET, request.wanted.read_as)
    return PARQUET


def _parquet_feed(request: _OpenRequest, table: SymbolTable | None) -> _Opened:
    format = _parquet_format(request)
    source = ParquetSource(request.path)
    table = table or request.wanted.table(format)
    first = next(source.blocks(0, 1), None)
    rows = first.rows[:HEAD_ROWS] if first else []
    noise = Noise().look(enumerate(rows, 1))
    clean = noise.noisy > 0
    steps = steps_of(grids_of(rows, clean=clean))
    table.prepare(steps)
    parser = CellRows(table, request.order, clean=clean)
    notes = noise.notes(request.wanted.given)
    feed = FileFeed(*request.named(format), source, parser, notes)
    return _Opened(feed, _head_of(format, steps, notes, ()))


def _head_of(
    format: str, steps: Mapping[str, tuple[int, int]], notes: Sequence[Note], layout_notes: Sequence[Note]
) -> Head:
    return Head(format, dict(steps), msgspec.to_builtins(notes), msgspec.to_builtins(layout_notes))


def _head(source: LineSource, most: int | None = None) -> list[bytes]:
    """Return the first ``most`` lines (None: :data:`HEAD_ROWS`), or fewer where they are long."""
    most = HEAD_ROWS if most is None else most
    lines: list[bytes] = []
    size = 0
    for block in source.blocks(0, 1):
        for line in block.rows:
            lines.append(line)
            size += len(line)
            if len(lines) >= most or size >= HEAD_BYTES:
                return lines
    return lines


def _find_first_value(probe: TextFeed) -> None:
    """Raise DataError now when the file has no usable row, before anything is set up for it."""
    next(probe.values(), None)
