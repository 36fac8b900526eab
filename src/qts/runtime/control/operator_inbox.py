"""Reads operators' command files from the data directory of a running session, and writes the answers there.

They are read on the loop's thread, so nothing here may wait: only regular files are opened. A stop is read even
when the process has no free file descriptor.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from qts.errors import QtsError, StorageError
from qts.runtime.control.answer_files import AnswerFiles, Report, Resume
from qts.runtime.control.command_files import COMMAND_SUFFIX, DIRECTORY
from qts.runtime.control.commands import Answer, Command, Stop, command_from
from qts.runtime.control.kill_switch import STOP_FILES, is_stop, stop_files_in
from qts.runtime.drivers.descriptors import SpareDescriptor

T = TypeVar("T")
_MAX_BYTES: Final = 16 * 1024
_MAX_AT_ONCE: Final = 32
_MAX_ENTRIES: Final = 10_000
_NEVER_WAITS: Final = os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS: Final = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISSOCK, "a socket"),
    (lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode), "a device"),
)

ENDED_MEANWHILE: Final = "the session ended before the broker had answered: it is not carried out; give it again"
Execute = Callable[[Command], Awaitable[Answer | None]]
RecordAnswer = Callable[[Command | None, Answer], None]
ProgressOf = Callable[[Command], Report | None]
Begin = Callable[[Stop], object]
OnTrouble = Callable[[str], None]
_Identity = tuple[int, int]
"""Inode of a file and the time of its last change (ns): the same name with another identity is another command."""


def _ignore_trouble(trouble: str) -> None:
    """Ignore the trouble."""


def _without_progress(command: Command) -> Report | None:
    """Return None: the command has no progress to report."""
    return None


def _begin_nothing(command: Stop) -> None:
    """Begin no stop before it is executed."""


class OperatorInbox:
    """An inbox of command files: each command is executed once and answered. For the session's thread alone.

    ``execute`` raises QtsError for a refusal, and returns None for a command that waits for the broker: each
    :meth:`poll` gives it the same object again until there is an answer. ``note`` records each command and its
    answer, before the answer is written. The newest hundred answers are kept. ``on_trouble`` is called once when
    commands cannot be read as they should, and with "" when they can be read again. ``progress_of`` returns a
    callable that reports the progress of a command just executed: its answer is rewritten when that changes, until
    the report is complete or None. ``begin`` takes each stop before it is executed, as soon as it is found: it must
    not wait, and may raise QtsError as ``execute`` does.
    """

    def __init__(
        self,
        data_dir: Path,
        execute: Execute,
        note: RecordAnswer,
        on_trouble: OnTrouble = _ignore_trouble,
        progress_of: ProgressOf = _without_progress,
        begin: Begin = _begin_nothing,
    ) -> None:
        self._directory = data_dir / DIRECTORY
        self._execute = execute
        self._note = note
        self._on_trouble = on_trouble
        self._progress_of = progress_of
        self._begin = begin
        self._begun: dict[str, tuple[_Identity | None, Stop]] = {}
        """Stops that were begun and are executed by the next :meth:`poll`, by the name of their file."""
        self._waiting: dict[str, tuple[_Identity | None, Command]] = {}
        """Commands that wait for the broker, oldest first, by the name of their file."""
        self._answers = AnswerFiles(self._directory, self._with_spare)
        self._trouble = ""
        self._spare = SpareDescriptor()
        self._spare_was_needed = self._overfull = False
        self._done: dict[str, _Identity] = {}
        """Files of executed commands that could not be removed: unless replaced, they are not executed again."""

    def close(self) -> None:
        """Answer the commands that wait for the broker: they are not carried out. Close the spare descriptor."""
        for name, (was, command) in self._waiting.items():
            with contextlib.suppress(StorageError):
                self._end(self._directory / name, was, command, Answer(done=False, answer=ENDED_MEANWHILE))
        self._waiting.clear()
        self._spare.close()

    def follow_again(self, resume: Resume) -> None:
        """Continue to report what an earlier process was told to do, see :meth:`AnswerFiles.follow_again`."""
        self._answers.follow_again(resume)

    def begin_stops(self) -> None:
        """Begin the stops found in the directory; callable while :meth:`poll` waits. Never waits itself."""
        there = stop_files_in(self._directory)
        with contextlib.suppress(OSError):  # reported by the next poll
            there += self._with_spare(self._command_paths)
        self._begin_stops_in(there)

    def _begin_stops_in(self, there: list[Path]) -> None:
        for path in there:
            name = path.name
            if not is_stop(name) or name in self._begun or self.is_done(name):
                continue
            if len(self._begun) >= _MAX_AT_ONCE:
                return
            was = _identity(path)
            with contextlib.suppress(msgspec.DecodeError, OSError, QtsError):  # refused when it is executed
                command = self._command_in(path)
                if isinstance(command, Stop):
                    self._begun[name] = was, command
                    self._begin(command)

    async def poll(self) -> int:
        """Execute the commands found, stops first, then the oldest, at most 32; return how many were answered.

        One that waits for the broker holds up no other; its file stays until it is answered. Raises
        StorageError, after the answer was written, when the store failed during a command.
        """
        self._spare.acquire()
        self._spare_was_needed = self._overfull = False
        self._answers.update()
        dropped, trouble = stop_files_in(self._directory), ""
        try:
            asked = dropped + self._with_spare(self._command_paths)
        except OSError as error:
            trouble = f"{self._directory} cannot be read ({error.strerror or error}): no command is read"
            asked = dropped
        for name in [name for name in self._done if not self.is_done(name)]:
            del self._done[name]
        self._begin_stops_in(asked)
        begun = [self._directory / name for name in self._begun]  # one of the files may have been removed since
        waiting = [self._directory / name for name in self._waiting]
        known = {*self._done, *self._begun, *self._waiting}
        others = (path for path in asked if path.name not in known)
        todo = [*islice(chain(begun, others), _MAX_AT_ONCE)]
        answered = 0
        for path in (*todo[: len(begun)], *waiting, *todo[len(begun) :]):
            answered += await self._take(path)
        if answered:
            self._answers.prune()
        self._report_trouble(trouble or self._current_trouble())
        return answered

    async def _take(self, path: Path) -> bool:
        """Execute the command in a file as far as it goes now; return whether it was answered."""
        name = path.name
        was, known = self._begun.get(name) or self._waiting.pop(name, None) or (_identity(path), None)
        command, answer, failure = await self._handle(path, known)
        self._begun.pop(name, None)
        if answer is None:
            assert command is not None  # only one that was read can wait
            self._waiting[name] = was, command
            return False
        self._end(path, was, command, answer)
        if failure is not None:
            raise failure
        return True

    def _end(self, path: Path, was: _Identity | None, command: Command | None, answer: Answer) -> None:
        """Note and give the answer to a command, and remove its file."""
        try:
            self._note(command, answer)
        finally:  # it was executed: a resumed session must not find it and execute it again
            self._give_answer(path, command, answer)
            self._remove(path, was)

    def is_done(self, name: str) -> bool:
        """Return whether the command in this file was executed, although the file could not be removed.

        A file that was changed or replaced since is another command. Needs no descriptor.
        """
        known = self._done.get(name)
        return known is not None and known == _identity(self._directory / name)

    def _remove(self, path: Path, was: _Identity | None) -> None:
        """Remove the file of an executed command, unless it was replaced since."""
        if was is None or _identity(path) != was:
            return
        try:
            path.unlink()
        except OSError:
            self._done[path.name] = was

    def _give_answer(self, path: Path, command: Command | None, answer: Answer) -> None:
        report = self._progress_of(command) if command is not None and answer.done else None
        problem = self._answers.give(path, answer, report)
        if problem:  # the command was executed even so
            self._note(command, Answer(done=answer.done, answer=f"its answer could not be left: {problem}"))

    def _current_trouble(self) -> str:
        """Return the trouble that the poll just ended has met; "" for none."""
        if self._spare_was_needed or not self._spare.is_held:
            return "no more files can be opened: something in this process leaks descriptors"
        if self._overfull:
            return f"{self._directory} has more than {_MAX_ENTRIES:,} entries: not all of them are read"
        return ""

    def _report_trouble(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._on_trouble(trouble)

    def _with_spare(self, act: Callable[[], T]) -> T:
        result, needed = self._spare.run(act)
        self._spare_was_needed |= needed
        return result

    def _command_paths(self) -> list[Path]:
        """Return the command files, oldest first; none while the directory does not exist.

        Raises OSError when the directory cannot be read.
        """
        found: list[tuple[int, str]] = []
        try:
            with os.scandir(self._directory) as entries:
                for entry in islice(entries, _MAX_ENTRIES):
                    if entry.name.endswith(COMMAND_SUFFIX):
                        with contextlib.suppress(FileNotFoundError):  # it may be removed at the same time
                            found.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.name))
                self._overfull = next(entries, None) is not None
        except FileNotFoundError:
            return []
        return [self._directory / name for _, name in sorted(found)]

    async def _handle(
        self, path: Path, command: Command | None
    ) -> tuple[Command | None, Answer | None, StorageError | None]:
        try:
            if command is None:
                command = self._command_in(path)
            return command, await self._execute(command), None
        except StorageError as error:
            return command, Answer(done=False, answer=str(error)), error
        except (msgspec.DecodeError, OSError, QtsError) as error:
            return command, Answer(done=False, answer=str(error)), None

    def _command_in(self, path: Path) -> Command:
        """Return the command in a file. Raises DecodeError or OSError for a file that is no command."""
        command = stop_of_file(path)
        if command is None:
            return command_from(self._with_spare(partial(_content, path)))
        return command


def stop_of_file(path: Path) -> Stop | None:
    """Return the stop that a file is by its name alone, whatever its content; None for any other name."""
    liquidate = STOP_FILES.get(path.name)
    if liquidate is None:
        return None
    return Stop(operator=f"file {path.name}", reason="put into operator/", liquidate=liquidate)


def _content(path: Path) -> bytes:
    """Return the content of a regular file, at most 16 KB. Raises OSError for any other kind, or when unreadable.

    Opening a FIFO waits for a writer, and opening a device may have effects: neither is opened.
    """
    _require_regular(path, path.lstat().st_mode)
    handle = os.open(path, os.O_RDONLY | _NEVER_WAITS)
    try:
        _require_regular(path, os.fstat(handle).st_mode)  # it may have been replaced since
        return os.read(handle, _MAX_BYTES)
    finally:
        os.close(handle)


def _require_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "no regular file")
        raise OSError(f"{path.name} is {kind}; a command is a regular file")


def _identity(path: Path) -> _Identity | None:
    """Return the identity of a file; None when there is no such file, or it cannot be read."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_ino, found.st_ctime_ns
