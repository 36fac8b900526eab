"""Keeps the garbage collector out of the way of events, and lets it work when nobody waits.

A full collection of a heap with a million objects stops every handler for 60 ms and more (measured with
``python -m bench dispatcher``, load "heap of 1 M objects"). So what exists at the start is frozen, automatic
collection is off while events run, and a look now and then collects what is young while nothing is queued.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

YOUNG: Final = 2_000
"""New container objects that are worth a look in a quiet moment: about 0.1 ms of collecting."""
TOO_MANY: Final = 100_000
"""From here on they are collected in a busy moment too, because memory must stay bounded."""
QUIET_LOOKS: Final = 50
"""Quiet looks in a row (5 s at the default interval) after which everything that is not frozen is collected."""
QUIET_BETWEEN: Final = 9 * QUIET_LOOKS
"""More quiet looks before it is done again."""


class QuietCollector:
    """Collects deliberately between :meth:`begin` and :meth:`end`.

    One for the whole interpreter is enough; several do no harm: whoever ends first gives automatic collection
    back only if it was on when it began.
    """

    __slots__ = ("_quiet", "_was_enabled", "collections", "forced")

    def __init__(self) -> None:
        self._was_enabled = False
        self._quiet = 0
        self.collections = 0
        """Collections in quiet moments."""
        self.forced = 0
        """Collections in busy moments."""

    def begin(self) -> None:
        """Collect once, freeze what is left, switch automatic collection off."""
        self._was_enabled = gc.isenabled()
        gc.collect()
        gc.freeze()
        gc.disable()

    def look(self, *, quiet: bool) -> None:
        """Collect what is young when it is worth it; everything once after a long quiet time."""
        young = gc.get_count()[0]
        if not quiet:
            self._quiet = 0
            if young >= TOO_MANY:
                self.forced += 1
                gc.collect(0)
            return
        self._quiet += 1
        if self._quiet == QUIET_LOOKS:
            self._quiet = -QUIET_BETWEEN
            self.collections += 1
            gc.collect()
        elif young >= YOUNG:
            self.collections += 1
            gc.collect(0)

    def end(self) -> None:
        """Undo :meth:`begin`."""
        gc.unfreeze()
        if self._was_enabled:
            gc.enable()


@contextmanager
def quiet_collector() -> Iterator[QuietCollector]:
    """A :class:`QuietCollector` that begins and ends with the block."""
    collector = QuietCollector()
    collector.begin()
    try:
        yield collector
    finally:
        collector.end()
