"""A second copy of runs in a file of SQLite: the :class:`~qts.db.adapter.DataSourceAdapter` without a server.

The file may be on another disk or mount than the local books, and holds many runs and accounts. Its schema is
``schema/sqlite_server``; :func:`migrate_file` makes it. Calls run one behind the other on one thread of the
adapter.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from qts.db import sqlite_pages, sqlite_runs, sqlite_values, tables
from qts.db.adapter import Capabilities, DayPnl, Query, RunCopy, TickBlock
from qts.db.batch import Batch
from qts.db.connections import BUSY_S, open_to_read
from qts.db.contracts import ConfigRow, Record, RunRow, StrategyFile
from qts.db.datadir import LOCK_NAME, DataDir
from qts.db.day_results import results_of
from qts.db.failures import explanation
from qts.db.migrate import is_behind, migrate, refuse_drift
from qts.db.migrations import migrations_of
from qts.db.pages import SQLITE, Pages
from qts.errors import BatchRefused, Fenced, InputError, StateError, StorageError, Unavailable
from qts.files import in_place_opener
from qts.market.contracts import Bar
from qts.money import begin_thread
from qts.threads import single_thread_executor

DEADLINE_S: Final = 5.0
"""Seconds that a call may take, waiting for those before it included; a part of a long read or copy is a call."""
_SCHEMA: Final = "sqlite_server"
_PART: Final = 2_000
"""Rows of a part of a copy; an even number, so that no transfer is cut in half."""
_LACKS: Final = (
    "market values are kept without end: a file of SQLite has no retention",
    "bars are made of the stored values each time they are asked for",
)
_R = TypeVar("_R", bound=Record)
_T = TypeVar("_T")


def migrate_file(path: Path) -> None:
    """Make the file, for its owner alone, with its newest schema, or bring it there.

    Raises InputError for a file of something else, and for one that cannot be made.
    """
    try:
        with suppress(FileExistsError):
            os.close(in_place_opener(str(path), os.O_RDWR | os.O_CREAT | os.O_EXCL))
    except OSError as error:
        raise InputError(
            f"{path}: cannot make the file: {error.strerror}; give a path in a directory that exists"
        ) from error
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)) as connection:
            _refuse_book(connection, path)
            connection.execute("PRAGMA journal_mode = WAL")
            migrate(connection, migrations_of(_SCHEMA), str(path))
    except (sqlite3.Error, StorageError) as error:
        raise InputError(_message(path, "make the schema", error)) from error


class SqliteAdapter:
    """The :class:`~qts.db.adapter.DataSourceAdapter` over the file ``path``; ``deadline_s`` for each call.

    What locks a claim is a directory beside the file, so that it ends with the process.
    """

    def __init__(self, path: Path, *, deadline_s: float = DEADLINE_S) -> None:
        self._path = path
        self._deadline_s = deadline_s
        self._connection: sqlite3.Connection | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._claims: dict[str, DataDir] = {}
        self._epochs: dict[str, int] = {}
        """The epochs of this adapter's claims, by run."""

    @property
    def capabilities(self) -> Capabilities:
        """Return what a file can do. Raises StateError before :meth:`open`."""
        self._require_open()
        return Capabilities(server=f"SQLite {sqlite3.sqlite_version}", lacks=_LACKS)

    @property
    def warnings(self) -> Sequence[str]:
        """Return none: a file has nothing that a person has to be told. Raises StateError before :meth:`open`."""
        self._require_open()
        return ()

    async def open(self) -> None:
        """Open the file. Raises InputError when it is missing, of something else or of another version."""
        if self._thread is not None:
            raise StateError(f"{self._path} is open already")
        self._thread = single_thread_executor("sqlite-adapter", begin_thread)
        try:
            self._connection = await self._on_thread("open", lambda: _opened(self._path))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the file and give up what was claimed; may be called twice."""
        thread, self._thread = self._thread, None
        connection, self._connection = self._connection, None
        if thread is not None:
            if connection is not None:
                thread.submit(connection.close)
            thread.shutdown(wait=False)
        self._epochs.clear()
        while self._claims:
            self._claims.popitem()[1].close()

    # -- runs --------------------------------------------------------------------------------------------------

    async def claim(self, run: RunRow, *, whole_account: bool) -> int:
        """Make this the only writer of the run, or of its account, until :meth:`close`; return the epoch."""
        kind, name = ("account", run.account) if whole_account else ("run", run.run_id)
        self._lock(kind, name)
        epoch = await self._call("claim", lambda c: sqlite_runs.new_epoch(c, run, whole_account=whole_account))
        self._epochs[run.run_id] = epoch
        return epoch

    async def put_run(self, run: RunRow, files: Sequence[StrategyFile], configs: Sequence[ConfigRow]) -> None:
        """Write down the run, its files and configurations, or what has changed."""
        await self._call("write the run", lambda c: sqlite_runs.put_run(c, run, files, configs))

    async def apply(self, batches: Sequence[Batch]) -> int:
        """Apply batches of one run in one transaction and return the newest applied.

        Batches of epoch 0 are written with the epoch of this adapter's claim.
        """
        claimed = self._epochs.get(batches[0].run_id, 0) if batches else 0
        return await self._call("apply", lambda c: sqlite_runs.apply(c, batches, claimed))

    async def applied(self, run_id: str) -> int:
        """Return the number of the newest applied batch of the run, 0 for none."""
        return await self._call("read the progress", lambda c: sqlite_runs.applied(c, run_id))

    async def load(self, copy: RunCopy, epoch: int = 0) -> int:
        """Write everything of ``copy``, part by part, and count its batches as applied; return their number."""
        epoch = epoch or self._epochs.get(copy.run.run_id, 0)
        newest = await self._call("load", lambda c: sqlite_runs.begin_load(c, copy, epoch))
        if newest >= copy.seq:
            return newest
        for body in copy.bodies:
            await self._call("load", partial(sqlite_runs.load_part, copy=copy, body=body, epoch=epoch))
        if not copy.is_whole:
            return newest
        return await self._call("load", lambda c: sqlite_runs.end_load(c, copy, epoch))

    async def runs(self, account: str = "") -> Sequence[RunRow]:
        """Return the runs, or those of an account, by id."""
        return await self._call("read runs", lambda c: sqlite_pages.runs(c, self._path, account))

    async def configs(self, run_id: str) -> Sequence[ConfigRow]:
        """Return the configurations of a run, by version."""
        return await self._call("read configurations", lambda c: sqlite_pages.configs(c, self._path, run_id))

    async def strategy_files(self, run_id: str) -> Sequence[StrategyFile]:
        """Return the files of the strategies of a run, by strategy and name."""
        return await self._call("read strategy files", lambda c: sqlite_pages.files(c, self._path, run_id))

    async def read(self, kind: type[_R], where: Query) -> AsyncIterator[_R]:
        """Iterate over the rows of one kind, by run and number, or by run and key."""
        table = tables.BY_RECORD[kind]
        pages = Pages(table, where, SQLITE)
        while not pages.ended:
            work = partial(sqlite_pages.page, path=self._path, table=table, pages=pages)
            for record in await self._call(f"read {table.name}", work):
                yield record

    async def bodies(self, run_id: str, *, as_is: bool = False) -> AsyncIterator[bytes]:
        """Iterate over everything of a run as it is at the first part; see the port."""
        connection = await self._call("read the run", lambda _: _snapshot(self._path, run_id, as_is=as_is))
        try:
            parts = sqlite_pages.bodies(connection, run_id, _PART)
            while (part := await self._call("read the run", lambda _: next(parts, None))) is not None:
                yield part
        finally:
            thread = self._thread
            if thread is not None:
                thread.submit(connection.close)

    async def altered(self, run_id: str) -> tuple[str, ...]:
        """Return (): the rights of the file say who may change rows."""
        return ()

    async def daily_pnl(self, where: Query) -> Sequence[DayPnl]:
        """Return what was realised, by account, run, day, pool and strategy."""
        return await results_of(self, where)

    # -- market values -----------------------------------------------------------------------------------------

    async def append_ticks(self, block: TickBlock) -> int:
        """Store market values and return how many were new."""
        return await self._call("store market values", lambda c: sqlite_values.append(c, block))

    async def ticks(self, symbol: str, start_ns: int, end_ns: int) -> AsyncIterator[TickBlock]:
        """Iterate over the values of a symbol by time and number."""
        after: tuple[int, int] | None = (start_ns, -1)
        while after is not None:
            block, after = await self._call(
                "read market values", partial(sqlite_values.page, symbol=symbol, after=after, end_ns=end_ns)
            )
            if block is not None:
                yield block

    async def ohlcv(self, symbol: str, interval: timedelta, start_ns: int, end_ns: int) -> Sequence[Bar]:
        """Return bars of an interval, made of the finest that is stored."""
        return await self._call("make bars", lambda c: sqlite_values.bars(c, symbol, interval, start_ns, end_ns))

    # -- inside ------------------------------------------------------------------------------------------------

    def _require_open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StateError(f"{self._path} is not open")
        return self._connection

    def _lock(self, kind: str, name: str) -> None:
        """Take the lock of a run or account; it is taken once and kept until closing."""
        key = f"{kind}-{hashlib.sha256(name.encode()).hexdigest()[:32]}"
        if key in self._claims:
            return
        directory = self._path.with_name(f"{self._path.name}.writers") / key
        try:
            self._claims[key] = DataDir(directory)
        except StateError:
            holder = (directory / LOCK_NAME).read_text("ascii", "replace").strip() or "unknown"
            raise Fenced(f"{self._path}: {kind} {name} is written by the process with pid {holder}") from None
        except StorageError as error:
            raise Unavailable(str(error)) from error

    async def _call(self, what: str, work: Callable[[sqlite3.Connection], _T]) -> _T:
        connection = self._require_open()
        return await self._on_thread(what, lambda: work(connection))

    async def _on_thread(self, what: str, work: Callable[[], _T]) -> _T:
        assert self._thread is not None, "opened"
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            async with asyncio.timeout(self._deadline_s):
                return await future
        except TimeoutError:
            raise Unavailable(f"{self._path}: cannot {what}: no answer within {self._deadline_s:g} s") from None
        except sqlite3.IntegrityError as error:
            raise BatchRefused(f"{self._path}: {error}; nothing of the call was written") from error
        except sqlite3.Error as error:
            raise Unavailable(_message(self._path, what, error)) from error


def _opened(path: Path) -> sqlite3.Connection:
    """Open a file with the newest schema for writing. Raises InputError for any other."""
    if not path.exists():
        raise InputError(
            f"{path}: there is no such file; make it with qts db migrate --db sqlite://{path.absolute()}"
        )
    try:
        # By one thread at a time, but opened before the others: the check of threads is ours.
        connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            _check(connection, path)
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, StorageError) as error:
        raise InputError(_message(path, "open", error)) from error
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    _refuse_book(connection, path)
    known = migrations_of(_SCHEMA)
    if is_behind(connection, known):
        raise InputError(
            f"{path}: its schema is not the newest; bring it there with qts db migrate --db sqlite://{path.absolute()}"
        )
    refuse_drift(connection, known, str(path))


def _refuse_book(connection: sqlite3.Connection, path: Path) -> None:
    """Raise InputError for the book of a session, which is no file of many runs."""
    sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'checkpoint'"
    if connection.execute(sql).fetchone() is not None:
        raise InputError(f"{path}: it is the local book of a session; give a file of its own for copies")


def _snapshot(path: Path, run_id: str, *, as_is: bool) -> sqlite3.Connection:
    connection = open_to_read(path, any_thread=True)
    try:
        connection.execute("BEGIN")
        if not as_is:
            sqlite_runs.refuse_half(connection, path, run_id)
    except BaseException:
        connection.close()
        raise
    return connection


def _message(path: Path, what: str, error: Exception) -> str:
    return str(explanation(path, what, error) if isinstance(error, sqlite3.Error) else error)
