"""A backup of a server in one compressed file of JSON lines, complete or not there, and with a digest of its own.

The first line is the manifest: the steps of the schema, and each table with its columns. Then come the tables, each
announced by a line with its name, its rows one a line: an array of the values as texts of SQL, null for none. The
last line has the number of rows of each table and the SHA-256 of all lines before it.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgspec

from qts.errors import DataError, InputError, StorageError
from qts.files import PRIVATE, open_beside, sync_directory

FORMAT: Final = 1
_GZIP: Final = b"\x1f\x8b"
_encode: Final = msgspec.json.Encoder().encode


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The beginning of an archive. ``steps``: number, name and checksum of each step of the schema that was run.

    ``tables``: the columns of each table, in the order in which the tables follow.
    """

    qts_backup: int
    server: str
    steps: tuple[tuple[int, str, str], ...]
    tables: Mapping[str, tuple[str, ...]]


class _Table(msgspec.Struct, frozen=True):
    table: str


class _End(msgspec.Struct, frozen=True):
    rows: Mapping[str, int]
    sha256: str


_manifest: Final = msgspec.json.Decoder(Manifest).decode
_announcement: Final = msgspec.json.Decoder(_Table).decode
_ending: Final = msgspec.json.Decoder(_End).decode


class ArchiveWriter:
    """An archive in the making; the file ``path`` is there when :meth:`finish` returns, and not before.

    Raises InputError for a file that is there already, and StorageError when it cannot be written.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        if path.exists():
            raise InputError(f"{path} is there already; give the name of a new file")
        self._path, self._digest = path, hashlib.sha256()
        self.rows: dict[str, int] = {}
        self._table = ""
        try:
            handle, self._unfinished = open_beside(path, PRIVATE)
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror}") from error
        self._file = os.fdopen(handle, "wb")
        self._lines = gzip.GzipFile(filename="", mode="wb", fileobj=self._file, compresslevel=6, mtime=0)
        self._write(_encode(manifest))

    def begin(self, table: str) -> None:
        """Write the line that names a table, before its rows."""
        self._table = table
        self.rows[table] = 0
        self._write(_encode(_Table(table)))

    def add(self, rows: Sequence[str]) -> None:
        """Write rows of the announced table, each a JSON array."""
        for row in rows:
            self._write(row.encode())
        self.rows[self._table] += len(rows)

    def finish(self) -> None:
        """Write the end, and give the file its name."""
        self._write(_encode(_End(self.rows, self._digest.hexdigest())))
        try:
            self._lines.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.link(self._unfinished, self._path)  # fails where another has made the file meanwhile
            self._unfinished.unlink()
            sync_directory(self._path.parent)
        except FileExistsError as error:
            raise InputError(f"{self._path} is there already; give the name of a new file") from error
        except OSError as error:
            raise StorageError(f"{self._path}: cannot write it: {error.strerror}") from error

    def _write(self, line: bytes) -> None:
        whole = line + b"\n"
        self._digest.update(whole)
        try:
            self._lines.write(whole)
        except OSError as error:
            raise StorageError(f"{self._path}: cannot write it: {error.strerror}") from error

    def __enter__(self) -> ArchiveWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._unfinished.unlink(missing_ok=True)


def is_archive(path: Path) -> bool:
    """Return whether the file begins like an archive of ours. Raises InputError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(2) == _GZIP
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def check_archive(path: Path) -> Manifest:
    """Return the manifest of an archive that is whole. Raises DataError for one that is damaged or cut off."""
    with _Lines(path) as lines:
        manifest = lines.manifest()
        counted: dict[str, int] = {}
        table = ""
        for line in lines:
            if line.startswith(b"["):
                counted[table] = counted.get(table, 0) + 1
            elif line.startswith(b'{"table"'):
                table = lines.understood(_announcement, line).table
                counted[table] = 0
            else:
                end = lines.understood(_ending, line)
                if end.sha256 != lines.digest_before or dict(end.rows) != counted:
                    raise DataError(f"{path} is damaged: its content is not what was written; use another backup")
                if next(iter(lines), None) is not None:
                    break
                return manifest
    raise DataError(f"{path} is cut off or has more than it should: it does not end with its digest")


def rows_of_archive(path: Path, most: int) -> Iterator[tuple[str, list[bytes]]]:
    """Iterate over the rows of an archive that was checked, in parts of at most ``most`` rows of one table."""
    with _Lines(path) as lines:
        lines.manifest()
        table, part = "", list[bytes]()
        for line in lines:
            if line.startswith(b"["):
                part.append(line)
                if len(part) == most:
                    yield table, part
                    part = []
                continue
            if part:
                yield table, part
                part = []
            if line.startswith(b'{"table"'):
                table = lines.understood(_announcement, line).table


class _Lines:
    """The lines of an archive, with the digest of those before the last one that was read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = gzip.open(path, "rb")  # noqa: SIM115 - closed at the end of the block
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from error
        self._digest = hashlib.sha256()
        self.digest_before = ""

    def manifest(self) -> Manifest:
        """Read the first line."""
        found: Manifest = self.understood(_manifest, next(iter(self), b""))
        if found.qts_backup != FORMAT:
            raise InputError(f"{self._path} is of format {found.qts_backup}, this version of QTS knows {FORMAT}")
        return found

    def understood(self, decode: Any, line: bytes) -> Any:
        """Return what a line says. Raises DataError."""
        try:
            return decode(line)
        except msgspec.DecodeError as error:
            raise DataError(f"{self._path} is no backup of qts, or it is damaged: {error}") from error

    def __iter__(self) -> Iterator[bytes]:
        while line := self._read():
            self.digest_before = self._digest.hexdigest()
            self._digest.update(line)
            yield line.rstrip(b"\n")

    def _read(self) -> bytes:
        try:
            return self._file.readline()
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{self._path} is damaged or cut off: {error}") from error

    def __enter__(self) -> _Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
