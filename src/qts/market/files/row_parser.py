"""The port of every file format: a parser from one raw row to one market value."""

from __future__ import annotations

from typing import Protocol, TypeVar

from qts.market.contracts import MarketValue
from qts.market.files.row_memory import RowMemory

R = TypeVar("R", contravariant=True)


class RowParser(Protocol[R]):
    """A parser of rows into values; ``memory`` is what it must remember of the rows before.

    Called by the feed of the file, on the session's thread, with each row once and in order. A refused row may
    introduce its symbol; else it leaves the memory as it was.
    """

    @property
    def memory(self) -> RowMemory:
        """Return the memory of the rows so far; one and the same object for the life of the parser."""
        ...

    def parse(self, row: R) -> MarketValue:
        """Return the value of ``row``. Raises :class:`~qts.market.files.refusals.RowRefused`."""
        ...

    def time_of(self, row: R) -> int | None:
        """Return the time of a row in nanoseconds since 1970 UTC; None when it cannot be read. Never raises."""
        ...

    def checksum(self, row: R) -> int:
        """Return the CRC-32 by which a repeated row is known after a resume."""
        ...

    def show(self, row: R) -> str | bytes:
        """Return the row for a message."""
        ...

    def column_of(self, row: R, value: str) -> str:
        """Return the name of the cell of ``row`` that holds ``value``; "" when none does."""
        ...
