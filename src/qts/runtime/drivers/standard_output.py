"""Writes what a user's strategy prints to standard error, without ever waiting for its reader.

A closed terminal, a reader that has exited and a full disk must not become failures of the strategy: it would be
halted and its holdings sold because of a line of text. A paused terminal (Ctrl-S), a pager that shows its first
page and a pipe without a reader must not stop trading. So one thread writes, and text for which it has no room is
dropped, counted and reported.
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
from qts.threads import start_thread

MAX_WAITING: Final = 1 << 20
"""Characters that may wait to be written; text for which there is no room is dropped."""
_LAST_WAIT_S: Final = 1.0
"""Seconds that the end of a session waits for a reader that takes nothing."""
_POLL_S: Final = 0.05


class BackgroundWriter:
    """A writer to ``stream`` on a thread of its own; called from any thread, also from a signal handler.

    At most ``max_waiting`` characters wait. Raises StorageError when the system cannot start another thread.
    """

    def __init__(self, stream: TextIO, max_waiting: int = MAX_WAITING) -> None:
        self.stream = stream
        self.dropped = 0
        """Number of characters for which there was no room, or which could not be written."""
        self._most = max_waiting
        self._handle = _handle_of(stream)
        self._lock = threading.RLock()  # a signal handler may interrupt the thread that holds it
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._waiting = self._unreported = self._written = 0
        self._stuck_at = -1
        self._has_written = threading.Event()
        start_thread(self._write_all, "qts-stderr")

    def put(self, text: str, wait: Callable[[], bool] | None = None) -> None:
        """Queue ``text``. Without room, wait as long as ``wait`` returns True, then drop it; None: do not wait."""
        while not self._queued(text):
            if wait is None or not wait():
                with self._lock:
                    self.dropped += len(text)
                    self._unreported += len(text)
                return
            self._has_written.clear()
            self._has_written.wait(_POLL_S)

    def drain(self, patience_s: float = _LAST_WAIT_S) -> None:
        """Wait until everything is written, as long as the reader takes something every ``patience_s``.

        A reader that took nothing during the last wait is not waited for again until it takes something.
        """
        while self._waiting and self._written != self._stuck_at:
            before = self._written
            self._has_written.clear()
            if self._waiting and not self._has_written.wait(patience_s) and self._written == before:
                self._stuck_at = before

    def wait_written(self, limit_s: float) -> None:
        """Wait until everything is written, at most ``limit_s`` seconds of real time."""
        until = stopwatch_ns() + limit_s * NS_PER_S
        while self._waiting and stopwatch_ns() < until:
            self._has_written.clear()
            self._has_written.wait(_POLL_S)

    def close(self) -> None:
        """End the thread as soon as it has written what waits; does not wait for it."""
        self._queue.put(None)

    def _queued(self, text: str) -> bool:
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
                unreported, self._unreported = self._unreported, 0
            if unreported:
                self._write(f"\n[qts: {characters(unreported)} dropped here: standard error was not read]\n")
            self._has_written.set()

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


class BackgroundStream:
    """A text stream whose writes go to ``writer``; all other attributes are those of the writer's ``stream``.

    ``wait``: a full writer is waited for as long as it returns True; None: not at all.
    """

    def __init__(self, writer: BackgroundWriter, wait: Callable[[], bool] | None = None) -> None:
        self._writer = writer
        self._wait = wait
        self.buffer = _BackgroundBytes(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer.stream, name)

    def write(self, text: str) -> int:
        """Queue ``text`` and return its length. Raises TypeError for anything but a str, as a text stream does."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:
            self._writer.put(text, self._wait)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Queue all ``lines``."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Ignore the call: the stream keeps nothing back."""


class _BackgroundBytes:
    """The binary layer of a :class:`BackgroundStream`: decodes what is written as UTF-8."""

    def __init__(self, text: BackgroundStream) -> None:
        self._text = text

    def write(self, data: bytes) -> int:
        """Queue ``data`` and return its length."""
        self._text.write(bytes(data).decode("utf-8", "replace"))
        return len(data)

    def flush(self) -> None:
        """Ignore the call: the stream keeps nothing back."""


_writers: list[BackgroundWriter] = []
"""The writer of the standard error seen last, at most one, because each writer has a thread."""
_in_use: list[BackgroundWriter] = []
"""The writers of the open :func:`redirected_output` blocks, innermost last."""


def _forget() -> None:
    """Drop the writers in a forked child: their threads exist only in the parent."""
    _writers.clear()
    _in_use.clear()


os.register_at_fork(after_in_child=_forget)


def _writer() -> BackgroundWriter | None:
    """Return the writer to standard error; None where the process has none."""
    if _in_use:  # sys.stderr is redirected to it, or to a stream that ends there
        return _in_use[-1]
    stream = sys.stderr
    if stream is None:
        return None
    if _writers and _writers[0].stream is not stream:
        _writers.pop().close()
    if not _writers:
        _writers.append(BackgroundWriter(stream))
    return _writers[0]


def say(text: str) -> None:
    """Write a line to standard error; never waits. Called from any thread, also from a signal handler."""
    writer = _writer()
    if writer is not None:
        writer.put(f"{text}\n")


def dropped() -> int:
    """Return how many characters for standard error were dropped so far in this process."""
    writer = _writer()
    return 0 if writer is None else writer.dropped


def wait_written(limit_s: float) -> None:
    """Wait until standard error has taken everything, at most ``limit_s`` seconds of real time."""
    if (writer := _writer()) is not None:
        writer.wait_written(limit_s)


@contextlib.contextmanager
def redirected_output(wait: Callable[[], bool] | None = None, *, drains: bool = True) -> Iterator[TextIO | None]:
    """Send standard output and standard error within the block to a background writer of standard error.

    Standard output is reserved for the session's own result. ``wait``: a slow reader is waited for as long as it
    returns True; None: not at all, as a session in real time needs it. ``drains``: wait at the end of the block for
    a reader that still takes something; a worker process does not, because its next batch waits. Yields the stream,
    None where the process has no standard error.
    """
    writer = _writer()
    if writer is None:
        with contextlib.redirect_stdout(None), contextlib.redirect_stderr(None):
            yield None
        return
    stream = cast(TextIO, BackgroundStream(writer, wait))
    _in_use.append(writer)
    try:
        with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
            yield stream
    finally:
        _in_use.pop()
        if drains:
            writer.drain()


def _handle_of(stream: TextIO) -> int | None:
    """Return the descriptor of ``stream``, None without one.

    Writing to it takes none of the locks that the interpreter needs when it exits.
    """
    try:
        return stream.fileno()
    except (AttributeError, OSError, ValueError):
        return None


def _write_whole(handle: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(handle, data) :]
        except BlockingIOError:  # another process has made the shared descriptor non-blocking
            select.select([], [handle], [], None)


def characters(count: int) -> str:
    """Return "1 character" or "n characters"."""
    return "1 character" if count == 1 else f"{count:,} characters"
