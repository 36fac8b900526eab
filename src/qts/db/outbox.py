"""The outbox of a store: batches that its followers are not all done with, written in the transaction they copy."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec

from qts.db.batch import Batch, body_of
from qts.db.connections import open_to_read
from qts.db.failures import explanation
from qts.db.tables import BATCHES, Values, inbox_ids
from qts.errors import ContractError

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_MOST_DELETED: Final = 100
"""Rows deleted by one commit: twenty times as many as it adds, and never so many that a fill waits for it."""

_SQL_FORGET: Final = "DELETE FROM followers WHERE run_id = ? AND name NOT IN (SELECT value FROM json_each(?))"
_SQL_NEW: Final = "INSERT OR IGNORE INTO followers (run_id, name, done) VALUES (?, ?, 0)"
_SQL_DONE: Final = "SELECT name, done FROM followers WHERE run_id = ?"
_SQL_NOTE: Final = "UPDATE followers SET done = ? WHERE run_id = ? AND name = ?"
_SQL_EXTENT: Final = "SELECT min(seq), max(seq), coalesce(sum(length(body)), 0) FROM outbox WHERE run_id = ?"
_SQL_ADD: Final = "INSERT INTO outbox (run_id, seq, body) VALUES (?, ?, ?)"
_SQL_SIZE: Final = "SELECT coalesce(sum(length(body)), 0) FROM outbox WHERE run_id = ? AND seq <= ?"
_SQL_DELETE: Final = "DELETE FROM outbox WHERE run_id = ? AND seq <= ?"
_SQL_PENDING: Final = (
    "SELECT o.seq, b.inbox, o.body FROM outbox o "  # noqa: S608 - our own names
    f"JOIN {BATCHES} b ON b.run_id = o.run_id AND b.id = o.seq "
    "WHERE o.run_id = ? AND o.seq > ? AND o.seq <= ? ORDER BY o.seq LIMIT ?"
)


class Outbox:
    """The outbox of the run ``run_id`` in the file ``path``, for ``followers``; made within a transaction.

    ``newest``: the number of the newest batch, ``offered``: that of the newest one that is shown to followers.
    Methods are for the writer's thread, but for :meth:`pending` and :meth:`done`, which belong to that of the one
    follower that they name. Raises ContractError for a name that is not short and plain.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        run_id: str,
        account: str,
        followers: Sequence[str],
        *,
        newest: int,
        offered: int,
    ) -> None:
        self._path, self._run_id, self._account = path, run_id, account
        self.offered = offered
        """The number of the newest batch that :meth:`pending` may give, 0 for none."""
        self._rows: dict[str, list[Values]] = {}
        self._replaced: dict[str, dict[Values, Values]] = {}
        self._reading: dict[str, sqlite3.Connection] = {}
        self._done = self._begin(connection, followers)
        self._stored_done = self._done.copy()
        low, high, size = connection.execute(_SQL_EXTENT, (run_id,)).fetchone()
        if high is not None and high != newest:
            # The run went on without followers: what is left would be followed by a gap, so it is of no use.
            connection.execute(_SQL_DELETE, (run_id, high))
            low, size = None, 0
        self.size: int = size
        """The bytes of all bodies that wait, those followers are done with and that are not deleted yet as well."""
        self._low: int = newest + 1 if low is None else low
        self._next = self._low, self.size, self._stored_done

    def _begin(self, connection: sqlite3.Connection, followers: Sequence[str]) -> dict[str, int]:
        for name in followers:
            if not _NAME.fullmatch(name):
                raise ContractError(
                    f"{name!r} is no name of a follower: small letters, digits, - and _, at most 32"
                )
        connection.execute(_SQL_FORGET, (self._run_id, msgspec.json.encode(list(followers)).decode()))
        connection.executemany(_SQL_NEW, ((self._run_id, name) for name in followers))
        return dict(connection.execute(_SQL_DONE, (self._run_id,)).fetchall())

    # -- the writer --------------------------------------------------------------------------------------------

    def append(self, name: str, rows: Sequence[Values], owner: int) -> None:
        """Take rows of an append-only table into the batch, without their first ``owner`` columns."""
        self._rows.setdefault(name, []).extend(row[owner:] for row in rows)

    def replace(self, name: str, key: Values, row: Values) -> None:
        """Take a row of a table whose rows change into the batch, in place of one with the same ``key``."""
        self._replaced.setdefault(name, {})[key] = row

    def write(self, connection: sqlite3.Connection, seq: int) -> None:
        """Write the batch ``seq`` of what was taken, and what followers have; within its transaction."""
        rows: dict[str, Sequence[Any]] = {**self._rows}
        for name, newest in self._replaced.items():
            rows[name] = list(newest.values())
        body = body_of(rows)
        connection.execute(_SQL_ADD, (self._run_id, seq, body))
        low, size, done = self._let_go(connection, most=_MOST_DELETED)
        self._next = low, size + len(body), done

    def written(self, seq: int, *, is_offered: bool) -> None:
        """Count what :meth:`write` wrote: its transaction was committed."""
        self._low, self.size, self._stored_done = self._next
        self._rows, self._replaced = {}, {}
        if is_offered:
            self.offered = seq

    def taken_back(self) -> None:
        """Forget the batch: its transaction was rolled back."""
        self._rows, self._replaced = {}, {}

    def let_go(self, connection: sqlite3.Connection) -> None:
        """Store what followers have, and delete all of it that every one of them has; within a transaction."""
        self._low, self.size, self._stored_done = self._let_go(connection, most=None)

    def _let_go(self, connection: sqlite3.Connection, *, most: int | None) -> tuple[int, int, dict[str, int]]:
        """Return the lowest number and the size that are left, and how far each follower is."""
        done = self._done.copy()
        if done != self._stored_done:
            changed = ((seq, self._run_id, name) for name, seq in done.items() if self._stored_done[name] != seq)
            connection.executemany(_SQL_NOTE, changed)
        upto = min(done.values(), default=0)
        if most is not None:
            upto = min(upto, self._low + most - 1)
        if upto < self._low:
            return self._low, self.size, done
        (freed,) = connection.execute(_SQL_SIZE, (self._run_id, upto)).fetchone()
        connection.execute(_SQL_DELETE, (self._run_id, upto))
        return upto + 1, self.size - freed, done

    # -- a follower --------------------------------------------------------------------------------------------

    def pending(self, follower: str, most: int, most_bytes: int) -> list[Batch]:
        """Return the batches that ``follower`` is not done with; see the port. Raises StorageError."""
        values = (self._run_id, self._done[follower], self.offered, most)
        found: list[Batch] = []
        size = 0
        try:
            with closing(self._connection_of(follower).execute(_SQL_PENDING, values)) as rows:
                for seq, inbox, body in rows:
                    size += len(body)
                    if found and size > most_bytes:
                        break
                    found.append(Batch(self._run_id, self._account, seq, body, inbox_ids(inbox)))
        except sqlite3.Error as error:
            raise explanation(self._path, "read outbox", error) from error
        return found

    def done(self, follower: str, seq: int) -> None:
        """Note that ``follower`` has all batches up to ``seq``; never falls."""
        if seq > self._done[follower]:
            self._done[follower] = seq

    def close(self) -> None:
        """Close the connections of followers; they are opened again when they ask again."""
        while self._reading:
            self._reading.popitem()[1].close()

    def _connection_of(self, follower: str) -> sqlite3.Connection:
        connection = self._reading.get(follower)
        if connection is None:
            connection = self._reading[follower] = open_to_read(self._path, any_thread=True)
        return connection
