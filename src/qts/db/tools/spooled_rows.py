"""Keeps the rows of a run that a store has in a temporary file, in the order of their keys.

A spreadsheet gives its rows in the order in which someone has put them; what compares or copies them needs theirs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from typing import Any, Final

import msgspec

from qts.db.batch import body_of, rows_of
from qts.db.tables import APPEND_ONLY, REPLACED, Table
from qts.errors import StorageError

_TABLES: Final[dict[str, Table]] = {table.name: table for table in (*APPEND_ONLY, *REPLACED)}
_ROWS: Final = 2_000
"""Rows of a part; even, so that the two legs of a transfer are in the same one."""
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(list[Any]).decode


class SpooledRows:
    """Rows by table; ``counts`` has how many there are of each. To be made by :func:`spooled`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.counts: dict[str, int] = {}
        connection.execute("CREATE TABLE rows (name TEXT, number INTEGER, row BLOB)")

    def add(self, body: bytes) -> None:
        """Take the rows of a body. Raises StorageError for a table that is not known."""
        for name, rows in rows_of(body).items():
            table = _TABLES.get(name)
            if table is None:
                raise StorageError(f"the store has rows of a table {name!r}, which this version does not know")
            numbers = (None if table.key else row[0] for row in rows)
            values = ((name, number, _encode(row)) for number, row in zip(numbers, rows, strict=True))
            self._connection.executemany("INSERT INTO rows VALUES (?, ?, ?)", values)
            self.counts[name] = self.counts.get(name, 0) + len(rows)

    def rows(self, name: str) -> Iterator[list[Any]]:
        """Iterate over the rows of a table in the order of their number or key."""
        sql = "SELECT row FROM rows WHERE name = ? ORDER BY number, rowid"
        with closing(self._connection.execute(sql, (name,))) as found:
            rows = (_decode(row) for (row,) in found)
            width = len(_TABLES[name].key)
            yield from sorted(rows, key=lambda row: _texts(row[:width])) if width else rows

    def bodies(self) -> Iterator[bytes]:
        """Iterate over all rows in parts of a few thousand, one table a part."""
        for name in _TABLES:
            part: list[list[Any]] = []
            for row in self.rows(name) if name in self.counts else ():
                part.append(row)
                if len(part) == _ROWS:
                    yield body_of({name: part})
                    part = []
            if part:
                yield body_of({name: part})


@asynccontextmanager
async def spooled(bodies: AsyncIterator[bytes]) -> AsyncIterator[SpooledRows]:
    """Return the rows of ``bodies`` within the block, all of them read before it begins; holds a temporary file."""
    with closing(sqlite3.connect("")) as connection:
        rows = SpooledRows(connection)
        async for body in bodies:
            rows.add(body)
        yield rows


def _texts(key: Sequence[Any]) -> tuple[str, ...]:
    return tuple(map(str, key))
