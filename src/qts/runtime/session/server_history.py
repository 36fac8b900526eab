"""Warms up the strategies of a session with what a server has from before it, which is part of its input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from qts.db.datadir import DATABASE_NAME
from qts.db.reading import StoreReader
from qts.market.contracts import Feed
from qts.market.feed_view import reread
from qts.market.with_history import BegunWith, WithStored, began_as
from qts.runtime.session.session_plan import SessionPlan
from qts.runtime.wiring.moments import wanted_by
from qts.strategy.contracts import Strategy


def with_server_history(plan: SessionPlan, feed: Feed, strategies: Sequence[Strategy]) -> tuple[SessionPlan, Feed]:
    """Return plan and feed with the rows of the server before them; as they are where no bars are wanted.

    A resumed session has its bars in its checkpoint: nothing is read, and its input has the name that it began
    with. Raises StorageError for a run that cannot be read.
    """
    wanted = wanted_by(strategies)
    if plan.stored_rows is None or not wanted:
        return plan, feed
    begun = _name_at_begin(plan.options.data_dir, feed) if plan.options.resume else None
    if begun is not None:
        return _seen_as(plan, feed, lambda one: BegunWith(one, begun))
    found = plan.stored_rows(wanted, reread(feed) or plan.open_feed())
    if found is None:
        return plan, feed
    return _seen_as(plan, feed, lambda one: WithStored(one, found))


def _name_at_begin(directory: Path | None, feed: Feed) -> str | None:
    """Return the name of the input of a run that has a checkpoint; None for another run, or none."""
    if directory is None or not (directory / DATABASE_NAME).exists():
        return None
    with StoreReader(directory / DATABASE_NAME) as stored:
        run = stored.run()
        if run is None or stored.checkpoint() is None or not began_as(feed, run.source_id):
            return None
        return run.source_id


def _seen_as(plan: SessionPlan, feed: Feed, view: Callable[[Feed], Feed]) -> tuple[SessionPlan, Feed]:
    open_feed = plan.open_feed
    return msgspec.structs.replace(plan, open_feed=lambda: view(open_feed())), view(feed)
