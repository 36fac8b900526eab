"""Keeps one file descriptor back, so that an operator is heard when a program has used up all the others."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")
_TABLE_FULL: Final = frozenset({errno.EMFILE, errno.ENFILE})


class SpareDescriptor:
    """Holds a descriptor of nothing, and lets it go for the length of one call that finds the table full.

    For one thread. Close it with :meth:`close`.
    """

    def __init__(self) -> None:
        self._held: int | None = None
        self.take()

    @property
    def is_held(self) -> bool:
        return self._held is not None

    def take(self) -> None:
        """Hold a descriptor again if none is held; without a free one it stays so until the next call."""
        if self._held is None:
            with contextlib.suppress(OSError):
                self._held = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def lend(self, act: Callable[[], T]) -> tuple[T, bool]:
        """Do ``act``; True when the table was full and it took the spare one. Raises what ``act`` raises.

        ``act`` is begun again when the table is full: it may have one descriptor open at a time.
        """
        try:
            return act(), False
        except OSError as error:
            if error.errno not in _TABLE_FULL or self._held is None:
                raise
        self.close()
        try:
            return act(), True
        finally:
            self.take()

    def close(self) -> None:
        """Let go of it; may be called twice."""
        held, self._held = self._held, None
        if held is not None:
            os.close(held)
