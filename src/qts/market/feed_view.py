"""A feed seen through another object: everything is the feed's own, unless a subclass changes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from qts.market.actions import CorporateAction, actions_of
from qts.market.contracts import Feed, Instrument, MarketValue
from qts.market.files.refusals import RefusalExample
from qts.notes import Note


class FeedView:
    """A :class:`~qts.market.contracts.Feed` that gives what ``feed`` gives; see there for its methods."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed

    @property
    def name(self) -> str:
        """Return the name of the feed."""
        return self.feed.name

    @property
    def source_id(self) -> str:
        """Name the input; a subclass that changes it has to change the name."""
        return self.feed.source_id

    @property
    def max_age_ns(self) -> int:
        """Return how old a price may be, ns."""
        return self.feed.max_age_ns

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """Return the instruments by symbol."""
        return self.feed.instruments

    @property
    def declares_volatility(self) -> bool:
        """Return whether the feed sends a volatility index."""
        return self.feed.declares_volatility

    @property
    def rows_refused(self) -> Mapping[str, int]:
        """Return how many rows could not be used, by reason."""
        return self.feed.rows_refused

    @property
    def refusal_examples(self) -> Mapping[str, Sequence[RefusalExample]]:
        """Return the feed's examples of refused rows by reason; empty where it keeps none."""
        return getattr(self.feed, "refusal_examples", {})

    @property
    def notes(self) -> Sequence[Note]:
        """Return what the feed says of its input; empty where it says nothing."""
        return getattr(self.feed, "notes", ())

    @property
    def actions(self) -> Sequence[CorporateAction]:
        """Return the feed's corporate actions; empty where it knows none."""
        return actions_of(self.feed)

    def values(self) -> Iterator[MarketValue]:
        """Return the values after the present position."""
        return self.feed.values()

    def position(self) -> dict[str, Any]:
        """Return the place after the value most recently given."""
        return self.feed.position()

    def resume(self, position: Mapping[str, Any]) -> None:
        """Move to a stored position. Raises DataError when it belongs to another input."""
        self.feed.resume(position)

    def progress(self) -> float | None:
        """Return the share of the input already given; None when unknown."""
        return self.feed.progress()

    def over(self, feed: Feed) -> FeedView:
        """Return the same view over ``feed``."""
        return type(self)(feed)


def source_of(feed: Feed) -> Feed:
    """Return the feed that is read, without the views of it."""
    while isinstance(feed, FeedView):
        feed = feed.feed
    return feed


def giver_of(feed: Feed) -> Feed:
    """Return the feed whose values ``feed`` gives, without the views that change no value."""
    while isinstance(feed, FeedView) and type(feed).values is FeedView.values:
        feed = feed.feed
    return feed


@runtime_checkable
class Rereadable(Protocol):
    """The part of a feed that holds its whole input in memory."""

    def reread(self) -> Feed:
        """Return a feed of the same input from its beginning; nothing is opened."""
        ...


def reread(feed: Feed) -> Feed | None:
    """Return ``feed`` from its beginning without opening its input again; None for one that must be opened."""
    if isinstance(feed, FeedView):
        inner = reread(feed.feed)
        return None if inner is None else feed.over(inner)
    return feed.reread() if isinstance(feed, Rereadable) else None
