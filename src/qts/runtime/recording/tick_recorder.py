"""Records the market values of a session: takes them on its thread, and sends them to a process of its own.

The session's thread turns a value into bytes and adds it to a block; it never waits. A thread sends full blocks,
and after :data:`FLUSH_S` one that is not full, to the recorder process, a few ahead of its reports; while these are
awaited a block is filled before the next one begins, so that as many values as possible have room.
When too many wait, because the server is away or slow, the oldest is dropped and counted by symbol. A recorder that
dies is started again and is sent what it had not reported; what is stored twice changes nothing.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections import Counter, deque
from collections.abc import Callable, Iterator
from threading import Condition, Event
from typing import Final

import msgspec

from qts.clock import NS_PER_S, stopwatch_ns
from qts.errors import InputError, StorageError
from qts.event.process_lane import start_worker_process
from qts.event.worker import LENGTH, frame
from qts.market.contracts import Bar, MarketValue
from qts.runtime.recording.recording_view import RecordingView
from qts.runtime.recording.wire import MOST_VALUES, Greeting, Report, block_frame, encode_value
from qts.threads import start_thread

FLUSH_S: Final = 0.25
MOST_WAITING: Final = 64
"""The blocks that wait for the recorder, besides those it was sent."""
MOST_SENT: Final = 4
"""The blocks that the recorder was sent and has not reported."""
START_S: Final = 15.0
"""How long a session waits at its start for the recorder."""
END_S: Final = 5.0
"""How long a session waits at its end for a server that is away."""
_LOOK_S: Final = 0.1
_MODULE: Final = "qts.runtime.recording.recorder_process"
_RESTART_S: Final = 1.0


class _Block:
    """Values that are sent together; ``number`` is that of the first."""

    __slots__ = ("begun_ns", "coded", "number", "symbols")

    def __init__(self, number: int) -> None:
        self.number = number
        self.begun_ns = stopwatch_ns()
        self.coded: list[bytes] = []
        self.symbols: Counter[str] = Counter()


class TickRecorder:
    """The recorder of one session. Everything but :meth:`view` is called on the session's thread.

    Raises InputError at :meth:`start` when the server cannot be used.
    """

    def __init__(self, greeting: Greeting) -> None:
        self._greeting = greeting
        self._block: _Block | None = None
        self._changed = Condition()
        self._waiting: deque[_Block] = deque()
        self._sent: deque[_Block] = deque()
        self._dropped: Counter[str] = Counter()
        self._bars = 0
        self._report = Report(state="away", why="the recorder process has not started yet")
        self._before = Report()  # the sums of the processes before the present one
        self._gone = False
        self._given_up = False
        self._process: subprocess.Popen[bytes] | None = None
        self._restarts = 0
        self._ending = False
        self._ended = Event()
        self._greeted = Event()

    def start(self) -> None:
        """Start the process, and wait for its first report. A server that is away is no error."""
        start_thread(self._run, "qts-recorder")
        self._greeted.wait(START_S)
        if self._report.state == "failed":
            self._ended.wait(END_S)
            raise InputError(f"--record: {self._report.why}")

    def put(self, value: MarketValue, number: int) -> None:
        """Record a value; ``number`` counts those of its source from 1, and goes on in a resumed session."""
        if isinstance(value, Bar):
            self._bars += 1
            return
        coded = encode_value(value)
        with self._changed:
            if self._report.state == "failed":
                self._dropped[value.symbol] += 1
                return
            block = self._block
            if block is None or block.number + len(block.coded) != number:
                self._pass_on()
                block = self._block = _Block(number)
            block.coded.append(coded)
            block.symbols[value.symbol] += 1
            if len(block.coded) >= MOST_VALUES:
                self._pass_on()

    def along(self, values: Iterator[MarketValue], number: Callable[[], int]) -> Iterator[MarketValue]:
        """Return ``values`` and record each as it is taken; ``number`` returns how many were taken in before it."""
        for value in values:
            self.put(value, number() + 1)
            yield value

    def close(self, most_s: float) -> None:
        """Send what is left, and wait for the end of the process; count what is lost.

        It is waited for at most ``most_s``, and :data:`END_S` while the server is away.
        """
        with self._changed:
            self._pass_on()
            self._ending = True
            self._changed.notify_all()
        begun_ns = ready_ns = stopwatch_ns()
        while not self._ended.wait(_LOOK_S):
            now_ns = stopwatch_ns()
            if self._report.state == "ready":
                ready_ns = now_ns
            if now_ns - begun_ns > most_s * NS_PER_S or now_ns - ready_ns > END_S * NS_PER_S:
                self._give_up()
                break
        with self._changed:
            self._waiting_is_lost()

    def _give_up(self) -> None:
        """End the process: what it was sent and did not report is not known to be on the server."""
        self._given_up = True
        if (process := self._process) is not None:
            process.kill()
        self._ended.wait(END_S)

    def view(self) -> RecordingView:
        """Return what became of the values so far; on any thread."""
        with self._changed:
            report, before = self._report, self._before
            waiting = sum(len(block.coded) for block in (*self._sent, *self._waiting))
            if self._block is not None:
                waiting += len(self._block.coded)
            dropped = dict(sorted(self._dropped.items()))
        states = {"ready": "recording", "away": "away", "failed": "failed"}
        return RecordingView(
            state="ended" if self._ended.is_set() and report.state != "failed" else states[report.state],  # type: ignore[arg-type]
            recorded=before.recorded + report.recorded,
            waiting=waiting,
            dropped=dropped,
            refused=before.refused + report.refused,
            bars=self._bars,
            restarts=self._restarts,
            why=report.why or before.first_refusal or report.first_refusal,
        )

    # -- on the session's thread, with the lock held -----------------------------------------------------------

    def _pass_on(self) -> None:
        """Let the block that is being filled wait to be sent; drop the oldest when too many do."""
        block, self._block = self._block, None
        if block is None:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._dropped.update(self._waiting.popleft().symbols)
        self._waiting.append(block)
        self._changed.notify_all()

    # -- on the recorder's own threads -------------------------------------------------------------------------

    def _run(self) -> None:
        """Keep a process running until the end. The system ends a process with the thread that started it."""
        try:
            while self._run_process():
                with self._changed:
                    self._restarts += 1
                    self._changed.wait_for(lambda: self._ending, _RESTART_S)
        finally:
            self._ended.set()
            self._greeted.set()

    def _run_process(self) -> bool:
        """Run one process to its end; return whether another one is needed."""
        ours, theirs = socket.socketpair()
        with ours:
            try:
                process = self._process = start_worker_process(theirs, _MODULE)
                self._gone = False
                reader = start_thread(lambda: self._read_reports(ours), "qts-recorder-reports")
            except (OSError, StorageError) as error:
                self._note(Report(state="away", why=f"the recorder process cannot be started: {error}"))
                return not self._ending
            with contextlib.suppress(OSError):  # it died; its reports say how far it came
                self._send(ours)
                ours.shutdown(socket.SHUT_WR)
            process.wait()
            reader.join()
        with self._changed:
            if self._report.state == "failed":
                self._waiting_is_lost()
                return False
            is_needed = not self._given_up and (not self._ending or bool(self._sent or self._waiting))
            if is_needed:
                self._sum_up()
            return is_needed

    def _send(self, ours: socket.socket) -> None:
        """Send the greeting, what an earlier process did not report, and then blocks as they come."""
        ours.sendall(frame(msgspec.structs.replace(self._greeting, is_again=self._restarts > 0)))
        with self._changed:
            again = list(self._sent)
        for sent in again:
            ours.sendall(block_frame(sent.number, sent.coded))
        while (block := self._next_block()) is not None:
            ours.sendall(block_frame(block.number, block.coded))

    def _next_block(self) -> _Block | None:
        """Wait for a block that may be sent, and return it; None when no more is to be sent to this process."""
        with self._changed:
            while True:
                if self._gone or self._report.state == "failed":
                    return None
                has_room = len(self._sent) < MOST_SENT
                begun = self._block
                is_due = begun is not None and stopwatch_ns() - begun.begun_ns >= FLUSH_S * NS_PER_S
                if is_due and has_room and not self._waiting:  # one that has to wait goes on being filled
                    self._pass_on()
                if self._waiting and has_room:
                    block = self._waiting.popleft()
                    self._sent.append(block)
                    return block
                if self._ending and not self._waiting:
                    return None
                self._changed.wait(FLUSH_S)

    def _read_reports(self, ours: socket.socket) -> None:
        with contextlib.suppress(OSError), ours.makefile("rb") as reports:  # a process that is killed resets it
            while len(head := reports.read(LENGTH.size)) == LENGTH.size:
                body = reports.read(LENGTH.unpack(head)[0])
                if len(body) == LENGTH.unpack(head)[0]:
                    self._note(msgspec.msgpack.decode(body, type=Report))
        with self._changed:
            self._gone = True
            self._changed.notify_all()

    def _note(self, report: Report) -> None:
        with self._changed:
            for _ in range(report.blocks - self._report.blocks):
                self._sent.popleft()
            self._report = report
            self._changed.notify_all()
        self._greeted.set()

    def _sum_up(self) -> None:
        """Add what the process did to that of those before it: the next one counts from 0."""
        report, before = self._report, self._before
        self._before = Report(recorded=before.recorded + report.recorded, refused=before.refused + report.refused)
        why = report.why or "the recorder process ended and is started again"
        self._report = Report(state="away", why=why)

    def _waiting_is_lost(self) -> None:
        for block in (*self._sent, *self._waiting):
            self._dropped.update(block.symbols)
        self._sent.clear()
        self._waiting.clear()
