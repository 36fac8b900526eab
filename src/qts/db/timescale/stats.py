"""Counts of what was asked of a server, for metrics."""

from __future__ import annotations

import msgspec


class AdapterStats(msgspec.Struct):
    """Counts since the adapter was made; written on its loop, and read on any thread.

    ``calls``: all of them; ``slow``: those that took longer than :data:`~qts.db.timescale.connecting.SLOW_S`;
    ``late``: those whose connection was ended because no answer came in time; ``again``: repeated because the
    server ended them in favour of others; ``crowded``: how often a connection was taken from a pool of which more
    than nine tenths were in use then; ``connects``: connections made for batches. ``pool_in_use`` and
    ``pool_most``: connections of the pool, as it was last.
    """

    calls: int = 0
    slow: int = 0
    late: int = 0
    again: int = 0
    crowded: int = 0
    connects: int = 0
    pool_in_use: int = 0
    pool_most: int = 0
