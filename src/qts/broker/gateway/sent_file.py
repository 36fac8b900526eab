"""The gateway's file: orders given to the socket and what came back, as long as the store cannot know it.

An order is in it, and the disk has confirmed it, before it may reach a broker; its answer is written when it comes.
Every other message is written as it leaves, so that the count of the day is known. What the store has been told is
left out when the file is rewritten, and the count stays. One record, little-endian: u32 length and u32
CRC32 (zlib) of the body, and the body, MessagePack.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from qts.errors import StateError, StorageError
from qts.execution.contracts import AckStatus, OrderAck, VenueRef
from qts.files import PART, PRIVATE, in_place_opener, open_beside, sync_directory

_HEAD: Final = struct.Struct("<II")
_MOST_BODY: Final = 1 << 16


class Begun(msgspec.Struct, frozen=True, array_like=True, tag="begun"):
    """The first record: the run, and how many orders were written down in files before this one."""

    run_id: str
    before: int = 0


class Sent(msgspec.Struct, frozen=True, array_like=True, tag="sent"):
    """An order that may be at the broker from here on, and the approval that it used up.

    ``day``: the market's own date (ISO) under which it counts as a message; "" of earlier versions, under none.
    """

    client_order_id: str
    approval_id: str
    expires_ns: int
    at_ns: int
    day: str = ""


class Asked(msgspec.Struct, frozen=True, array_like=True, tag="asked"):
    """Another message that left, a cancel or a replace, and the date under which it counts."""

    day: str


class Counted(msgspec.Struct, frozen=True, array_like=True, tag="counted"):
    """The number of messages that have left on ``day``, those of the records before this one among them."""

    day: str
    messages: int


class Answered(msgspec.Struct, frozen=True, array_like=True, tag="answered"):
    """The answer to an order of the file."""

    client_order_id: str
    status: AckStatus
    ref: VenueRef | None
    reason: str
    at_ns: int


Entry = Begun | Sent | Answered | Asked | Counted
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Entry).decode


class SentFile:
    """The file at ``path`` of the run ``run_id``, made when missing; opening it is recovery.

    :meth:`append`, :meth:`settle` and the properties are for any thread and wait for no disk; :meth:`sync` and
    :meth:`compact` wait, on one thread. ``most_bytes``: from this size on it is to be rewritten.

    A torn end is cut off. Raises StorageError when the file cannot be used or is damaged before its end, StateError
    when it is another run's.
    """

    def __init__(self, path: Path, run_id: str, *, most_bytes: int) -> None:
        self.path = path
        self._run_id = run_id
        self._most_bytes = self._crowded_at = most_bytes
        self._guard = threading.Lock()
        self._sent: dict[str, Sent] = {}
        self._answers: dict[str, Answered] = {}
        self._settled: set[str] = set()
        self._count = 0
        self._day, self._today = "", 0
        self._later: list[bytes] | None = None
        """Records that came while the file is rewritten; None: it is not."""
        self._failure: StorageError | None = None
        self._fd = -1
        self._size = 0
        try:
            self.is_whole = self._open()
        except OSError as error:
            raise StorageError(f"{path}: cannot keep the orders that are sent there: {error.strerror}") from error
        """Whether the file was there and has lost nothing: then what is not in it never left."""

    @property
    def size(self) -> int:
        """Return its size in bytes."""
        return self._size

    @property
    def count(self) -> int:
        """Return how many orders of the run were written down in it and in those that it has replaced."""
        return self._count

    @property
    def today(self) -> tuple[str, int]:
        """Return the newest date and how many messages have left on it."""
        return self._day, self._today

    def require(self, count: int) -> None:
        """Note that ``count`` orders were written down: if it knows of fewer, it was put back from a copy."""
        self.is_whole = self.is_whole and self._count >= count

    @property
    def is_crowded(self) -> bool:
        """Return whether it is to be rewritten: it is large, and half of it or more is settled."""
        return self._size >= self._crowded_at and 2 * len(self._settled) >= len(self._sent)

    def sent(self) -> Iterator[Sent]:
        """Return every order that it holds, oldest first."""
        return iter(tuple(self._sent.values()))

    def fate_of(self, client_order_id: str) -> OrderAck:
        """Return what it knows of an order that an earlier process was about to send."""
        if client_order_id not in self._sent:
            if self.is_whole:
                return OrderAck(AckStatus.NOT_SENT, client_order_id, reason="the session ended before it was sent")
            why = "the session ended, and its file of sent orders is not whole"
            return OrderAck(AckStatus.UNKNOWN, client_order_id, reason=why)
        answer = self._answers.get(client_order_id)
        if answer is None:
            return OrderAck(AckStatus.UNKNOWN, client_order_id, reason="the session ended while it was sent")
        return OrderAck(answer.status, client_order_id, answer.ref, answer.reason)

    def append(self, *entries: Sent | Answered | Asked) -> None:
        """Write records; the next :meth:`sync` makes them durable. Raises StorageError, also after a failure."""
        with self._guard:
            if self._failure is not None:
                raise self._failure
            data = b"".join(map(_packed, entries))
            if self._later is None:
                self._write(self._fd, data)
                self._size += len(data)
            else:
                self._later.append(data)
            for entry in entries:
                self._take(entry)

    def sync(self) -> None:
        """Return once everything that was appended before is on disk. Raises StorageError, also after a failure."""
        with self._guard:
            if self._failure is not None:
                raise self._failure
            fd = self._fd
        try:
            os.fdatasync(fd)
        except OSError as error:
            raise self._failed(error) from error

    def settle(self, client_order_ids: Iterable[str]) -> None:
        """Note that the store has what became of these orders."""
        with self._guard:
            self._settled.update(key for key in client_order_ids if key in self._sent)

    def compact(self, now_ns: int) -> None:
        """Rewrite the file without orders that are settled and whose approval has expired by ``now_ns``.

        Raises StorageError; the file that was there before then still is.
        """
        with self._guard:
            if self._failure is not None:
                raise self._failure
            for key in [key for key in self._settled if self._sent[key].expires_ns < now_ns]:
                self._settled.discard(key)
                del self._sent[key]
                self._answers.pop(key, None)
            data = self._content()
            self._later = []
        try:
            fd, beside = open_beside(self.path, PRIVATE)
            try:
                self._write(fd, data, whole=True)
                os.fsync(fd)
                before = self._swap(fd, len(data))
            except BaseException:
                with contextlib.suppress(OSError):
                    os.close(fd)
                    beside.unlink()
                raise
            os.close(before)
            os.replace(beside, self.path)  # what came meanwhile is not relied on before the next sync, behind this
            sync_directory(self.path.parent)
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Close the file; may be called twice."""
        with self._guard:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
            self._failure = self._failure or StorageError(f"{self.path} is closed")

    # -- inside ----------------------------------------------------------------------------------------------------

    def _open(self) -> bool:
        """Read and open the file; return whether it was there and had lost nothing."""
        for part in self.path.parent.glob(f".{self.path.name[:80]}.*{PART}"):
            part.unlink()  # of a process that was killed while it rewrote the file
        was_there = self.path.exists()
        self._fd = in_place_opener(str(self.path), os.O_RDWR | os.O_CREAT)
        try:
            data = self.path.read_bytes()
            end = self._read(data)
            if end < len(data):
                os.ftruncate(self._fd, end)
            os.lseek(self._fd, end, os.SEEK_SET)
            self._size = end
            if not end:
                begun = _packed(Begun(self._run_id))
                self._write(self._fd, begun)
                self._size = len(begun)
            os.fsync(self._fd)
            sync_directory(self.path.parent)
        except BaseException:
            os.close(self._fd)
            raise
        self.is_resumed = was_there
        return was_there and end == len(data) > 0

    def _read(self, data: bytes) -> int:
        """Take over the records; return where the last valid one ends."""
        end = 0
        for offset, entry in _entries(data):
            if not end and not isinstance(entry, Begun):
                raise StorageError(f"{self.path}: does not begin with its run; restore it from a copy")
            if isinstance(entry, Begun) and entry.run_id != self._run_id:
                raise StateError(
                    f"{self.path}: belongs to run {entry.run_id}, this is run {self._run_id}; give that run's own "
                    "data directory, or move the file away: orders under way then count as unknown"
                )
            self._take(entry)
            end = offset
        later = next((start for start in range(end + 1, len(data)) if _entry_at(data, start) is not None), None)
        if later is not None:
            raise StorageError(
                f"{self.path}, offset {end}: damaged in the middle (a valid record follows at offset {later}). "
                "Nothing was changed; restore the file from a copy, or move it away: orders under way then count "
                "as unknown"
            )
        return end

    def _take(self, entry: Entry) -> None:
        if isinstance(entry, Begun):
            self._count = entry.before
        elif isinstance(entry, Sent):
            self._count += 1
            self._sent[entry.client_order_id] = entry
            self._add_message(entry.day)
        elif isinstance(entry, Asked):
            self._add_message(entry.day)
        elif isinstance(entry, Counted):
            self._day, self._today = entry.day, entry.messages
        elif entry.client_order_id in self._sent and self._is_better(entry):
            self._answers[entry.client_order_id] = entry

    def _add_message(self, day: str) -> None:
        if day > self._day:
            self._day, self._today = day, 0
        self._today += day != ""

    def _is_better(self, answer: Answered) -> bool:
        """Return whether ``answer`` says more than what is known: the first that says anything counts."""
        known = self._answers.get(answer.client_order_id)
        return known is None or known.status is AckStatus.UNKNOWN

    def _content(self) -> bytes:
        entries: list[Entry] = [Begun(self._run_id, self._count - len(self._sent))]
        for key, sent in self._sent.items():
            entries.append(sent)
            if key in self._answers:
                entries.append(self._answers[key])
        if self._day:
            entries.append(Counted(self._day, self._today))
        return b"".join(map(_packed, entries))

    def _swap(self, fd: int, size: int) -> int:
        """Write what came meanwhile and everything later to ``fd``; return the descriptor from before."""
        with self._guard:
            later = b"".join(self._later or ())
            if later:
                self._write(fd, later, whole=True)
            before, self._fd, self._size, self._later = self._fd, fd, size + len(later), None
            self._crowded_at = max(self._most_bytes, 2 * self._size)
        return before

    def _write(self, fd: int, data: bytes, *, whole: bool = False) -> None:
        """Write with one call; a short write is a failure and is cut off, so that no half record is found later."""
        try:
            written = os.write(fd, data)
            if written != len(data):
                raise OSError(f"wrote {written} of {len(data)} bytes, the disk or the quota is full")
        except OSError as error:
            if whole:
                raise
            with contextlib.suppress(OSError):
                os.ftruncate(fd, self._size)
            self._failure = StorageError(f"{self.path}: orders cannot be written down: {error.strerror or error}")
            raise self._failure from error

    def _failed(self, error: OSError) -> StorageError:
        with self._guard:
            self._later = None
            self._failure = self._failure or StorageError(
                f"{self.path}: the disk did not confirm: {error.strerror or error}"
            )
            return self._failure


def _packed(entry: Entry) -> bytes:
    body = _encode(entry)
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


def _entry_at(data: bytes, offset: int) -> tuple[int, Entry] | None:
    """Return the record at ``offset`` and where it ends; None when there is no valid one."""
    start = offset + _HEAD.size
    if start > len(data):
        return None
    length, crc = _HEAD.unpack_from(data, offset)
    body = data[start : start + length]
    if not 0 < length <= _MOST_BODY or len(body) != length or zlib.crc32(body) != crc:
        return None
    try:
        return start + length, _decode(body)
    except msgspec.MsgspecError:
        return None


def _entries(data: bytes) -> Iterator[tuple[int, Entry]]:
    """Yield the end and the content of every valid record, up to the first place that is none."""
    offset = 0
    while (found := _entry_at(data, offset)) is not None:
        offset = found[0]
        yield found
