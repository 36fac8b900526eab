"""The kill switch of a running session: a stop asked for by signal or by file, from then until it is taken.

It is looked at before every entry leaves, so nothing waits for the session to come round. A signal handler only
appends to it. Files are noticed by the time of their directory, which needs neither a descriptor nor the disk.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from qts.clock import NS_PER_MS, stopwatch_ns

STOP_FILES: Final = {"stop-keep": False, "stop-sell": True}
"""Files that are a stop by their name alone, whatever is in them; whether it sells what is held."""
_STOP_COMMAND: Final = "stop-"
_ASKED: Final = ".asked"
_LOOK_EVERY_NS: Final = 5 * NS_PER_MS
_LOOKS_AGAIN: Final = 10
"""A file system keeps the time of a directory by ticks of up to 10 ms, so two changes may show the same time."""


class Press(msgspec.Struct, frozen=True):
    """One stop by signal. ``by``: which signal."""

    liquidate: bool
    by: str


class KillSwitch:
    """Remembers presses until :meth:`take`, and knows whether a stop lies in the directory it watches.

    ``stopwatch`` counts nanoseconds.
    """

    def __init__(self, stopwatch: Callable[[], int] = stopwatch_ns) -> None:
        self._stopwatch = stopwatch
        self._presses: deque[Press] = deque(maxlen=8)
        self._on_their_way = 0
        self._directory: str | None = None
        self._is_settled: Callable[[str], bool] = _nothing_is
        self._seen: tuple[int, int] | None = None
        self._found = False
        self._again = 0
        self._next_look_ns = 0

    def press(self, *, liquidate: bool, by: str) -> None:
        """Ask for a stop of everything; from a signal handler or any thread. Takes no lock and says nothing."""
        self._presses.append(Press(liquidate, by))

    def take(self) -> list[Press]:
        """Hand over the presses so far, oldest first; the caller carries them out."""
        taken = []
        while self._presses:
            taken.append(self._presses.popleft())
        return taken

    def hold(self) -> None:
        """Stay pressed until :meth:`let_go`: a stop is on its way to the handler that shuts the gate."""
        self._on_their_way += 1

    def let_go(self) -> None:
        """Note that the gate is shut for one of the stops that are on their way, if any is."""
        self._on_their_way = max(self._on_their_way - 1, 0)

    def watch(self, directory: Path, is_settled: Callable[[str], bool]) -> None:
        """Look into ``directory`` for stops from now on, but for those that are settled (by name)."""
        self._directory, self._is_settled = os.fspath(directory), is_settled

    def look_anew(self) -> None:
        """Forget what the directory showed: something in it was just carried out."""
        self._seen, self._next_look_ns = None, 0

    def is_pressed(self) -> bool:
        """Whether a stop waits to be carried out; the directory is looked at no more often than every 5 ms."""
        if self._presses or self._on_their_way:
            return True
        if self._directory is None:
            return False
        now_ns = self._stopwatch()
        if now_ns >= self._next_look_ns:
            self._next_look_ns = now_ns + _LOOK_EVERY_NS
            self._found = self._look(self._directory)
        return self._found

    def _look(self, directory: str) -> bool:
        try:
            status = os.stat(directory)
        except FileNotFoundError:
            return False  # it appears with the first command
        except OSError:
            return True  # nobody knows what lies there
        seen = status.st_mtime_ns, status.st_ino
        if seen == self._seen:
            if not self._again:
                return self._found
            self._again -= 1
        else:
            self._again = _LOOKS_AGAIN
        try:
            names = os.listdir(directory)
        except OSError:
            self._seen = None
            return True  # no descriptor is free: something has changed there, and it may be a stop
        self._seen = seen
        return any(is_stop(name) and not self._is_settled(name) for name in names)


def is_stop(name: str) -> bool:
    """Tell by its name whether a file in the operator's directory is a stop."""
    return name in STOP_FILES or (name.startswith(_STOP_COMMAND) and name.endswith(_ASKED))


def dropped_in(directory: Path) -> list[Path]:
    """Return the stop files that lie in ``directory``; needs no descriptor."""
    return [directory / name for name in STOP_FILES if os.path.lexists(directory / name)]


def _nothing_is(name: str) -> bool:
    return False
