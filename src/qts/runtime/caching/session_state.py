"""The values that the session's thread hands to the publisher, each replaced by one assignment."""

from __future__ import annotations

from collections.abc import Mapping

from qts.market.last_values import LastValues
from qts.runtime.caching.committed_book import CommittedBook
from qts.runtime.caching.values import Depth, Standing


class SessionState:
    """The newest of everything that a session makes known.

    The session's thread assigns, the publisher's thread reads. ``last`` is the session's own table of last values,
    which the publisher only copies. ``alive_ns``: the machine's time at which the session was last seen to go on
    (ns since 1970 UTC), 0 before; ``view``: the session's view as JSON, and the machine's time of it.
    """

    __slots__ = ("alive_ns", "book", "depths", "last", "standing", "strategies", "view")

    def __init__(self, book: CommittedBook, last: LastValues) -> None:
        self.book, self.last = book, last
        self.alive_ns = 0
        self.depths: dict[str, Depth] = {}
        self.standing: Standing | None = None
        self.strategies: Mapping[str, Mapping[str, str]] = {}
        self.view: tuple[int, bytes] | None = None
