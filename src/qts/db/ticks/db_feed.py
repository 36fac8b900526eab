"""The stored values of one symbol as a feed: read ahead of the session, page by page, from any place exactly on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from itertools import pairwise
from operator import length_hint
from typing import Any, Final
from weakref import finalize

from qts.clock import NS_PER_US, from_ns, to_ns
from qts.db.adapter import END_NS, TickBlock
from qts.db.ticks.on_thread import ReadAhead, finish
from qts.db.ticks.tick_store import Recorded, TickStore
from qts.errors import DataError, InputError
from qts.market.contracts import BookUpdate, Instrument, MarketValue, Quote, Tick
from qts.market.files.detect import CSV
from qts.market.files.feed import require_same_input
from qts.market.files.feed_opener import HEAD_ROWS, MAX_AGE_NS
from qts.market.files.symbols import Grid, SymbolTable, instrument_maker
from qts.notes import Note

_NAME: Final = "qts-tick-reader"
_SHOWN: Final = 5
_DEFAULT_CURRENCY: Final = "KRW"
_NO_END_NS: Final = END_NS // NS_PER_US * NS_PER_US


class Stored:
    """A request for what a server has of one symbol: the days, and one recording or all.

    ``symbol`` is that of the values, ``first`` and ``last`` days of its market, both included; None: without a
    bound. ``where`` names the server for people. ``currency`` is that of the account; None: that of the recording.
    """

    def __init__(
        self,
        store: Callable[[], TickStore],
        where: str,
        symbol: str,
        *,
        first: date | None = None,
        last: date | None = None,
        recording: int | None = None,
        currency: str | None = None,
        own: Mapping[str, Instrument] | None = None,
    ) -> None:
        if first is not None and last is not None and first > last:
            raise InputError(f"--from {first} is after --to {last}")
        self.store, self.where, self.symbol = store, where, symbol
        self.first, self.last, self.recording = first, last, recording
        self.currency, self.own = currency, own

    def open(self) -> DbFeed:
        """Return the values as a feed. Raises InputError when there are none or they are ambiguous, Unavailable."""
        return finish(self._open, _NAME)

    async def _open(self) -> DbFeed:
        store = self.store()
        everything = await store.recordings(self.symbol, 0, END_NS)
        if not everything:
            raise self._nothing(())
        currency = self.currency or next((one.currency for one in everything if one.currency), _DEFAULT_CURRENCY)
        span = self._range(self._table(currency, Grid()))
        recorded = await store.recordings(self.symbol, *span)
        among = [one for one in recorded if self.recording in (None, one.number)]
        if not among:
            raise self._nothing(everything)
        self._refuse_overlaps(among)
        contents = await store.contents(self.symbol, *span, self.recording)
        table = self._table(currency, _grid_of(await self._head(store, *span)))
        max_age_ns = max(one.max_age_ns or MAX_AGE_NS[CSV] for one in among)
        name = f"ticks:{_sha256([self.symbol, *span, *contents, max_age_ns])}"
        return DbFeed(self, span, name, contents[0], max_age_ns, table)

    def _table(self, currency: str, grid: Grid) -> SymbolTable:
        """Return a table with the instrument of the symbol; its grid decides about its steps alone."""
        table = SymbolTable(instrument_maker(currency), own=self.own)
        table.prepare({self.symbol: grid.steps()})
        if not table.instruments:
            raise InputError(
                f"{self.symbol} cannot be traded in {currency}; set the account's currency with --set "
                "runtime.currency=…, or describe the symbol in instruments.yaml"
            )
        return table

    def _range(self, table: SymbolTable) -> tuple[int, int]:
        """Return the range of time of the days, in days of the market."""
        calendar = next(iter(table.instruments.values())).calendar
        start_ns = 0 if self.first is None else to_ns(calendar.at(self.first, 0))
        end_ns = _NO_END_NS if self.last is None else to_ns(calendar.at(self.last + timedelta(days=1), 0))
        return start_ns, end_ns

    async def _head(self, store: TickStore, start_ns: int, end_ns: int) -> Sequence[MarketValue]:
        values: list[MarketValue] = []
        async for block in store.ticks(self.symbol, start_ns, end_ns, recording=self.recording):
            values += block.values
            if len(values) >= HEAD_ROWS:
                break
        return values[:HEAD_ROWS]

    def _nothing(self, recorded: Sequence[Recorded]) -> InputError:
        span = f"from {self.first or 'the start'} to {self.last or 'the end'}"
        of = "" if self.recording is None else f" of recording {self.recording}"
        has = "; it has none of it at all" if not recorded else f"; it has {_listed(recorded)}"
        return InputError(f"{self.where} has no value of {self.symbol}{of} {span}{has}")

    def _refuse_overlaps(self, among: Sequence[Recorded]) -> None:
        """Refuse values that were recorded twice: together they are no market."""
        if any(after.first_ns < before.last_ns for before, after in pairwise(among)):
            raise InputError(
                f"{self.where} has values of {self.symbol} of the same time in several recordings: "
                f"{_listed(among)}; choose one of them with --recording"
            )


class DbFeed:
    """A :class:`~qts.market.contracts.Feed` of the stored values of one symbol; :meth:`Stored.open` makes it."""

    def __init__(
        self,
        stored: Stored,
        span: tuple[int, int],
        source_id: str,
        count: int,
        max_age_ns: int,
        table: SymbolTable,
    ) -> None:
        self.name = f"{stored.symbol} of {stored.where}"
        self.source_id = source_id
        self.max_age_ns = max_age_ns
        self.instruments: Mapping[str, Instrument] = table.instruments
        self.declares_volatility = False  # a volatility index is a symbol of its own
        self.rows_refused: Mapping[str, int] = {}
        self.notes: Sequence[Note] = table.notes()
        self._stored, self._span, self._count = stored, span, count
        self._blocks: ReadAhead[TickBlock] | None = None
        self._block: TickBlock | None = None
        self._reach = 0  # values of the block that are given when nothing is left
        self._left: Iterator[MarketValue] = iter(())
        self._before: tuple[int, int] | None = None
        """Time and number of the last value before the block."""
        self._given = 0
        """How many values were given before the block."""
        self._ended = False

    def values(self) -> Iterator[MarketValue]:
        """Return the values from the present place on. Raises DataError when some are gone, and Unavailable."""
        if self._ended:
            return
        if self._blocks is None:
            self._blocks = ReadAhead(partial(_read, self._stored, self._span, self._before), _NAME)
            finalize(self, self._blocks.close)
        yield from self._left
        for block in self._blocks:
            self._before, self._given = self._place(), self._given + self._used()
            self._block, self._reach = block, len(block.values)
            self._left = iter(block.values)
            yield from self._left
        given = self._given + self._used()
        if given != self._count:
            raise DataError(
                f"{self.name} gave {given} values where there were {self._count} when it was opened: values were "
                "dropped or recorded meanwhile; start again"
            )
        self._ended = True

    def position(self) -> dict[str, Any]:
        """Return time and number of the value most recently given, and how many were given."""
        return {
            "source_id": self.source_id,
            "place": None if (place := self._place()) is None else list(place),
            "given": self._given + self._used(),
            "ended": self._ended,
        }

    def resume(self, position: Mapping[str, Any]) -> None:
        """Move to a stored position. Raises DataError when it belongs to another input or is none."""
        require_same_input(self.name, self.source_id, position)
        try:
            place = position["place"]
            self._before = None if place is None else (int(place[0]), int(place[1]))
            self._given, self._ended = int(position["given"]), bool(position["ended"])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DataError(f"{self.name}: the stored position cannot be read: {error!r}") from error

    def progress(self) -> float | None:
        """Return the share of the values already given."""
        return (self._given + self._used()) / self._count

    def close(self) -> None:
        """End reading ahead."""
        if self._blocks is not None:
            self._blocks.close()

    def _place(self) -> tuple[int, int] | None:
        used = self._used()
        if self._block is None or not used:
            return self._before
        return self._block.values[used - 1].ts_ns, self._block.seqs[used - 1]

    def _used(self) -> int:
        """Return how many values of the block were given."""
        return self._reach - length_hint(self._left)


async def _read(stored: Stored, span: tuple[int, int], after: tuple[int, int] | None) -> AsyncIterator[TickBlock]:
    async for block in stored.store().ticks(stored.symbol, *span, after=after, recording=stored.recording):
        yield block


def _grid_of(values: Sequence[MarketValue]) -> Grid:
    """Return the steps that the head of the values shows, as the head of a file shows them."""
    grid = Grid()
    for value in values:
        if isinstance(value, Quote):
            for price in (value.bid, value.ask):
                if price is not None:
                    grid.prices.add(f"{price:f}")
            for size in (value.bid_size, value.ask_size):
                if size is not None:
                    grid.sizes.add(f"{size:f}")
            if value.last is not None:
                grid.trades.add(f"{value.last:f}")
        elif isinstance(value, Tick):
            grid.trades.add(f"{value.price:f}")
            grid.sizes.add(f"{value.size:f}")
        elif isinstance(value, BookUpdate):
            for price, size in (*value.bids, *value.asks):
                grid.prices.add(f"{price:f}")
                grid.sizes.add(f"{size:f}")
    return grid


def _listed(recorded: Sequence[Recorded]) -> str:
    """Return recordings in words."""
    lines = [
        f"{one.values} from {from_ns(one.first_ns):%Y-%m-%d %H:%M} to {from_ns(one.last_ns):%Y-%m-%d %H:%M} UTC "
        f"(recording {one.number})"
        for one in recorded[:_SHOWN]
    ]
    return "; ".join(lines) + (f"; and {len(recorded) - _SHOWN} more" if len(recorded) > _SHOWN else "")


def _sha256(named: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()
