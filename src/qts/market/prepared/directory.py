"""The cache directory of prepared captures: private, bounded, and never a reason to end a replay.

A file is written beside its name under a lock of its own and renamed whole. What a killed process leaves has no
lock and is removed by the next one that writes. Nothing is synced: what a power cut leaves damaged has a wrong
checksum.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from qts.errors import StorageError
from qts.files import PART, open_beside, user_cache
from qts.files import PRIVATE as PRIVATE_FILE
from qts.market.contracts import BookUpdate
from qts.market.files.refusals import RefusalExample
from qts.market.files.row_memory import Recorded
from qts.market.prepared.capture import PreparedCapture, open_capture
from qts.market.prepared.layout import Head, TextBlock
from qts.market.prepared.recorder import CaptureWriter, Positions

ENDING: Final = ".qtsp"
_PRIVATE: Final = 0o700
_LOCK: Final = ".lock"


def cache_directory(env: Mapping[str, str]) -> Path | None:
    """Return the directory for prepared captures of the user of ``env``; None when the user has no home."""
    return user_cache(env, "captures")


class CaptureDirectory:
    """The prepared captures in ``path``, at most ``most_bytes`` together; those unused longest go first.

    ``tell`` is called, at most once, with why a capture could not be kept.
    """

    def __init__(self, path: Path, most_bytes: int, tell: Callable[[str], None]) -> None:
        self.path = path
        self.most_bytes = most_bytes
        self._tell = tell

    def file_of(self, key: str) -> Path:
        """Return where the capture of ``key`` (a SHA-256 in hex) is, or would be."""
        return self.path / f"{key}{ENDING}"

    def find(self, key: str) -> PreparedCapture | None:
        """Return the capture of ``key``; None when there is none that can be used."""
        path = self.file_of(key)
        capture = open_capture(path, key)
        if capture is not None:
            with contextlib.suppress(OSError):
                os.utime(path, follow_symlinks=False)  # used now
        return capture

    def recorder(self, key: str, head: Head, position: Positions) -> CaptureRecorder:
        """Return what records the capture of ``key`` from a feed with this ``head`` and ``position``."""
        return CaptureRecorder(self, key, head, position)

    def new_part(self, key: str) -> tuple[BinaryIO, Path]:
        """Create the file of a capture that is being written, locked as long as it is open. Raises OSError."""
        self.path.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        with self._locked():
            self._remove_abandoned()
            handle, part = open_beside(self.file_of(key), PRIVATE_FILE)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return open(handle, "wb"), part

    def keep(self, part: Path, key: str) -> None:
        """Rename a complete capture and remove the oldest ones beyond the limit. Raises OSError."""
        with self._locked():
            os.replace(part, self.file_of(key))
            self._remove_oldest(keep=self.file_of(key))

    def report(self, reason: str) -> None:
        """Pass on why a capture is not kept; a second reason is dropped."""
        tell, self._tell = self._tell, _told
        tell(reason)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Exclude the other processes that write here, for a moment."""
        handle = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE_FILE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _remove_abandoned(self) -> None:
        """Remove the parts that no process has locked: their writers are gone."""
        for part in self.path.glob(f".*{ENDING}.*{PART}"):
            with contextlib.suppress(OSError), part.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink()

    def _remove_oldest(self, keep: Path) -> None:
        found = []
        for path in self.path.glob(f"*{ENDING}"):
            with contextlib.suppress(OSError):
                status = path.lstat()
                found.append((path != keep, status.st_mtime_ns, status.st_size, path))
        left = self.most_bytes
        for _, _, size, path in sorted(found, key=lambda one: (one[0], -one[1])):
            left -= size
            if left < 0 and path != keep:
                path.unlink(missing_ok=True)


class CaptureRecorder:
    """Records one capture for a feed; what goes wrong ends the recording and not the replay."""

    def __init__(self, directory: CaptureDirectory, key: str, head: Head, position: Positions) -> None:
        self._directory = directory
        self._key = key
        self._file: BinaryIO | None = None
        self._part: Path | None = None
        self._writer: CaptureWriter | None = CaptureWriter(self._open, key, head, position)
        self.values = self._writer.values

    def on_other(self, reason: str, example: RefusalExample | None) -> None:
        """Keep that a row had no value."""
        if self._writer is not None:
            self._writer.on_other(reason, example)

    def on_book(self, update: BookUpdate) -> None:
        """Keep the depth book from time to time."""
        if self._writer is not None:
            self._writer.on_book(update)

    def on_learned(self, what: str, particulars: Sequence[Any]) -> None:
        """Keep what the parser's memory learned."""
        if self._writer is not None:
            self._writer.on_learned(what, particulars)

    def on_block(self, offset: int, first: int, share: float, checksums: Sequence[int], recorded: Recorded) -> None:
        """Keep the values of a block of the text."""
        writer = self._writer
        if writer is None:
            self.values.clear()
            return
        try:
            writer.on_block(TextBlock(offset, first, share), checksums, recorded)
        except (OSError, OverflowError) as error:
            self._give_up(_reason(error))
            return
        self._require_room(writer)

    def on_end(self) -> None:
        """Complete the capture and give it its name."""
        writer = self._writer
        if writer is None:
            return
        try:
            writer.on_end()
            if not self._require_room(writer):
                return
            assert self._part is not None
            self._directory.keep(self._part, self._key)
        except (OSError, OverflowError) as error:
            self._give_up(_reason(error))
            return
        self._part = None
        self._drop()

    def close(self) -> None:
        """Drop the recording unless it is complete."""
        if self._writer is not None:
            self._drop()

    def _require_room(self, writer: CaptureWriter) -> bool:
        """Return whether the file is no larger than all captures together may be; drop the recording if it is."""
        fits = writer.size <= self._directory.most_bytes
        if not fits:
            self._give_up("it would be larger than data.prepared_mb")
        return fits

    def _give_up(self, reason: str) -> None:
        self._drop()
        self._directory.report(reason)

    def _drop(self) -> None:
        self._writer = None
        self.values.clear()
        with contextlib.suppress(OSError):
            if self._part is not None:
                self._part.unlink()
        with contextlib.suppress(OSError):  # what was not written yet does not fit either
            if self._file is not None:
                self._file.close()

    def _open(self) -> BinaryIO:
        self._file, self._part = self._directory.new_part(self._key)
        return self._file


def refuse_to_go_on(reason: str) -> None:
    """Raise StorageError; for a command whose only purpose is the capture."""
    raise StorageError(f"the capture cannot be prepared: {reason}")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or 'the cache directory'}: {error.strerror or error}"
    return "a number in it has more than 64 bits"


def _told(reason: str) -> None:
    pass
