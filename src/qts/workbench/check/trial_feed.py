"""A feed that counts its rows, ends early and stops the session: so a run is cut without writing a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from qts.market.contracts import Feed, MarketValue
from qts.market.feed_view import FeedView
from qts.runtime.control.stop_flag import StopFlag

_MOST_MARKS: Final = 4_096


class TrialFeed(FeedView):
    """The values of ``feed`` up to the moment ``until_ns``, that one included; None: all.

    The session is stopped by ``stop`` at the row ``stop_at`` (counted from the first row of the whole input, so
    ``given_before`` were given by an earlier part of the run), and when the user stops the whole check by ``user``.
    """

    def __init__(
        self,
        feed: Feed,
        stop: StopFlag,
        user: StopFlag,
        *,
        until_ns: int | None = None,
        stop_at: int | None = None,
        given_before: int = 0,
    ) -> None:
        super().__init__(feed)
        self.given = given_before
        """Number of rows given, of the whole input."""
        self.now_ns = 0
        """The time of the newest row."""
        self.is_ended = False
        self.marks: list[tuple[int, int]] = []
        """Rows and their times, thinned evenly to at most some thousand."""
        self._stop, self._user = stop, user
        self._until_ns, self._stop_at = until_ns, stop_at
        self._every = 1

    def values(self) -> Iterator[MarketValue]:
        """Return the values after the present position, up to the cut."""
        until_ns, stop, user = self._until_ns, self._stop, self._user
        for value in self.feed.values():
            if until_ns is not None and value.ts_ns > until_ns:
                break
            self.given += 1
            self.now_ns = value.ts_ns
            if self.given % self._every == 0:
                self._mark(value.ts_ns)
            if self.given == self._stop_at or user.requested:
                stop.request()  # it stops after this row
            yield value
        self.is_ended = True

    def over(self, feed: Feed) -> FeedView:
        """Return a plain view of ``feed``: what is read beside the session, such as its history, is not cut."""
        return FeedView(feed)

    def _mark(self, ts_ns: int) -> None:
        self.marks.append((self.given, ts_ns))
        if len(self.marks) > _MOST_MARKS:
            self.marks = self.marks[1::2]
            self._every *= 2
