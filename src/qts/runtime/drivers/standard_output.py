"""Where what a user's strategy prints goes: to standard error, as far as anybody takes it, and without waiting.

A terminal that was closed, a reader who has left and a full disk must not become failures of the strategy: it would
be halted and its holdings sold over a line of text. A terminal that is held (Ctrl-S), a pager that shows its first
page and a pipe that nobody reads must not stop trading: so one thread writes, and what it has no room for is
dropped, counted and told.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, TextIO, cast

from qts.clock import NS_PER_S, stopwatch_ns
from qts.threads import started

MOST_WAITING: Final = 1 << 20
"""Characters that wait to be written; what comes beside them is dropped."""
_LAST_WAIT_S: Final = 1.0
"""How long the end of a session waits for a reader who takes nothing."""
_LOOK_S: Final = 0.05


class AsideWriter:
    """Writes to ``stream`` from a thread of its own; from any thread, also from a signal handler."""

    def __init__(self, stream: TextIO, most_waiting: int = MOST_WAITING) -> None:
        self.stream = stream
        self.dropped = 0
        """Characters for which there was no room, or which could not be written."""
        self._most = most_waiting
        self._handle = _handle_of(stream)
        self._lock = threading.RLock()  # a signal handler may come while its thread holds it
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._waiting = self._untold = self._written = 0
        self._stuck_at = -1
        self._moved = threading.Event()
        started(self._write_all, "qts-prints")

    def put(self, text: str, wait: Callable[[], bool] | None = None) -> None:
        """Hand ``text`` over. While there is no room: wait as long as ``wait`` says so, then drop it."""
        while not self._took(text):
            if wait is None or not wait():
                with self._lock:
                    self.dropped += len(text)
                    self._untold += len(text)
                return
            self._moved.clear()
            self._moved.wait(_LOOK_S)

    def drain(self, patience_s: float = _LAST_WAIT_S) -> None:
        """Wait until everything is written, as long as the reader takes something every ``patience_s``.

        A reader who took nothing the last time is not waited for again before he does.
        """
        while self._waiting and self._written != self._stuck_at:
            before = self._written
            self._moved.clear()
            if self._waiting and not self._moved.wait(patience_s) and self._written == before:
                self._stuck_at = before

    def wait_written(self, limit_s: float) -> None:
        """Wait until everything is written, ``limit_s`` at most."""
        until = stopwatch_ns() + limit_s * NS_PER_S
        while self._waiting and stopwatch_ns() < until:
            self._moved.clear()
            self._moved.wait(_LOOK_S)

    def close(self) -> None:
        """Let the thread end when it has written what waits; it is not waited for."""
        self._queue.put(None)

    def _took(self, text: str) -> bool:
        with self._lock:
            if self._waiting and self._waiting + len(text) > self._most:
                return False
            self._waiting += len(text)
        self._queue.put(text)
        return True

    def _write_all(self) -> None:
        while (text := self._queue.get()) is not None:
            lost = 0 if self._write(text) else len(text)
            with self._lock:
                self._waiting -= len(text)
                self._written += len(text)
                self.dropped += lost
                untold, self._untold = self._untold, 0
            if untold:
                self._write(f"\n[qts: {untold:,} characters printed here were dropped, nobody read them]\n")
            self._moved.set()

    def _write(self, text: str) -> bool:
        with contextlib.suppress(OSError, ValueError):  # ValueError: it was closed
            if self._handle is None:
                self.stream.write(text)
                self.stream.flush()
            else:
                encoding = getattr(self.stream, "encoding", None) or "utf-8"
                _write_whole(self._handle, text.encode(encoding, "backslashreplace"))
            return True
        return False


class Aside:
    """A text stream that takes everything at once; the rest of it is ``stream`` as it is.

    ``wait`` says how long a full writer is waited for, None: not at all.
    """

    def __init__(self, writer: AsideWriter, wait: Callable[[], bool] | None = None) -> None:
        self._writer = writer
        self._wait = wait
        self.buffer = _AsideBytes(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer.stream, name)

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:
            self._writer.put(text, self._wait)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Nothing is kept here."""


class _AsideBytes:
    """The same for whoever writes bytes."""

    def __init__(self, text: Aside) -> None:
        self._text = text

    def write(self, data: bytes) -> int:
        self._text.write(bytes(data).decode("utf-8", "replace"))
        return len(data)

    def flush(self) -> None:
        """Nothing is kept here."""


_writers: list[AsideWriter] = []
"""The writer of the standard error seen last, at most one: a thread for each block would be too many."""
_in_use: list[AsideWriter] = []
"""The writers of the blocks that are open, innermost last."""


def _forget() -> None:
    _writers.clear()  # their threads stay with the parent
    _in_use.clear()


os.register_at_fork(after_in_child=_forget)


def _writer() -> AsideWriter | None:
    """The writer to standard error; None where the process has none."""
    if _in_use:  # standard error is ours, or belongs to somebody who writes there in the end
        return _in_use[-1]
    stream = sys.stderr
    if stream is None:
        return None
    if _writers and _writers[0].stream is not stream:
        _writers.pop().close()
    if not _writers:
        _writers.append(AsideWriter(stream))
    return _writers[0]


def say(text: str) -> None:
    """Tell whoever reads standard error; never waits, also in a signal handler."""
    writer = _writer()
    if writer is not None:
        writer.put(f"{text}\n")


def dropped() -> int:
    """Characters for standard error that were lost so far."""
    writer = _writer()
    return 0 if writer is None else writer.dropped


def written_out(limit_s: float) -> None:
    """Wait for what was said, ``limit_s`` at most."""
    if (writer := _writer()) is not None:
        writer.wait_written(limit_s)


@contextlib.contextmanager
def prints_aside(wait: Callable[[], bool] | None = None, *, drains: bool = True) -> Iterator[TextIO | None]:
    """Standard output is the session's: whatever is printed meanwhile, on either stream, goes to standard error.

    ``wait``: how long a reader who is slow is waited for; None, the way of a session in real time: not at all.
    ``drains``: at the end a reader who still takes something is waited for; a worker does not, for its next batch
    waits. Gives the stream that takes it, None where the process has no standard error.
    """
    writer = _writer()
    if writer is None:
        with contextlib.redirect_stdout(None), contextlib.redirect_stderr(None):
            yield None
        return
    aside = cast(TextIO, Aside(writer, wait))
    _in_use.append(writer)
    try:
        with contextlib.redirect_stdout(aside), contextlib.redirect_stderr(aside):
            yield aside
    finally:
        _in_use.pop()
        if drains:
            writer.drain()


def _handle_of(stream: TextIO) -> int | None:
    """The descriptor behind ``stream``: writing to it holds none of the locks that the interpreter's end needs."""
    try:
        return stream.fileno()
    except (AttributeError, OSError, ValueError):
        return None


def _write_whole(handle: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(handle, data) :]
        except BlockingIOError:  # somebody has made the descriptor non-blocking
            select.select([], [handle], [], None)
