"""Handlers that worker processes of the tests import."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from qts.event.contracts import Event, EventType, create_event
from qts.event.handlers import EventHandler


def pid_of_worker(event: Event) -> Event:
    """Tells in which process it ran."""
    return create_event(EventType.INDICATOR_UPDATE, payload={"n": event.payload["n"], "pid": os.getpid()})


def noisy(event: Event) -> Event:
    print("this must not disturb the protocol")
    return pid_of_worker(event)


def failing(event: Event) -> None:
    raise ValueError(f"no {event.payload['n']}")


def dying(event: Event) -> None:
    os._exit(3)


def dying_on_two(event: Event) -> Event:
    if event.payload["n"] == 2:
        os._exit(3)
    return pid_of_worker(event)


def hanging(event: Event) -> None:
    time.sleep(3600)


def slow_on_the_loop(event: Event) -> None:
    sum(range(30_000))


async def waiting(event: Event) -> Event:
    return pid_of_worker(event)


class Counting(EventHandler):
    """Keeps a count of its own, in whichever process it lives."""

    def __init__(self) -> None:
        self.count = 0

    async def handle(self, event: Event) -> Event:
        self.count += 1
        return create_event(EventType.INDICATOR_UPDATE, payload={"n": self.count})


class Batching(EventHandler):
    """Tells the size of each batch."""

    async def handle(self, event: Event) -> Any:
        raise AssertionError("only batches are expected")

    async def handle_batch(self, events: Sequence[Event]) -> list[Event]:
        return [create_event(EventType.INDICATOR_UPDATE, payload={"n": len(events)})]


READY = Counting()
NOT_CALLABLE = 5
