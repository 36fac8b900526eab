"""The port of a server that follows the local books: many accounts and runs, for other programs and machines.

A session never writes to it on the way of an order or a fill. Its :class:`~qts.db.follower.Follower` sends what the
local book has committed, batch by batch; tools read. Every method is a coroutine of the loop on which
:meth:`DataSourceAdapter.open` was awaited, has a deadline, and raises one of:

- :class:`~qts.errors.Unavailable`: no answer, or none in time. Whether a write happened is unknown; ask
  :meth:`~DataSourceAdapter.applied`. Nothing is retried here but a transaction that the server ended for others.
- :class:`~qts.errors.Gap`, :class:`~qts.errors.Fenced`, :class:`~qts.errors.BatchRefused`: see there; nothing of
  the call was written.
- :class:`~qts.errors.InputError`: the server, database or schema is not one that can be used; the message says what
  was found, what is allowed and what to do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import count
from typing import Final, Protocol, TypeVar

import msgspec

from qts.db.batch import Batch
from qts.db.contracts import ConfigRow, Record, RunRow, StrategyFile
from qts.db.tables import APPEND_ONLY, REPLACED
from qts.market.contracts import Bar, MarketValue

_R = TypeVar("_R", bound=Record)
END_NS: Final = (1 << 63) - 1
"""A moment after all others, in ns since 1970 UTC."""


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """The means of a server beyond following runs.

    ``tables``: the tables of the local book that it has; to read from another one raises InputError. ``ticks``: it
    stores market values. ``compression``: it compresses them by itself. ``aggregates``: it keeps bars of a minute
    up to date by itself, instead of by our scheduler. ``server``: its name and version, for people.
    ``lacks``: one sentence for each thing that it lacks and that is done in another way; empty when there is none.
    """

    server: str
    tables: tuple[str, ...] = tuple(table.name for table in (*APPEND_ONLY, *REPLACED))
    ticks: bool = True
    compression: bool = False
    aggregates: bool = False
    lacks: tuple[str, ...] = ()


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A choice of rows; an empty text means any. ``since_ns`` <= time < ``until_ns``, in ns since 1970 UTC.

    ``account`` is that of the row or of its run. A kind of row without another such column is not narrowed by it.
    """

    run_id: str = ""
    account: str = ""
    symbol: str = ""
    strategy: str = ""
    since_ns: int = 0
    until_ns: int = END_NS


class RunCopy(msgspec.Struct, frozen=True):
    """Everything that a run has written up to batch ``seq``, for a server that lacks its beginning.

    ``bodies`` (see :mod:`qts.db.batch`) gives it in parts of a few thousand rows, read when they are asked for.
    ``is_whole`` False: rows may be lacking, as in a copy of a store that does not hold every table. Its batches are
    not counted as applied then, and the run counts as incomplete until its own book has given what is lacking.
    """

    run: RunRow
    files: Sequence[StrategyFile]
    configs: Sequence[ConfigRow]
    seq: int
    bodies: Iterable[bytes]
    is_whole: bool = True


class TickBlock(msgspec.Struct, frozen=True):
    """Market values in the order in which they came; ``seq`` is the number of the first.

    ``seqs`` are the numbers of all, as blocks that are read have them; empty when the others count on from the
    first. Numbers rise within a symbol over all recordings, so that values of equal time keep their order.
    """

    seq: int
    values: tuple[MarketValue, ...]
    seqs: tuple[int, ...] = ()

    def numbered(self) -> Iterator[tuple[int, MarketValue]]:
        """Iterate over the values with their numbers."""
        return zip(self.seqs or count(self.seq), self.values, strict=False)


class DayPnl(msgspec.Struct, frozen=True):
    """The result that an account realised on a day of its market: against average cost, fees and taxes in.

    ``pool`` and ``strategy`` are those of the fills; dividends are not in it.
    """

    account: str
    run_id: str
    day: date
    pool: str
    strategy: str
    realized: Decimal
    fees: Decimal
    taxes: Decimal
    fills: int


class DataSourceAdapter(Protocol):
    """A store of many runs and accounts on a server, or in a file; see the module for what it raises."""

    @property
    def capabilities(self) -> Capabilities:
        """Return what the server can do. Raises StateError before :meth:`open`."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """Return sentences that a person has to be told once. Raises StateError before :meth:`open`."""
        ...

    async def open(self) -> None:
        """Connect, and check that server, database and schema can be used; changes nothing there."""
        ...

    async def close(self) -> None:
        """Let go of all connections; may be called twice, and never raises Unavailable."""
        ...

    # -- runs --------------------------------------------------------------------------------------------------

    async def claim(self, run: RunRow, *, whole_account: bool) -> int:
        """Make this the only writer of the run, until :meth:`close` or the connection ends; return the epoch.

        After Unavailable the next call continues the claim over a new connection, or raises Fenced when another
        process took over meanwhile. ``whole_account``: of everything of its account, as a real broker needs it.
        Raises Fenced, naming who holds it, while another process does. Batches of an earlier epoch are Fenced from
        then on.
        """
        ...

    async def put_run(self, run: RunRow, files: Sequence[StrategyFile], configs: Sequence[ConfigRow]) -> None:
        """Write down the run, its files and configurations, or what has changed; the same again changes nothing."""
        ...

    async def apply(self, batches: Sequence[Batch]) -> int:
        """Apply batches of one run, in the order of their numbers, in one transaction; return the newest applied.

        It may be several transactions where one takes too long, each of whole batches. One that is applied already
        changes nothing. Raises Gap when one before the first is missing.
        """
        ...

    async def applied(self, run_id: str) -> int:
        """Return the number of the newest applied batch of the run, 0 for none; the answer to a lost answer."""
        ...

    async def load(self, copy: RunCopy, epoch: int = 0) -> int:
        """Write everything of ``copy`` and then count its batches as applied; return their number.

        A second time, or after an interruption, it ends in the same rows. Readers see the run as incomplete
        meanwhile. Never makes less of what is there already.
        """
        ...

    async def runs(self, account: str = "") -> Sequence[RunRow]:
        """Return the runs, or those of an account, by id."""
        ...

    async def configs(self, run_id: str) -> Sequence[ConfigRow]:
        """Return the configurations of a run, by version."""
        ...

    async def strategy_files(self, run_id: str) -> Sequence[StrategyFile]:
        """Return the files of the strategies of a run, by strategy and name."""
        ...

    def read(self, kind: type[_R], where: Query) -> AsyncIterator[_R]:
        """Iterate over the rows of one kind, by run and number (those that change: by run and key).

        They are read page by page behind the last one, so that no memory holds all and no transaction stays open: a
        row that is written meanwhile is there or not, none is skipped or given twice.
        """
        ...

    def bodies(self, run_id: str, *, as_is: bool = False) -> AsyncIterator[bytes]:
        """Iterate over everything of a run, as :attr:`RunCopy.bodies` does, to make a local book of it.

        Raises StateError for a run that is not whole, and StorageError for rows that someone changed where that can
        be told; with ``as_is`` it is given as it stands there all the same, to be compared.
        """
        ...

    async def altered(self, run_id: str) -> tuple[str, ...]:
        """Return, in sentences, what someone changed in the rows of a run since they were written there.

        It costs no more than a few calls, and looks at a part of the rows each time where there are many. () when
        nothing was found, and where a server keeps others from changing rows.
        """
        ...

    async def daily_pnl(self, where: Query) -> Sequence[DayPnl]:
        """Return what was realised, by account, run, day, pool and strategy."""
        ...

    # -- market values -----------------------------------------------------------------------------------------

    async def append_ticks(self, block: TickBlock) -> int:
        """Store market values and return how many were new; those that are there already change nothing.

        Raises BatchRefused, naming the row, for a value with more than 8 decimals or one that is not finite.
        """
        ...

    def ticks(self, symbol: str, start_ns: int, end_ns: int) -> AsyncIterator[TickBlock]:
        """Iterate over the values of a symbol with ``start_ns`` <= time < ``end_ns``, by time and number."""
        ...

    async def ohlcv(self, symbol: str, interval: timedelta, start_ns: int, end_ns: int) -> Sequence[Bar]:
        """Return bars of any interval, made of the finest that is stored: ticks, else bars of a minute, of a day.

        ``interval`` is at least a second and begins at midnight UTC; open and close are those of the first and last
        seq, never of the time alone. An interval without a trade has no bar.
        """
        ...
