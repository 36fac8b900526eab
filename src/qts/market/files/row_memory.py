"""The memory of the rows behind the present one, apart from the parser that reads them.

A parser fills its memory row by row. A prepared capture, whose rows were parsed in an earlier run, fills it from
what was kept of each row (:class:`PastRows`), so that both give the same position, the same duplicates and the same
notes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from typing import Any, Final, NamedTuple, Protocol

from qts.market.files.binance_duplicates import SymbolHistory
from qts.market.files.refusals import DUPLICATE, RowRefused
from qts.market.files.symbols import SymbolTable
from qts.market.files.times import TimeOrder
from qts.notes import Note

MAX_REMEMBERED: Final = 65_536

QUOTE: Final = 0
"""A quote of the best prices and their sizes alone."""
TICK: Final = 1
TICK_OF_TAKER: Final = 2
TICK_OF_MAKER: Final = 3
BOOK: Final = 4
SNAPSHOT_BIT: Final = 1
GAP_BIT: Final = 2
WIDE_QUOTE: Final = 8
OTHER: Final = 9
"""Kinds of values as a prepared capture numbers them; a book update adds the bits of what it is."""

_IS_NUMBERED: Final = bytes(QUOTE < kind < WIDE_QUOTE for kind in range(256))
"""Trades and book updates, each of whose numbers has to be known."""


class Recorded(NamedTuple):
    """The particulars of accepted rows that are not in their values, in order.

    ``names`` are the symbols as the file writes them, None where they are those of the values. ``keys`` are the ids
    of the trades and the numbers of the other messages; empty where the format has none.
    """

    names: list[str] | None
    keys: list[int]


class PastRows(NamedTuple):
    """Accepted rows of an earlier run, in order.

    ``names`` are indices of ``table``, which holds the symbol as the file writes it; ``keys`` are those of
    :class:`Recorded`; every column has one entry for each row.
    """

    kinds: bytes
    ts_ns: Sequence[int]
    names: Sequence[int]
    table: Sequence[str]
    keys: Sequence[int]
    checksums: Sequence[int]


Learned = Callable[[str, Sequence[Any]], None]
"""Called with what was learned and its particulars, see :meth:`RowMemory.learn`."""


class RowMemory(Protocol):
    """The memory of one parser of a file; on the thread of its feed."""

    symbols: SymbolTable
    order: TimeOrder

    def record(self, learned: Learned) -> None:
        """Record from now on what accepted rows have beside their values, and call ``learned`` with all else."""
        ...

    def recorded(self) -> Recorded:
        """Return what was recorded since the last call."""
        ...

    def learn(self, what: str, particulars: Sequence[Any]) -> None:
        """Take in what a watcher of an earlier run was called with, at the same place among the rows."""
        ...

    def take(self, rows: PastRows) -> None:
        """Remember ``rows``, which follow those remembered so far; what they taught was learned before."""
        ...

    def state(self) -> dict[str, Any]:
        """Return what is remembered, as plain data."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state` returned. Called once, before the first row."""
        ...

    def notes(self) -> list[Note]:
        """Return what was guessed and which gaps the rows so far have."""
        ...


class SameMoment:
    """The rows seen at the newest time, by symbol and checksum: only there can an identical row turn up.

    (An identical row with an older time is already refused for its time.) ``names``, where it is a list, gets the
    symbol of every row.
    """

    __slots__ = ("_seen", "_ts_ns", "names")

    def __init__(self) -> None:
        self._ts_ns = 0
        self._seen: set[tuple[str, int]] = set()
        self.names: list[str] | None = None

    def check(self, ts_ns: int, symbol: str, checksum: int) -> None:
        """Raise RowRefused for a row that was accepted at this time already."""
        if ts_ns == self._ts_ns and (symbol, checksum) in self._seen:
            raise RowRefused(DUPLICATE)

    def accept(self, ts_ns: int, symbol: str, checksum: int) -> None:
        """Remember a row."""
        if ts_ns != self._ts_ns or len(self._seen) >= MAX_REMEMBERED:
            self._ts_ns = ts_ns
            self._seen.clear()
        self._seen.add((symbol, checksum))
        if self.names is not None:
            self.names.append(symbol)

    def state(self) -> list[list[Any]]:
        """Return what has to be remembered of the rows so far, as plain data."""
        return [[symbol, checksum] for symbol, checksum in sorted(self._seen)]

    def restore(self, ts_ns: int, state: list[list[Any]]) -> None:
        """Restore what :meth:`state` returned."""
        self._ts_ns = ts_ns
        self._seen = {(symbol, checksum) for symbol, checksum in state}


class MomentMemory:
    """The memory of a format whose rows repeat only within one moment.

    ``keeps_quoted``: also which symbols have shown a side. ``notes`` are those of the layout of the file.
    """

    def __init__(
        self, symbols: SymbolTable, order: TimeOrder, *, keeps_quoted: bool = False, notes: Sequence[Note] = ()
    ) -> None:
        self.symbols = symbols
        self.order = order
        self.moment = SameMoment()
        self.quoted: set[str] = set()
        self._keeps_quoted = keeps_quoted
        self._notes = list(notes)
        self._learned: Learned | None = None

    def quote(self, symbol: str) -> None:
        """Remember that ``symbol`` has shown a side."""
        if symbol not in self.quoted:
            self.quoted.add(symbol)
            if self._learned is not None:
                self._learned("quoted", [symbol])

    def record(self, learned: Learned) -> None:
        """Record the names of rows; report late symbols and the first side of each symbol."""
        self.moment.names = []
        self._learned = learned
        self.symbols.watch(lambda late: learned("late", late))

    def recorded(self) -> Recorded:
        """Return the names since the last call."""
        names, self.moment.names = self.moment.names or [], []
        return Recorded(names, [])

    def learn(self, what: str, particulars: Sequence[Any]) -> None:
        """Take in a late symbol or the first side of one."""
        if what == "late":
            self.symbols.restore([particulars])
        else:
            self.quoted.update(particulars)

    def take(self, rows: PastRows) -> None:
        """Remember the rows at the newest time of ``rows``."""
        newest_ns = rows.ts_ns[-1]
        first = bisect_left(rows.ts_ns, newest_ns)
        for at in range(first, len(rows.kinds)):
            self.moment.accept(newest_ns, rows.table[rows.names[at]], rows.checksums[at])
        self.order.accept(newest_ns)

    def state(self) -> dict[str, Any]:
        """Return what has to be remembered of the rows so far, as plain data."""
        state = {"last_ns": self.order.last_ns, "moment": self.moment.state(), "late": self.symbols.state()}
        return {**state, "quoted": sorted(self.quoted)} if self._keeps_quoted else state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        self.symbols.restore(state["late"])
        if self._keeps_quoted:
            self.quoted = set(state["quoted"])
        if state["last_ns"]:
            self.order.accept(state["last_ns"])
            self.moment.restore(state["last_ns"], state["moment"])

    def notes(self) -> list[Note]:
        """Return what was guessed of layout and symbols."""
        return [*self._notes, *self.symbols.notes()]


class CaptureMemory:
    """The memory of a raw capture: newest messages, numbers of depth updates and ids of trades by symbol."""

    def __init__(self, symbols: SymbolTable, order: TimeOrder) -> None:
        self.symbols = symbols
        self.order = order
        self.histories: dict[str, SymbolHistory] = {}
        self.keys: list[int] | None = None
        """Gets the number of every accepted row, where it is a list."""
        self._learned: Learned | None = None

    def begin(self, name: str, symbol: str) -> SymbolHistory:
        """Return the new history of a symbol that the file writes ``name``."""
        history = self.histories[name] = SymbolHistory(symbol)
        if self._learned is not None:
            self._learned("seen", [name])
        return history

    def record(self, learned: Learned) -> None:
        """Record the numbers of rows; report late symbols and the first row of each symbol."""
        self.keys = []
        self._learned = learned
        self.symbols.watch(lambda late: learned("late", late))

    def recorded(self) -> Recorded:
        """Return the numbers since the last call."""
        keys, self.keys = self.keys or [], []
        return Recorded(None, keys)

    def learn(self, what: str, particulars: Sequence[Any]) -> None:
        """Take in a late symbol or the first row of one."""
        if what == "late":
            self.symbols.restore([particulars])
        else:
            for name in particulars:
                self.histories[name] = SymbolHistory(name)

    def take(self, rows: PastRows) -> None:
        """Remember the newest message of each kind, every trade and every number of a depth update."""
        self.order.accept(rows.ts_ns[-1])
        histories = [self.histories.get(name) for name in rows.table]
        self._take_numbered(rows, histories)
        self._take_quotes(rows, histories)

    def state(self) -> dict[str, Any]:
        """Return what has to be remembered of the rows so far, as plain data."""
        return {
            "last_ns": self.order.last_ns,
            "seen": {symbol: history.state() for symbol, history in self.histories.items()},
            "late": self.symbols.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        self.symbols.restore(state["late"])
        for symbol, stored in state["seen"].items():
            self.histories[symbol] = history = SymbolHistory(symbol)
            history.restore(stored)
        if state["last_ns"]:
            self.order.accept(state["last_ns"])

    def notes(self) -> list[Note]:
        """Return what was guessed and which gaps the input has."""
        notes = self.symbols.notes()
        for symbol, history in self.histories.items():
            if history.depth_chain.gaps:
                notes.append(Note.of("input-depth-gaps", symbol=symbol, count=history.depth_chain.gaps))
            if history.trades.missed:
                notes.append(Note.of("input-trades-missing", symbol=symbol, count=history.trades.missed))
        return notes

    @staticmethod
    def _take_numbered(rows: PastRows, histories: Sequence[SymbolHistory | None]) -> None:
        chosen = rows.kinds.translate(_IS_NUMBERED)
        columns = (rows.kinds, rows.names, rows.keys, rows.checksums)
        for kind, name, key, checksum in zip(*(compress(one, chosen) for one in columns), strict=True):
            history = _met(histories[name])
            if kind < BOOK:
                trades = history.trades
                if key == trades.highest + 1:
                    trades.highest = key
                else:
                    trades.add(key)
                continue
            history.depth.recall(key, checksum)
            if not kind & SNAPSHOT_BIT:
                chain = history.depth_chain
                chain.last = key if key >= 0 else chain.last
                chain.gaps += bool(kind & GAP_BIT)

    @staticmethod
    def _take_quotes(rows: PastRows, histories: Sequence[SymbolHistory | None]) -> None:
        """Remember the newest quote of each symbol, found from the end: near it where there are few symbols."""
        unseen = set(range(len(rows.table)))
        at = len(rows.kinds)
        while unseen and (at := rows.kinds.rfind(QUOTE, 0, at)) >= 0:
            name = rows.names[at]
            if name in unseen:
                unseen.discard(name)
                _met(histories[name]).quote.recall(rows.keys[at], rows.checksums[at])


def _met(history: SymbolHistory | None) -> SymbolHistory:
    assert history is not None  # learned before the first accepted row of the symbol
    return history
