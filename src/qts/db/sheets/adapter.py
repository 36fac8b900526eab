"""A spreadsheet of Google Sheets as a follower of the local books: the port for what a spreadsheet can hold.

It holds fills, positions, the files of the strategies and the configurations, in tabs of each run, and one row for
each run with its progress. The local book is what counts: nothing reads a spreadsheet for money.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final, TypeVar

import msgspec

from qts.clock import NS_PER_S
from qts.db import tables
from qts.db.adapter import Capabilities, DayPnl, Query, RunCopy, TickBlock
from qts.db.batch import Batch, rows_of
from qts.db.contracts import ConfigRow, Record, RunRow, StrategyFile
from qts.db.day_results import results_of
from qts.db.sheets import reading
from qts.db.sheets.access import SheetsAccess
from qts.db.sheets.claims import Claims, refuse_account
from qts.db.sheets.client import SheetsClient
from qts.db.sheets.comparing import altered_rows
from qts.db.sheets.pacing import Pacing, pacing_of
from qts.db.sheets.run_sheet import RunSheet
from qts.db.sheets.runs import Progress, begun, changed_by
from qts.db.sheets.runs_tab import RunsTab
from qts.db.sheets.session import SignedSession
from qts.db.sheets.tabs import BY_TABLE, CONFIG, LEDGER, POSITIONS, STRATEGIES, Layout, file_of, of_config, of_file
from qts.db.sheets_config import SheetsConfig
from qts.db.unfit_rows import refuse_unfit
from qts.errors import BatchRefused, ContractError, Gap, InputError, StateError, StorageError, Unavailable
from qts.market.contracts import Bar

SERVER: Final = "Google Sheets API v4"
_R = TypeVar("_R", bound=Record)
_TABLES: Final = {table.name: table for table in (*tables.APPEND_ONLY, *tables.REPLACED)}
_HAS: Final = ", ".join(BY_TABLE)
_LACKS: Final = (
    f"it has the tables {_HAS}, the files of strategies and the configurations; all else is in the local book",
    "it keeps no one out: who writes a run is told by its row in the tab of all runs, and a process that does not "
    "look there can write as well",
)
_ASKED_S: Final = 30
"""How long what was last found counts as the answer to :meth:`GoogleSheetsAdapter.applied`, in s."""
_RELEASE_S: Final = 5.0
_MOST_TOLD: Final = 100


class GoogleSheetsAdapter:
    """The :class:`~qts.db.adapter.DataSourceAdapter` over the spreadsheet of ``access``.

    ``pacing`` is shared by all adapters of the spreadsheet in this process; None: it has its own.
    """

    def __init__(
        self, access: SheetsAccess, config: SheetsConfig | None = None, pacing: Pacing | None = None
    ) -> None:
        config = config or SheetsConfig()
        pacing = pacing or pacing_of(config)
        self._name = f"spreadsheet {access.spreadsheet_id}"
        self._clock = pacing.clock
        self._client = SheetsClient(
            access, config, lambda: SignedSession(access, config.base_url, config.timeout_s), pacing
        )
        self._runs = RunsTab(self._client, self._tell)
        self._sheets: dict[str, RunSheet] = {}
        self._claims = Claims(self._runs, self._clock, self._name)
        self._told: list[str] = []
        self._is_open = False
        self._one_writes = asyncio.Lock()

    @property
    def capabilities(self) -> Capabilities:
        """Return what a spreadsheet can do. Raises StateError before :meth:`open`."""
        self._require_open()
        return Capabilities(server=SERVER, ticks=False, tables=tuple(BY_TABLE), lacks=_LACKS)

    @property
    def warnings(self) -> Sequence[str]:
        """Return what a person has to be told, of tabs that someone changed; it grows. Raises StateError."""
        self._require_open()
        return tuple(self._told)

    async def open(self) -> None:
        """Open the spreadsheet and look for the runs; changes nothing there."""
        if self._is_open:
            raise StateError(f"{self._name} is open already")
        try:
            await self._client.open()
            self._is_open = True
            await self._runs.read()
        except BaseException:
            self._is_open = False
            self._client.close()
            raise

    async def close(self) -> None:
        """Let go of what was claimed and of the connections; may be called twice."""
        if self._is_open:
            with suppress(StorageError, InputError, TimeoutError):
                async with asyncio.timeout(_RELEASE_S), self._one_writes:
                    await self._claims.give_up()
        self._is_open = False
        self._sheets.clear()
        self._claims.end()
        self._client.close()

    # -- runs --------------------------------------------------------------------------------------------------

    async def claim(self, run: RunRow, *, whole_account: bool) -> int:
        """Make this the writer of the run, or of its account, until :meth:`close`; return the epoch."""
        self._require_open()
        async with self._one_writes:
            found = await self._claims.claim(run, whole_account=whole_account)
            self._sheets.pop(run.run_id, None)
            self._sheet(run.run_id).progress = found
            return found.epoch

    async def put_run(self, run: RunRow, files: Sequence[StrategyFile], configs: Sequence[ConfigRow]) -> None:
        """Write down the run, its files and configurations, or what has changed."""
        self._require_open()
        async with self._one_writes:
            sheet = self._sheet(run.run_id)
            await self._put_run(sheet, await sheet.settle(), run, files, configs, loading=0)

    async def apply(self, batches: Sequence[Batch]) -> int:
        """Apply batches of one run by one call and return the newest applied.

        Batches of epoch 0 are written with the epoch of this adapter's claim.
        """
        if not batches:
            raise ContractError("no batches were given to apply")
        first = batches[0]
        if any((batch.run_id, batch.account) != (first.run_id, first.account) for batch in batches):
            raise ContractError("batches of several runs were sent together; send those of each run by themselves")
        self._require_open()
        async with self._one_writes:
            sheet = self._sheet(first.run_id)
            progress = await sheet.settle()
            if progress is None or not progress.is_known:
                raise Gap(first.run_id, 1, first.seq)  # what has no run yet needs its whole copy
            progress = self._claims.admitted(progress, first.run_id, first.account, first.epoch)
            newest = progress.applied
            rows: dict[Layout, list[list[Any]]] = {}
            for batch in batches:
                if batch.seq <= newest:
                    continue
                if batch.seq != newest + 1:
                    raise Gap(batch.run_id, newest + 1, batch.seq)
                _take(rows, batch.body, batch.account)
                newest = batch.seq
            if newest > progress.applied:
                loading = progress.loading if progress.loading > newest else 0
                await sheet.write(msgspec.structs.replace(progress, applied=newest, loading=loading), rows)
            return newest

    async def applied(self, run_id: str) -> int:
        """Return the number of the newest applied batch of the run, 0 for none.

        The tabs of a run that this adapter has claimed are looked at, 0 when someone has changed one; from time to
        time it is written down that its writer is there.
        """
        self._require_open()
        async with self._one_writes:
            if not self._claims.has(run_id):
                progress = (await self._runs.read()).get(run_id)
            else:
                sheet = self._sheet(run_id)
                asked_ns = sheet.settled_ns
                is_fresh = asked_ns is not None and self._clock.monotonic_ns() - asked_ns < _ASKED_S * NS_PER_S
                progress = sheet.progress if is_fresh else await sheet.settle()
                if progress is not None and self._claims.is_to_be_seen(progress):
                    await sheet.write(progress, {})
                    progress = sheet.progress
            return progress.applied if progress is not None and progress.is_known else 0

    async def load(self, copy: RunCopy, epoch: int = 0) -> int:
        """Write everything of ``copy``, part by part, and count its batches as applied; return their number."""
        self._require_open()
        run = copy.run
        async with self._one_writes:
            sheet = self._sheet(run.run_id)
            progress = await sheet.settle()
            if progress is not None:
                progress = self._claims.admitted(progress, run.run_id, run.account, epoch)
                if progress.is_known and progress.applied >= copy.seq:
                    return progress.applied
            replaced = sheet.replaced
            await self._put_run(sheet, progress, run, copy.files, copy.configs, loading=copy.seq)
            for body in copy.bodies:
                rows: dict[Layout, list[list[Any]]] = {}
                _take(rows, body, run.account)
                if rows:
                    await sheet.write(await self._still(sheet, run, epoch, replaced), rows)
            progress = await self._still(sheet, run, epoch, replaced)
            if not copy.is_whole:
                return progress.applied
            newest = max(progress.applied, copy.seq)
            loading = progress.loading if progress.loading > newest else 0
            await sheet.write(msgspec.structs.replace(progress, applied=newest, loading=loading), {})
            return newest

    async def runs(self, account: str = "") -> Sequence[RunRow]:
        """Return the runs, or those of an account, by id."""
        return [one.run for one in await self._known(Query(account=account))]

    async def configs(self, run_id: str) -> Sequence[ConfigRow]:
        """Return the configurations of a run, by version."""
        rows = [ConfigRow(*row) for row in await self._all_of(CONFIG, run_id)]
        return sorted(rows, key=lambda row: row.version)

    async def strategy_files(self, run_id: str) -> Sequence[StrategyFile]:
        """Return the files of the strategies of a run, by strategy and name."""
        rows = [file_of(row) for row in await self._all_of(STRATEGIES, run_id)]
        return sorted(rows, key=lambda row: (row.strategy, row.name))

    async def read(self, kind: type[_R], where: Query) -> AsyncIterator[_R]:
        """Iterate over fills by run and number, or positions by run and key; other kinds raise InputError."""
        table = tables.BY_RECORD[kind]
        layout = BY_TABLE.get(table.name)
        if layout is None:
            raise InputError(
                f"{self._name} has no table {table.name}; it has {_HAS}; read others from the local book or a "
                "database"
            )
        for progress in await self._known(where):
            async for values in reading.rows(self._client, progress, layout):
                if reading.is_chosen(table, values, where):
                    yield reading.record(progress, layout, table, values)

    async def bodies(self, run_id: str, *, as_is: bool = False) -> AsyncIterator[bytes]:
        """Iterate over the fills and positions of a run.

        Raises StateError when they are not whole, StorageError for a row that someone changed, but not ``as_is``.
        """
        for progress in await self._known(Query(run_id=run_id)):
            if not (progress.is_whole or as_is):
                raise StateError(
                    f"{self._name}: run {run_id} is not whole: a copy of it up to batch {progress.loading} was "
                    f"begun, and {progress.applied} are applied; resume its session, which goes on with it"
                )
            for layout in (LEDGER, POSITIONS):
                async for body in reading.bodies(self._client, progress, layout, whole=not as_is):
                    yield body

    async def daily_pnl(self, where: Query) -> Sequence[DayPnl]:
        """Return what was realised, by account, run, day, pool and strategy."""
        return await results_of(self, where)

    async def altered(self, run_id: str) -> tuple[str, ...]:
        """Return, in sentences, what someone changed in the tabs of a run since it was written there.

        Rows are compared with their own ``check``; of many rows a part each time. A tab that is found changed is
        left alone at the next write, and a fresh one is written from the local book.
        """
        self._require_open()
        async with self._one_writes:
            progress = (await self._runs.read()).get(run_id)
            if progress is None:
                return ()
            sheet = self._sheet(run_id)
            found = await altered_rows(self._client, progress, sheet.looked_at)
            for title in found:
                sheet.leave(title)
            return tuple(sentence for sentences in found.values() for sentence in sentences)

    # -- market values -----------------------------------------------------------------------------------------

    async def append_ticks(self, block: TickBlock) -> int:
        """Raise InputError: a spreadsheet holds no market values."""
        raise self._no_market_values()

    async def ticks(self, symbol: str, start_ns: int, end_ns: int) -> AsyncIterator[TickBlock]:
        """Raise InputError: a spreadsheet holds no market values."""
        if not self.capabilities.ticks:
            raise self._no_market_values()
        yield TickBlock(0, ())

    async def ohlcv(self, symbol: str, interval: timedelta, start_ns: int, end_ns: int) -> Sequence[Bar]:
        """Raise InputError: a spreadsheet holds no market values, of which bars are made."""
        raise self._no_market_values()

    # -- inside ------------------------------------------------------------------------------------------------

    def _require_open(self) -> None:
        if not self._is_open:
            raise StateError(f"{self._name} is not open")

    def _no_market_values(self) -> InputError:
        return InputError(
            f"{self._name} holds no market values; record them with --db on a database, or in a file of bars"
        )

    def _tell(self, sentence: str) -> None:
        if sentence not in self._told and len(self._told) < _MOST_TOLD:
            self._told.append(sentence)

    def _sheet(self, run_id: str) -> RunSheet:
        sheet = self._sheets.get(run_id)
        if sheet is None:
            sheet = RunSheet(self._client, self._runs, run_id, self._clock, self._tell)
            self._sheets[run_id] = sheet
        return sheet

    async def _still(self, sheet: RunSheet, run: RunRow, epoch: int, replaced: int) -> Progress:
        """Return the progress within a copy. Raises Unavailable when what was copied so far has to be again."""
        progress = await sheet.settle()
        if progress is None or sheet.replaced != replaced:
            raise Unavailable(f"{self._name}: someone changed a tab of run {run.run_id} while it was being copied")
        return self._claims.admitted(progress, run.run_id, run.account, epoch)

    async def _put_run(
        self,
        sheet: RunSheet,
        former: Progress | None,
        run: RunRow,
        files: Sequence[StrategyFile],
        configs: Sequence[ConfigRow],
        *,
        loading: int,
    ) -> None:
        """Write a run, its files and configurations where they are not there or have changed."""
        refuse_account(former or begun(run), run.account)
        progress = changed_by(former, run, loading)
        if former is None:
            progress = self._claims.ours(progress)  # its row was taken away
        found = {
            STRATEGIES: _new(sheet, STRATEGIES, [of_file(file) for file in files]),
            CONFIG: _new(sheet, CONFIG, [of_config(config) for config in configs]),
        }
        rows = {layout: new for layout, new in found.items() if new}
        if former is None or not former.is_known:
            rows = {LEDGER: [], POSITIONS: [], CONFIG: [], **rows}  # its tabs are made by one call
        if progress != former or rows:
            await sheet.write(progress, rows)

    async def _known(self, where: Query) -> list[Progress]:
        """Return the progress of the runs that are chosen, by id."""
        self._require_open()
        async with self._one_writes:
            runs = await self._runs.read()
        return [
            runs[run_id]
            for run_id in sorted(runs)
            if runs[run_id].is_known
            and where.run_id in ("", run_id)
            and where.account in ("", runs[run_id].run.account)
        ]

    async def _all_of(self, layout: Layout, run_id: str) -> list[list[Any]]:
        found: list[list[Any]] = []
        for progress in await self._known(Query(run_id=run_id)):
            found += [values async for values in reading.rows(self._client, progress, layout)]
        return found


def _take(rows: dict[Layout, list[list[Any]]], body: bytes, account: str) -> None:
    """Add the rows of a body that a spreadsheet has a tab for. Raises BatchRefused for one that cannot be held."""
    found: Mapping[str, list[list[Any]]] = rows_of(body)
    for name, values in found.items():
        if name == tables.BATCHES:
            continue
        if name not in _TABLES:
            raise BatchRefused(f"table {name!r} is not known: the batch is of another version of QTS")
        layout = BY_TABLE.get(name)
        if layout is not None:
            refuse_unfit(_TABLES[name], values, account)
            rows.setdefault(layout, []).extend(values)


def _new(sheet: RunSheet, layout: Layout, rows: list[list[Any]]) -> list[list[Any]]:
    """Return the rows that are not there yet."""
    new = sheet.new_keys(layout, [layout.key_of(row) for row in rows])
    return [row for row in rows if layout.key_of(row) in new]
