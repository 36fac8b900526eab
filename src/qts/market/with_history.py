"""A feed with files of earlier rows, and the rows from before a session that a feed knows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Final, NamedTuple

from qts.market.contracts import Feed, MarketValue
from qts.market.feed_view import FeedView
from qts.market.series.history import Rows
from qts.market.time_window import TimeWindow
from qts.notes import Note

_OWN, _FILES = 0, 1
"""Ranks of rows: those of the input itself come before those of other files."""
_ID_DIGITS: Final = 16


class WithHistory(FeedView):
    """A view of ``feed`` whose strategies are warmed up with the rows of other feeds from before its own."""

    def __init__(self, feed: Feed, earlier: Sequence[Feed]) -> None:
        super().__init__(feed)
        self.earlier = tuple(earlier)

    @property
    def source_id(self) -> str:
        """Name the input and the files before it: what strategies know at the start is part of the run."""
        names = "\n".join(one.source_id for one in self.earlier)
        return f"{self.feed.source_id}+{hashlib.sha256(names.encode()).hexdigest()[:_ID_DIGITS]}"

    def over(self, feed: Feed) -> WithHistory:
        """Return the same history over ``feed``."""
        return WithHistory(feed, self.earlier)


class RowsBefore(NamedTuple):
    """The rows from before a session, which begins at ``begin_ns`` (ns since 1970 UTC)."""

    sources: tuple[Rows, ...]
    begin_ns: int


def rows_before(feed: Feed) -> RowsBefore:
    """Return what is known from before the first value of ``feed``: its own rows before ``--from``, other files.

    ``feed`` stands at its beginning and is used up by it: the session has another one of the same input. Raises
    what reading its first value raises.
    """
    window = _window_of(feed)
    earlier = [one for view in _views(feed) for one in _earlier(view)]
    if window is not None and window.begin_ns is not None:
        begin_ns = window.begin_ns
        own = Note.of("warm-up-own-rows", day=window.first_text)
        sources = [Rows(own, _OWN, window.earlier_values())]
        sources += [Rows(one.name, _FILES, _until(one, begin_ns + 1)) for one in earlier]
        return RowsBefore(tuple(sources), begin_ns)
    first = next(iter(feed.values()), None) if earlier else None
    begin_ns = 0 if first is None else first.ts_ns
    return RowsBefore(tuple(Rows(one.name, _FILES, _until(one, begin_ns)) for one in earlier), begin_ns)


def _until(feed: Feed, end_ns: int) -> Iterator[MarketValue]:
    """Return the values of a feed that were known before ``end_ns``."""
    return takewhile(lambda value: value.ts_ns < end_ns, feed.values())


def _views(feed: Feed) -> list[FeedView]:
    views = []
    while isinstance(feed, FeedView):
        views.append(feed)
        feed = feed.feed
    return views


def _window_of(feed: Feed) -> TimeWindow | None:
    return next((view for view in _views(feed) if isinstance(view, TimeWindow)), None)


def _earlier(view: FeedView) -> Sequence[Feed]:
    return view.earlier if isinstance(view, WithHistory) else ()
