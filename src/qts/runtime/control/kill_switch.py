"""The kill switch of a running session: a stop requested by signal or by file, until it is in force.

It is checked before every entry leaves, so a stop takes effect before the session has read the command. A signal
handler only appends to it. New files are noticed by the modification time of their directory, which needs neither a
descriptor nor the disk.
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
"""Files that are a stop by their name alone, whatever their content; True sells what is held."""
_STOP_COMMAND: Final = "stop-"
_ASKED: Final = ".asked"
_SCAN_INTERVAL_NS: Final = 5 * NS_PER_MS
_RESCANS: Final = 10
"""Scans after the last seen change: file systems round times to up to 10 ms, so two changes can look like one."""


class Press(msgspec.Struct, frozen=True):
    """One stop by signal; ``by`` names the signal."""

    liquidate: bool
    by: str


class KillSwitch:
    """A switch that is pressed while a stop by signal or file waits to be put in force.

    :meth:`press` may be called from any thread and from signal handlers, :meth:`is_pressed` from any thread, the
    rest on the session's thread. ``stopwatch`` returns real time in nanoseconds.
    """

    def __init__(self, stopwatch: Callable[[], int] = stopwatch_ns) -> None:
        self._stopwatch = stopwatch
        self._presses: deque[Press] = deque(maxlen=8)
        """Of more the oldest is dropped: a later press of the other kind replaces what it wanted anyway."""
        self._stops_under_way = 0
        self._is_handed_over = False
        self._directory: str | None = None
        self._is_done: Callable[[str], bool] = _none_is_done
        self._seen: tuple[int, int] | None = None
        self._found = False
        self._rescans_left = 0
        self._next_scan_ns = 0

    def press(self, *, liquidate: bool, by: str) -> None:
        """Request a stop of everything. Safe in a signal handler and on any thread: takes no lock."""
        self._presses.append(Press(liquidate, by))

    def take(self) -> list[Press]:
        """Remove and return the presses so far, oldest first; the caller puts them in force.

        The switch stays pressed until the caller begins the first of them.
        """
        taken = []
        while self._presses:
            self._is_handed_over = True
            taken.append(self._presses.popleft())
        return taken

    def on_stop_begun(self) -> None:
        """Count a stop that was sent to its handler: the switch stays pressed until :meth:`on_stop_in_force`."""
        self._stops_under_way += 1
        self._is_handed_over = False

    def on_stop_in_force(self) -> None:
        """Count one of the sent stops, if there is any, as in force: the gate refuses entries."""
        self._stops_under_way = max(self._stops_under_way - 1, 0)

    def watch(self, directory: Path, is_done: Callable[[str], bool]) -> None:
        """Watch ``directory`` for stop files from now on; ``is_done``: by name, was it executed already."""
        self._directory, self._is_done = os.fspath(directory), is_done

    def rescan(self) -> None:
        """Discard the last scan of the directory: a command in it was just executed."""
        self._seen, self._next_scan_ns = None, 0

    def is_pressed(self) -> bool:
        """Return whether a stop waits to be put in force; the directory is checked at most every 5 ms."""
        if self._presses or self._is_handed_over or self._stops_under_way:
            return True
        if self._directory is None:
            return False
        now_ns = self._stopwatch()
        if now_ns >= self._next_scan_ns:
            self._next_scan_ns = now_ns + _SCAN_INTERVAL_NS
            self._found = self._has_stop_file(self._directory)
        return self._found

    def _has_stop_file(self, directory: str) -> bool:
        """Return whether the directory may hold a stop; a directory that cannot be read counts as holding one."""
        try:
            status = os.stat(directory)
        except FileNotFoundError:
            return False  # it is created with the first command
        except OSError:
            return True  # unknown, so it may hold a stop
        seen = status.st_mtime_ns, status.st_ino
        if seen == self._seen:
            if self._rescans_left <= 0:  # two threads may look at once
                return self._found
            self._rescans_left -= 1
        else:
            self._rescans_left = _RESCANS
        try:
            names = os.listdir(directory)
        except OSError:
            self._seen = None
            return True  # no descriptor is free: something has changed there, and it may be a stop
        self._seen = seen
        return any(is_stop(name) and not self._is_done(name) for name in names)


def is_stop(name: str) -> bool:
    """Return whether a file in the operator's directory is a stop, by its name."""
    return name in STOP_FILES or (name.startswith(_STOP_COMMAND) and name.endswith(_ASKED))


def stop_files_in(directory: Path) -> list[Path]:
    """Return the paths of :data:`STOP_FILES` that exist in ``directory``; needs no descriptor."""
    return [directory / name for name in STOP_FILES if os.path.lexists(directory / name)]


def _none_is_done(name: str) -> bool:
    return False
