"""A server that follows, in memory: what it has survives its connections, and a test says when it fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from typing import Any

from qts.db import tables
from qts.db.adapter import Capabilities, DayPnl, Query, RunCopy, TickBlock
from qts.db.batch import Batch, rows_of
from qts.db.contracts import ConfigRow, RunRow, StrategyFile
from qts.errors import Fenced, Gap, Unavailable
from qts.market.contracts import Bar

KEYS = {table.name: len(table.key) or 1 for table in (*tables.APPEND_ONLY, *tables.REPLACED)}
Rows = dict[str, dict[tuple[Any, ...], list[Any]]]


class ScriptedServer:
    """The state of the server. ``fails``: called with the name of each call before it does anything; may raise.

    ``loses``: names of calls whose effect stays and whose next answer is lost. Used from the follower's thread and
    the test's.
    """

    def __init__(self) -> None:
        self.rows: Rows = {}
        self.seq = 0
        self.epoch = 0
        self.runs: list[RunRow] = []
        self.versions: list[int] = []
        self.calls: list[str] = []
        self.loads = self.copied = 0
        self.groups: list[int] = []
        self.fails: Callable[[str], None] = lambda call: None
        self.loses: set[str] = set()
        self.holder: object | None = None
        self.found: tuple[str, ...] = ()
        """What someone changed in its rows."""
        self.threads: set[str] = set()

    def away(self) -> None:
        """Let no call be answered."""

        def refuse(call: str) -> None:
            raise Unavailable(f"postgresql://db/qts does not answer ({call})")

        self.fails = refuse

    def back(self) -> None:
        self.fails = lambda call: None

    def back_to(self, seq: int, rows: Rows) -> None:
        """Restore the server from a backup."""
        self.seq, self.rows = seq, {name: dict(table) for name, table in rows.items()}

    def take(self, body: bytes) -> None:
        for name, found in rows_of(body).items():
            if name == tables.BATCHES:  # those of a copy, one for each that is counted as applied
                self.copied = len(found)
                continue
            self.rows.setdefault(name, {}).update({tuple(row[: KEYS[name]]): row for row in found})

    async def adapter(self) -> ScriptedAdapter:
        """Make an adapter, as :data:`~qts.db.follower.OpenAdapter` does."""
        return ScriptedAdapter(self)


class ScriptedAdapter:
    """A connection to the server."""

    def __init__(self, server: ScriptedServer) -> None:
        self._server = server

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(server="Scripted 1", ticks=False)

    @property
    def warnings(self) -> Sequence[str]:
        return ("a server of tests",)

    def _begin(self, call: str) -> ScriptedServer:
        server = self._server
        server.calls.append(call)
        server.threads.add(threading.current_thread().name)
        server.fails(call)
        return server

    def _end(self, call: str) -> None:
        if call in self._server.loses:
            self._server.loses.discard(call)
            raise Unavailable(f"the answer to {call} was lost")

    async def open(self) -> None:
        self._begin("open")

    async def close(self) -> None:
        if self._server.holder is self:
            self._server.holder = None

    async def claim(self, run: RunRow, *, whole_account: bool) -> int:
        server = self._begin("claim")
        if server.holder is not None:
            raise Fenced(f"run {run.run_id} is written by another process")
        server.holder = self
        server.epoch += 1
        return server.epoch

    async def put_run(self, run: RunRow, files: Sequence[StrategyFile], configs: Sequence[ConfigRow]) -> None:
        server = self._begin("put_run")
        await asyncio.sleep(0)  # as a socket does: the loop goes on meanwhile
        server.runs.append(run)
        server.versions = [row.version for row in configs]
        self._end("put_run")

    async def apply(self, batches: Sequence[Batch]) -> int:
        server = self._begin("apply")
        for batch in batches:
            if batch.epoch != server.epoch:
                raise Fenced(f"epoch {batch.epoch} has ended, {server.epoch} writes")
            if batch.seq > server.seq + 1:
                raise Gap(batch.run_id, server.seq + 1, batch.seq)
            if batch.seq == server.seq + 1:
                server.take(batch.body)
                server.seq = batch.seq
        server.groups.append(len(batches))
        self._end("apply")
        return server.seq

    async def applied(self, run_id: str) -> int:
        return self._begin("applied").seq

    async def load(self, copy: RunCopy, epoch: int = 0) -> int:
        server = self._begin("load")
        for body in copy.bodies:
            server.take(body)
        assert server.copied == copy.seq
        server.loads += 1
        server.seq = max(server.seq, copy.seq)
        self._end("load")
        return server.seq

    async def runs(self, account: str = "") -> Sequence[RunRow]:
        return self._begin("runs").runs[-1:]

    async def altered(self, run_id: str) -> tuple[str, ...]:
        return self._begin("altered").found

    # -- what a follower does not call ---------------------------------------------------------------------------

    async def configs(self, run_id: str) -> Sequence[ConfigRow]:
        raise NotImplementedError

    async def strategy_files(self, run_id: str) -> Sequence[StrategyFile]:
        raise NotImplementedError

    def read(self, kind: type[Any], where: Query) -> AsyncIterator[Any]:
        raise NotImplementedError

    def bodies(self, run_id: str, *, as_is: bool = False) -> AsyncIterator[bytes]:
        raise NotImplementedError

    async def daily_pnl(self, where: Query) -> Sequence[DayPnl]:
        raise NotImplementedError

    async def append_ticks(self, block: TickBlock) -> int:
        raise NotImplementedError

    def ticks(self, symbol: str, start_ns: int, end_ns: int) -> AsyncIterator[TickBlock]:
        raise NotImplementedError

    async def ohlcv(self, symbol: str, interval: timedelta, start_ns: int, end_ns: int) -> Sequence[Bar]:
        raise NotImplementedError
