"""Watches from a thread of its own that a session moves, says where it does not, and ends it when it hangs.

In real time nothing may stand still: after 0.8 s the place is in ``hang.txt`` and on standard error, after 5 s the
process ends with exit code 75, and ``--resume`` goes on without the strategy that hung. On the virtual clock only
the place is told, so that runs repeat. After the first signal no strategy is waited for, on either clock.

Only time counts in which this thread ran and the loop's did not wait for a processor: neither a process that was
paused nor a machine that is busy hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

from qts.clock import NS_PER_S, cpu_ns, stopwatch_ns
from qts.errors import StorageError
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.drivers.hang_file import HangFile, UserCall, stack_of, thread_frame, user_call
from qts.runtime.drivers.standard_output import say, written_out
from qts.threads import started

RESTART: Final = 75
"""Exit code of a session that was ended because it hung: start it again with --resume."""
TICK_S: Final = 0.2
STILL_S: Final = 0.75
"""Four ticks: seen within a second."""
HELD_S: Final = 0.9
"""After this long without this thread the fault handler writes the stacks: C code keeps the interpreter."""
HUNG_S: Final = 5.0
_GAP_S: Final = 1.0
_BUSY_SHARE: Final = 0.5
_LAST_WORDS_S: Final = 0.5


class Listener(Protocol):
    """Told on the watchdog's thread: must only pass it on."""

    def on_still(self, text: str, stack: str) -> None:
        """Take that the loop stands still: a sentence, and the stack of its thread, innermost call first."""
        ...

    def on_pause(self, seconds: float) -> None:
        """Take that the whole process did not run for that many seconds."""
        ...


class _Delay:
    """How long a thread has waited for a processor, ns; 0 where the system does not tell."""

    def __init__(self, native_id: int) -> None:
        self._handle: int | None = None
        with contextlib.suppress(OSError):
            self._handle = os.open(f"/proc/self/task/{native_id}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        self._before = self._read()

    def since(self) -> int:
        before, self._before = self._before, self._read()
        return self._before - before

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)

    def _read(self) -> int:
        if self._handle is None:
            return 0
        try:
            return int(os.pread(self._handle, 128, 0).split()[1])
        except (OSError, IndexError, ValueError):
            return 0


class Watchdog:
    """Watches the thread that makes it, from ``with`` to its end."""

    def __init__(self, stop: StopFlag) -> None:
        self._stop = stop
        self._watched = threading.get_ident()
        self._ended = threading.Event()
        self._mark: Callable[[], object] = lambda: None
        self._seen: object = None
        self._beats = 0
        self._listener: Listener | None = None
        self._stop_limit_s = HUNG_S
        self._stood_s = self._stopping_s = 0.0
        self._told = False
        self._file: HangFile | None = None
        self._thread: threading.Thread

    def __enter__(self) -> Watchdog:
        self._delays = [_Delay(threading.get_native_id())]
        try:
            self._thread = started(self._watch, "qts-watchdog")
        except StorageError:
            self._delays[0].close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._file is not None:
            self._file.close()

    def keep_in(self, directory: Path) -> HangFile:
        """Open the file of a session in real time."""
        self._file = HangFile(directory)
        return self._file

    @contextlib.contextmanager
    def values_watched(self, rows: Callable[[], int]) -> Iterator[None]:
        """On the virtual clock: ``rows`` counts the values taken."""
        self._mark = rows
        try:
            yield
        finally:
            self._mark = lambda: None

    @contextlib.contextmanager
    def loop_watched(self, listener: Listener, stop_timeout_s: float) -> Iterator[None]:
        """In real time: the running loop has to turn, and to end within ``stop_timeout_s`` and 5 s of a stop."""
        loop = asyncio.get_running_loop()
        handle: asyncio.TimerHandle

        def beat() -> None:
            nonlocal handle
            self._beats += 1
            handle = loop.call_later(TICK_S / 2, beat)

        beat()
        self._stop_limit_s = stop_timeout_s + HUNG_S
        self._mark, self._listener = (lambda: self._beats), listener
        try:
            yield
        finally:
            self._listener, self._mark = None, lambda: None
            handle.cancel()

    # -- on the watchdog's thread ------------------------------------------------------------------------------

    def _watch(self) -> None:
        self._delays.append(_Delay(threading.get_native_id()))
        before, used = stopwatch_ns(), cpu_ns()
        try:
            while not self._ended.wait(TICK_S):
                now, cpu = stopwatch_ns(), cpu_ns()
                waited, own_waited = (delay.since() / NS_PER_S for delay in self._delays)
                self._look((now - before) / NS_PER_S, (cpu - used) / NS_PER_S, waited, own_waited)
                before, used = now, cpu
        finally:
            faulthandler.cancel_dump_traceback_later()
            if self._file is not None and not self._told:
                self._file.clear()  # the session came to its end: what the fault handler wrote late was no hang
            for delay in self._delays:
                delay.close()

    def _look(self, gap_s: float, cpu_s: float, waited_s: float, own_waited_s: float) -> None:
        """Take note of one tick: ``gap_s`` since the one before, ``waited_s`` the loop's wait for a processor."""
        listener = self._listener
        faulthandler.cancel_dump_traceback_later()  # and waits for what it is writing: it is judged, then cleared
        if gap_s - own_waited_s > _GAP_S:
            self._after_gap(listener, gap_s, cpu_s)
        elif self._file is not None and listener is not None and not self._told and self._file.size:
            self._file.clear()  # the fault handler was early: this thread had to wait for a processor
        mark = self._mark()
        if mark != self._seen:
            self._moved()
            self._seen = mark
        else:
            self._stood_s += max(min(gap_s, 2 * TICK_S) - waited_s, 0.0)
        if self._stop.requested:
            self._stopping_s += max(min(gap_s, 2 * TICK_S) - waited_s, 0.0)
        if listener is not None and self._file is not None:
            faulthandler.dump_traceback_later(HELD_S, file=self._file.handle)
        self._judge(listener)

    def _after_gap(self, listener: Listener | None, gap_s: float, cpu_s: float) -> None:
        """This thread could not run: the whole process was paused, or C code has kept the interpreter."""
        if cpu_s >= _BUSY_SHARE * gap_s:
            stack = ""
            if self._file is not None:
                stack = os.pread(self._file.handle, 16_384, 0).decode("utf-8", "replace")
            if listener is not None:
                text = f"C code kept the interpreter for {gap_s:.1f} s: nothing moved"
                say(f"qts: {text}\n{stack}")
                listener.on_still(text, stack)
        elif listener is not None:
            listener.on_pause(gap_s)
        if self._file is not None and listener is not None:
            self._file.clear()

    def _moved(self) -> None:
        if self._told:
            self._told = False
            if self._file is not None:
                self._file.clear()
            say(f"qts: the session moves again after {self._stood_s:.1f} s")
        self._stood_s = 0.0

    def _judge(self, listener: Listener | None) -> None:
        frame = thread_frame(self._watched)
        if frame is None:
            return
        if listener is not None:
            if self._stood_s >= STILL_S and not self._told:
                self._tell(listener, user_call(frame), stack_of(frame))
            if self._stood_s >= HUNG_S:
                self._end(user_call(frame) or UserCall("", ""))
            if self._stopping_s >= self._stop_limit_s:
                self._end(None)
        elif self._stood_s >= HUNG_S and (call := user_call(frame)) is not None:
            if not self._told:
                self._tell(None, call, stack_of(frame))
            if self._stopping_s >= HUNG_S:
                self._end(None)

    def _tell(self, listener: Listener | None, call: UserCall | None, stack: str) -> None:
        self._told = True
        where = "" if call is None else f" in {call.callback} of strategy {call.strategy}"
        if call is not None and not call.strategy:
            where = " while the strategies are read"
        text = f"nothing has moved for {self._stood_s:.1f} s{where}"
        say(f"qts: {text}\n{stack}")
        if listener is not None:
            if self._file is not None:
                self._file.write(stack)
            listener.on_still(text, stack)

    def _end(self, call: UserCall | None) -> None:
        """End the process without running anything more of it; ``call`` is kept for the next one, None: nothing."""
        if call is not None and self._file is not None:
            self._file.end(call)
        say(
            "qts: the session hangs and is ended; everything up to its last checkpoint is on disk: --resume goes on"
        )
        written_out(_LAST_WORDS_S)
        os._exit(RESTART)
