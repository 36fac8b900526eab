"""What every format is made of: a parser from one raw row to one market value."""

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
    """Turns rows into values; its state is what it must remember of the rows before.

    A refused row may introduce its symbol; else it leaves the state as it was.
    """

    order: TimeOrder
    symbols: SymbolTable

    def parse(self, row: R) -> MarketValue:
        """Raises :class:`~qts.market.files.refusals.RowRefused`."""
        ...

    def time_of(self, row: R) -> int | None:
        """The time of a row in nanoseconds, None when it cannot be read."""
        ...

    def show(self, row: R) -> str | bytes:
        """The row for a message."""
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
        """Go on after the rows that :meth:`state` remembered."""
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
        if ts_ns == self._ts_ns and (symbol, checksum) in self._seen:
            raise RowRefused(DUPLICATE)

    def accept(self, ts_ns: int, symbol: str, checksum: int) -> None:
        if ts_ns != self._ts_ns or len(self._seen) >= MAX_REMEMBERED:
            self._ts_ns = ts_ns
            self._seen.clear()
        self._seen.add((symbol, checksum))

    def state(self) -> list[list[Any]]:
        return [[symbol, checksum] for symbol, checksum in sorted(self._seen)]

    def restore(self, ts_ns: int, state: list[list[Any]]) -> None:
        self._ts_ns = ts_ns
        self._seen = {(symbol, checksum) for symbol, checksum in state}
