"""Handlers that worker processes of the tests import."""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qts.event.contracts import Event, EventType, create_event
from qts.event.handlers import EventHandler


def pid_of_worker(event: Event) -> Event:
    """Tells in which process it ran."""
    return create_event(EventType.INDICATOR_UPDATE, payload={"n": event.payload["n"], "pid": os.getpid()})


def place_in_line(event: Event) -> Event:
    """Tells how it asks for the CPU."""
    told = {"n": event.payload["n"], "policy": os.sched_getscheduler(0), "nice": os.getpriority(os.PRIO_PROCESS, 0)}
    return create_event(EventType.INDICATOR_UPDATE, payload=told)


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


def dying_beside_a_fork(event: Event) -> Event:
    """Once, dies while a process it forked behind Python's back lives on as long as a file is there."""
    once = Path(event.payload["file"])
    if not once.exists():
        once.touch()
        if ctypes.CDLL(None).fork() == 0:
            while once.exists():
                time.sleep(0.01)
        os._exit(3)
    return pid_of_worker(event)


def forking(event: Event) -> Event:
    """Returns twice for 1: from the worker and from a fork of it."""
    if event.payload["n"] == 1:
        os.fork()
    return pid_of_worker(event)


def ending_what_it_started(event: Event) -> Event:
    """Ends a program and a fork by SIGTERM, and tells how they have ended."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"]) as program:
        program.terminate()
    told, tells = os.pipe()
    fork = os.fork()
    if fork == 0:
        os.write(tells, b"here")
        time.sleep(3600)
    os.read(told, 4)
    os.kill(fork, signal.SIGTERM)
    ended = [program.returncode, os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])]
    return create_event(EventType.INDICATOR_UPDATE, payload={"n": event.payload["n"], "ended": ended})


def keeping_the_interpreter(event: Event) -> None:
    """Write its process id into a file and then compute in C without end."""
    part = Path(event.payload["file"] + ".part")
    part.write_text(str(os.getpid()))
    part.rename(event.payload["file"])
    re.match(r"(a+)+$", "a" * 60 + "b")


def hanging(event: Event) -> None:
    time.sleep(3600)


def slow_on_the_loop(event: Event) -> None:
    sum(range(30_000))


async def slow_after_waiting(event: Event) -> Event:
    await asyncio.sleep(0)
    sum(range(30_000))
    return pid_of_worker(event)


async def waiting(event: Event) -> Event:
    return pid_of_worker(event)


class Counting(EventHandler):
    """Keeps a count of its own, in whichever process it restarts."""

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


class Summing:
    """The far half of a remote handler: adds numbers up, and does what the batch context or an event asks for."""

    def __init__(self, arguments: Any) -> None:
        if arguments.get("refuse"):
            raise ValueError(arguments["refuse"])
        self.total = arguments["total"]

    def started(self) -> dict[str, Any]:
        return {"pid": os.getpid(), "total": self.total}

    def work(self, events: Sequence[Event], context: Any) -> dict[str, Any]:
        numbers = [event.payload["n"] for event in events]
        for number in numbers:
            if number == DIES:
                os.kill(os.getpid(), signal.SIGKILL)
            if number == HANGS:
                time.sleep(3600)
            if number == FAILS:
                raise ValueError("not this one")
            self.total += number
        if context.get("die"):
            os.kill(os.getpid(), signal.SIGKILL)
        return {"pid": os.getpid(), "numbers": numbers, "total": self.total, "context": context}


DIES, HANGS, FAILS = -1, -2, -3
"""Numbers that a :class:`Summing` does not survive, does not come back from, refuses."""
