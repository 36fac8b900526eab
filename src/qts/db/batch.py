"""A batch of rows as followers are sent it, and its body: JSON, readable by a server in SQL.

A body is ``{"table": [[value, …], …], …}``. The values of a row are its columns in the order of
:class:`~qts.db.tables.Table`, before them, in a table that is only appended to, its number ``id``, and behind them,
where the table is sealed, the digest. Amounts are texts with all their digits, times are integers (ns).

Texts of PostgreSQL cannot hold U+0000: on a server U+2400 (SYMBOL FOR NULL) stands in its place, put there by
:func:`without_nul`, which a comparison with a local book applies to this one as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from qts.db.chain import COLUMNS
from qts.db.contracts import Record
from qts.db.tables import APPEND_ONLY, REPLACED, TRANSFERS, Table, transfers_from
from qts.errors import StorageError

NUL: Final = "\x00"
SYMBOL_FOR_NUL: Final = "\u2400"
_BY_NAME: Final = {table.name: table for table in (*APPEND_ONLY, *REPLACED)}
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(dict[str, list[list[Any]]]).decode


class Batch(msgspec.Struct, frozen=True):
    """A transaction of a run's local book, as a follower applies it: wholly, once, in the order of ``seq``.

    ``seq`` counts from 1 within the run, without gaps. ``inbox``: the ids of the P0 events whose effect is in it.
    ``epoch``: the number that the server gave the writer when it took the run over; 0 for none.
    """

    run_id: str
    account: str
    seq: int
    body: bytes
    inbox: tuple[str, ...] = ()
    epoch: int = 0

    @property
    def records(self) -> tuple[Record, ...]:
        """Return what the batch wrote, table by table; a row that changed is there as it last stood."""
        return records_of(self.body)


def body_of(rows: Mapping[str, Sequence[Sequence[Any]]]) -> bytes:
    """Return the body of rows by table. Raises StorageError for a text that is no Unicode."""
    try:
        return _encode(rows)
    except UnicodeEncodeError as error:
        raise StorageError(f"a row holds a text that no server can hold ({error})") from error


def rows_of(body: bytes) -> dict[str, list[list[Any]]]:
    """Return the rows of a body by table. Raises StorageError for what is none."""
    try:
        return _decode(body)
    except msgspec.DecodeError as error:
        raise StorageError(f"the body of a batch is damaged ({error})") from error


def records_of(body: bytes) -> tuple[Record, ...]:
    """Return the records of a body, table by table. Raises StorageError for a table that is not known."""
    found: list[Record] = []
    for name, rows in rows_of(body).items():
        table = _BY_NAME.get(name)
        if table is None:
            raise StorageError(f"the body of a batch names a table {name!r}, which this version does not know")
        start = 0 if table.key else 1
        end = start + len(table.columns)
        values = [row[start:end] for row in rows]
        if table is TRANSFERS:
            found += transfers_from(values)
        else:
            found += map(table.decode, values)
    return tuple(found)


def has_digest(table: str) -> bool:
    """Return whether the rows of a table end with a digest."""
    return table in COLUMNS


def body_columns(table: Table) -> tuple[str, ...]:
    """Return the columns of a table as the rows of a body have them."""
    numbered = () if table.key else ("id",)
    return (*numbered, *table.columns, *(("digest",) if has_digest(table.name) else ()))


def without_nul(text: str) -> str:
    """Return the text as a server holds it."""
    return text.replace(NUL, SYMBOL_FOR_NUL)
