"""Reads the rows of runs page by page, as records and as bodies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import date
from typing import Any, Final, TypeAlias, TypeVar

import asyncpg

from qts.capital.contracts import Transfer
from qts.db.adapter import DayPnl, Query
from qts.db.batch import body_of, has_digest
from qts.db.contracts import ConfigRow, Record, RunRow, StrategyFile
from qts.db.decoding import CONFIG_COLUMNS, FILE_COLUMNS, RUN_COLUMNS, UNFIT
from qts.db.pages import PAGE, POSTGRES, Choice, Pages, digits
from qts.db.tables import APPEND_ONLY, BATCHES, BY_RECORD, LEDGER, REPLACED, TRANSFERS, Table
from qts.db.timescale.bodies import as_written, written
from qts.db.timescale.connecting import finish
from qts.db.timescale.failures import unexpected
from qts.db.timescale.pool import Pool
from qts.errors import ContractError, StateError

_R = TypeVar("_R", bound=Record)
_RUNS: Final = f"SELECT {RUN_COLUMNS} FROM qts.runs WHERE $1 = '' OR account = $1 ORDER BY run_id"  # noqa: S608
_CONFIGS: Final = f"SELECT {CONFIG_COLUMNS} FROM qts.configurations WHERE run_id = $1 ORDER BY version"  # noqa: S608
_FILES: Final = f"SELECT {FILE_COLUMNS} FROM qts.strategy_files WHERE run_id = $1 ORDER BY strategy, name"  # noqa: S608
_PROGRESS: Final = "SELECT applied, loading FROM qts.run_progress WHERE run_id = $1"
_BATCHES: Final = f"SELECT id, inbox FROM qts.{BATCHES} WHERE run_id = $1 AND id > $2 ORDER BY id LIMIT {PAGE}"  # noqa: S608
_FORMS: Final = (
    "SELECT id, place, form FROM qts.written_forms WHERE run_id = $1 AND of_table = $2 AND id BETWEEN $3 AND $4"
)


class Reader:
    """The reading part of an adapter; each page is a call of its own on a connection of the pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def runs(self, account: str) -> list[RunRow]:
        """Return the runs of an account, "" for all, by id."""
        rows = await self._pool.fetch("read the runs", _RUNS, account)
        return [RunRow(**(dict(row) | {"finished": bool(row["finished"])})) for row in rows]

    async def configs(self, run_id: str) -> list[ConfigRow]:
        """Return the configurations of a run, by version."""
        return [ConfigRow(*row) for row in await self._pool.fetch("read configurations", _CONFIGS, run_id)]

    async def strategy_files(self, run_id: str) -> list[StrategyFile]:
        """Return the files of the strategies of a run, by strategy and name."""
        return [StrategyFile(*row) for row in await self._pool.fetch("read strategy files", _FILES, run_id)]

    async def read(self, kind: type[_R], where: Query) -> AsyncIterator[_R]:
        """Iterate over the rows of one kind, see the port."""
        table = BY_RECORD.get(kind)
        if table is None:
            raise ContractError(f"a server cannot read a {kind.__name__}")
        pages = Pages(table, where, POSTGRES)
        while not pages.ended:
            rows = pages.turn(await self._pool.fetch(f"read {table.name}", pages.sql, *pages.values))
            for record in self._records(table, rows):
                yield record

    def _records(self, table: Table, rows: Sequence[Sequence[Any]]) -> list[Any]:
        if table is TRANSFERS:
            return self._transfers(rows)
        found = []
        for row in rows:
            try:
                found.append(table.decode(row))
            except UNFIT as error:
                raise unexpected(self._pool.place, f"table {table.name}, row {row[0]}", error) from error
        return found

    def _transfers(self, rows: Sequence[Sequence[Any]]) -> list[Transfer]:
        try:
            found: list[Transfer] = TRANSFERS.decode(rows)
        except UNFIT as error:
            raise unexpected(self._pool.place, f"table {TRANSFERS.name}", error) from error
        if [(leg[0], leg[1]) for leg in rows] != [(one.transfer_id, leg) for one in found for leg in (1, 2)]:
            raise unexpected(self._pool.place, f"table {TRANSFERS.name}", "two legs of a transfer stand apart")
        return found

    async def bodies(self, run_id: str, *, as_is: bool) -> AsyncIterator[bytes]:
        """Iterate over everything of a run as it is at one moment, see the port.

        Raises StateError when the run is not whole, unless it is to be given ``as_is``.
        """
        what = f"read run {run_id}"
        async with self._pool.connection(what) as connection:

            async def fetch(sql: str, *values: Any) -> list[asyncpg.Record]:
                """Return the rows of a query."""
                work = connection.fetch(sql, *values)
                return list(
                    await finish(connection, work, where=self._pool.place, what=what, stats=self._pool.stats)
                )

            async with connection.transaction(isolation="repeatable_read", readonly=True):
                for applied, loading in await fetch(_PROGRESS, run_id):
                    if not as_is:
                        self._require_whole(run_id, applied, loading)
                for table in (*APPEND_ONLY, *REPLACED):
                    async for rows in _written(fetch, run_id, table):
                        yield body_of({table.name: rows})
                last = 0
                while batches := await fetch(_BATCHES, run_id, last):
                    yield body_of({BATCHES: [list(row) for row in batches]})
                    last = batches[-1]["id"]

    def _require_whole(self, run_id: str, applied: int, loading: int) -> None:
        if applied < loading:
            raise StateError(
                f"{self._pool.place}: run {run_id} is not whole: a copy of it up to batch {loading} was begun, and "
                f"{applied} are applied; resume its session, which goes on with it"
            )

    async def daily_pnl(self, where: Query) -> list[DayPnl]:
        """Return what was realised, see the port; a fill without the market's date is of its day in UTC."""
        choice = Choice(LEDGER, where, POSTGRES)
        conditions = f"WHERE {' AND '.join(choice.conditions)}" if choice.conditions else ""
        sql = (
            f"SELECT account, run_id, {_DAY} AS day, pool, strategy_tag, sum(realized_pnl), sum(fee), sum(tax), "  # noqa: S608
            f"count(*) FROM qts.{LEDGER.name} {conditions} GROUP BY 1, 2, 3, 4, 5 "
            'ORDER BY account, run_id, day, pool COLLATE "C", strategy_tag COLLATE "C"'
        )
        rows = await self._pool.fetch("read the results of days", sql, *choice.values)
        return [
            DayPnl(
                account, run_id, date.fromisoformat(day), pool, strategy, digits(pnl), digits(fee), digits(tax), n
            )
            for account, run_id, day, pool, strategy, pnl, fee, tax, n in rows
        ]


_DAY: Final = (
    "coalesce(nullif(trade_date, ''), to_char(to_timestamp(timestamp / 1000000000) AT TIME ZONE 'UTC', "
    "'YYYY-MM-DD'))"
)
_Fetch: TypeAlias = Callable[..., Awaitable[list[asyncpg.Record]]]


async def _written(fetch: _Fetch, run_id: str, table: Table) -> AsyncIterator[list[list[Any]]]:
    """Iterate over the rows of a run in a table, as they were written, page by page."""
    pages = Pages(table, Query(run_id=run_id), POSTGRES, for_body=True)
    while not pages.ended:
        rows = [written(table, row) for row in pages.turn(await fetch(pages.sql, *pages.values))]
        if rows and has_digest(table.name):
            by_id = {row[0]: row for row in rows}
            for id_, place, form in await fetch(_FORMS, run_id, table.name, rows[0][0], rows[-1][0]):
                row = by_id.get(id_, [])
                if 0 <= place < len(row) and isinstance(row[place], str):
                    row[place] = as_written(row[place], form)
        if rows:
            yield rows
