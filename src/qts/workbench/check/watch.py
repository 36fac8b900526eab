"""Watches the calls of a strategy while it runs: which of them read a clock, chance, a file or the network.

C functions are seen through Python's profiling hook, files and network through its audit hook. Both are in force
only within a strategy's calls. What counts is asked for by a line of the strategy's own files; a library that opens
its own data or takes the time for its log is left alone, and so is an import.
"""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
import zoneinfo
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import msgspec

from qts.workbench.check.outside import NAMES, Outside

_MOST: Final = 200
"""Lines that are kept."""
_THROUGH: Final = frozenset({"random", "uuid", "secrets", "datetime", "_strptime", "_pydatetime"})
"""Modules that only pass a call on."""
_DRAWS: Final = ("random", "getrandbits", "seed")
_AUDITED: Final[Mapping[str, Outside]] = {
    "sqlite3.connect": Outside.FILE,
    "socket.connect": Outside.NETWORK,
    "socket.getaddrinfo": Outside.NETWORK,
    "socket.sendto": Outside.NETWORK,
    "urllib.Request": Outside.NETWORK,
    "subprocess.Popen": Outside.NETWORK,
    "os.system": Outside.NETWORK,
    "os.posix_spawn": Outside.NETWORK,
    "os.exec": Outside.NETWORK,
}
_OPEN: Final = "open"
_IMPORTING: Final = ("<frozen importlib", "importlib/")
_IN_FORCE: list[CallWatch] = []
"""The watch that is in force, if any; the audit hook, which Python keeps until its end, looks here."""


class Seen(msgspec.Struct):
    """A line of the strategy that reads something from outside: what, by which name, how often, when first.

    ``ts_ns`` is the time of the newest row then, 0: before the first.
    """

    kind: Outside
    name: str
    path: str
    line: int
    ts_ns: int
    count: int = 1


class CallWatch:
    """A watch over the code in ``files``.

    ``allowed`` are files that it may read: its own, and those that it declares. ``data`` are the files that the
    session trades.
    """

    def __init__(self, files: Collection[Path], allowed: Collection[Path], data: Collection[Path]) -> None:
        self.seen: dict[tuple[str, str, int], Seen] = {}
        self._files = frozenset(map(str, files))
        self._allowed = frozenset(map(os.path.realpath, allowed))
        self._data = frozenset(map(os.path.realpath, data))
        self._ignored = _folders_of_python()
        self._calls = _watched_calls()
        self._seed_code = importlib.import_module("random").Random.seed.__code__
        self._now_ns = 0

    @contextmanager
    def during(self, now_ns: int = 0) -> Iterator[None]:
        """Watch this thread until the end of the block; ``now_ns`` is the time of the newest row."""
        if not _AUDIT:
            _AUDIT.append(_audit)
            sys.addaudithook(_audit)
        self._now_ns = now_ns
        before = sys.getprofile()
        _IN_FORCE.append(self)
        sys.setprofile(self._on_call)
        try:
            yield
        finally:
            sys.setprofile(before)
            _IN_FORCE.remove(self)

    def on_audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take an event of Python's audit hook."""
        if event == _OPEN:
            self._on_open(*arguments[:3])
        elif event in _AUDITED:
            name = f"{event}({str(arguments[0])[:80]!r})" if event == "sqlite3.connect" else event
            self._note(_AUDITED[event], name, self._line_of(sys._getframe(), through_libraries=True))

    def _on_open(self, path: Any, mode: Any, flags: Any) -> None:
        if isinstance(path, int) or not _is_read(mode, flags):
            return
        try:
            real = os.path.realpath(os.fsdecode(path))
        except (TypeError, ValueError):
            return
        if real in self._allowed or real.startswith(self._ignored):
            return
        kind = Outside.DATA if real in self._data else Outside.FILE
        self._note(kind, os.path.basename(real), self._line_of(sys._getframe(), through_libraries=True))

    def _on_call(self, frame: FrameType, event: str, argument: Any) -> None:
        """Take an event of Python's profiling hook."""
        if event == "c_call":
            found = self._calls.get(argument)
            if found is not None:
                self._note(*found, self._line_of(frame))
        elif event == "call" and frame.f_code is self._seed_code and frame.f_locals.get("a") is None:
            self._note(Outside.RANDOM, "random.Random without a seed", self._line_of(frame))

    def _line_of(self, frame: FrameType | None, *, through_libraries: bool = False) -> tuple[str, int] | None:
        """Return file and line of the strategy that asked for a call; None: none did, or an import did.

        ``through_libraries``: also through the code of others.
        """
        while frame is not None:
            path = frame.f_code.co_filename
            if path in self._files:
                return path, frame.f_lineno
            if path.startswith(_IMPORTING[0]) or _IMPORTING[1] in path:
                return None
            if not through_libraries and frame.f_globals.get("__name__") not in _THROUGH:
                return None
            frame = frame.f_back
        return None

    def _note(self, kind: Outside, name: str, line: tuple[str, int] | None) -> None:
        if line is None:
            return
        known = self.seen.get((name, *line))
        if known is not None:
            known.count += 1
        elif len(self.seen) < _MOST:
            self.seen[(name, *line)] = Seen(kind, name, *line, ts_ns=self._now_ns)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _IN_FORCE and (event == _OPEN or event in _AUDITED):
        _IN_FORCE[-1].on_audit(event, arguments)


_AUDIT: Final[list[Callable[..., None]]] = []
"""The audit hook, once it is there."""


def _watched_calls() -> dict[Any, tuple[Outside, str]]:
    """Return the C functions that read a clock or chance, with their kinds and names."""
    found: dict[Any, tuple[Outside, str]] = {}
    for name, kind in NAMES.items():
        module, _, path = name.partition(".")
        if kind not in (Outside.CLOCK, Outside.STOPWATCH, Outside.RANDOM) or module == "pandas":
            continue
        target: Any = importlib.import_module(module)
        for part in path.split("."):
            target = getattr(target, part, None)
        if target is not None and not hasattr(target, "__code__") and not isinstance(target, type):
            found[target] = (kind, name)
    chance = importlib.import_module("random")
    shared = getattr(chance, "random").__self__  # noqa: B009 - named as a text: it is looked at, not called
    for draw in _DRAWS:
        found[getattr(super(chance.Random, shared), draw)] = (Outside.RANDOM, "the functions of random")
    return found


def _folders_of_python() -> tuple[str, ...]:
    """Return the folders whose files belong to Python, its libraries and the system."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    found = {sysconfig.get_paths()[name] for name in names} | set(zoneinfo.TZPATH) | {"/etc", "/proc", "/dev"}
    return tuple(os.path.realpath(one) + os.sep for one in sorted(found))


def _is_read(mode: Any, flags: Any) -> bool:
    if isinstance(mode, str):
        return "r" in mode or "+" in mode
    return not isinstance(flags, int) or flags & (os.O_WRONLY | os.O_RDWR) != os.O_WRONLY
