"""Reads what operators want of a running session from its data directory, and leaves the answers there.

It is read on the loop's thread. So nothing here may wait: only regular files are opened, and the stop is heard too
when the program has no descriptor left.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from qts.errors import QtsError, StorageError
from qts.files import own
from qts.runtime.control.command_files import ANSWERED, ASKED, DIRECTORY
from qts.runtime.control.commands import Answer, Command, Stop, StopReport, command_from
from qts.runtime.control.kill_switch import STOP_FILES, dropped_in, is_stop
from qts.runtime.drivers.descriptors import SpareDescriptor

T = TypeVar("T")
_MAX_BYTES: Final = 16 * 1024
_MAX_AT_ONCE: Final = 32
_ANSWERS_KEPT: Final = 100
_MAX_ENTRIES: Final = 10_000
_NEVER_WAITS: Final = os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS: Final = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISSOCK, "a socket"),
    (lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode), "a device"),
)

Execute = Callable[[Command], Awaitable[Answer]]
Note = Callable[[Command | None, Answer], None]
Report = Callable[[], StopReport | None]
Follow = Callable[[Command], Report | None]
Begin = Callable[[Stop], object]
OnTrouble = Callable[[str], None]
_Identity = tuple[int, int]
"""Of a file as it was put into the directory: its inode, and when that changed last (ns)."""


class _Told:
    """An answer that stays to be given: it could not be left yet, or tells how far a stop has come."""

    __slots__ = ("answer", "is_left", "report")

    def __init__(self, answer: Answer, report: Report | None, *, is_left: bool) -> None:
        self.answer = answer
        self.report = report
        self.is_left = is_left


def _not_told(trouble: str) -> None:
    """For an inbox whose owner does not want to hear of it."""


def _not_followed(command: Command) -> Report | None:
    """For an inbox whose owner tells nothing after the answer."""
    return None


def _not_begun(command: Stop) -> None:
    """For an inbox whose owner begins a stop when it is carried out."""


class OperatorInbox:
    """Looks for command files and has them executed; every one is answered, none is executed twice.

    ``execute`` raises QtsError for a refusal. ``note`` is told of each command and of its answer, before the answer
    is given. The newest hundred answers stay. ``on_trouble`` is told once when commands cannot be heard as they
    should, and with "" when they can again. ``follow`` says how far a stop has come that was just executed: its
    answer is given anew when that changes, until the report is complete or None. ``begin`` is told of each stop
    before it is executed, as soon as anybody looks: it must wait for nothing, and may raise QtsError as ``execute``
    does.
    """

    def __init__(
        self,
        data_dir: Path,
        execute: Execute,
        note: Note,
        on_trouble: OnTrouble = _not_told,
        follow: Follow = _not_followed,
        begin: Begin = _not_begun,
    ) -> None:
        self._directory = data_dir / DIRECTORY
        self._execute = execute
        self._note = note
        self._on_trouble = on_trouble
        self._follow = follow
        self._begin = begin
        self._begun: dict[str, tuple[_Identity | None, Stop]] = {}
        """Stops that were begun and are to be carried out at the next look, by the name of their file."""
        self._followed: dict[Path, _Told] = {}
        self._trouble = ""
        self._spare = SpareDescriptor()
        self._spare_was_needed = self._overfull = False
        self._settled: dict[str, _Identity] = {}
        """Files of commands that were carried out but could not be taken away: never again, as they are."""

    def close(self) -> None:
        """Let go of the spare descriptor."""
        self._spare.close()

    def begin_stops(self) -> None:
        """Begin the stops that lie there, also while a look is under way and waits for something."""
        there = dropped_in(self._directory)
        with contextlib.suppress(OSError):  # told by the next look
            there += self._with_spare(self._asked)
        self._begin_stops(there)

    def _begin_stops(self, there: list[Path]) -> None:
        for path in there:
            name = path.name
            if not is_stop(name) or name in self._begun or self.has_settled(name):
                continue
            if len(self._begun) >= _MAX_AT_ONCE:
                return
            was = _identity(path)
            with contextlib.suppress(msgspec.DecodeError, OSError, QtsError):  # refused when it is carried out
                command = self._command_in(path)
                if isinstance(command, Stop):
                    self._begun[name] = was, command
                    self._begin(command)

    async def poll(self) -> int:
        """Carry out what lies there, stops first, then the oldest, at most 32 at once; how many were answered.

        Raises StorageError, the answer given, when a command meets a store that cannot keep its promise.
        """
        self._spare.acquire()
        self._spare_was_needed = self._overfull = False
        self._tell_progress()
        dropped, trouble = dropped_in(self._directory), ""
        try:
            asked = dropped + self._with_spare(self._asked)
        except OSError as error:
            trouble = f"{self._directory} cannot be read ({error.strerror or error}): no command is heard"
            asked = dropped
        for name in [name for name in self._settled if not self.has_settled(name)]:
            del self._settled[name]
        self._begin_stops(asked)
        heard = [self._directory / name for name in self._begun]  # one of them may have been taken away since
        others = (path for path in asked if path.name not in self._settled and path.name not in self._begun)
        todo = [*heard, *others][:_MAX_AT_ONCE]
        for path in todo:
            was, known = self._begun.get(path.name, (_identity(path), None))
            command, answer, failure = await self._handle(path, known)
            self._begun.pop(path.name, None)
            self._note(command, answer)
            self._tell_and_follow(path, command, answer)
            self._take_away(path, was)
            if failure is not None:
                raise failure
        if todo:
            self._forget_old_answers()
        self._tell(trouble or self._found_wrong())
        return len(todo)

    def has_settled(self, name: str) -> bool:
        """Whether the command in this file was carried out, although the file could not be taken away.

        One that was touched or put there anew since is another command. Needs no descriptor.
        """
        known = self._settled.get(name)
        return known is not None and known == _identity(self._directory / name)

    def _take_away(self, path: Path, was: _Identity | None) -> None:
        """Remove the file of a command that was carried out, unless it has been put there anew since."""
        if was is None or _identity(path) != was:
            return
        try:
            path.unlink()
        except OSError:
            self._settled[path.name] = was

    def _tell_and_follow(self, path: Path, command: Command | None, answer: Answer) -> None:
        report = self._follow(command) if command is not None and answer.done else None
        is_left = True
        try:
            self._with_spare(partial(_leave_answer, path, answer))
        except OSError as error:  # what was asked is done all the same
            is_left = False
            self._note(command, Answer(done=answer.done, answer=f"its answer could not be left: {error}"))
        self._followed.pop(path, None)
        if report is not None or not is_left:
            self._followed[path] = _Told(answer, report, is_left=is_left)
            if len(self._followed) > _MAX_AT_ONCE:
                del self._followed[next(iter(self._followed))]

    def _tell_progress(self) -> None:
        """Give anew the answers that have changed, and those for which there was no room."""
        for path, told in list(self._followed.items()):
            now = None if told.report is None else told.report()
            if not told.is_left or (now is not None and now != told.answer.stop):
                if now is not None:
                    told.answer = msgspec.structs.replace(told.answer, stop=now)
                told.is_left = False
                try:
                    self._with_spare(partial(_leave_answer, path, told.answer))
                except OSError:
                    continue  # tried again at the next look
                told.is_left = True
            if now is None or now.complete:
                del self._followed[path]

    def _found_wrong(self) -> str:
        """What the look that just ended has met; "" when all was as it should be."""
        if self._spare_was_needed or not self._spare.is_held:
            return "no more files can be opened: something in this process leaks descriptors"
        if self._overfull:
            return f"{self._directory} has more than {_MAX_ENTRIES:,} entries: not all of them are looked at"
        return ""

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._on_trouble(trouble)

    def _with_spare(self, act: Callable[[], T]) -> T:
        result, needed = self._spare.run(act)
        self._spare_was_needed |= needed
        return result

    def _asked(self) -> list[Path]:
        """The command files, oldest first; none while there is no directory: it comes with the first command.

        Raises OSError when the directory cannot be read.
        """
        found: list[tuple[int, str]] = []
        try:
            with os.scandir(self._directory) as entries:
                for entry in islice(entries, _MAX_ENTRIES):
                    if entry.name.endswith(ASKED):
                        with contextlib.suppress(FileNotFoundError):  # it may go while we look
                            found.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.name))
                self._overfull = next(entries, None) is not None
        except FileNotFoundError:
            return []
        return [self._directory / name for _, name in sorted(found)]

    def _forget_old_answers(self) -> None:
        with contextlib.suppress(OSError):
            answers = sorted(self._directory.glob(f"*{ANSWERED}"), key=lambda path: path.lstat().st_mtime_ns)
            for path in answers[:-_ANSWERS_KEPT]:
                path.unlink()

    async def _handle(
        self, path: Path, command: Command | None
    ) -> tuple[Command | None, Answer, StorageError | None]:
        try:
            if command is None:
                command = self._command_in(path)
            return command, await self._execute(command), None
        except StorageError as error:
            return command, Answer(done=False, answer=str(error)), error
        except (msgspec.DecodeError, OSError, QtsError) as error:
            return command, Answer(done=False, answer=str(error)), None

    def _command_in(self, path: Path) -> Command:
        """What a file asks for. Raises DecodeError or OSError for one that is no command."""
        command = dropped_command(path)
        if command is None:
            return command_from(self._with_spare(partial(_content, path)))
        return command


def dropped_command(path: Path) -> Stop | None:
    """Make the stop that a file is by its name alone, whoever put it there and whatever is in it."""
    liquidate = STOP_FILES.get(path.name)
    if liquidate is None:
        return None
    return Stop(operator=f"file {path.name}", reason="put into operator/", liquidate=liquidate)


def _content(path: Path) -> bytes:
    """What a regular file says, at most 16 KB. Raises OSError for anything else, or when it cannot be read.

    Opening a FIFO waits for a writer, and a device may do anything: neither is opened.
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


def _leave_answer(path: Path, answer: Answer) -> None:
    draft = path.with_suffix(".draft")
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()  # whatever has taken the name could make us wait, or write elsewhere
    with open(draft, "xb", opener=own) as file:
        file.write(msgspec.json.encode(answer))
    os.replace(draft, path.with_suffix(ANSWERED))


def _identity(path: Path) -> _Identity | None:
    """None when there is no such file, or nobody can tell."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_ino, found.st_ctime_ns
