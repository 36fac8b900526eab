"""A record of what a session has met, line by line, in files of a day each, written on a thread of its own.

A file is lines, packed by gzip. The first says what it is, each other one begins with ``TIME KIND``, with the
session's time (ns since 1970, UTC). A file is begun by each start of a session and for each day. What was written
up to a second before a kill can be read.
"""

from __future__ import annotations

import gzip
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final, Generic, TypeVar

from qts.clock import from_ns
from qts.errors import DataError
from qts.files import private_opener
from qts.market.contracts import Calendar
from qts.threads import start_thread
from qts.wording import counted

_MOST_WAITING: Final = 100_000
_MOST_LINE: Final = 1 << 20
_WAIT_S: Final = 0.5
_LEVEL: Final = 1
_ENDING: Final = ".txt.gz"
T = TypeVar("T")


class DayRecord(Generic[T]):
    """Writes a record on a thread of its own. :meth:`add` is for any thread, and never waits.

    ``day_of`` returns the day (ISO) of a moment (ns since 1970, UTC) in the market's time; a file ends with it.
    ``head`` returns the first line of a file of a day, ``text_of`` the text of an entry; all are called on the
    thread. ``of`` names the record for people. What a slow disk leaves no room for is dropped and counted. What
    fails ends the record, not the session. ``tell`` is called, also on the thread, with sentences for people.
    """

    def __init__(
        self,
        directory: Path,
        *,
        of: str,
        day_of: Callable[[int], str],
        head: Callable[[str], bytes],
        text_of: Callable[[T], str],
        tell: Callable[[str], object],
    ) -> None:
        self.dropped = 0
        """How many lines there was no room for."""
        self._directory, self._of = directory, of
        self._day_of, self._head, self._text_of, self._tell = day_of, head, text_of, tell
        self._waiting: deque[tuple[int, str, T]] = deque()
        self._has_lines = threading.Event()
        self._is_over = False
        self._has_failed = False
        self._file: IO[bytes] | None = None
        self._packed: gzip.GzipFile | None = None
        self._day = ""
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start the thread. Raises StorageError when the system starts none."""
        self._thread = start_thread(self._run, "qts-record")

    def add(self, ts_ns: int, kind: str, entry: T) -> None:
        """Add a line."""
        if len(self._waiting) >= _MOST_WAITING or self._has_failed:
            self.dropped += 1
            return
        self._waiting.append((ts_ns, kind, entry))
        self._has_lines.set()

    def close(self) -> None:
        """Write what waits, and end the thread; may be called twice. Waits for the disk."""
        self._is_over = True
        self._has_lines.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
            if self.dropped:
                self._tell(f"{counted(self.dropped, 'line')} of {self._of} dropped: the disk was too slow")

    def _run(self) -> None:
        try:
            try:
                while not self._is_over or self._waiting:
                    self._has_lines.wait(_WAIT_S)
                    self._has_lines.clear()
                    self._write()
            finally:
                self._end_file()
        except Exception as error:  # noqa: BLE001 - the edge of the thread: whatever ends the record is told
            self._has_failed = True
            self._waiting.clear()
            why = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            self._tell(f"{self._of} is not written any more: {why} in {self._directory}")

    def _write(self) -> None:
        """Write what waits, and let it be readable from then on."""
        lines: list[str] = []
        while self._waiting:
            ts_ns, kind, entry = self._waiting.popleft()
            day = self._day_of(ts_ns)
            if day > self._day:
                self._pack(lines)
                self._begin_file(day)
            lines.append(f"{ts_ns} {kind} {self._text_of(entry).translate(_ONE_LINE)}\n")
        self._pack(lines)

    def _pack(self, lines: list[str]) -> None:
        if self._packed is not None and self._file is not None and lines:
            self._packed.write("".join(lines).encode("utf-8", "surrogateescape"))
            self._packed.flush(zlib.Z_SYNC_FLUSH)
            self._file.flush()
        lines.clear()

    def _begin_file(self, day: str) -> None:
        self._end_file()
        self._directory.mkdir(mode=0o700, exist_ok=True)
        number = 1 + len(files_of(self._directory, day))
        self._file = open(self._directory / f"{day}.{number:04}{_ENDING}", "xb", opener=private_opener)  # noqa: SIM115
        self._packed = gzip.GzipFile("", "wb", _LEVEL, self._file, mtime=0)
        self._packed.write(self._head(day) + b"\n")
        self._day = day

    def _end_file(self) -> None:
        packed, file, self._packed, self._file = self._packed, self._file, None, None
        try:
            if packed is not None:
                packed.close()
        finally:
            if file is not None:
                file.close()


_ONE_LINE: Final[Mapping[int, str]] = {ord("\n"): " ", ord("\r"): " "}


def days_by(calendar: Calendar) -> Callable[[int], str]:
    """Return what gives the day of a moment (ns since 1970, UTC) in the time of a market."""
    return lambda ts_ns: calendar.local_date(from_ns(ts_ns)).isoformat()


def files_of(directory: Path, day: str) -> Sequence[Path]:
    """Return the files of ``day`` (ISO) in a record's directory, oldest first."""
    return sorted(directory.glob(f"{day}.*{_ENDING}"))


def days_of(directory: Path) -> Sequence[str]:
    """Return the days (ISO) of which there is a record, oldest first."""
    return sorted({path.name.partition(".")[0] for path in directory.glob(f"*{_ENDING}")})


def lines_in(path: Path) -> Iterator[bytes]:
    """Yield the whole lines of a file; what a kill has cut off at its end is left out. Raises DataError."""
    try:
        with gzip.open(path, "rb") as file:
            while line := file.readline(_MOST_LINE):
                if not line.endswith(b"\n"):
                    return
                yield line
    except EOFError:
        return
    except (OSError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
