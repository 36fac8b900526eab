"""A study on disk: a directory with one SQLite file, written by one process.

Each trial is there once, under its key, whatever is stopped, killed or begun again.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec

from qts.db.datadir import lock_now
from qts.errors import InputError, StateError, StorageError
from qts.search.contracts import Answer, Setup, Window, decode, encode
from qts.search.space import Axis
from qts.search.splits import Plan, Split

FILE_NAME: Final = "study.sqlite"
_LOCK_NAME: Final = "study.lock"
_VERSION: Final = 1
_TABLES: Final = """
CREATE TABLE study (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE trials (
    fold INTEGER NOT NULL,
    part TEXT NOT NULL,
    number INTEGER NOT NULL,
    repeat INTEGER NOT NULL,
    key TEXT NOT NULL UNIQUE,
    params TEXT NOT NULL,
    answer BLOB NOT NULL,
    PRIMARY KEY (fold, part, number, repeat)
) STRICT;
CREATE TABLE openings (number INTEGER PRIMARY KEY, opened_at TEXT NOT NULL, params TEXT NOT NULL) STRICT;
"""


class Part(str, Enum):
    """The purpose of a trial: to search, to judge the best of a fold, or to open the sealed sessions."""

    SEARCH = "search"
    TEST = "test"
    SEALED = "sealed"


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides the answers of a study.

    ``prints`` identify strategy, configuration and QTS. ``risk_free`` is a rate a year, ``trials`` None: all of a
    grid. ``most`` is the largest number of trials of a fold.
    """

    setup: Setup
    prints: tuple[str, ...]
    axes: tuple[Axis, ...]
    where: tuple[str, ...]
    objective: str
    min_trades: int
    method: str
    trials: int | None
    most: int
    seed: int
    repeat: int
    split: Split
    plan: Plan
    currency: str
    risk_free: float


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One trial that was run, with its place in the study and its answer."""

    fold: int
    part: Part
    number: int
    repeat: int
    params: dict[str, str]
    answer: Answer


class Opening(msgspec.Struct, frozen=True):
    """One look at the sealed sessions: when, and with which parameters."""

    number: int
    opened_at: str
    params: dict[str, str]


class Study:
    """An open study. ``writes`` takes it for this process alone; raises StateError when another has it.

    Raises InputError for a directory without a study, and StorageError for a file that cannot be used. Not for
    several threads.
    """

    def __init__(self, directory: Path, *, writes: bool) -> None:
        self.directory = directory
        path = directory / FILE_NAME
        if not path.is_file():
            raise InputError(f"{directory} holds no study; qts optimize begins one")
        self._lock = _locked(directory) if writes else None
        try:
            self._connection = _opened(path, writes=writes)
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version != _VERSION:
                raise StorageError(f"{path} was written by another version of QTS (its form is {version})")
            (data,) = self._connection.execute("SELECT value FROM study WHERE name = 'definition'").fetchone()
        except (sqlite3.Error, TypeError) as error:
            self._release()
            raise StorageError(f"{path}: {error}") from error
        except StorageError:
            self._release()
            raise
        self.definition = decode(data, Definition)

    @classmethod
    def begin(cls, directory: Path, definition: Definition) -> Study:
        """Make a study of ``definition`` in ``directory``, or open the same one again.

        Raises StateError when another study lies there, and StorageError when it cannot be written.
        """
        path = directory / FILE_NAME
        if not path.exists():
            try:
                directory.mkdir(parents=True, exist_ok=True)
                lock = _locked(directory)
                try:
                    _make(path, definition)
                finally:
                    os.close(lock)
            except OSError as error:
                raise StorageError(f"{directory}: cannot begin a study: {error.strerror}") from error
        found = cls(directory, writes=True)
        if found.definition != definition:
            found.close()
            raise StateError(f"{directory} holds another study; give another --data-dir")
        return found

    def add(self, row: Row) -> None:
        """Keep a trial; one that is there already stays. Raises StorageError when the disk refuses."""
        values = (
            row.fold,
            row.part.value,
            row.number,
            row.repeat,
            row.answer.key,
            _text(row.params),
            encode(row.answer),
        )
        self._write("INSERT OR IGNORE INTO trials VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def drop_after(self, last: Row) -> None:
        """Remove the trials of a search behind ``last``: they were run while the one that ended it was."""
        self._write(
            "DELETE FROM trials WHERE fold = ? AND part = 'search' AND (number, repeat) > (?, ?)",
            (last.fold, last.number, last.repeat),
        )

    def rows(self, fold: int | None = None, part: Part | None = None) -> Iterator[Row]:
        """Yield the trials in the order of fold, part, number and repeat; None: of all folds, of all parts."""
        found = self._connection.execute(
            "SELECT fold, part, number, repeat, params, answer FROM trials"
            " WHERE (?1 IS NULL OR fold = ?1) AND (?2 IS NULL OR part = ?2) ORDER BY fold, part, number, repeat",
            (fold, None if part is None else part.value),
        )
        for fold_of, part_of, number, repeat, params, answer in found:
            yield Row(
                fold=fold_of,
                part=Part(part_of),
                number=number,
                repeat=repeat,
                params=json.loads(params),
                answer=decode(answer, Answer),
            )

    def count(self) -> int:
        """Return how many trials were run."""
        (count,) = self._connection.execute("SELECT count(*) FROM trials").fetchone()
        return int(count)

    def note(self, name: str, text: str) -> None:
        """Keep a text under ``name``, in the place of the one before."""
        self._write("INSERT OR REPLACE INTO study VALUES (?, ?)", (f"note {name}", text.encode()))

    def noted(self, name: str) -> str | None:
        """Return the text that was kept under ``name``; None: there is none."""
        found = self._connection.execute("SELECT value FROM study WHERE name = ?", (f"note {name}",)).fetchone()
        return None if found is None else bytes(found[0]).decode()

    def open_sealed(self, opened_at: str, params: Mapping[str, str]) -> int:
        """Count one more look at the sealed sessions, which stays, and return its number."""
        number = len(self.openings()) + 1
        self._write("INSERT INTO openings VALUES (?, ?, ?)", (number, opened_at, _text(params)))
        return number

    def openings(self) -> list[Opening]:
        """Return every look at the sealed sessions."""
        rows = self._connection.execute("SELECT number, opened_at, params FROM openings ORDER BY number")
        return [Opening(number, at, json.loads(params)) for number, at, params in rows]

    def close(self) -> None:
        """Release the study; may be called twice."""
        self._connection.close()
        self._release()

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, statement: str, values: Sequence[object]) -> None:
        try:
            with self._connection:
                self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise StorageError(f"{self.directory / FILE_NAME}: cannot keep a trial: {error}") from error

    def _release(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


def sealed_windows(plan: Plan) -> tuple[Window, ...]:
    """Return the sealed window as a list of windows. Raises InputError when the study has none."""
    if plan.sealed is None:
        raise InputError("this study has no sealed sessions; begin one with --holdout 20%")
    return (plan.sealed,)


def _text(params: Mapping[str, str]) -> str:
    return json.dumps(dict(params), ensure_ascii=False, separators=(",", ":"))


def _make(path: Path, definition: Definition) -> None:
    """Write an empty study beside and rename it, so that there is a whole one or none."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(part)) as made:
            made.executescript(_TABLES)
            made.execute(f"PRAGMA user_version = {_VERSION}")
            made.execute("INSERT INTO study VALUES ('definition', ?)", (encode(definition),))
            made.commit()
        part.rename(path)
    except sqlite3.Error as error:
        raise StorageError(f"{path}: cannot begin a study: {error}") from error


def _opened(path: Path, *, writes: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode={'rw' if writes else 'ro'}", uri=True)
    if writes:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _locked(directory: Path) -> int:
    descriptor = os.open(directory / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    if not lock_now(descriptor, fcntl.LOCK_EX):
        os.close(descriptor)
        raise StateError(f"{directory}: another process is at this study; wait for it, or stop it")
    return descriptor
