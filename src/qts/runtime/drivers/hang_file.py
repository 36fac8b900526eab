"""Records in ``hang.txt`` where the event loop of a session hangs, for the session that resumes the run.

The file is open from the start, so that it can be written when nothing else can: by the watchdog, and by the
interpreter's own fault handler while C code holds the interpreter lock. It is empty while the loop runs. A
text that a resumed session finds there describes what stopped the session before: the watchdog ended it, or it was
killed while it hung.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

import msgspec

from qts.errors import InputError, StorageError
from qts.files import in_place_opener
from qts.strategy.contracts import Strategy

FILE_NAME: Final = "hang.txt"
_HOSTS: Final = ("qts.runtime.strategies.strategy_host", "qts.runtime.drivers.straight_rows")
"""Modules that call strategies; the strategy called is that of their local ``context``."""
_HOST_MODULES: Final = (*_HOSTS, "qts.runtime.strategies.intents", "qts.strategy.user_code")
"""Modules whose frames may lie between the call of a strategy and its code, also when it yields."""
_LOADING: Final = "qts.strategy.loading"
_ENDED: Final = "ended: "
_TABLE_FULL: Final = (errno.EMFILE, errno.ENFILE)
_NO_OWN_FILE: Final = (errno.EINVAL, errno.ELOOP, errno.EMLINK)
_MAX_BYTES: Final = 256 * 1024
_SHOWN_BYTES: Final = 16 * 1024
_MAX_FRAMES: Final = 100
_FRAME: Final = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.+)$')


def _frames_of(modules: Sequence[str]) -> re.Pattern[str]:
    """Return what matches the frames of ``modules`` in a stack of the fault handler."""
    return re.compile(rf'^  File ".*/({"|".join(name.rpartition(".")[2] for name in modules)})\.py", line \d+ in ')


_HOST_FRAME: Final = _frames_of(_HOSTS)
_HOST_MODULE_FRAME: Final = _frames_of(_HOST_MODULES)


class UserCall(msgspec.Struct, frozen=True):
    """A call of user code: the strategy's name and its callback; ``strategy`` is "" while a file is imported."""

    strategy: str
    callback: str


class Hang(msgspec.Struct, frozen=True):
    """A hang that stopped the session before: the names of the strategies that did not return, and a sentence."""

    strategies: tuple[str, ...]
    text: str


class HangFile:
    """The open file ``hang.txt`` of one data directory.

    Raises InputError when the path is not a regular file owned by this user, StorageError when the system cannot
    open or create it. The watchdog writes it on its own thread. Its other methods raise nothing when the disk
    fails: the file helps the resumed session, and the watchdog has more important work than to write it.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE_NAME
        try:
            with open(self.path, "a+b", opener=in_place_opener) as file:
                self.handle = os.dup(file.fileno())
        except OSError as error:
            why = f"{self.path}: cannot be used ({error.strerror})"
            if error.errno in _TABLE_FULL:
                raise StorageError(f"{why}; raise the limit (ulimit -n), then --resume") from None
            if error.errno in (errno.EISDIR, errno.EACCES):
                raise InputError(f"{why}; move it away") from None
            if error.errno in _NO_OWN_FILE:  # the error says itself what to do
                raise InputError(why) from None
            raise StorageError(f"{why}; free space or mend the disk, then --resume") from None

    def read(self, strategies: Sequence[Strategy]) -> Hang | None:
        """Return the hang that the session before has left there; None when it did not hang.

        ``strategies`` are those of this session: a stack names only functions, so they are matched by their code.
        """
        text = os.pread(self.handle, _MAX_BYTES, 0).decode("utf-8", "replace")
        if not text:
            return None
        for line in text.splitlines():
            if line.startswith(_ENDED):
                try:
                    call = msgspec.json.decode(line.removeprefix(_ENDED), type=UserCall)
                except (msgspec.DecodeError, UnicodeError):
                    break  # cut off by a full disk; the stack before it may still name the strategy
                where = f" in {call.callback} of strategy {call.strategy}" if call.strategy else ""
                return Hang((call.strategy,) if call.strategy else (), f"the previous session hung{where}")
        names = tuple(_strategies_in(text.splitlines(), strategies))
        where = f" in strategy {', '.join(names)}" if names else ""
        return Hang(names, f"the previous session was ended while it hung{where}")

    @property
    def size(self) -> int:
        """Return the number of bytes in the file; 0 when the system does not report it."""
        try:
            return os.fstat(self.handle).st_size
        except OSError:
            return 0

    def start(self) -> str:
        """Return the first 16 KB of the file as text; "" when they cannot be read."""
        try:
            return os.pread(self.handle, _SHOWN_BYTES, 0).decode("utf-8", "replace")
        except OSError:
            return ""

    def write(self, stack: str) -> None:
        """Append the stack of the thread that hangs."""
        with contextlib.suppress(OSError):
            os.write(self.handle, stack.encode("utf-8", "backslashreplace"))

    def end(self, call: UserCall) -> None:
        """Append the call that ended the session; it is on disk on return, unless the disk has failed."""
        with contextlib.suppress(OSError):
            os.write(self.handle, _ENDED.encode() + msgspec.json.encode(call) + b"\n")
            os.fsync(self.handle)

    def clear(self) -> None:
        """Clear the file: the loop runs again, so a later session has nothing to read."""
        with contextlib.suppress(OSError):
            os.ftruncate(self.handle, 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self.handle)


def stack_of(frame: FrameType) -> str:
    """Format the stack, innermost call first, as the interpreter's fault handler does; opens no source file."""
    lines = [
        f'  File "{one.f_code.co_filename}", line {one.f_lineno} in {one.f_code.co_name}'
        for one, _ in zip(_callers(frame), range(_MAX_FRAMES), strict=False)
    ]
    return "\n".join(["Most recent call first:", *lines, ""])


def user_call(frame: FrameType) -> UserCall | None:
    """Return the call of user code that ``frame`` is in; None when it is in code of QTS."""
    inner: FrameType | None = None
    for one in _callers(frame):
        module = one.f_globals.get("__name__")
        if module in _HOSTS and "context" in one.f_locals:
            if inner is not None and _is_qts_code(inner):
                return None
            return UserCall(one.f_locals["context"].strategy.name, inner.f_code.co_name if inner else "")
        if module == _LOADING and inner is not None and not _is_qts_code(inner):
            return UserCall("", "import")
        if module not in _HOST_MODULES:
            inner = one
    return None


def thread_frame(ident: int) -> FrameType | None:
    """Return the frame that a thread executes now; None when it has ended."""
    return sys._current_frames().get(ident)


def _is_qts_code(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__", ""))
    return module.startswith("qts.") and not module.startswith("qts.strategy.")


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _strategies_in(lines: Sequence[str], strategies: Sequence[Strategy]) -> Iterator[str]:
    """Yield the names of the strategies whose method the host was calling, from a stack of the fault handler."""
    inner = ""
    for line in lines:
        if not _HOST_MODULE_FRAME.match(line):
            inner = line
            continue
        found = _FRAME.match(inner)
        if found is None or not _HOST_FRAME.match(line):
            continue
        inner = ""
        for strategy in strategies:
            method: Any = getattr(strategy, found["function"], None)
            code = getattr(method, "__code__", None)
            if isinstance(code, CodeType) and _contains_line(code, found["file"], int(found["line"])):
                yield strategy.name


def _contains_line(code: CodeType, file: str, line: int) -> bool:
    numbers = [number for _, _, number in code.co_lines() if number is not None]
    return code.co_filename == file and min(numbers) <= line <= max(numbers)
