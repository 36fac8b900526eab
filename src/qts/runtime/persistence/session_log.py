"""The session's log, one JSON object a line, and the notices that the session writes there."""

from __future__ import annotations

import contextlib
import os
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgspec

from qts.clock import Clock, from_ns
from qts.errors import StorageError
from qts.event.contracts import EventType
from qts.event.monitoring import Alert, Report
from qts.event.payloads import LogWrite
from qts.files import in_place_opener

FILE_NAME = "session.log.jsonl"
_OURS = re.compile(r"session\.log(\.(\d+|new))?\.jsonl")
_LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}
_PART: Final = 1 << 20
"""Bytes of a file that are read at a time."""


class LogPosition(NamedTuple):
    """A place in the log, which a checkpoint keeps: ``length`` bytes of a file, and the CRC-32 of these bytes.

    The checksum says which file it is, whatever name the file has by now.
    """

    length: int
    checksum: int


class SessionLog:
    """Appends to ``session.log.jsonl``.

    ``replaces_old``: files of an earlier run are removed first. ``resumes_at``: the log is cut back to there,
    because the session writes the lines behind it again; lines of :meth:`record` stay. None: nothing is cut, and
    after a kill lines may appear twice. A file of ``most_bytes`` is renamed to ``session.log.1.jsonl``, that one to
    ``.2`` and so on; ``older`` of them are kept.
    """

    def __init__(
        self,
        directory: Path,
        level: str,
        *,
        most_bytes: int = 64 << 20,
        older: int = 4,
        replaces_old: bool = False,
        resumes_at: LogPosition | None = None,
    ) -> None:
        """Open the file. Raises StorageError when it cannot be written, or is a symbolic link."""
        self._path = directory / FILE_NAME
        self._draft = directory / FILE_NAME.replace(".jsonl", ".new.jsonl")
        self._most_bytes = most_bytes
        self._older = [directory / FILE_NAME.replace(".jsonl", f".{n}.jsonl") for n in range(1, older + 1)]
        self._encode = msgspec.json.Encoder().encode
        self.set_level(level)
        if replaces_old:
            self._forget(directory)
        try:
            if resumes_at is not None:
                self._cut_back(resumes_at)
            self._file = open(self._path, "ab", buffering=1 << 16, opener=in_place_opener)  # noqa: SIM115 - closed by close()
            self.position = self._end = self._end_of(self._path)
        except OSError as error:
            raise self._explanation(error) from None
        self._grown = self._end.length

    position: LogPosition
    """The end of the log. Right behind a rotation: the end of the file that was put aside, until a line follows."""

    def _forget(self, directory: Path) -> None:
        """Remove the log files of an earlier run, and no others with a similar name."""
        for path in directory.glob(FILE_NAME.replace(".jsonl", "*.jsonl")):
            if _OURS.fullmatch(path.name):
                try:
                    path.unlink()
                except OSError as error:
                    raise self._explanation(error) from None

    def set_level(self, level: str) -> None:
        """Skip lines below ``level`` (DEBUG, INFO, WARNING or ERROR) from now on."""
        self._least = _LEVELS[level]

    def write(self, line: LogWrite) -> None:
        """Append ``line`` if its level is not skipped; buffered. Raises StorageError."""
        if _LEVELS.get(line.level, 40) >= self._least:
            self._append(line)

    def record(self, line: LogWrite) -> None:
        """Append ``line`` whatever its level, and flush; a resumed session keeps it. Raises StorageError.

        For what is not written again when the session is executed again: operators' commands, defects.
        """
        self._append(line, {"once": True})
        self.flush()

    def flush(self) -> None:
        """Write the buffer to the file. Raises StorageError when that fails."""
        try:
            self._file.flush()
        except OSError as error:
            raise self._explanation(error) from None

    def close(self) -> None:
        """Write the buffer and close the file, also when writing fails. Raises StorageError then."""
        try:
            self._file.close()
        except OSError as error:
            raise self._explanation(error) from None

    def _explanation(self, error: OSError) -> StorageError:
        return StorageError(
            f"cannot write {self._path}: {error.strerror or error}; free space or give this user the right, "
            "then --resume"
        )

    def _append(self, line: LogWrite, more: dict[str, bool] | None = None) -> None:
        try:
            self._write_row(line, more)
            if self._grown >= self._most_bytes:
                self._file.flush()
                self._rotate(line.ts_ns)
        except OSError as error:
            raise self._explanation(error) from None

    def _write_row(self, line: LogWrite, more: dict[str, bool] | None = None) -> None:
        row = {
            "time": from_ns(line.ts_ns).isoformat(),
            "level": line.level,
            "message": line.message,
            **line.fields,
            **(more or {}),
        }
        data = self._encode(row) + b"\n"
        self._file.write(data)
        self._grown += len(data)
        length, checksum = self._end
        self.position = self._end = LogPosition(length + len(data), zlib.crc32(data, checksum))

    def _cut_back(self, position: LogPosition) -> None:
        """Remove what was written behind ``position``, which may be in a file that was put aside since.

        A log that does not hold the position, because it was altered or lost its end, is left as it is.
        """
        files = [self._path, *self._older]
        numbers = range(len(files))
        for number in numbers if position.length else reversed(numbers):  # before any line: all files go
            try:
                file = open(files[number], "r+b", opener=in_place_opener)  # noqa: SIM115 - closed below
            except OSError:
                continue  # it is not there, or opening the log tells what is wrong with it
            with file:
                if _checksum(file, position.length) != position:
                    continue
                kept = b"".join(row for row in _rows_behind(file, files[:number]) if _is_kept(row))
                file.seek(position.length)
                file.write(kept)
                file.truncate()
            self._take_back(files, number)
            return

    def _take_back(self, files: list[Path], number: int) -> None:
        """Rename the file with this number back, in place of the newer ones, and the older ones after it."""
        if number == 0:
            return
        for path in files[:number]:
            path.unlink(missing_ok=True)
        for at, path in enumerate(files[number:]):
            with contextlib.suppress(FileNotFoundError):
                os.replace(path, files[at])

    def _end_of(self, path: Path) -> LogPosition:
        with open(path, "rb", opener=in_place_opener) as file:
            return _checksum(file, os.fstat(file.fileno()).st_size)

    def _rotate(self, now_ns: int) -> None:
        """Remove the oldest file and rename the others; a kill in between leaves a gap in the numbers only.

        When that fails, the present file is continued with a line about it, until it has grown as much again.
        """
        try:
            self._draft.unlink(missing_ok=True)
            fresh = open(self._draft, "wb", buffering=1 << 16, opener=in_place_opener)  # noqa: SIM115 - closed by close()
            try:
                for newer, older in reversed(list(pairwise([self._path, *self._older]))):
                    with contextlib.suppress(FileNotFoundError):
                        os.replace(newer, older)
                os.replace(self._draft, self._path)
            except OSError:
                fresh.close()
                raise
        except OSError as error:
            message = f"the log could not be rotated and continues in this file: {error}"
            self._write_row(LogWrite("WARNING", message, now_ns))
            self._grown = 0
            return
        self._file.close()
        self._file, self._end, self._grown = fresh, LogPosition(0, 0), 0


def _rows_behind(file: BinaryIO, newer: Sequence[Path]) -> Iterator[bytes]:
    """Yield the lines of the rest of ``file`` and of the ``newer`` files, of which the first is the newest."""
    yield from file
    for path in reversed(newer):
        with contextlib.suppress(OSError), open(path, "rb", opener=in_place_opener) as other:
            yield from other


def _checksum(file: BinaryIO, length: int) -> LogPosition:
    """Return the position behind the first ``length`` bytes of ``file``, or at its end when it is shorter."""
    left, checksum = length, 0
    while left and (part := file.read(min(left, _PART))):
        left, checksum = left - len(part), zlib.crc32(part, checksum)
    return LogPosition(length - left, checksum)


def _is_kept(row: bytes) -> bool:
    """Return whether a line was written by :meth:`SessionLog.record`; a torn line was not."""
    try:
        return bool(msgspec.json.decode(row).get("once"))
    except (msgspec.DecodeError, UnicodeDecodeError, AttributeError):
        return False


class Notices:
    """Writes messages for people: INFO travels as a P3 event, higher levels go into the file at once.

    A WARNING pauses P3 and must not suppress its own message. ``flush`` is called before every checkpoint, so
    that a resumed session does not repeat messages that were handled by then. ``position`` then returns the end of
    the log for that checkpoint; None when a resumed session does not write the lines behind it again.
    """

    def __init__(
        self,
        write: Callable[[LogWrite], None],
        flush: Callable[[], None],
        publish: Callable[[EventType, LogWrite, str], object],
        clock: Clock,
        position: Callable[[], LogPosition | None] = lambda: None,
    ) -> None:
        self._write = write
        self.flush = flush
        self.position = position
        self._publish = publish
        self._clock = clock
        self._reported: set[tuple[str, str]] = set()

    def say(self, level: str, message: str, **fields: str) -> None:
        """Log ``message`` at ``level`` with the session's time. Raises nothing for a full disk."""
        line = LogWrite(level, message, self._clock.time_ns(), fields)
        if level == "INFO":
            self._publish(EventType.LOG_WRITE, line, "kernel")
        else:
            with contextlib.suppress(StorageError):  # the caller has to go on; the next checkpoint raises it
                self._write(line)
                self.flush()

    def alert(self, alert: Alert) -> None:
        """Log that a threshold of a queue was crossed."""
        what = f"{alert.priority.name}: {alert.measure} {alert.value:,.1f} is above {alert.threshold:,g}"
        self.say("WARNING", f"{alert.severity} of queue {what}")

    def report(self, report: Report) -> None:
        """Log the first report of each kind and handler; the result holds the counts."""
        if (report.kind, report.name) not in self._reported:
            self._reported.add((report.kind, report.name))
            took = f" for {report.took_us:,.0f} µs" if report.took_us else ""
            self.say("WARNING", f"{report.kind}: {report.name}{took} {report.detail}".rstrip())
