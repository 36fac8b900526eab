"""The connection that batches are written over, kept for that alone, so that readers never take it away."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

import asyncpg
import msgspec

from qts.db.access import Access
from qts.db.adapter import RunCopy
from qts.db.batch import Batch, body_of, rows_of, without_nul
from qts.db.contracts import ConfigRow, RunRow, StrategyFile
from qts.db.tables import inbox_text
from qts.db.timescale.bodies import forms_of, sendable
from qts.db.timescale.connecting import connect, finish
from qts.db.timescale.failures import GAP, Failure, TooLong, explained, is_refusal, is_worth_another_try
from qts.db.timescale.server_checks import QUERY, why_not_writable
from qts.db.timescale.stats import AdapterStats
from qts.errors import BatchRefused, ContractError, Gap, InputError, QtsError, Unavailable
from qts.wording import printable

_T = TypeVar("_T")
_PUT_RUN_S: Final = 10.0
"""How long a run may take to be written down: 16 round trips at first, so a second each would be too long."""
_TRIES: Final = 4
"""How often a transaction is tried that the server ends in favour of others."""
_MOST_BATCHES: Final = 1_000
"""The batches of a call, on a server and over a line that are fast enough."""
_APPLY: Final = "SELECT qts.qts_apply($1, $2, $3, $4, $5, $6, $7)"
_LOAD: Final = "SELECT qts.qts_load($1, $2, $3, $4, $5, $6)"
_CLAIM: Final = "SELECT qts.qts_claim($1, $2, $3, $4, $5, $6)"
_PROGRESS: Final = "SELECT account, applied, loading FROM qts.qts_progress($1, $2)"
_OF_RUN: Final = "SELECT account, applied, loading FROM qts.run_progress WHERE run_id = $1"
_APPLIED: Final = "SELECT applied FROM qts.run_progress WHERE run_id = $1"
_NEW_PROGRESS: Final = "INSERT INTO qts.run_progress (run_id, account) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_PUT_RUN: Final = """
INSERT INTO qts.runs AS r
  (run_id, command, seed, source_id, config_hash, started_at, finished, result, account)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (run_id) DO UPDATE
SET started_at = excluded.started_at, finished = excluded.finished, result = excluded.result
WHERE (excluded.finished = 1 AND (r.finished, r.result) <> (1, excluded.result))
  OR ($10 AND r.started_at <> excluded.started_at)
"""
"""$10: nothing of the run is applied, so that what was written of it by a session that ended before is replaced."""
_PUT_FILES: Final = """
INSERT INTO qts.strategy_files (run_id, strategy, class_name, name, digest)
SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::bytea[], $5::text[]) ON CONFLICT DO NOTHING
"""
_PUT_CONFIGS: Final = """
INSERT INTO qts.configurations (run_id, version, config_hash, timestamp, actor, reason, settings)
SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[])
ON CONFLICT DO NOTHING
"""
_REFUSED: Final = "SELECT of_table, row_of_table, reason FROM qts.qts_refused($1, $2, $3, $4)"


class _Claim(msgspec.Struct, frozen=True):
    """A claim of a run and its epoch."""

    run_id: str
    account: str
    whole_account: bool
    epoch: int


class Ledger:
    """The writing part of an adapter; its methods wait for each other.

    A connection that was lost is made again by the next call, which also goes on with the claims that were made.
    """

    def __init__(self, access: Access, stats: AdapterStats) -> None:
        self._access, self._stats = access, stats
        self._connection: asyncpg.Connection | None = None
        self._pid = self._lost_pid = 0
        """The server's process of the connection, and of the one before; one that has ended cannot be asked."""
        self._claims: dict[str, _Claim] = {}
        self._free = asyncio.Lock()
        self._most = _MOST_BATCHES

    async def open(self) -> asyncpg.Connection:
        """Return the connection, made when there is none. Raises InputError, Fenced and Unavailable."""
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        self._note_lost()
        connection = await connect(self._access, "qts ledger", self._stats)
        try:
            await self._go_on(connection)
        except BaseException:
            connection.terminate()
            raise
        self._connection, self._pid = connection, connection.get_server_pid()
        return connection

    async def close(self) -> None:
        """End the connection; the server has let go of the claims when this returns, if it answers."""
        connection, self._connection = self._connection, None
        self._claims.clear()
        self._lost_pid = 0
        if connection is not None and not connection.is_closed():
            try:
                await connection.close(timeout=1)
            except Failure:
                connection.terminate()

    # -- writing -----------------------------------------------------------------------------------------------

    async def claim(self, run: RunRow, *, whole_account: bool) -> int:
        """Take the right to write the run, see the port."""
        if self._access.pooled:
            raise InputError(
                f"{self._access.place}: a claim belongs to a connection, and the pooler changes it with each "
                "transaction: give the server's own port, or a pooler of sessions, to write"
            )
        claim = _Claim(run.run_id, run.account, whole_account, 0)
        epoch = await self._call(f"claim run {run.run_id}", lambda one: self._claimed(one, claim))
        self._claims[run.run_id] = msgspec.structs.replace(claim, epoch=epoch)
        return epoch

    async def put_run(
        self, run: RunRow, files: Sequence[StrategyFile], configs: Sequence[ConfigRow], epoch: int = 0
    ) -> None:
        """Write down the run, see the port."""

        async def put(connection: asyncpg.Connection) -> None:
            """Write it in one transaction."""
            async with connection.transaction(isolation="read_committed"):
                await connection.execute(_NEW_PROGRESS, run.run_id, run.account)
                progress = await connection.fetchrow(_PROGRESS, run.run_id, self._epoch_of(run.run_id, epoch))
                if progress["account"] != run.account:
                    raise BatchRefused(
                        f"{self._access.place}: run {run.run_id} is of account {progress['account']} there, and "
                        f"was sent as one of account {run.account}"
                    )
                is_empty = not (progress["applied"] or progress["loading"])
                await connection.execute(_PUT_RUN, *_sent(run), is_empty)
                await connection.execute(_PUT_FILES, run.run_id, *_columns(files, 4))
                await connection.execute(_PUT_CONFIGS, run.run_id, *_columns(configs, 6))

        await self._call(f"write down run {run.run_id}", put, seconds=_PUT_RUN_S)

    async def apply(self, batches: Sequence[Batch]) -> int:
        """Apply batches, see the port: one call of the server, one round trip; more where one takes too long."""
        first = batches[0] if batches else None
        if first is None or any(
            (batch.run_id, batch.seq) != (first.run_id, seq) for seq, batch in enumerate(batches, first.seq)
        ):
            raise ContractError("batches are applied together that are of one run and follow each other")
        while True:
            now, batches = batches[: self._most], batches[self._most :]
            try:
                applied = await self._apply(now)
            except Unavailable as error:  # less of it may be done in time, at once or when the server is back
                self._most = max(len(now) // 2, 1)
                if not isinstance(error, TooLong) or len(now) == 1:
                    raise
                batches = [*now, *batches]
                continue
            if not batches:
                self._most = min(self._most + self._most // 4 + 1, _MOST_BATCHES)
                return applied

    async def _apply(self, batches: Sequence[Batch]) -> int:
        first = batches[0]
        bodies = [sendable(batch.body) for batch in batches]
        inboxes = [inbox_text(batch.inbox) for batch in batches]
        forms = forms_of([batch.body for batch in batches])
        epoch = self._epoch_of(first.run_id, first.epoch)
        what = f"apply batch {first.seq} of run {first.run_id}"
        return await self._write(
            what,
            lambda one: one.fetchval(_APPLY, first.run_id, first.seq, epoch, bodies, inboxes, forms, first.account),
            run_id=first.run_id,
            got=first.seq,
            bodies=bodies,
            is_again=False,
        )

    async def load(self, copy: RunCopy, epoch: int) -> int:
        """Load a copy of a run, see the port: part by part, each wholly or not at all."""
        run_id, seq = copy.run.run_id, copy.seq
        epoch = self._epoch_of(run_id, epoch)
        await self.put_run(copy.run, copy.files, copy.configs, epoch)
        applied = await self.applied(run_id)
        if applied >= seq:
            return applied

        async def part(body: str, forms: str | None, *, is_last: bool) -> int:
            """Write one part."""
            return await self._write(
                f"load run {run_id}",
                lambda one: one.fetchval(_LOAD, run_id, epoch, seq, body, is_last, forms),
                run_id=run_id,
                got=seq,
                bodies=[body],
                is_again=True,
            )

        async def parts(body: bytes) -> None:
            """Write a part, in halves where it takes too long."""
            try:
                await part(sendable(body), forms_of([body]), is_last=False)
            except TooLong:
                halves = _halves(body)
                if len(halves) == 1:
                    raise
                for half in halves:
                    await parts(half)

        for body in copy.bodies:
            await parts(body)
        return await part("{}", None, is_last=copy.is_whole)

    async def applied(self, run_id: str) -> int:
        """Return the number of the newest applied batch, 0 for none."""
        found = await self._call(f"ask for run {run_id}", lambda one: one.fetchval(_APPLIED, run_id))
        return int(found or 0)

    # -- calls -------------------------------------------------------------------------------------------------

    async def _write(
        self,
        what: str,
        work: Callable[[asyncpg.Connection], Coroutine[Any, Any, Any]],
        *,
        run_id: str,
        got: int,
        bodies: Sequence[str],
        is_again: bool,
    ) -> int:
        """Return what ``work`` returns. Raises Gap, and BatchRefused with the row that the server does not take."""
        try:
            return int(await self._call(what, work, raw=True))
        except asyncpg.PostgresError as error:
            if error.sqlstate == GAP:
                raise Gap(run_id, int(getattr(error, "detail", None) or 1), got) from error
            if not is_refusal(error):
                raise explained(error, self._access.place, what) from error
            raise await self._refusal(
                explained(error, self._access.place, what), what, run_id, bodies, is_again
            ) from error
        except asyncpg.exceptions.DataError as error:
            raise explained(error, self._access.place, what) from error

    async def _refusal(
        self, general: QtsError, what: str, run_id: str, bodies: Sequence[str], is_again: bool
    ) -> QtsError:
        """Return the error that names the rows which are refused: each is tried alone, and taken back."""

        async def try_each(connection: asyncpg.Connection) -> list[asyncpg.Record]:
            """Ask for the rows that are refused."""
            transaction = connection.transaction(isolation="read_committed")
            await transaction.start()
            try:
                progress = await connection.fetchrow(_OF_RUN, run_id)
                again = is_again or progress["loading"] > progress["applied"]
                return list(await connection.fetch(_REFUSED, run_id, progress["account"], bodies, again))
            finally:
                await transaction.rollback()

        try:
            rows = await self._call(what, try_each)
        except QtsError:
            return general
        if not rows:
            return general
        named = "; ".join(
            f"table {row['of_table']}, row {row['row_of_table']}: {printable(row['reason'])}" for row in rows
        )
        return BatchRefused(f"{self._access.place}: cannot {what}: {named}")

    async def _call(
        self,
        what: str,
        work: Callable[[asyncpg.Connection], Coroutine[Any, Any, _T]],
        *,
        raw: bool = False,
        seconds: float | None = None,
    ) -> _T:
        """Return what ``work`` returns for the connection; tried again when the server ended it for others.

        ``raw``: what the server refuses comes as asyncpg's error. ``seconds``: its deadline, None for ``CALL_S``.
        """
        async with self._free:
            for left in reversed(range(_TRIES)):
                connection = await self.open()
                try:
                    return await self._finish(connection, what, work(connection), seconds)
                except Failure as error:
                    if is_worth_another_try(error) and left:
                        self._stats.again += 1
                        continue
                    if isinstance(error, asyncpg.InternalClientError):
                        connection.terminate()  # it no longer knows what the server answers to
                    if raw and isinstance(error, asyncpg.PostgresError) and not connection.is_closed():
                        raise
                    raise explained(error, self._access.place, what) from error
        raise AssertionError("the last try returns or raises")

    def _epoch_of(self, run_id: str, given: int) -> int:
        claim = self._claims.get(run_id)
        return given or (0 if claim is None else claim.epoch)

    # -- connections that are made again -----------------------------------------------------------------------

    def _note_lost(self) -> None:
        if self._connection is not None:
            self._lost_pid, self._connection = self._pid, None

    async def _go_on(self, connection: asyncpg.Connection) -> None:
        """Look whether the server still takes writes, and go on with the claims."""
        if not self._claims:
            return
        what = "go on writing"
        try:
            found = await self._finish(connection, what, connection.fetchrow(QUERY))
            if why := why_not_writable(found):
                raise Unavailable(f"{self._access.place}: {why}")
            for claim in self._claims.values():
                await self._finish(connection, what, self._claimed(connection, claim))
        except Failure as error:
            raise explained(error, self._access.place, what) from error

    async def _finish(
        self, connection: asyncpg.Connection, what: str, work: Coroutine[Any, Any, _T], seconds: float | None = None
    ) -> _T:
        place, stats = self._access.place, self._stats
        return await finish(connection, work, where=place, what=what, stats=stats, seconds=seconds)

    async def _claimed(self, connection: asyncpg.Connection, claim: _Claim) -> int:
        return int(
            await connection.fetchval(
                _CLAIM, claim.run_id, claim.account, claim.whole_account, claim.epoch, self._lost_pid, _holder()
            )
        )


def _halves(body: bytes) -> list[bytes]:
    """Return the rows of a body in two bodies; in one when there are no two rows."""
    rows = [(name, row) for name, found in rows_of(body).items() for row in found]
    middle = len(rows) // 2
    found = []
    for half in (rows[:middle], rows[middle:]):
        of_tables: dict[str, list[list[Any]]] = {}
        for name, row in half:
            of_tables.setdefault(name, []).append(row)
        found.append(body_of(of_tables))
    return found if middle else [body]


def _holder() -> str:
    """Return how another process is told who holds a claim."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def _sent(row: msgspec.Struct) -> list[Any]:
    """Return the values of a row as they are sent: texts without NUL, flags as numbers."""
    values = msgspec.structs.astuple(row)
    return [
        without_nul(value) if isinstance(value, str) else int(value) if isinstance(value, bool) else value
        for value in values
    ]


def _columns(rows: Sequence[msgspec.Struct], count: int) -> list[list[Any]]:
    """Return ``rows`` as ``count`` columns."""
    sent = [_sent(row) for row in rows]
    return [[row[place] for row in sent] for place in range(count)]
