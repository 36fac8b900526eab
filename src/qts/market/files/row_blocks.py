"""The port that a feed reads from: rows in blocks, each of which knows where it begins.

The place of a row is (offset of its block, number of rows of the block already used), so keeping it costs nothing
per row: the replay only counts an index up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, NamedTuple, Protocol, TypeVar

from qts.notes import Note

R = TypeVar("R")


class Block(NamedTuple, Generic[R]):
    """``rows`` in file order; ``offset`` is where the first one begins, ``first`` its number from 1."""

    offset: int
    first: int
    rows: list[R]


class Damage(NamedTuple):
    """The input ended before its end: a refusal reason, and the phrase for people."""

    reason: str
    note: Note


class Source(Protocol[R]):
    """A reader of a file from the start of any block; on the thread of its feed."""

    damage: Damage | None
    """Set when the blocks ended early."""

    def blocks(self, offset: int, first: int) -> Iterator[Block[R]]:
        """Yield the blocks from ``offset`` on (bytes or rows, as in :class:`Block`), whose first row has the number
        ``first``. Sets ``damage`` when the file ends before its end.
        """
        ...

    def share_read(self) -> float:
        """Return how much of the file was read, 0..1."""
        ...
