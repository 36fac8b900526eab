"""Writes the answers to command files, and again while what a command has begun goes on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from qts.files import in_place_opener
from qts.runtime.control.command_files import ANSWER_SUFFIX
from qts.runtime.control.commands import Answer, Progress

MOST_FOLLOWED: Final = 32
_KEPT: Final = 100
_MOST_BYTES: Final = 256 * 1024

Report = Callable[[], Progress | None]
Resume = Callable[[Answer], Report | None]
Write = Callable[[Callable[[], None]], object]


class _PendingAnswer:
    """An answer that is written again: it could not be written yet, or reports the progress of a command."""

    __slots__ = ("answer", "is_written", "report")

    def __init__(self, answer: Answer, report: Report | None, *, is_written: bool) -> None:
        self.answer = answer
        self.report = report
        self.is_written = is_written


class AnswerFiles:
    """The answer files in ``directory``, of which the newest hundred are kept. For the session's thread alone.

    ``write`` calls what writes one, and passes on its OSError. At most 32 are written again.
    """

    def __init__(self, directory: Path, write: Write) -> None:
        self._directory = directory
        self._write = write
        self._pending: dict[Path, _PendingAnswer] = {}

    def give(self, command_path: Path, answer: Answer, report: Report | None) -> str:
        """Write the answer to the command in a file; return why that cannot be done now, "" when it is done.

        It is tried again then by :meth:`update`. ``report``: the progress of the command, None: it has none.
        """
        path, problem = command_path.with_suffix(ANSWER_SUFFIX), ""
        try:
            self._write(partial(_write, path, answer))
        except OSError as error:
            problem = str(error)
        self._pending.pop(path, None)
        if report is not None or problem:
            self._pending[path] = _PendingAnswer(answer, report, is_written=not problem)
            if len(self._pending) > MOST_FOLLOWED:
                del self._pending[next(iter(self._pending))]
        return problem

    def follow_again(self, resume: Resume) -> None:
        """Report the progress of what an earlier process has left unfinished.

        ``resume`` returns what reports it, None for an answer that has no progress or is complete.
        """
        with contextlib.suppress(OSError):
            for path in self._newest_last()[-MOST_FOLLOWED:]:
                answer = _read(path)
                report = None if answer is None else resume(answer)
                if answer is not None and report is not None:
                    self._pending[path] = _PendingAnswer(answer, report, is_written=True)

    def update(self) -> None:
        """Write again the answers that have changed and those that could not be written before."""
        for path, pending in list(self._pending.items()):
            now = None if pending.report is None else pending.report()
            if not pending.is_written or (now is not None and now != pending.answer.progress):
                if now is not None:
                    pending.answer = pending.answer.with_progress(now)
                pending.is_written = False
                try:
                    self._write(partial(_write, path, pending.answer))
                except OSError:
                    continue  # tried again by the next call
                pending.is_written = True
            if now is None or now.complete:
                del self._pending[path]

    def prune(self) -> None:
        """Remove all but the newest."""
        with contextlib.suppress(OSError):
            for path in self._newest_last()[:-_KEPT]:
                path.unlink()

    def _newest_last(self) -> list[Path]:
        return sorted(self._directory.glob(f"*{ANSWER_SUFFIX}"), key=lambda path: path.lstat().st_mtime_ns)


def _write(path: Path, answer: Answer) -> None:
    draft = path.with_suffix(".draft")
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()  # a FIFO or link of that name could make us wait, or write elsewhere
    with open(draft, "xb", opener=in_place_opener) as file:
        file.write(msgspec.json.encode(answer))
    os.replace(draft, path)


def _read(path: Path) -> Answer | None:
    """Return an answer that a session has left; None for what is none."""
    with contextlib.suppress(OSError, msgspec.DecodeError):
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= _MOST_BYTES:
            return msgspec.json.decode(path.read_bytes(), type=Answer)
    return None
