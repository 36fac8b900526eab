"""Runs trials in processes of this machine, each with an interpreter of its own."""

from __future__ import annotations

import os
import re
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Final

from qts.clock import NS_PER_S, stopwatch_ns
from qts.errors import InputError, StorageError
from qts.search.contracts import Setup, encode
from qts.search.worker import LENGTH, MOST_FRAME_BYTES, frame

MOST_WORKERS: Final = 256
_TRIES: Final = 3
"""How often a trial is begun whose process was ended by a signal, which may have been someone else's doing."""
_START_S: Final = 300.0
_LOOK_S: Final = 0.5
_END_S: Final = 5.0
_SECRET: Final = re.compile(
    r"PASSWORD|SECRET|TOKEN|CREDENTIAL|APPKEY|APP_KEY|API_KEY|PRIVATE|_URL$|_DSN$", re.IGNORECASE
)
_KEPT: Final = re.compile(
    r"PATH|HOME|LANG|LC_.*|TZ|TMPDIR|XDG_CACHE_HOME|VIRTUAL_ENV|PYTHON.*|QTS_.*|OMP_.*|SYSTEMROOT|COVERAGE_.*"
)


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a worker is given: those it needs, and no secret."""
    kept = {name: text for name, text in environ.items() if _KEPT.fullmatch(name) and not _SECRET.search(name)}
    return kept | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


class _Worker:
    """One process. ``number`` is the trial it runs; None: it is idle. ``begun_ns``: when it was given that."""

    def __init__(self, setup: bytes, environ: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    [sys.executable, "-m", "qts.search.worker", str(theirs.fileno()), str(os.getpid())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    env=clean_environment(environ),
                    start_new_session=True,  # what a strategy starts is ended with it
                )
        except OSError as error:
            ours.close()
            raise StorageError(f"cannot start a worker process: {error.strerror}") from error
        self.connection = ours
        self.number: int | None = None
        self.job = b""
        self.is_ready = False
        self.begun_ns = stopwatch_ns()
        self._received = bytearray()
        with suppress(OSError):  # its end is seen where answers are read
            ours.sendall(frame(setup))

    def give(self, number: int, job: bytes) -> None:
        self.number, self.job, self.begun_ns = number, job, stopwatch_ns()
        with suppress(OSError):
            self.connection.sendall(frame(job))

    def receive(self) -> list[bytes] | None:
        """Return the answers that have arrived whole; None: the process has ended."""
        try:
            data = self.connection.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            return None
        self._received += data
        found = []
        while len(self._received) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._received)
            if length > MOST_FRAME_BYTES:
                return None
            if len(self._received) < LENGTH.size + length:
                break
            found.append(bytes(self._received[LENGTH.size : LENGTH.size + length]))
            del self._received[: LENGTH.size + length]
        return found

    def end(self) -> int:
        """End the process and what it has started; return its exit code, below 0 for a signal."""
        with suppress(ProcessLookupError, PermissionError):
            code = self.process.poll()
            os.killpg(self.process.pid, signal.SIGKILL)
            if code is not None:
                self.connection.close()
                return code
        self.connection.close()
        return self.process.wait(_END_S)


class LocalPool:
    """A :class:`~qts.search.contracts.Pool` of ``workers`` processes, started when the first trial is there.

    ``trial_s`` is the longest that a trial may take. ``environ`` is what the processes are given of, without
    secrets. When ``is_stopped`` returns True, :meth:`run` ends at once, without the trials that are running. Not
    for several threads.
    """

    def __init__(
        self,
        setup: Setup,
        workers: int,
        trial_s: float,
        environ: Mapping[str, str],
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        if not 1 <= workers <= MOST_WORKERS:
            raise InputError(f"--workers {workers}: must be from 1 to {MOST_WORKERS}")
        self._setup = encode(setup)
        self._count = workers
        self._trial_ns = round(trial_s * NS_PER_S)
        self._trial_s = trial_s
        self._environ = dict(environ)
        self._is_stopped = is_stopped
        self._workers: list[_Worker] = []
        self._failed_starts = 0

    @property
    def pids(self) -> list[int]:
        """Return the process ids of the workers."""
        return [worker.process.pid for worker in self._workers]

    def run(self, jobs: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes | str]]:
        """Run encoded jobs and yield their answers as they arrive, as the port says."""
        waiting = iter(jobs)
        again: list[tuple[int, bytes]] = []
        tries: dict[int, int] = {}
        following: tuple[int, bytes] | None = None
        while not self._is_stopped():
            while following := following or (again.pop() if again else next(waiting, None)):
                worker = self._idle()
                if worker is None:
                    break
                worker.give(*following)
                following = None
            if following is None and all(one.number is None for one in self._workers):
                return
            for number, answer in self._arrived(again, tries):
                tries.pop(number, None)
                yield number, answer
        self.close()

    def _idle(self) -> _Worker | None:
        """Return a process that can be given a trial, a new one where there may be more; None: all are busy."""
        for worker in self._workers:
            if worker.number is None and worker.is_ready:
                return worker
        starting = [one for one in self._workers if not one.is_ready]
        if len(self._workers) < self._count and not starting:
            self._workers.append(_Worker(self._setup, self._environ))
        return None

    def _arrived(self, again: list[tuple[int, bytes]], tries: dict[int, int]) -> Iterator[tuple[int, bytes | str]]:
        with selectors.DefaultSelector() as selector:
            for worker in self._workers:
                selector.register(worker.connection, selectors.EVENT_READ, worker)
            ready = [key.data for key, _ in selector.select(_LOOK_S)]
        for worker in [one for one in self._workers if one not in ready and one.process.poll() is not None]:
            yield from self._ended(worker, again, tries)  # a copy of it holds the connection open
        for worker in ready:
            answers = worker.receive()
            if answers is None:
                yield from self._ended(worker, again, tries)
                continue
            for answer in answers:
                if not worker.is_ready:
                    if answer:
                        self.close()
                        raise InputError(answer.decode(errors="replace"))
                    worker.is_ready, self._failed_starts = True, 0
                elif worker.number is not None:
                    number, worker.number = worker.number, None
                    yield number, answer
        yield from self._late()

    def _ended(
        self, worker: _Worker, again: list[tuple[int, bytes]], tries: dict[int, int]
    ) -> Iterator[tuple[int, bytes | str]]:
        """Take a process away that has ended; its trial failed, or is begun again."""
        self._workers.remove(worker)
        code = worker.end()
        if not worker.is_ready:
            self._failed_starts += 1
            if code < 0 and self._failed_starts < _TRIES:  # someone has ended it
                return
            self.close()
            raise StorageError(f"a worker process ended with {_told(code)} before it could begin")
        if worker.number is None:
            return
        number = worker.number
        tries[number] = tries.get(number, 0) + 1
        if code < 0 and tries[number] < _TRIES:
            again.append((number, worker.job))
        else:
            yield number, f"its process ended with {_told(code)}"

    def _late(self) -> Iterator[tuple[int, bytes | str]]:
        now_ns = stopwatch_ns()
        for worker in [one for one in self._workers if not one.is_ready]:
            if now_ns - worker.begun_ns > _START_S * NS_PER_S:
                self.close()
                raise StorageError(f"a worker process did not begin within {_START_S:g} s")
        for worker in [one for one in self._workers if one.number is not None]:
            if now_ns - worker.begun_ns > self._trial_ns:
                self._workers.remove(worker)
                number = worker.number
                worker.end()
                assert number is not None
                yield number, f"it took longer than {self._trial_s:g} s"

    def close(self) -> None:
        """End all processes at once; what they were running is lost. May be called twice."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.end()


def _told(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
