"""A store of a manager's state in two files: kill -9 at any moment loses nothing that was answered.

``<path>`` holds the newest snapshot: written beside it, synced, renamed over it. ``<path stem>.history.jsonl``
holds one line per record, appended and synced *before* the snapshot; every line carries the snapshot that
belongs to it, so a crash between the two files loses nothing either. Both carry a CRC-32. The snapshot counts
the lines that were acknowledged: one torn line after them is a crash and is cut off, anything else is damage
and refused with its place. Serves the operating state and safety alike.
"""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from qts.errors import StorageError
from qts.files import in_place_opener, sync_directory

FORMAT: Final = "qts-state/1"


class FileStateStore:
    """A state and its history in files (see the module). One writer at a time.

    ``history_limit`` is how many of the newest records :meth:`load` gives back; the file keeps all.
    Every method raises :class:`~qts.errors.StorageError` when the files cannot be read or written.
    """

    def __init__(self, path: str | os.PathLike[str], *, history_limit: int = 1000) -> None:
        self.path = Path(path)
        self.history_path = self.path.with_name(f"{self.path.stem}.history.jsonl")
        self._limit = history_limit
        self._version = 0
        self._records = 0
        self._good_bytes: int | None = None

    def load(self) -> dict[str, Any] | None:
        """Return the newest snapshot with the newest records under ``"history"``; None before the first save."""
        try:
            return self._read()
        except OSError as error:
            raise StorageError(f"cannot read the stored state {self.path}: {error}") from error

    def save(self, snapshot: Mapping[str, Any], record: Mapping[str, Any] | None = None) -> None:
        """Write ``snapshot`` and append ``record`` (None: there is none); return when both are on disk."""
        if self._good_bytes is None:
            self.load()
        try:
            self._write(dict(snapshot), None if record is None else dict(record))
        except OSError as error:
            self._good_bytes = None  # what is on disk is uncertain: look again before the next write
            raise StorageError(f"cannot store the state in {self.path}: {error}; free the disk, restart") from error

    def _write(self, snapshot: dict[str, Any], record: dict[str, Any] | None) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        version = self._version + 1
        records = self._records
        if record is not None:
            records += 1
            self._append(_sealed(_Body(FORMAT, version, records, snapshot, record)))
            self._records = records
        self._replace(_sealed(_Body(FORMAT, version, records, snapshot, None)))
        self._version = version

    def _append(self, line: bytes) -> None:
        assert self._good_bytes is not None
        created = not self.history_path.exists()
        with open(self.history_path, "ab", opener=in_place_opener) as file:
            file.truncate(self._good_bytes)  # a torn line of an earlier crash
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if created:
            sync_directory(self.path.parent)
        self._good_bytes += len(line)

    def _replace(self, line: bytes) -> None:
        temporary = self.path.with_name(self.path.name + ".tmp")
        with open(temporary, "wb", opener=in_place_opener) as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.path)
        sync_directory(self.path.parent)

    def _read(self) -> dict[str, Any] | None:
        newest = self._read_snapshot()
        acknowledged = newest.records if newest is not None else 0
        tail: deque[dict[str, Any]] = deque(maxlen=self._limit)
        self._records, self._good_bytes = 0, 0
        for body, end in self._read_history(acknowledged):
            tail.append(body.record or {})
            self._records, self._good_bytes = body.records, end
            if newest is None or body.version > newest.version:
                newest = body
        if self._records < acknowledged:
            raise StorageError(
                f"{self.history_path} holds {self._records} records, {self.path.name} counts {acknowledged}: "
                "history is missing; restore both files from a backup"
            )
        if newest is None:
            return None
        self._version = newest.version
        return {**newest.snapshot, "history": list(tail)}

    def _read_snapshot(self) -> _Body | None:
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return None
        body = _unsealed(raw)
        if body is None:
            raise StorageError(f"{self.path} is damaged (checksum or format); restore it from a backup")
        return body

    def _read_history(self, acknowledged: int) -> Iterator[tuple[_Body, int]]:
        """Yield every good line with the offset of its end; only the unacknowledged last one may be bad."""
        try:
            file = open(self.history_path, "rb")  # noqa: SIM115 - closed below; absence is an answer
        except FileNotFoundError:
            return
        with file:
            start = 0
            for number, line in enumerate(file, start=1):
                body = _unsealed(line) if line.endswith(b"\n") else None
                if body is None or body.records != number:
                    if number <= acknowledged or file.read(1):
                        raise StorageError(
                            f"{self.history_path} is damaged in line {number} (byte {start}); restore a backup"
                        )
                    return
                start += len(line)
                yield body, start


class _Body(msgspec.Struct, frozen=True):
    """One stored line. ``records`` counts the history lines up to and including this one, ``version`` the saves."""

    format: str
    version: int
    records: int
    snapshot: dict[str, Any]
    record: dict[str, Any] | None


class _Sealed(msgspec.Struct, frozen=True):
    crc: int
    body: msgspec.Raw


def _sealed(body: _Body) -> bytes:
    raw = msgspec.json.encode(body)
    return msgspec.json.encode(_Sealed(zlib.crc32(raw), msgspec.Raw(raw))) + b"\n"


def _unsealed(line: bytes) -> _Body | None:
    """Return the body of a line, or None when it is torn, damaged or of another format."""
    try:
        sealed = msgspec.json.decode(line, type=_Sealed)
        if zlib.crc32(sealed.body) != sealed.crc:
            return None
        body = msgspec.json.decode(sealed.body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return body if body.format == FORMAT else None
