"""Lines of a plain or gzipped file in bounded memory, straight from zlib.

What is hard about it: a gzip file that was cut off still gives all its complete lines, a damaged one all
lines before the place where the damage shows, and a line without end never fills the memory.

Where the damage shows is not where it is: behind a flipped bit the data often unpacks to other, plausible text
until the checksum at the end disagrees. By then the rows were given; to know earlier the file would have to be read
twice. So the note names the damage, and does not call the rows before it good.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from qts.errors import DataError
from qts.market.files.refusals import DAMAGED_GZIP, TRUNCATED_GZIP
from qts.market.files.row_blocks import Block, Damage
from qts.notes import Note

MAX_LINE: Final = 1 << 20
"""Bytes; the longest real row is a depth snapshot of 1,000 levels a side, about 45 kB."""
CHUNK: Final = 1 << 17
"""Bytes per block; must not exceed MAX_LINE (only the first line of a block can then be overlong)."""
GZIP_MAGIC: Final = b"\x1f\x8b"
BOM: Final = b"\xef\xbb\xbf"
"""Some editors of Windows put it before a text in UTF-8; it belongs to no line."""

_READ: Final = 1 << 16
_GZIP_WBITS: Final = 31
_SHOWN: Final = 200


class OverlongLine(bytes):
    """Stands for a line above :data:`MAX_LINE`: a NUL, so that no parser takes it, and its first bytes."""

    @classmethod
    def of(cls, start: bytes) -> OverlongLine:
        """Make one of the first bytes of a line."""
        return cls(b"\0" + start[:_SHOWN])


def shown(row: bytes) -> bytes:
    """Return a line as a person should see it."""
    return row[1:] if isinstance(row, OverlongLine) else row


class LineSource:
    """Lines without their line feed. Raises :class:`~qts.errors.DataError` when the system cannot read on."""

    def __init__(self, path: Path, *, gzipped: bool) -> None:
        self.damage: Damage | None = None
        self._path = path
        self._gzipped = gzipped
        self._size = max(path.stat().st_size, 1)
        self._read = 0

    def share_read(self) -> float:
        """Return the share of the file's bytes read so far, 0..1."""
        return min(self._read / self._size, 1.0)

    def blocks(self, offset: int, first: int) -> Iterator[Block[bytes]]:
        """Yield the blocks from byte ``offset`` of the (unpacked) text on, where line number ``first`` begins."""
        self.damage = None
        try:
            with self._path.open("rb") as file:
                chunks = self._unpacked(file, offset) if self._gzipped else self._plain(file, offset)
                yield from self._split(chunks, offset, first)
        except OSError as error:
            raise DataError(f"{self._path}: cannot read on after {self._read} bytes: {error.strerror}") from error

    def _split(self, chunks: Iterator[bytes], offset: int, first: int) -> Iterator[Block[bytes]]:
        rest = b""  # begins at ``offset``
        for chunk in chunks:
            data = rest + chunk if rest else chunk
            if not offset and data.startswith(BOM):
                data, offset = data[len(BOM) :], len(BOM)
            rows = data.split(b"\n")
            rest = rows.pop()
            if rows:
                if len(rows[0]) > MAX_LINE:
                    rows[0] = OverlongLine.of(rows[0])
                yield Block(offset, first, rows)
                offset += len(data) - len(rest)
                first += len(rows)
            if len(rest) > MAX_LINE:
                yield Block(offset, first, [OverlongLine.of(rest)])
                skipped, after = _skip_line(chunks)
                offset += len(rest) + skipped
                first += 1
                rest = after
        rows = rest.split(b"\n")
        last = rows.pop()
        if last and self.damage is None:
            rows.append(last)
        if rows:
            yield Block(offset, first, rows)

    def _plain(self, file: BinaryIO, offset: int) -> Iterator[bytes]:
        file.seek(offset)
        self._read = offset
        while chunk := file.read(CHUNK):
            self._read += len(chunk)
            yield chunk

    def _unpacked(self, file: BinaryIO, offset: int) -> Iterator[bytes]:
        for data in self._inflated(file):
            if offset >= len(data):
                offset -= len(data)
            elif offset:
                yield data[offset:]
                offset = 0
            else:
                yield data

    def _inflated(self, file: BinaryIO) -> Iterator[bytes]:
        """Yield the unpacked text in pieces of at most CHUNK bytes, through all members of the file."""
        self._read = 0
        engine = zlib.decompressobj(_GZIP_WBITS)
        begun = False
        while raw := file.read(_READ):
            self._read += len(raw)
            while raw:
                begun = True
                before = engine.copy()
                try:
                    data = engine.decompress(raw, CHUNK)
                except zlib.error as error:
                    yield from _until_damage(before, raw)
                    self.damage = Damage(DAMAGED_GZIP, Note.of("gzip-damaged", error=f"{error}"))
                    return
                if data:
                    yield data
                if engine.eof:
                    raw = engine.unused_data.lstrip(b"\0")  # tape padding is allowed behind a member
                    engine = zlib.decompressobj(_GZIP_WBITS)
                    begun = False
                else:
                    raw = engine.unconsumed_tail
        if begun:
            yield from filter(None, [engine.flush()])
            if not engine.eof:
                self.damage = Damage(TRUNCATED_GZIP, Note.of("gzip-truncated"))


def _until_damage(engine: zlib._Decompress, raw: bytes) -> Iterator[bytes]:
    """Return what ``engine`` can still unpack of ``raw``: an exception would swallow all of it at once."""
    for byte in raw:
        try:
            data = engine.decompress(bytes((byte,)))
        except zlib.error:
            return
        if data:
            yield data


def _skip_line(chunks: Iterator[bytes]) -> tuple[int, bytes]:
    """Drop everything up to and including the next line feed: bytes dropped, and what follows."""
    skipped = 0
    for chunk in chunks:
        end = chunk.find(b"\n")
        if end >= 0:
            return skipped + end + 1, chunk[end + 1 :]
        skipped += len(chunk)
    return skipped, b""
