"""The worker process of a PROCESS handler: ``python -m qts.event.worker FD PARENT``.

It speaks length-prefixed msgpack over a socket it inherits: first a greeting that names the handler, then one
request per batch of events, each answered with the events the handler returned or with an error text. For a remote
handler (:mod:`qts.event.remote`) the greeting brings arguments too, a request a context, and the answer is a
result.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO, Final

import msgspec

from qts.errors import ContractError
from qts.event.codec import decode_event, encode_event
from qts.event.config import IDLE_NICENESS
from qts.event.handlers import EventHandler, as_handler
from qts.event.remote import RemoteHandler, RemoteWork

LENGTH: Final = struct.Struct("<I")
MAX_FRAME: Final = 64 * 1024 * 1024
_LOOK_FOR_PARENT_S: Final = 1.0
PARENTS_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that a worker leaves to its parent; sent to a process group they reach the workers too."""
_PR_SET_PDEATHSIG: Final = 1
"""prctl(2): the signal this process gets when the thread that started it ends."""


def target_of(handler: Any) -> str:
    """Return the ``module:qualname`` under which another process finds ``handler``.

    Raises ContractError when it cannot be found there: a closure, a bound method, something of ``__main__``.
    """
    if isinstance(handler, RemoteHandler):
        return handler.target
    module, name = getattr(handler, "__module__", None), getattr(handler, "__qualname__", None)
    if module and name and module != "__main__" and "<" not in name:
        target = f"{module}:{name}"
        if resolve(target) is handler:
            return target
    raise ContractError(
        f"{handler!r} cannot run in another process: give a function or class at the top of an importable module"
    )


def resolve(target: str) -> Any:
    """Return what ``module:qualname`` names. Raises ContractError when there is no such object."""
    module_name, _, path = target.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ContractError(f"no handler at {target!r} (module:name): {error}") from error
    return found


def handler_at(target: str) -> EventHandler:
    """Return the handler that ``target`` names: a handler, a function, or a class made without arguments."""
    found = resolve(target)
    return as_handler(found() if isinstance(found, type) else found)


def serve(requests: BinaryIO, answers: BinaryIO) -> int:
    """Answer requests until they end; return the exit code."""
    pid = os.getpid()
    greeting = read_frame(requests)
    if greeting is None:
        return 0
    target, niceness, *arguments = greeting
    with asyncio.Runner() as runner:
        try:
            lower_cpu_priority(niceness)
            greeted, reply = begin_remote(target, *arguments) if arguments else begin_handler(target, runner)
        except Exception as error:  # noqa: BLE001 - importing user code may raise anything; it is sent to the parent
            write_frame(answers, [False, f"{type(error).__name__}: {error}"])
            return 1
        write_frame(answers, [True, greeted])
        while (request := read_frame(requests)) is not None:
            response = reply(request)
            if os.getpid() != pid:  # a fork made by user code that returned here: it must not answer
                os._exit(0)
            write_frame(answers, response)
    return 0


def lower_cpu_priority(niceness: int) -> None:
    """Lower the CPU priority of this process, by ``worker_nice`` or ``background_nice``."""
    os.nice(min(niceness, IDLE_NICENESS - 1))
    if niceness >= IDLE_NICENESS and hasattr(os, "SCHED_IDLE"):
        with contextlib.suppress(OSError):  # not every container and C library lets us: it is nice then
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


Reply = Callable[[list[Any]], list[Any]]


def begin_handler(target: str, runner: asyncio.Runner) -> tuple[Any, Reply]:
    """Prepare an ordinary handler: return its greeting (empty) and the function that answers requests."""
    return [], partial(answer, handler_at(target), runner=runner)


def begin_remote(target: str, arguments: Any) -> tuple[Any, Reply]:
    """Prepare the remote half of a handler: return its greeting and the function that answers requests."""
    work: RemoteWork = resolve(target)(arguments)
    return work.started(), partial(answer_remote, work)


def answer_remote(work: RemoteWork, request: list[Any]) -> list[Any]:
    """Return the answer to one request: ``[True, result]`` or ``[False, error text]``."""
    try:
        stored, context = request
        return [True, work.work([decode_event(one) for one in stored], context)]
    except Exception as error:  # noqa: BLE001 - user code may raise anything; it is sent to the parent
        return [False, f"{type(error).__name__}: {error}"]


def answer(handler: EventHandler, request: list[Any], runner: asyncio.Runner) -> list[Any]:
    """Return the answer to one request: ``[True, events]`` or ``[False, error text]``."""
    try:
        events = [decode_event(stored) for stored in request]
        results = runner.run(handler.handle_batch(events))
        return [True, [encode_event(event) for event in results]]
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - a handler may raise anything; it is sent
        return [False, f"{type(error).__name__}: {error}"]


def read_frame(stream: BinaryIO) -> Any:
    """Return the next value, or None at the end of the stream."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    body = stream.read(LENGTH.unpack(head)[0])
    return msgspec.msgpack.decode(body)


def write_frame(stream: BinaryIO, value: Any) -> None:
    """Write one value and flush. Raises ContractError above 64 MB."""
    stream.write(frame(value))
    stream.flush()


def frame(value: Any) -> bytes:
    """Return a value in its wire form, length and msgpack. Raises ContractError above 64 MB."""
    body = msgspec.msgpack.encode(value)
    if len(body) > MAX_FRAME:
        raise ContractError(f"a message to a worker may have {MAX_FRAME} bytes at most, this one has {len(body)}")
    return LENGTH.pack(len(body)) + body


def main(arguments: list[str]) -> int:
    """Serve over the socket whose file descriptor is given."""
    with socket.socket(fileno=int(arguments[0])) as connection:
        return serve(connection.makefile("rb"), connection.makefile("wb"))


def end_with_parent(parent: int) -> None:
    """End with the process ``parent`` and leave Ctrl-C and stops to it.

    A parent that dies closes the socket, but a worker that hangs in user code does not read it. Linux kills such a
    worker; elsewhere a thread checks, which needs the interpreter: C code that keeps it outlives the parent there.
    """
    _leave_signals_to_parent()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # a C library without it: the thread is left
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)
    threading.Thread(target=_end_with, args=(parent,), name="qts-parent-watch", daemon=True).start()


def _leave_signals_to_parent() -> None:
    """Ignore the parent's signals, and discard those that came while this process started.

    What user code starts is in the same process group, and inherits what is ignored. But it must end when user code
    ends it, so SIGTERM has a handler, which no other program inherits.
    """
    for each in PARENTS_SIGNALS:
        if each is not signal.SIGTERM:
            signal.signal(each, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    signal.siginterrupt(signal.SIGTERM, False)
    os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PARENTS_SIGNALS)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_FOR_PARENT_S)
    os._exit(1)


def keep_connection_private(connection: int) -> None:
    """Keep the connection from processes that user code starts: they could answer on it or hold it open."""
    os.set_inheritable(connection, False)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.register_at_fork(after_in_child=lambda: os.dup2(nothing, connection, inheritable=False))


if __name__ == "__main__":
    end_with_parent(int(sys.argv[2]))
    keep_connection_private(int(sys.argv[1]))
    sys.exit(main(sys.argv[1:]))
