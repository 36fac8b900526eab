"""A feed with files of earlier rows, and the rows from before a session that a feed knows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import takewhile
from typing import Final, NamedTuple, Protocol

from qts.market.contracts import Feed
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
        return _named(self.feed, "\n".join(one.source_id for one in self.earlier))

    def over(self, feed: Feed) -> WithHistory:
        """Return the same history over ``feed``."""
        return WithHistory(feed, self.earlier)

    def sources(self) -> Sequence[Rows]:
        """Return the rows of the other feeds."""
        return [Rows(one.name, _FILES, one.values()) for one in self.earlier]


class StoredRows(Protocol):
    """Rows from before a session that another program has stored, found but not read."""

    @property
    def source_id(self) -> str:
        """Name the content: other rows have another name."""
        ...

    def sources(self) -> Sequence[Rows]:
        """Return the rows; those of ``rank`` 1 count before those of a higher one. Called once."""
        ...


class WithStored(FeedView):
    """A view of ``feed`` whose strategies are warmed up with stored rows from before its own."""

    def __init__(self, feed: Feed, stored: StoredRows) -> None:
        super().__init__(feed)
        self.stored = stored

    @property
    def source_id(self) -> str:
        """Name the input and the rows before it, as :class:`WithHistory` does."""
        return _named(self.feed, self.stored.source_id)

    def over(self, feed: Feed) -> WithStored:
        """Return the same rows before ``feed``."""
        return WithStored(feed, self.stored)

    def sources(self) -> Sequence[Rows]:
        """Return the stored rows."""
        return self.stored.sources()


class BegunWith(FeedView):
    """A view of the input of a session that goes on: named as when it began, with rows before it or without."""

    def __init__(self, feed: Feed, source_id: str) -> None:
        super().__init__(feed)
        self._source_id = source_id

    @property
    def source_id(self) -> str:
        """Name the input as it was named at the beginning."""
        return self._source_id

    def over(self, feed: Feed) -> BegunWith:
        """Return the view of ``feed`` with the same name."""
        return BegunWith(feed, self._source_id)


def began_as(feed: Feed, source_id: str) -> bool:
    """Return whether ``source_id`` names the input of ``feed``, with rows before it or without."""
    return source_id == feed.source_id or source_id.startswith(f"{feed.source_id}+")


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
    views = [view for view in _views(feed) if isinstance(view, WithHistory | WithStored)]
    earlier = [rows for view in views for rows in view.sources()]
    if window is not None and window.begin_ns is not None:
        begin_ns = window.begin_ns
        own = Note.of("warm-up-own-rows", day=window.first_text)
        sources = [Rows(own, _OWN, window.earlier_values())]
        sources += [_until(one, begin_ns + 1) for one in earlier]
        return RowsBefore(tuple(sources), begin_ns)
    begin_ns = (begin_of(feed) or 0) if earlier else 0
    return RowsBefore(tuple(_until(one, begin_ns) for one in earlier), begin_ns)


def begin_of(feed: Feed) -> int | None:
    """Return when a session of ``feed`` begins (ns since 1970 UTC): its first day, else its first value.

    None when it has no value. ``feed`` stands at its beginning and is used up; raises what reading it raises.
    """
    window = _window_of(feed)
    if window is not None and window.begin_ns is not None:
        return window.begin_ns
    first = next(iter(feed.values()), None)
    return None if first is None else first.ts_ns


def _until(rows: Rows, end_ns: int) -> Rows:
    """Return the rows that were known before ``end_ns``."""
    return rows._replace(values=takewhile(lambda value: value.ts_ns < end_ns, rows.values))


def _named(feed: Feed, before: str) -> str:
    """Return the name of an input with that of the rows before it, which are named ``before``."""
    return f"{feed.source_id}+{hashlib.sha256(before.encode()).hexdigest()[:_ID_DIGITS]}"


def _views(feed: Feed) -> list[FeedView]:
    views = []
    while isinstance(feed, FeedView):
        views.append(feed)
        feed = feed.feed
    return views


def _window_of(feed: Feed) -> TimeWindow | None:
    return next((view for view in _views(feed) if isinstance(view, TimeWindow)), None)
