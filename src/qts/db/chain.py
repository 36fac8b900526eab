"""Seals what happened: each row's digest follows from the one before it, so a change shows at the first look.

A table begins with a digest of its own name. Rewinding takes the newest rows away and leaves a chain that is whole.
A program that can write the file can also recompute the whole chain; what is noticed is a change of a part.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from qts.db import tables
from qts.errors import StorageError

CONFIGURATIONS: Final = "configurations"
_CONFIG_COLUMNS: Final = ("config_hash", "timestamp", "actor", "reason", "settings")
_SEALED: Final = (
    tables.LEDGER,
    tables.TRANSFERS,
    tables.DECISIONS,
    tables.STATES,
    tables.SAFETY,
    tables.ACTIONS,
    tables.BOOKINGS,
    tables.DAY_CLOSES,
    tables.HOLDING_CLOSES,
)
_ALWAYS_SEALED: Final = frozenset(
    table.name for table in (tables.ACTIONS, tables.BOOKINGS, tables.DAY_CLOSES, tables.HOLDING_CLOSES)
)
"""Tables made after rows were sealed: ``audit_chain`` has no row for them, because none of theirs is older."""
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    **{table.name: table.columns for table in _SEALED},
    CONFIGURATIONS: _CONFIG_COLUMNS,
}
"""The sealed columns of each table, behind the number of the row."""
_encode: Final = msgspec.json.Encoder().encode


class HistoryAltered(StorageError):
    """A row is not what was written; the text names table and row."""


class Chain:
    """The newest digest of each table, and how far the tables have been looked at.

    ``run_id``: the run whose rows are looked at; None for a file of an earlier version, whose rows do not name it.
    """

    def __init__(self, run_id: str | None = None) -> None:
        self._run_id = run_id
        self.heads: dict[str, str] = {}
        self._seen: dict[str, tuple[int, str]] = {}
        self._unsealed: dict[str, int] = {}

    def load(self, connection: sqlite3.Connection, run_id: str) -> None:
        """Begin with what is stored of the run ``run_id``."""
        self._run_id = run_id
        self._unsealed = dict(connection.execute("SELECT of_table, unsealed FROM audit_chain").fetchall())
        self._seen = {}
        for name in COLUMNS:
            row = connection.execute(
                f"SELECT digest FROM {name} WHERE run_id = ? "  # noqa: S608 - our own table
                f"ORDER BY {_number_of(name)} DESC LIMIT 1",
                (run_id,),
            ).fetchone()
            self.heads[name] = (row and row[0]) or _beginning(name)

    def add(self, name: str, number: int, values: Sequence[Any]) -> str:
        """Return the digest of the row that comes next in the table ``name``."""
        digest = self.heads[name] = _link(self.heads[name], number, values)
        return digest

    @contextmanager
    def undone_if_it_fails(self) -> Iterator[None]:
        """Restore the chain when what is written within the block fails."""
        before = self.heads.copy()
        try:
            yield
        except BaseException:
            self.heads = before
            raise

    def verify(
        self, connection: sqlite3.Connection, marks: Mapping[str, int], where: str, *, only_new: bool = False
    ) -> str:
        """Look at every row, or at those since the last look; return a sentence on rows older than the chain.

        ``marks`` are the numbers of the last rows that have to be there, ``where`` names the store in messages.
        Raises HistoryAltered.
        """
        try:
            return self._verify(connection, marks, only_new)
        except _Broken as broken:
            raise HistoryAltered(
                f"{where}: what is stored was altered: {broken}. Restore the file from a backup, or begin a new "
                "run; this one is not resumed"
            ) from None

    def _verify(self, connection: sqlite3.Connection, marks: Mapping[str, int], only_new: bool) -> str:
        self._unsealed = dict(connection.execute("SELECT of_table, unsealed FROM audit_chain").fetchall())
        if missing := COLUMNS.keys() - _ALWAYS_SEALED - self._unsealed.keys():
            raise _Broken(f"table audit_chain has no row for {', '.join(sorted(missing))}")
        for name, number in self._unsealed.items():
            if type(number) is not int:
                raise _Broken(f"table audit_chain, row {name}: {number!r} is no number of a row")
        for name in COLUMNS:
            last = self._verify_table(connection, name, only_new) if _is_there(connection, name) else 0
            if last < marks.get(name, 0):
                raise _Broken(
                    f"table {name} ends with row {last}, and row {marks[name]} was there at the last checkpoint"
                )
        old = [f"{name} up to {number}" for name, number in sorted(self._unsealed.items()) if number]
        return f"rows written by an earlier version carry no digest: {', '.join(old)}" if old else ""

    def _verify_table(self, connection: sqlite3.Connection, name: str, only_new: bool) -> int:
        """Verify one table and return the number of its last row."""
        number, digest = self._seen.get(name, (0, "")) if only_new else (0, "")
        columns = (_number_of(name), *COLUMNS[name], "digest")
        of_run, run = ("", ()) if self._run_id is None else ("run_id = ? AND ", (self._run_id,))
        rows = connection.execute(
            f"SELECT {', '.join(columns)} FROM {name} "  # noqa: S608 - our own table
            f"WHERE {of_run}{columns[0]} > ? ORDER BY {columns[0]}",
            (*run, number),
        )
        for found, *values, sealed in rows:
            if found != number + 1:
                raise _Broken(f"table {name}: row {number + 1} is gone")
            number = found
            if sealed is None and not digest and number <= self._unsealed.get(name, 0):
                continue
            digest = _link(digest or _beginning(name), number, values)
            if sealed != digest:
                raise _Broken(
                    f"table {name}: row {number} is not what was written (its digest does not follow from the row "
                    "before it)"
                )
        self._seen[name] = (number, digest)
        return number


def begin_chain(connection: sqlite3.Connection, run_id: str) -> None:
    """Write down that every row of a new run is sealed."""
    rows = ((name, 0, run_id) for name in COLUMNS if name not in _ALWAYS_SEALED)
    connection.executemany("INSERT INTO audit_chain (of_table, unsealed, run_id) VALUES (?, ?, ?)", rows)


class _Broken(Exception):
    """A table and row that is not what was written."""


def _is_there(connection: sqlite3.Connection, name: str) -> bool:
    """Return whether the file has the table ``name``: one of an earlier version lacks what came after it."""
    if name not in _ALWAYS_SEALED:
        return True
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,))
    return found.fetchone() is not None


def _number_of(name: str) -> str:
    return "version" if name == CONFIGURATIONS else "id"


def _beginning(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _link(before: str, number: int, values: Sequence[Any]) -> str:
    return hashlib.sha256(before.encode() + _encode((number, *values))).hexdigest()
