"""The way into the queues: what accepting an event of one type needs, and replacing a queue that broke."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from qts.event.contracts import Event, EventPriority
from qts.event.queue import BoundedQueue, EventQueue, RingBuffer
from qts.event.work import PriorityLevel

_log: Final = logging.getLogger("qts.event")


class Door:
    """What publishing one type needs, in one place. ``arrivals`` is None unless its queue needs no lock."""

    __slots__ = ("append", "arrivals", "level", "number", "priority", "put")

    def __init__(self, priority: EventPriority, level: PriorityLevel, put_p0: Callable[[Event], bool]) -> None:
        queue = level.queue
        self.level = level
        self.number = level.number
        self.priority = priority
        self.put = put_p0 if isinstance(queue, BoundedQueue) else queue.put_nowait
        self.arrivals = queue.arrivals if isinstance(queue, RingBuffer) else None
        self.append: Callable[[Event], None] = queue.items.append if self.arrivals is not None else _never


def replace_queue(level: PriorityLevel, queue: EventQueue, error: Exception) -> tuple[str, bool]:
    """Let ``queue`` take the place of the one that failed with ``error``, with all its events and counts.

    Returns what happened, and whether the events could be saved.
    """
    old = level.queue
    level.use(queue)
    queue.held = old.held
    problem = f"{level.priority.name} queue failed ({type(error).__name__}: {error})"
    try:
        queue.restore(old.pending(), old.counts())
    except Exception as failure:  # noqa: BLE001 - the old queue may be broken in any way; the new one stays empty
        return f"{problem}, its events could not be saved ({type(failure).__name__}: {failure})", False
    return problem, True


def outlived(callback: Callable[..., None], name: str) -> Callable[..., None]:
    """``callback`` of somebody who is only told: when it raises, that is logged and the event goes its way."""

    def told(*what: object) -> None:
        try:
            callback(*what)
        except Exception:  # noqa: BLE001 - edge: somebody else's code, and a P0 event may be in hand
            _log.exception("%s raised", name)

    return told


def _never(event: Event) -> None:
    raise AssertionError("only lock-free queues are appended to directly")
