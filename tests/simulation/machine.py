"""A machine without real time: its threads run one at a time, and its clock moves when all of them wait.

Threads are threads of the system, so that everything that belongs to a thread stays its own, but only the one that
has the turn runs. It gives the turn on where it waits: for a lock, a queue, another thread, the disk, or its event
loop for the next timer. Which of several that could go on is next is drawn from the machine's seed, so one seed is
one order of everything.
"""

from __future__ import annotations

import heapq
import itertools
import random
import threading
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

T = TypeVar("T")
TURN_NS = 20_000
"""Time that one turn of an event loop takes."""
MOST_TURNS = 2_000_000
"""Turns after which a story counts as one that never ends."""


class Crash(BaseException):
    """The process was killed or the machine lost its power: nothing after this happens any more."""


class Stuck(Exception):
    """Every thread waits and no time will end it, or the story goes on without end."""


class _Worker:
    """A thread of the system, used by one thread of the machine after the other."""

    idle: ClassVar[list[_Worker]] = []

    def __init__(self) -> None:
        self.work: Callable[[], None] | None = None
        self.turn = threading.Lock()
        self.turn.acquire()
        self.system = threading.Thread(target=self._live, daemon=True)
        self.system.start()

    def _live(self) -> None:
        while True:
            self.turn.acquire()
            assert self.work is not None
            self.work()


class SimThread:
    """A thread of the machine; made by :meth:`Machine.spawn`."""

    def __init__(self, name: str, turn: threading.Lock) -> None:
        self.name = name
        self.turn = turn
        self.is_waiting = False
        self.was_woken = False
        self.round = 0
        """Number of its wait: a time that was set for an earlier one is void."""
        self.has_ended = False
        self.joining: list[SimThread] = []


class Machine:
    """Time, threads and crashes of one life of a process. ``seed`` decides what runs next.

    ``slack_ns``: how late a timer of an event loop may come while nothing else happens, as a busy system's do.
    """

    current: ClassVar[Machine | None] = None

    def __init__(self, seed: str, now_ns: int, wall_ns: int, *, slack_ns: int = 0) -> None:
        self.now_ns = now_ns
        """The time that has passed since some moment before the story; it never goes back."""
        self.wall_ns = wall_ns
        """What the machine's clock shows when :attr:`now_ns` is 0; a step of the clock changes it."""
        self.slack_ns = slack_ns
        self.rng = random.Random(seed)
        self.is_over = False
        self.why_over: BaseException | None = None
        self.turns = 0
        self.told = ""
        """The error that ended it, with its place."""
        main_turn = threading.Lock()
        main_turn.acquire()
        self._main = self._current = SimThread("main", main_turn)
        self._threads: list[SimThread] = [self._main]
        self._ready: deque[SimThread] = deque()
        self._sleepers: list[tuple[int, int, int, SimThread]] = []
        self._count = itertools.count()
        self.on_turn: Callable[[], None] | None = None

    # -- threads -----------------------------------------------------------------------------------------------

    @property
    def running(self) -> SimThread:
        """Return the thread that has the turn."""
        return self._current

    def spawn(self, work: Callable[[], None], name: str) -> SimThread:
        """Begin a thread; it runs when the turn comes to it."""
        self.raise_if_over()
        worker = _Worker.idle.pop() if _Worker.idle else _Worker()
        thread = SimThread(name, worker.turn)
        self._threads.append(thread)

        def live() -> None:
            try:
                if not self.is_over:
                    work()
            except Crash:
                pass
            except BaseException as error:  # noqa: BLE001 - the edge of the thread: the story fails by it
                self.crash(error)
            self._end(thread, worker)

        worker.work = live
        self._ready.append(thread)
        return thread

    def _end(self, thread: SimThread, worker: _Worker) -> None:
        thread.has_ended = True
        self._threads.remove(thread)
        for one in thread.joining:
            self.wake(one)
        worker.work = None
        _Worker.idle.append(worker)
        self._pass_on().turn.release()

    def join(self, thread: SimThread, until_ns: int | None = None) -> None:
        """Wait until ``thread`` has ended, or until a time."""
        while not thread.has_ended and (until_ns is None or self.now_ns < until_ns):
            thread.joining.append(self._current)
            self.park(until_ns)

    def crash(self, why: BaseException | None = None) -> None:
        """End everything: each thread raises Crash when its turn comes. ``why``: None for a planned end."""
        if not self.is_over:
            self.is_over, self.why_over = True, why

    def raise_if_over(self) -> None:
        """Raise Crash behind the end of the machine."""
        if self.is_over:
            raise Crash

    def reap(self) -> None:
        """Let every other thread end, behind :meth:`crash`; on the first thread."""
        while len(self._threads) > 1:
            self._current.is_waiting = False
            self._ready.append(self._current)
            self._switch()

    # -- waiting -----------------------------------------------------------------------------------------------

    def park(self, until_ns: int | None = None) -> bool:
        """Wait for :meth:`wake` or a time (ns of :attr:`now_ns`); return whether it was woken. Raises Crash."""
        self.raise_if_over()
        me = self._current
        me.is_waiting, me.was_woken = True, False
        me.round += 1
        if until_ns is not None:
            heapq.heappush(self._sleepers, (until_ns, next(self._count), me.round, me))
        self._switch()
        self.raise_if_over()
        return me.was_woken

    def sleep(self, ns: int) -> None:
        """Let time pass on this thread."""
        until_ns = self.now_ns + ns
        while self.now_ns < until_ns:
            self.park(until_ns)

    def wake(self, thread: SimThread) -> None:
        """Let a thread that waits go on."""
        if thread.is_waiting:
            thread.is_waiting, thread.was_woken = False, True
            self._ready.append(thread)

    def give_way(self) -> None:
        """Let another thread go first, if one is ready and the seed says so."""
        self.raise_if_over()
        self.turns += 1
        if self.turns > MOST_TURNS:
            self.crash(Stuck("the story has no end"))
            raise Crash
        if self._ready:
            self._ready.append(self._current)
            self._switch()
            self.raise_if_over()

    def _switch(self) -> None:
        me = self._current
        following = self._pass_on()
        if following is not me:
            following.turn.release()
            me.turn.acquire()

    def _pass_on(self) -> SimThread:
        """Choose who has the next turn."""
        if self.is_over:
            for thread in self._threads:
                if thread.is_waiting:
                    thread.is_waiting = False
                    self._ready.append(thread)
            if len(self._ready) > 1 and self._ready[0] is self._main:
                self._ready.rotate(-1)
        while not self._ready:
            if not self._sleepers:
                self.crash(Stuck(f"every thread waits: {', '.join(one.name for one in self._threads)}"))
                return self._pass_on()
            until_ns, _, number, thread = heapq.heappop(self._sleepers)
            if thread.is_waiting and thread.round == number:
                self.now_ns = max(self.now_ns, until_ns)
                thread.is_waiting = False
                self._ready.append(thread)
        if len(self._ready) > 1 and not self.is_over:
            self._ready.rotate(self.rng.randrange(len(self._ready)))
        chosen = self._current = self._ready.popleft()
        return chosen


def machine() -> Machine:
    """Return the machine that this thread runs on. Raises Crash when there is none any more."""
    found = Machine.current
    if found is None:
        raise Crash
    return found


def run_on(made: Machine, work: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    """Run ``work`` as the first thread of a machine; return its result, or None and what ended it."""
    before: Any = Machine.current
    Machine.current = made
    try:
        return work(), None
    except Crash:
        return None, made.why_over
    except BaseException as error:  # noqa: BLE001 - whatever ended it belongs to the story
        made.crash(error)
        made.told = traceback.format_exc()
        return None, error.with_traceback(None)
    finally:
        made.crash()
        made.reap()
        Machine.current = before
