"""Reserves one file descriptor, so that operators' commands can be read when the process has used up all others."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")
_TABLE_FULL: Final = frozenset({errno.EMFILE, errno.ENFILE})


class SpareDescriptor:
    """A descriptor of ``/dev/null`` that is closed for the length of one call that finds the table full.

    For one thread. Close it with :meth:`close`.
    """

    def __init__(self) -> None:
        self._held: int | None = None
        self.acquire()

    @property
    def is_held(self) -> bool:
        """Return whether the descriptor is in reserve now."""
        return self._held is not None

    def acquire(self) -> None:
        """Open the descriptor if it is not open; without a free one nothing happens until the next call."""
        if self._held is None:
            with contextlib.suppress(OSError):
                self._held = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def run(self, call: Callable[[], T]) -> tuple[T, bool]:
        """Run ``call`` and return its result, and True when it needed the reserved descriptor.

        ``call`` is run a second time when the table is full: it may have one descriptor open at a time. Raises what
        ``call`` raises.
        """
        try:
            return call(), False
        except OSError as error:
            if error.errno not in _TABLE_FULL or self._held is None:
                raise
        self.close()
        try:
            return call(), True
        finally:
            self.acquire()

    def close(self) -> None:
        """Close the descriptor; may be called twice."""
        held, self._held = self._held, None
        if held is not None:
            os.close(held)
