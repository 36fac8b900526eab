"""The parts of Python's library through which the package waits, on the machine of a simulation.

Locks, events, queues, threads, executors and event loops with the methods that the package uses of them. Without a
machine (while modules are imported) nothing has to wait.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from tests.simulation.machine import TURN_NS, Crash, Machine, SimThread, machine

NS = 1_000_000_000


def _until(timeout: float | None) -> int | None:
    return None if timeout is None or timeout < 0 else machine().now_ns + int(timeout * NS)


class Lock:
    """A lock that one thread of the machine holds."""

    def __init__(self) -> None:
        self._held = 0
        self._owner: SimThread | None = None
        self._waiting: deque[SimThread] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        made = Machine.current
        if made is None or not self._held:
            self._held, self._owner = 1, None if made is None else made.running
            return True
        if not blocking:
            return False
        until_ns = _until(timeout)
        while self._held:
            if until_ns is not None and made.now_ns >= until_ns:
                return False
            self._waiting.append(made.running)
            made.park(until_ns)
        self._held, self._owner = 1, made.running
        return True

    def release(self) -> None:
        self._held, self._owner = 0, None
        made = Machine.current
        while self._waiting and made is not None:
            waiting = self._waiting.popleft()
            if waiting.is_waiting:
                made.wake(waiting)
                return

    def locked(self) -> bool:
        return bool(self._held)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *about: object) -> None:
        self.release()


class RLock(Lock):
    """A lock that its holder may take again."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        made = Machine.current
        if self._held and made is not None and self._owner is made.running:
            self._held += 1
            return True
        return super().acquire(blocking, timeout)

    __enter__ = acquire

    def release(self) -> None:
        if self._held > 1:
            self._held -= 1
        else:
            super().release()


class Event:
    """An event that threads wait for."""

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: list[SimThread] = []

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            machine().wake(one)

    def clear(self) -> None:
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        made = machine()
        until_ns = _until(timeout)
        while not self._is_set and (until_ns is None or made.now_ns < until_ns):
            self._waiting.append(made.running)
            made.park(until_ns)
        return self._is_set


class SimpleQueue:
    """A queue without a bound."""

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._waiting: list[SimThread] = []

    @classmethod
    def __class_getitem__(cls, item: object) -> type[SimpleQueue]:
        return cls

    def put(self, item: Any) -> None:
        self._items.append(item)
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            machine().wake(one)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        while not self._items:
            if not block:
                raise queue.Empty
            self._waiting.append(machine().running)
            machine().park(None)
        return self._items.popleft()

    def empty(self) -> bool:
        return not self._items

    def qsize(self) -> int:
        return len(self._items)


class Thread:
    """A thread of the machine, begun by :meth:`start`."""

    def __init__(self, target: Callable[[], None], name: str = "", daemon: bool = True) -> None:
        self._target, self.name, self.daemon = target, name, daemon
        self._thread: SimThread | None = None

    def start(self) -> None:
        self._thread = machine().spawn(self._target, self.name)

    def join(self, timeout: float | None = None) -> None:
        if self._thread is not None:
            machine().join(self._thread, _until(timeout))

    def is_alive(self) -> bool:
        return self._thread is not None and not self._thread.has_ended


class ThreadPoolExecutor:
    """An executor of one thread."""

    def __init__(self, max_workers: int, name: str = "", initializer: Callable[[], None] = lambda: None) -> None:
        self._calls: SimpleQueue = SimpleQueue()
        self._begin = initializer
        self._thread = Thread(self._live, name)
        self._thread.start()

    def submit(self, call: Callable[..., Any], *arguments: Any) -> Any:
        done: Future[Any] = Future()
        self._calls.put((call, arguments, done))
        return _Waited(done)

    def give(self, call: Callable[..., Any], arguments: tuple[Any, ...], done: Callable[[Any, Any], None]) -> None:
        """Run a call, and say what came of it."""
        self._calls.put((call, arguments, done))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._calls.put(None)
        if wait:
            self._thread.join()

    def _live(self) -> None:
        self._begin()
        while (given := self._calls.get()) is not None:
            call, arguments, done = given
            result, error = _called(call, arguments)
            if isinstance(done, Future):
                done.set_result(result) if error is None else done.set_exception(error)
                waiting: Event | None = getattr(done, "waited", None)
                if waiting is not None:
                    waiting.set()
            else:
                done(result, error)


class _Waited:
    """The result of a call that another thread makes."""

    def __init__(self, future: Future[Any]) -> None:
        self._future = future
        self._event = Event()
        future.waited = self._event  # type: ignore[attr-defined]

    def result(self, timeout: float | None = None) -> Any:
        if not self._future.done():
            self._event.wait(timeout)
        return self._future.result(0)


def _called(call: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, BaseException | None]:
    try:
        return call(*arguments), None
    except Crash:
        raise
    except BaseException as error:  # noqa: BLE001 - it is raised where the result is waited for
        return None, error


class _Selector:
    """What an event loop waits with: the machine's time, or another thread's call."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        loop, made = self._loop, machine()
        made.now_ns += TURN_NS
        if loop.on_idle is not None and timeout != 0:
            loop.on_idle()
        if loop.was_woken or (timeout is not None and timeout <= 0):
            made.give_way()
        else:
            until_ns = None if timeout is None else made.now_ns + int(timeout * NS) + made.slack_ns
            made.park(until_ns)
        loop.was_woken = False
        return []

    def close(self) -> None:
        """Close nothing."""


class Loop(asyncio.BaseEventLoop):
    """An event loop in the machine's time."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Selector(self)
        self._clock_resolution = 1e-9
        self.was_woken = False
        self.on_idle: Callable[[], None] | None = None
        """Called whenever it has nothing to do."""
        self.on_error: Callable[[str], None] | None = None
        """Called with the traceback of what a callback has raised."""
        self._mine: SimThread | None = None

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None and self.on_error is not None:
            self.on_error("".join(traceback.format_exception(error)))
        super().call_exception_handler(context)

    def time(self) -> float:
        return machine().now_ns / NS

    def run_forever(self) -> None:
        self._mine = machine().running
        super().run_forever()

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none: nothing outside of the machine is waited for."""

    def _write_to_self(self) -> None:
        made = Machine.current
        self.was_woken = True
        if self._mine is not None and made is not None:
            made.wake(self._mine)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """Run a call on another thread of the machine."""
        future = self.create_future()

        def answer(result: Any, error: BaseException | None) -> None:
            if future.done():
                return
            future.set_result(result) if error is None else future.set_exception(error)

        def done(result: Any, error: BaseException | None) -> None:
            if not self.is_closed():
                self.call_soon_threadsafe(answer, result, error)

        if isinstance(executor, ThreadPoolExecutor):
            executor.give(func, args, done)
        else:
            machine().spawn(lambda: done(*_called(func, args)), "helper")
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """There is none."""


class Policy(asyncio.DefaultEventLoopPolicy):
    """Makes event loops in the machine's time."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return Loop()


class _Stand:
    """A module of the library, with some of its names replaced."""

    def __init__(self, real: Any, **replaced: Any) -> None:
        self._real = real
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


THREADING: Any = _Stand(threading, Lock=Lock, RLock=RLock, Event=Event, Thread=Thread)
QUEUE: Any = _Stand(queue, SimpleQueue=SimpleQueue)
