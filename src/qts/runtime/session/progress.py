"""How far a session is: the callable that drivers tell it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from qts.market.contracts import Feed, LiveFeed

ROWS_PER_PROGRESS: Final = 256
"""Values between two reports of a session that never has to wait."""


class Progress(Protocol):
    """Told now and then how far the session is: share of the input 0..1 (None unknown) and its time in ns."""

    def __call__(self, share: float | None, moment_ns: int, /) -> None:
        """Take how far the session is. Called on its thread; must not wait, and what it raises ends the session."""
        ...


def share_of(feed: Feed | LiveFeed) -> Callable[[], float | None]:
    """Return what tells the share of ``feed`` already given, 0..1; None while unknown, as always of a live feed."""
    return feed.progress if isinstance(feed, Feed) else _unknown


def _unknown() -> None:
    return None
