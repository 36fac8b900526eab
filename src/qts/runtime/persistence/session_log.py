"""The session's log, one JSON object a line, and the notices that the session writes there."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

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


class SessionLog:
    """Appends to ``session.log.jsonl``. After a kill, lines since the last checkpoint may appear twice.

    ``replaces_old``: files of an earlier run are removed first. A file of ``most_bytes`` is renamed to
    ``session.log.1.jsonl``, that one to ``.2`` and so on; ``older`` of them are kept.
    """

    def __init__(
        self, directory: Path, level: str, *, most_bytes: int = 64 << 20, older: int = 4, replaces_old: bool = False
    ) -> None:
        """Open the file. Raises StorageError when it cannot be written, or is a symbolic link."""
        self._path = directory / FILE_NAME
        self._draft = directory / FILE_NAME.replace(".jsonl", ".new.jsonl")
        self._most_bytes = most_bytes
        self._older = [directory / FILE_NAME.replace(".jsonl", f".{n}.jsonl") for n in range(1, older + 1)]
        if replaces_old:
            self._forget(directory)
        try:
            self._file = open(self._path, "ab", buffering=1 << 16, opener=in_place_opener)  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise self._explanation(error) from None
        self._bytes = self._file.tell()
        self.set_level(level)
        self._encode = msgspec.json.Encoder().encode

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
        """Append ``line`` whatever its level, and flush, for operators' commands. Raises StorageError."""
        self._append(line)
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

    def _append(self, line: LogWrite) -> None:
        try:
            self._bytes += self._file.write(self._row(line))
            if self._bytes >= self._most_bytes:
                self._file.flush()
                self._rotate(line.ts_ns)
        except OSError as error:
            raise self._explanation(error) from None

    def _row(self, line: LogWrite) -> bytes:
        row = {
            "time": from_ns(line.ts_ns).isoformat(),
            "level": line.level,
            "message": line.message,
            **line.fields,
        }
        return self._encode(row) + b"\n"

    def _rotate(self, now_ns: int) -> None:
        """Remove the oldest file and rename the others; a kill in between leaves a gap in the numbers only.

        When that fails, the present file is continued with a line about it, until it has grown as much again.
        """
        self._bytes = 0
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
            self._file.write(self._row(LogWrite("WARNING", message, now_ns)))
            return
        self._file.close()
        self._file = fresh


class Notices:
    """Writes messages for people: INFO travels as a P3 event, higher levels go into the file at once.

    A WARNING pauses P3 and must not suppress its own message. ``flush`` is called before every checkpoint, so
    that a resumed session does not repeat messages that were handled by then.
    """

    def __init__(
        self,
        write: Callable[[LogWrite], None],
        flush: Callable[[], None],
        publish: Callable[[EventType, LogWrite, str], object],
        clock: Clock,
    ) -> None:
        self._write = write
        self.flush = flush
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
