"""Control of Python's garbage collector: it runs when no event waits.

A full collection of a heap with a million objects stops every handler for 60 ms and more (measured with
``python -m bench dispatcher``, load "heap of 1 M objects"). So what exists at the start is frozen, automatic
collection is off while events run, and a regular check collects while nothing is queued.

As Python does by default, survivors are examined more rarely: the middle and the old generation are collected when
enough has come into them. Otherwise objects that live for seconds would never be freed in a program that is never
quiet for long.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

YOUNG: Final = 2_000
"""New container objects that are worth a collection in a quiet moment: about 0.1 ms."""
MIDDLE: Final = 10 * YOUNG
"""Survivors of young collections that are worth a middle collection in a quiet moment."""
OLD: Final = 100_000
"""Survivors since the last full collection that are worth another one in a quiet moment: about 10 ms."""
OLD_SHARE: Final = 0.25
"""But not before they are this share of what the last one left: the cost per new object stays bounded."""
TOO_MANY: Final = 100_000
"""From here on young ones are collected in a busy moment too, because memory must stay bounded."""
MUCH_TOO_OLD: Final = 5 * OLD
"""From here on old ones too, unless the last full collection left even more."""
QUIET_CHECKS: Final = 50
"""Quiet checks in a row (5 s at the default interval) after which everything that is not frozen is collected."""
QUIET_PAUSE: Final = 9 * QUIET_CHECKS
"""Further quiet checks before that is done again."""
_EVERYTHING: Final = 2


class _Heap:
    """The interpreter's one heap: the count of its controllers, and the survivors in each generation.

    The first controller freezes and switches off, the last one undoes it. Only the first freezes: one that comes
    and goes would each time freeze objects that die a moment later.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a finaliser that a collection runs may end another user
        self._users = 0
        self._was_enabled = False
        self._middle = self._old = self._left = 0

    def enter(self, *, collects: bool) -> None:
        with self._lock:
            self._users += 1
            if self._users > 1:
                return
            self._was_enabled = gc.isenabled()
            self._middle = self._old = self._left = 0
            if collects:
                gc.collect()
            gc.freeze()
            gc.disable()

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users:
                return
            gc.unfreeze()
            if self._was_enabled:
                gc.enable()

    def due(self, young: int, *, quiet: bool) -> int | None:
        """Return the oldest generation that is worth a collection now; None when none is."""
        old, share = (OLD, OLD_SHARE) if quiet else (MUCH_TOO_OLD, 1.0)
        if self._old >= max(old, self._left * share):
            return _EVERYTHING
        if not quiet:
            return 1 if young >= TOO_MANY else None
        if young < YOUNG:
            return None
        return 1 if self._middle >= MIDDLE else 0

    def collect(self, generation: int, young: int) -> None:
        """Collect, and count what goes on to the next generation."""
        with self._lock:
            more = young - gc.collect(generation)
            if generation == _EVERYTHING:
                self._middle = self._old = 0
                self._left = len(gc.get_objects())  # without the frozen ones
            else:
                self._middle = max(self._middle + more, 0) if generation == 0 else 0
                self._old = max(self._old + more, 0)


_heap = _Heap()


class GcController:
    """A controller of garbage collection between :meth:`begin` and :meth:`end`.

    One for the whole interpreter is enough; several share it: the first to begin freezes what exists and switches
    automatic collection off, the last to end gives it back if it was on.
    """

    __slots__ = ("_began", "_quiet", "collections", "forced")

    def __init__(self) -> None:
        self._began = False
        self._quiet = 0
        self.collections = 0
        """Collections in quiet moments."""
        self.forced = 0
        """Collections in busy moments."""

    def begin(self, *, collects: bool = True) -> None:
        """Collect once, freeze what is left, switch automatic collection off, unless another one has done so.

        Without ``collects`` all that exists is frozen, what could be collected as well, until :meth:`end`.
        """
        if not self._began:
            self._began = True
            _heap.enter(collects=collects)

    def maybe_collect(self, *, quiet: bool) -> None:
        """Collect the generations for which it is worth it; everything once after a long quiet time."""
        young = gc.get_count()[0]
        due = _heap.due(young, quiet=quiet)
        self._quiet = self._quiet + 1 if quiet else 0
        if self._quiet == QUIET_CHECKS:
            self._quiet = -QUIET_PAUSE
            due = _EVERYTHING
        if due is None:
            return
        if quiet:
            self.collections += 1
        else:
            self.forced += 1
        _heap.collect(due, young)

    def end(self) -> None:
        """Undo :meth:`begin`; a second call does nothing."""
        if self._began:
            self._began = False
            _heap.leave()


def collect_when_worth() -> None:
    """Collect the young and the middle generation in a moment that is as good as any, if enough has been made."""
    if gc.get_count()[0] >= MIDDLE:
        gc.collect(1)


@contextmanager
def controlled_gc(*, collects: bool = True) -> Iterator[GcController]:
    """Yield a :class:`GcController` that begins and ends with the block; ``collects``: see there."""
    collector = GcController()
    collector.begin(collects=collects)
    try:
        yield collector
    finally:
        collector.end()
