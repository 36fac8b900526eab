"""From a path to a feed: everything that can be wrong with the file as a whole is found here.

What is found: the format, the SHA-256 that names the input for the run id, the instruments of the head of the
file, and that at least one row can be used.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from qts.clock import NS_PER_MS, NS_PER_S
from qts.errors import DataError
from qts.market.contracts import Instrument
from qts.market.files.binance import BinanceRows
from qts.market.files.binance_probe import CaptureProbe
from qts.market.files.content import hash_and_magic
from qts.market.files.detect import BINANCE_RAW, CSV, FORMATS, OBSERVER_JSONL, PARQUET, detect
from qts.market.files.feed import FileFeed
from qts.market.files.line_source import GZIP_MAGIC, LineSource
from qts.market.files.noise import Noise
from qts.market.files.observer import ObserverRows, symbols_in
from qts.market.files.parquet import PARQUET_MAGIC, ParquetSource
from qts.market.files.reading import ReadAs
from qts.market.files.row_parser import RowParser
from qts.market.files.symbols import SymbolTable, instrument_maker, korean_instrument, usdt_instrument
from qts.market.files.table_rows import CellRows, Cells, CsvLayout, CsvRows, csv_rows, grids_of
from qts.market.files.times import TimeOrder
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

AnyFeed: TypeAlias = FileFeed[bytes] | FileFeed[Cells]


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
) -> AnyFeed:
    """Open a recorded file as a feed.

    ``format`` is one of :data:`FORMATS`, None to judge by the content. ``currency`` is that of csv and parquet
    (binance-raw is USDT, observer-jsonl won). ``instruments`` replaces what would be made from the file, and
    ``symbols`` narrows it: rows of others are refused as ``unknown_symbol``. ``own`` replaces it for its symbols
    and refuses no other. ``max_age_ns`` overrides the freshness limit of the format, ``not_after_ns`` is the
    present, for files that must have no values of the future. ``read_as`` declares how the texts of a CSV file are
    to be read; it becomes part of the name of the input.

    Raises :class:`~qts.errors.DataError` (exit code 2) for a file that cannot be read, is empty, has another format
    or no usable row, and :class:`~qts.errors.MissingExtraError` for Parquet without pyarrow.
    """
    if format is not None and format not in FORMATS:
        raise DataError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    path = Path(path)
    source_hash, magic = hash_and_magic(path)

    def build() -> AnyFeed:
        """Make the feed."""
        wanted = _Wanted(currency, instruments, symbols, own, read_as)
        request = _OpenRequest(path, format, magic, source_hash, max_age_ns, TimeOrder(not_after_ns), wanted)
        return _parquet_feed(request) if magic == PARQUET_MAGIC else _line_feed(request)

    _find_first_value(build())
    return build()


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


class _OpenRequest(NamedTuple):
    """A file that was read through once, and how its feed is to be made."""

    path: Path
    format: str | None
    magic: bytes
    source_hash: str
    max_age_ns: int | None
    order: TimeOrder
    wanted: _Wanted

    def feed(self, format: str, source: Any, parser: Any, notes: Sequence[Note], *, declared: str = "") -> AnyFeed:
        """Make the feed in ``format``; what was ``declared`` of a CSV file is part of its name."""
        limit = MAX_AGE_NS[format] if self.max_age_ns is None else self.max_age_ns
        name = f"{self.source_hash}?{declared}" if declared else self.source_hash
        return FileFeed(str(self.path), f"{format}:{name}", limit, source, parser, notes)


def _line_feed(request: _OpenRequest) -> AnyFeed:
    path, order, wanted = request.path, request.order, request.wanted
    source = LineSource(path, gzipped=request.magic.startswith(GZIP_MAGIC))
    head = _head(source)
    if not head and source.damage is not None:
        raise DataError(f"{path}: no usable row; {in_english(source.damage.note)}")
    format = detect(head, request.format, str(path), wanted.read_as)
    if format != CSV:
        _refuse_declared(path, format, wanted.read_as)
    table = wanted.table(format)
    parser: RowParser[bytes]
    notes: list[Note] = []
    if format == BINANCE_RAW:
        probe = CaptureProbe(head)
        table.prepare(probe.grids)
        parser = BinanceRows(probe, table, order)
    elif format == OBSERVER_JSONL:
        table.prepare(symbols_in(head))
        parser = ObserverRows(table, order)
    else:
        number, header = next((number, line) for number, line in enumerate(head, 1) if line.strip())
        layout = CsvLayout(header, f"{path}, line {number}", wanted.read_as)
        rows = list(csv_rows(layout, head))
        noise = Noise().look(rows)
        clean = noise.noisy > 0
        table.prepare(grids_of((cells for _, cells in rows), clean=clean))
        parser = CsvRows(layout, table, order, wanted.read_as, clean=clean)
        notes = noise.notes(wanted.given)
    return request.feed(format, source, parser, notes, declared=wanted.read_as.declared)


def _refuse_declared(path: Path, format: str, read_as: ReadAs) -> None:
    """Raise where encoding, delimiter or form of times is declared and the format, not being CSV, has its own."""
    for name in read_as.__struct_fields__:
        if getattr(read_as, name) is not None:
            raise DataError(f"{path}: --{name.replace('_', '-')} is for csv files; this one is {format}")


def _parquet_feed(request: _OpenRequest) -> AnyFeed:
    path, wanted = request.path, request.wanted
    if request.format not in (None, PARQUET):
        raise DataError(
            f"{path}, line 1: not {request.format}; the file looks like parquet: {request.magic.decode()!r}"
        )
    _refuse_declared(path, PARQUET, wanted.read_as)
    source = ParquetSource(path)
    table = wanted.table(PARQUET)
    first = next(source.blocks(0, 1), None)
    rows = first.rows[:HEAD_ROWS] if first else []
    noise = Noise().look(enumerate(rows, 1))
    clean = noise.noisy > 0
    table.prepare(grids_of(rows, clean=clean))
    parser = CellRows(table, request.order, clean=clean)
    return request.feed(PARQUET, source, parser, noise.notes(wanted.given))


def _head(source: LineSource) -> list[bytes]:
    lines: list[bytes] = []
    size = 0
    for block in source.blocks(0, 1):
        for line in block.rows:
            lines.append(line)
            size += len(line)
            if len(lines) >= HEAD_ROWS or size >= HEAD_BYTES:
                return lines
    return lines


def _find_first_value(probe: AnyFeed) -> None:
    """Raise DataError now when the file has no usable row, before anything is set up for it."""
    next(probe.values(), None)
