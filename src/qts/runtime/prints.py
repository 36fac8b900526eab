"""Where what a user's strategy prints goes: to standard error, as far as anybody takes it.

A terminal that was closed, a reader who has left and a full disk must not become failures of the strategy: it would
be halted and its holdings sold over a line of text.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast


class Unfailing:
    """A text stream as it is, but what it cannot take is lost without a word."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):  # ValueError: it was closed
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def unfailing_stderr() -> TextIO | None:
    """Standard error that takes everything; None where the process has none."""
    stream: TextIO | None = sys.stderr
    return None if stream is None else cast(TextIO, Unfailing(stream))


@contextlib.contextmanager
def prints_aside() -> Iterator[None]:
    """Standard output is the session's: whatever is printed meanwhile, on either stream, goes to standard error."""
    aside = unfailing_stderr()
    with contextlib.redirect_stdout(aside), contextlib.redirect_stderr(aside):
        yield
