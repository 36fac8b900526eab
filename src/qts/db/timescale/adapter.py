"""The adapter for PostgreSQL: the port's methods, each handed to the part that does it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar

import asyncpg

from qts.db.access import Access
from qts.db.adapter import Capabilities, DayPnl, Query, RunCopy, TickBlock
from qts.db.batch import Batch
from qts.db.contracts import ConfigRow, Record, RunRow, StrategyFile
from qts.db.postgres.drift import check_schema
from qts.db.ticks.connecting import connect_for_ticks
from qts.db.ticks.tick_store import TickStore
from qts.db.timescale.connecting import finish
from qts.db.timescale.failures import Failure, explained
from qts.db.timescale.ledger import Ledger
from qts.db.timescale.pool import LEAST, MOST, Pool
from qts.db.timescale.reading import Reader
from qts.db.timescale.server_checks import QUERY, Findings, check_server
from qts.db.timescale.stats import AdapterStats
from qts.errors import StateError
from qts.market.contracts import Bar

_R = TypeVar("_R", bound=Record)
_SCHEMA_S: Final = 30.0
"""How long the look at the schema may take: it makes the same one beside it, and takes it back."""


class TimescaleDBAdapter:
    """The :class:`~qts.db.adapter.DataSourceAdapter` of PostgreSQL 15 to 18, with TimescaleDB or without.

    Its objects are in the schema ``qts``, which every statement names: no search path is relied on. Batches go over
    a connection of their own, and so do market values; runs are read over a pool of ``pool_least`` to ``pool_most``
    that is made when it is first needed. ``live``: the runs have a real broker, so a server that may lose what it
    has confirmed is refused; else it is a warning.
    """

    def __init__(
        self, access: Access, *, live: bool = True, pool_least: int = LEAST, pool_most: int = MOST
    ) -> None:
        self._access, self._live = access, live
        self.stats = AdapterStats()
        self._ledger = Ledger(access, self.stats)
        self._pool = Pool(access, self.stats, least=pool_least, most=pool_most)
        self._reader = Reader(self._pool)
        self._ticks = TickStore(partial(connect_for_ticks, access, "qts ticks"), access.place)
        self._findings: Findings | None = None

    @property
    def place(self) -> str:
        """Return user, host and database, as a person is told where the server is."""
        return self._access.place

    @property
    def capabilities(self) -> Capabilities:
        """Return what the server can do. Raises StateError before :meth:`open`."""
        return self._require_open().capabilities

    @property
    def warnings(self) -> Sequence[str]:
        """Return sentences that a person has to be told once. Raises StateError before :meth:`open`."""
        found = self._require_open()
        return (*self._access.notes, *found.warnings, *found.capabilities.lacks)

    def _require_open(self) -> Findings:
        if self._findings is None:
            raise StateError(f"{self.place}: an adapter is used when it was opened, and until it is closed")
        return self._findings

    async def open(self) -> None:
        """Connect and check server and schema; see the port. Behind Unavailable it may be called again."""
        if self._findings is not None:
            raise StateError(f"{self.place}: the adapter is open already")
        connection = await self._ledger.open()
        what = "look at the server"
        try:
            found = await self._finish(connection, what, connection.fetchrow(QUERY))
            findings = check_server(found, self.place, live=self._live)
            schema = check_schema(connection, self.place)
            await self._finish(connection, "look at the schema", schema, seconds=_SCHEMA_S)
        except Failure as error:
            await self._ledger.close()
            raise explained(error, self.place, what) from error
        except BaseException:
            await self._ledger.close()
            raise
        self._findings = findings

    async def close(self) -> None:
        """Let go of all connections and claims."""
        self._findings = None
        await self._ticks.close()
        await self._pool.close()
        await self._ledger.close()

    # -- runs --------------------------------------------------------------------------------------------------

    async def claim(self, run: RunRow, *, whole_account: bool) -> int:
        """Make this the only writer of the run; see the port. Raises InputError behind a pooler of transactions."""
        return await self._writes.claim(run, whole_account=whole_account)

    async def put_run(self, run: RunRow, files: Sequence[StrategyFile], configs: Sequence[ConfigRow]) -> None:
        """Write down the run, its files and configurations; see the port."""
        await self._writes.put_run(run, files, configs)

    async def apply(self, batches: Sequence[Batch]) -> int:
        """Apply batches of one run in one round trip; see the port.

        Batches of epoch 0 are written with the epoch of this adapter's claim.
        """
        return await self._writes.apply(batches)

    async def applied(self, run_id: str) -> int:
        """Return the number of the newest applied batch of the run, 0 for none."""
        return await self._writes.applied(run_id)

    async def load(self, copy: RunCopy, epoch: int = 0) -> int:
        """Write everything of ``copy``; see the port."""
        return await self._writes.load(copy, epoch)

    async def runs(self, account: str = "") -> Sequence[RunRow]:
        """Return the runs, or those of an account, by id."""
        return await self._reads.runs(account)

    async def configs(self, run_id: str) -> Sequence[ConfigRow]:
        """Return the configurations of a run, by version."""
        return await self._reads.configs(run_id)

    async def strategy_files(self, run_id: str) -> Sequence[StrategyFile]:
        """Return the files of the strategies of a run, by strategy and name."""
        return await self._reads.strategy_files(run_id)

    def read(self, kind: type[_R], where: Query) -> AsyncIterator[_R]:
        """Iterate over the rows of one kind; see the port."""
        return self._reads.read(kind, where)

    def bodies(self, run_id: str, *, as_is: bool = False) -> AsyncIterator[bytes]:
        """Iterate over everything of a run at one moment; see the port. Raises StateError when it is not whole."""
        return self._reads.bodies(run_id, as_is=as_is)

    async def altered(self, run_id: str) -> tuple[str, ...]:
        """Return (): the rights of its roles say who may change rows."""
        return ()

    async def daily_pnl(self, where: Query) -> Sequence[DayPnl]:
        """Return what was realised, by account, run, day, pool and strategy; see the port."""
        return await self._reads.daily_pnl(where)

    # -- market values -----------------------------------------------------------------------------------------

    async def append_ticks(self, block: TickBlock) -> int:
        """Store market values and return how many were new; see the port."""
        return await self._values.append(block)

    def ticks(self, symbol: str, start_ns: int, end_ns: int) -> AsyncIterator[TickBlock]:
        """Iterate over the values of a symbol, by time and number; see the port."""
        return self._values.ticks(symbol, start_ns, end_ns)

    async def ohlcv(self, symbol: str, interval: timedelta, start_ns: int, end_ns: int) -> Sequence[Bar]:
        """Return bars of any interval; see the port."""
        return await self._values.ohlcv(symbol, interval, start_ns, end_ns)

    # -- its parts, once it is open ----------------------------------------------------------------------------

    @property
    def _writes(self) -> Ledger:
        self._require_open()
        return self._ledger

    @property
    def _reads(self) -> Reader:
        self._require_open()
        return self._reader

    @property
    def _values(self) -> TickStore:
        self._require_open()
        return self._ticks

    async def _finish(
        self, connection: asyncpg.Connection, what: str, work: Any, seconds: float | None = None
    ) -> Any:
        return await finish(connection, work, where=self.place, what=what, stats=self.stats, seconds=seconds)
