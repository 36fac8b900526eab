"""Opens what is known from before a session and builds the bars of it that strategies want."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qts.errors import DataError
from qts.market.contracts import Feed
from qts.market.feed_view import reread
from qts.market.series.history import RowHistory
from qts.market.series.wanted import WantedBars
from qts.market.with_history import rows_before


def read_history(wanted: Sequence[WantedBars], feed: Feed, open_feed: Callable[[], Feed]) -> RowHistory:
    """Return the wanted bars from before the first value of ``feed``, and the builder that goes on with them.

    ``feed`` stands at its beginning and stays there; ``open_feed`` opens the same input again where it is not in
    memory. Raises DataError when rows cannot be read or the input has changed.
    """
    again = reread(feed) or open_feed()
    if again.source_id != feed.source_id:
        raise DataError(f"{again.name} has changed since the session opened it")
    history = RowHistory(wanted, feed.instruments)
    before = rows_before(again)
    history.read(before.sources, before.begin_ns)
    return history
