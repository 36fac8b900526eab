"""The port of every file of bars: batches of texts, and how its dates and numbers are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from qts.market.bars.dates import Stamp
from qts.market.bars.figures import Signs
from qts.market.bars.table import Batch
from qts.notes import Note


class BarSource(Protocol):
    """A reader of one file of bars. Every member raises DataError where the file leaves open what it must tell."""

    @property
    def digest(self) -> str:
        """Return the SHA-256 of its content, in hex."""
        ...

    @property
    def symbol(self) -> str:
        """Return the symbol that the file itself names for all its rows; "" when it names none."""
        ...

    @property
    def has_symbols(self) -> bool:
        """Return whether the file has a column of symbols."""
        ...

    @property
    def parse(self) -> Callable[[str], Stamp]:
        """Return the reader of its dates."""
        ...

    @property
    def signs(self) -> Signs:
        """Return how its numbers are written."""
        ...

    @property
    def notes(self) -> Sequence[Note]:
        """Return what was seen of the file and a reader must know."""
        ...

    def batches(self) -> Iterator[Batch]:
        """Yield its rows, in the order of the file."""
        ...
