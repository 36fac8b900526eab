"""The port of every file format: a parser from one raw row to one market value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeVar

from qts.market.contracts import MarketValue
from qts.market.files.refusals import DUPLICATE, RowRefused
from qts.market.files.symbols import SymbolTable
from qts.market.files.times import TimeOrder
from qts.notes import Note

R = TypeVar("R", contravariant=True)

MAX_REMEMBERED: Final = 65_536


class RowParser(Protocol[R]):
    """A parser of rows into values; its state is what it must remember of the rows before.

    Called by the feed of the file, on the session's thread, with each row once and in order. A refused row may
    introduce its symbol; else it leaves the state as it was.
    """

    order: TimeOrder
    symbols: SymbolTable

    def parse(self, row: R) -> MarketValue:
        """Return the value of ``row``. Raises :class:`~qts.market.files.refusals.RowRefused`."""
        ...

    def time_of(self, row: R) -> int | None:
        """Return the time of a row in nanoseconds since 1970 UTC; None when it cannot be read. Never raises."""
        ...

    def show(self, row: R) -> str | bytes:
        """Return the row for a message."""
        ...

    def column_of(self, row: R, value: str) -> str:
        """Return the name of the cell of ``row`` that holds ``value``; "" when none does."""
        ...

    def notes(self) -> list[Note]:
        """Return what was guessed and which gaps the input has."""
        ...

    def state(self) -> dict[str, Any]:
        """Return what has to be remembered of the rows so far, as plain data."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state` returned. Called once, before the first row."""
        ...


class SameMoment:
    """The rows seen at the newest time, by symbol and checksum: only there can an identical row turn up.

    (An identical row with an older time is already refused for its time.)
    """

    __slots__ = ("_seen", "_ts_ns")

    def __init__(self) -> None:
        self._ts_ns = 0
        self._seen: set[tuple[str, int]] = set()

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

    def state(self) -> list[list[Any]]:
        """Return what has to be remembered of the rows so far, as plain data."""
        return [[symbol, checksum] for symbol, checksum in sorted(self._seen)]

    def restore(self, ts_ns: int, state: list[list[Any]]) -> None:
        """Restore what :meth:`state` returned."""
        self._ts_ns = ts_ns
        self._seen = {(symbol, checksum) for symbol, checksum in state}
