"""The cache of a session that has none: what the session calls, and does nothing."""

from __future__ import annotations

from collections.abc import Sequence

from qts.db.contracts import Record
from qts.runtime.caching.cache_view import CacheView
from qts.runtime.session.progress import Progress


class SessionCache:
    """The cache of a session, without one: every method does nothing.

    That of a session which writes to a cache is :class:`~qts.runtime.caching.published_session.PublishedSession`,
    which is imported only then. For the session's thread. Nothing here waits or raises, and nothing that decides
    reads any of it.
    """

    def committed(self, records: Sequence[Record]) -> None:
        """Take the rows of a transaction that is on disk."""

    def strategies_changed(self) -> None:
        """Take the parameters of the strategies again: they may have changed."""

    def show(self, data: bytes) -> None:
        """Take the session's view as JSON."""

    def along(self, progress: Progress) -> Progress:
        """Return a ``progress`` that also looks at what is not told of by itself."""
        return progress

    def view(self) -> CacheView | None:
        """Return what is shown of it; None when there is no cache."""
        return None
