"""Compares the rows of a local book with those of a server, both in the order of their keys, row by row.

Of each side a part of a few thousand rows is in memory at a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from qts.db.batch import has_digest, rows_of, without_nul
from qts.db.tables import APPEND_ONLY, BATCHES, REPLACED, Table, inbox_ids
from qts.db.timescale.bodies import is_form, plain
from qts.errors import StorageError
from qts.wording import printable

TABLES: Final[dict[str, Table]] = {table.name: table for table in (*APPEND_ONLY, *REPLACED)}
ALL: Final = (*TABLES, BATCHES)
"""The names of everything that is compared where both sides have every table."""
INBOX: Final = "inbox"
_NUMBERED: Final = ("id", INBOX)
_EXCERPT: Final = 200
_LINE: Final = 1_000
_TOLD_EVERY: Final = 1_000
"""Rows between two reports of progress."""


class Sides(NamedTuple):
    """The names of the two sides of a comparison within a sentence."""

    local: str
    server: str


HERE_AND_SERVER: Final = Sides("here", "on the server")


class Difference(msgspec.Struct, frozen=True):
    """One difference. ``column`` "": the whole row is on one side only, the other side's value is None then."""

    table: str
    key: str
    column: str
    local: str | None
    server: str | None

    def __str__(self) -> str:
        return self.between(HERE_AND_SERVER)

    def between(self, sides: Sides) -> str:
        """Return the sentence that names the row and what each of the sides has."""
        row = f"{self.table}, row {self.key}"
        if self.column:
            return printable(
                f"{row}, {self.column}: {self.local} {sides.local}, {self.server} {sides.server}", _LINE
            )
        return f"{printable(row)} is {'not' if self.server is None else 'only'} {sides.server}"


class LeftOut:
    """The rows that batches which the server has not got yet have written: they are not compared.

    Of a table that is only appended to they are the newest ones; of the others their keys are kept in a file.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._first: dict[str, int] = {}
        self._connection = connection
        connection.execute("CREATE TABLE keys (name TEXT, key TEXT, PRIMARY KEY (name, key)) WITHOUT ROWID")

    def add(self, seq: int, body: bytes) -> None:
        """Leave out what the batch ``seq`` has written."""
        self._first.setdefault(BATCHES, seq)
        for name, rows in rows_of(body).items():
            table = TABLES.get(name)
            if table is None:
                raise StorageError(f"batch {seq} in the outbox names a table {name!r}, which is not known")
            if table.key:
                keys = ((name, _text(row[: len(table.key)])) for row in rows)
                self._connection.executemany("INSERT OR IGNORE INTO keys VALUES (?, ?)", keys)
            elif rows:
                self._first.setdefault(name, rows[0][0])

    def has(self, name: str, key: Sequence[Any]) -> bool:
        """Return whether the row is left out."""
        if len(key) == 1 and isinstance(key[0], int):
            return key[0] >= self._first.get(name, key[0] + 1)
        sql = "SELECT 1 FROM keys WHERE name = ? AND key = ?"
        return self._connection.execute(sql, (name, _text(key))).fetchone() is not None


@contextmanager
def left_out(batches: Iterable[tuple[int, bytes]]) -> Iterator[LeftOut]:
    """Return what ``batches`` have written; to be closed, because it holds a temporary file."""
    with closing(sqlite3.connect("")) as connection:
        found = LeftOut(connection)
        for seq, body in batches:
            found.add(seq, body)
        yield found


class RowsByTable(Protocol):
    """Rows of a run by table."""

    def rows(self, name: str, /) -> Iterator[list[Any]]:
        """Iterate over the rows of a table, in the order of their number or key."""
        ...


class RowComparison:
    """A comparison of the rows of a run in the tables ``names``; ``rows`` counts those that were compared."""

    def __init__(
        self, local: RowsByTable, omitted: LeftOut, progress: Callable[[int], None], names: Sequence[str]
    ) -> None:
        self._local, self._omitted, self._progress = local, omitted, progress
        self._names = names
        self.rows = 0

    async def differences(self, server: AsyncIterator[bytes]) -> AsyncIterator[Difference]:
        """Iterate over the differences, table by table; ``server`` gives all rows, each table in one piece."""
        left, passed = dict.fromkeys(self._names), {*TABLES, BATCHES} - set(self._names)
        merge: _Merge | None = None
        async for body in server:
            for name, rows in rows_of(body).items():
                if name in passed:
                    continue
                if merge is None or merge.name != name:
                    for one in merge.end() if merge else ():
                        yield one
                    if name not in left:
                        raise StorageError(f"the server has rows of {name} in two places, or of a table not known")
                    del left[name]
                    merge = self._merge(name)
                for row in rows:
                    for one in merge.next(row):
                        yield one
        for one in merge.end() if merge else ():
            yield one
        for name in left:
            for one in self._merge(name).end():
                yield one

    def _merge(self, name: str) -> _Merge:
        return _Merge(name, self._counted(self._local.rows(name)), self._omitted)

    def _counted(self, rows: Iterator[list[Any]]) -> Iterator[list[Any]]:
        for row in rows:
            self.rows += 1
            if not self.rows % _TOLD_EVERY:
                self._progress(self.rows)
            yield row


class _Merge:
    """The rows of one table on both sides, read side by side."""

    def __init__(self, name: str, local: Iterator[list[Any]], omitted: LeftOut) -> None:
        self.name = name
        table = TABLES.get(name)
        self._columns: tuple[str, ...] = _NUMBERED
        self._width = 1
        if table is not None:
            numbered = () if table.key else ("id",)
            self._columns = (*numbered, *table.columns, *(["digest"] if has_digest(name) else []))
            self._width = len(table.key) or 1
        self._omitted = omitted
        self._local = local
        self._head = self._next_local()

    def next(self, row: list[Any]) -> Iterator[Difference]:
        """Iterate over the differences up to the row ``row`` of the server."""
        key = self._key(row)
        if self._omitted.has(self.name, key):
            return
        while self._head is not None and self._key(self._head) < key:
            yield self._missing()
        if self._head is None or self._key(self._head) != key:
            yield Difference(self.name, _shown(key), "", None, "a row")
            return
        for column, here, there in zip(self._columns, self._head, row, strict=True):
            if (one := values_differ(self.name, _shown(key), column, here, there)) is not None:
                yield one
        self._head = self._next_local()

    def end(self) -> Iterator[Difference]:
        """Iterate over the rows that the server does not have."""
        while self._head is not None:
            yield self._missing()

    def _missing(self) -> Difference:
        assert self._head is not None, "asked for by the callers"
        key = self._key(self._head)
        self._head = self._next_local()
        return Difference(self.name, _shown(key), "", "a row", None)

    def _next_local(self) -> list[Any] | None:
        return next((row for row in self._local if not self._omitted.has(self.name, row[: self._width])), None)

    def _key(self, row: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(_mapped(value) for value in row[: self._width])


def values_differ(table: str, key: str, column: str, here: Any, there: Any) -> Difference | None:
    """Return the difference of two values of a column; None when they are the same as a server can hold them."""
    return (
        None if _is_same(column, here, there) else Difference(table, key, column, _excerpt(here), _excerpt(there))
    )


def _is_same(column: str, here: Any, there: Any) -> bool:
    if here == there:
        return here.__class__ is there.__class__
    if column == INBOX:
        return _ids(here) == _ids(there)
    if not (isinstance(here, str) and isinstance(there, str)):
        return False
    return _mapped(here) == _mapped(there) or (is_form(here) is not None and plain(here) == there)


def _ids(inbox: str) -> tuple[str, ...] | str:
    """Return the ids of an inbox, whose JSON is written in more than one way; the text itself where it is none."""
    try:
        return inbox_ids(inbox)
    except msgspec.DecodeError:
        return inbox


def _mapped(value: Any) -> Any:
    """Return a text as a server holds it; other values as they are."""
    return without_nul(value) if isinstance(value, str) else value


def _text(key: Sequence[Any]) -> str:
    return "\n".join(str(_mapped(value)) for value in key)


def _shown(key: Sequence[Any]) -> str:
    return " ".join(map(str, key))


def _excerpt(value: Any) -> str:
    if value is None:
        return "nothing"
    text = str(value)
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}…"
