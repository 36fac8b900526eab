"""Defines the callable to which drivers report the progress of a session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from qts.market.contracts import Feed, LiveFeed

ROWS_PER_PROGRESS: Final = 256
"""Number of values between two reports of a session that does not wait between values."""


class Progress(Protocol):
    """A receiver of progress reports."""

    def __call__(self, share: float | None, moment_ns: int, /) -> None:
        """Accept a report: the share of the input, 0..1 (None: unknown), and the time of the session's clock, ns.

        Called by drivers on the session's thread; must not wait. Any exception ends the session.
        """
        ...


def share_of(feed: Feed | LiveFeed) -> Callable[[], float | None]:
    """Return a callable for the share of ``feed`` already read, 0..1; None while unknown, as for a live feed."""
    return feed.progress if isinstance(feed, Feed) else _unknown


def _unknown() -> None:
    return None
