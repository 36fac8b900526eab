"""Watches from a thread of its own that a session makes progress, reports where it hangs, and ends it.

In real time the event loop must not stall: after 0.8 s its stack is in ``hang.txt`` and on standard error, after 5
s the process ends with exit code 75, and ``--resume`` continues without the strategy that hung. On the virtual
clock the stack is only reported, so that runs repeat. After the first stop signal the process ends when a strategy
does not return in time, on either clock.

Only time counts in which this thread ran and the loop's thread did not wait for a processor: neither a paused
process nor a busy machine is a hang.

C code that holds the interpreter lock also stops this thread. For that case a timer of processor time is set at
each check; when it ends, its signal (SIGPROF) lets the fault handler write the stack in the thread that uses the
processor. A timer of another kind would write from a thread of its own, beside a loop that runs again after a
pause, and could end the process by reading a stack while it changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

from qts.clock import NS_PER_S, cpu_ns, stopwatch_ns
from qts.errors import StorageError
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.drivers.hang_file import HangFile, UserCall, stack_of, thread_frame, user_call
from qts.runtime.drivers.standard_output import say, wait_written
from qts.threads import start_thread

RESTART: Final = 75
"""Exit code of a session that was ended because it hung: start it again with --resume."""
TICK_S: Final = 0.2
"""Seconds between two checks."""
STALL_S: Final = 0.75
"""Seconds without progress after which a stall is reported; four ticks, so it is seen within a second."""
FAULT_HANDLER_S: Final = 0.9
"""Seconds of processor time without a tick after which the fault handler writes the stack: C code holds the
interpreter lock."""
HUNG_S: Final = 5.0
"""Seconds without progress after which the process is ended."""
_GAP_S: Final = 1.0
_BUSY_SHARE: Final = 0.5
_LAST_MESSAGE_S: Final = 0.5


class HangListener(Protocol):
    """A receiver of the watchdog's reports. Called on the watchdog's thread: it must only pass them on."""

    def on_stall(self, text: str, stack: str) -> None:
        """Accept a report that the loop makes no progress.

        ``text`` is a sentence for people, ``stack`` the stack of the loop's thread, innermost call first. Called by
        the watchdog on its thread, once for each stall; must not wait, and must not raise: an exception ends the
        watchdog.
        """
        ...

    def on_pause(self, seconds: float) -> None:
        """Accept a report that the whole process did not run for ``seconds``.

        Called by the watchdog on its thread; must not wait, and must not raise: an exception ends the watchdog.
        """
        ...


class _RunQueueDelay:
    """The time that a thread has waited for a processor, ns; 0 where the system does not report it."""

    def __init__(self, native_id: int) -> None:
        self._handle: int | None = None
        with contextlib.suppress(OSError):
            self._handle = os.open(f"/proc/self/task/{native_id}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        self._before = self._read()

    def since_last(self) -> int:
        """Return how long the thread has waited since the last call, ns."""
        before, self._before = self._before, self._read()
        return self._before - before

    def close(self) -> None:
        """Close the file that is read."""
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
    """A watch over the thread that creates it, for the length of a ``with`` block.

    Raises StorageError on entry when the system cannot start another thread.
    """

    def __init__(self, stop: StopFlag) -> None:
        self._stop = stop
        self._watched = threading.get_ident()
        self._ended = threading.Event()
        self._mark: Callable[[], object] = lambda: None
        self._seen: object = None
        self._beats = 0
        self._listener: HangListener | None = None
        self._stop_limit_s = HUNG_S
        self._stalled_s = self._stopping_s = 0.0
        self._is_reported = False
        self._file: HangFile | None = None
        self._thread: threading.Thread

    def __enter__(self) -> Watchdog:
        self._delays = [_RunQueueDelay(threading.get_native_id())]
        try:
            self._thread = start_thread(self._watch, "qts-watchdog")
        except StorageError:
            self._delays[0].close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._file is not None:
            _stop_timer()
            faulthandler.unregister(signal.SIGPROF)
            self._file.close()

    def open_hang_file(self, directory: Path) -> HangFile:
        """Open ``hang.txt`` of a session in real time, until the watch ends. Raises like :class:`HangFile`."""
        self._file = HangFile(directory)
        faulthandler.register(signal.SIGPROF, file=self._file.handle, all_threads=False)
        return self._file

    @contextlib.contextmanager
    def watching_values(self, progress: Callable[[], object]) -> Iterator[None]:
        """Watch, on the virtual clock, that ``progress`` changes within the block: values taken, and their time."""
        self._mark = progress
        try:
            yield
        finally:
            self._mark = lambda: None

    @contextlib.contextmanager
    def watching_loop(self, listener: HangListener, stop_timeout_s: float) -> Iterator[None]:
        """Watch, in real time, that the running loop iterates within the block, and that a stop ends in time.

        The process is ended when the block lasts ``stop_timeout_s`` and 5 s longer than a requested stop.
        """
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
        self._delays.append(_RunQueueDelay(threading.get_native_id()))
        before, used = stopwatch_ns(), cpu_ns()
        try:
            while not self._ended.wait(TICK_S):
                now, cpu = stopwatch_ns(), cpu_ns()
                waited, own_waited = (delay.since_last() / NS_PER_S for delay in self._delays)
                self._on_tick((now - before) / NS_PER_S, (cpu - used) / NS_PER_S, waited, own_waited)
                before, used = now, cpu
        finally:
            _stop_timer()
            if self._file is not None and not self._is_reported:
                self._file.clear()  # the session has ended: what the fault handler wrote late was no hang
            for delay in self._delays:
                delay.close()

    def _on_tick(self, gap_s: float, cpu_s: float, waited_s: float, own_waited_s: float) -> None:
        """Evaluate one tick. All in seconds since the tick before.

        ``gap_s``: real time; ``cpu_s``: processor time of the process; ``waited_s`` and ``own_waited_s``: time that
        the loop's thread and this thread waited for a processor.
        """
        listener = self._listener
        _stop_timer()  # what it has caused is cleared below
        if gap_s - own_waited_s > _GAP_S:
            self._after_gap(listener, gap_s, cpu_s)
        elif self._file is not None and listener is not None and not self._is_reported and self._file.size:
            self._file.clear()  # the fault handler was early: this thread waited for a processor
        mark = self._mark()
        if mark != self._seen:
            self._on_progress()
            self._seen = mark
        else:
            self._stalled_s += max(min(gap_s, 2 * TICK_S) - waited_s, 0.0)
        if self._stop.requested:
            self._stopping_s += max(min(gap_s, 2 * TICK_S) - waited_s, 0.0)
        if listener is not None and self._file is not None:
            signal.setitimer(signal.ITIMER_PROF, FAULT_HANDLER_S)
        self._act_on_stall(listener)

    def _after_gap(self, listener: HangListener | None, gap_s: float, cpu_s: float) -> None:
        """Report that this thread could not run: the process was paused, or C code held the interpreter lock."""
        if cpu_s >= _BUSY_SHARE * gap_s:
            stack = ""
            if self._file is not None:
                stack = self._file.start()
            if listener is not None:
                text = f"C code held the interpreter for {gap_s:.1f} s"
                say(f"qts: {text}\n{stack}")
                listener.on_stall(text, stack)
        elif listener is not None:
            listener.on_pause(gap_s)
        if self._file is not None and listener is not None:
            self._file.clear()

    def _on_progress(self) -> None:
        """End a stall that was reported."""
        if self._is_reported:
            self._is_reported = False
            if self._file is not None:
                self._file.clear()
            say(f"qts: the session continues after a stall of {self._stalled_s:.1f} s")
        self._stalled_s = 0.0

    def _act_on_stall(self, listener: HangListener | None) -> None:
        """Report a stall, and end the process when it lasts too long or a stop does."""
        frame = thread_frame(self._watched)
        if frame is None:
            return
        if listener is not None:
            if self._stalled_s >= STALL_S and not self._is_reported:
                self._report(listener, user_call(frame), stack_of(frame))
            if self._stalled_s >= HUNG_S:
                self._end(user_call(frame) or UserCall("", ""))
            if self._stopping_s >= self._stop_limit_s:
                self._end(None)
        elif self._stalled_s >= HUNG_S and (call := user_call(frame)) is not None:
            if not self._is_reported:
                self._report(None, call, stack_of(frame))
            if self._stopping_s >= HUNG_S:
                self._end(None)

    def _report(self, listener: HangListener | None, call: UserCall | None, stack: str) -> None:
        """Write the stall to standard error and ``hang.txt`` and pass it to the listener."""
        self._is_reported = True
        where = "" if call is None else f" in {call.callback} of strategy {call.strategy}"
        if call is not None and not call.strategy:
            where = " while the strategies are read"
        text = f"the session has stalled for {self._stalled_s:.1f} s{where}"
        say(f"qts: {text}\n{stack}")
        if listener is not None:
            if self._file is not None:
                self._file.write(stack)
            listener.on_stall(text, stack)

    def _end(self, call: UserCall | None) -> None:
        """End the process without running any more of it.

        ``call`` is written to ``hang.txt`` for the resumed session; None writes nothing, so no strategy is blamed.
        """
        if call is not None and self._file is not None:
            self._file.end(call)
        say("qts: the session hangs and is ended; all up to its last checkpoint is on disk, --resume continues it")
        wait_written(_LAST_MESSAGE_S)
        os._exit(RESTART)


def _stop_timer() -> None:
    signal.setitimer(signal.ITIMER_PROF, 0)
