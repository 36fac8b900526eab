"""The cache of a session as its view shows it."""

from __future__ import annotations

from typing import Final

import msgspec

CACHE_STATES: Final = ("OPENING", "WRITING", "AWAY", "REFUSED", "ENDED")
"""The names of the states of a cache, as a session sees it."""
BREAKER_STATES: Final = ("CLOSED", "OPEN", "HALF_OPEN")
"""The names of the states of the breaker before it; a test compares them."""


class CacheView(msgspec.Struct, frozen=True):
    """The cache that a session writes to. ``state``: one of :data:`CACHE_STATES`.

    OPENING: it is looked for. WRITING: it takes values. AWAY: it does not answer, and is tried again. REFUSED: it
    answers, and takes nothing. ENDED: nothing more is written to it. ``server``: its name and version, "" until it
    was open. ``why``: why it is AWAY or REFUSED, or that another session writes as the same account; else "".
    ``written`` values are there or have expired by now, ``waiting`` wait, ``dropped`` were not written, by kind,
    because too many waited or they were too old by then. ``failures``: calls that did not succeed. ``breaker``: one
    of :data:`BREAKER_STATES`, "" until it was open; OPEN: the cache is left alone for a while, HALF_OPEN: it is
    tried. The times are those of the calls that write, in µs of real time.
    """

    server: str
    state: str
    written: int = 0
    waiting: int = 0
    dropped: dict[str, int] = {}
    failures: int = 0
    breaker: str = ""
    why: str = ""
    write_p50_us: float = 0.0
    write_p99_us: float = 0.0
