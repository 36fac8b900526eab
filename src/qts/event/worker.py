"""The worker process of a PROCESS handler: ``python -m qts.event.worker FD``.

It speaks length-prefixed msgpack over a socket it inherits: first a greeting that names the handler, then one
request per batch of events, each answered with the events the handler returned or with an error text.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import socket
import struct
import sys
from typing import Any, BinaryIO, Final

import msgspec

from qts.errors import ContractError
from qts.event.codec import decode_event, encode_event
from qts.event.handlers import EventHandler, as_handler

LENGTH: Final = struct.Struct("<I")
MAX_FRAME: Final = 64 * 1024 * 1024


def target_of(handler: Any) -> str:
    """The ``module:qualname`` under which another process finds ``handler``.

    Raises ContractError when it cannot be found there: a closure, a bound method, something of ``__main__``.
    """
    module, name = getattr(handler, "__module__", None), getattr(handler, "__qualname__", None)
    if module and name and module != "__main__" and "<" not in name:
        target = f"{module}:{name}"
        if resolve(target) is handler:
            return target
    raise ContractError(
        f"{handler!r} cannot run in another process: give a function or class at the top of an importable module"
    )


def resolve(target: str) -> Any:
    """What ``module:qualname`` names. Raises ContractError when there is no such thing."""
    module_name, _, path = target.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ContractError(f"no handler at {target!r} (module:name): {error}") from error
    return found


def handler_at(target: str) -> EventHandler:
    """The handler that ``target`` names: a handler, a function, or a class made without arguments."""
    found = resolve(target)
    return as_handler(found() if isinstance(found, type) else found)


def serve(requests: BinaryIO, answers: BinaryIO) -> int:
    """Answer requests until they end; the exit code."""
    greeting = read_frame(requests)
    if greeting is None:
        return 0
    target, niceness = greeting
    try:
        os.nice(niceness)
        handler = handler_at(target)
    except Exception as error:  # noqa: BLE001 - importing user code may raise anything; the parent is told
        write_frame(answers, [False, f"{type(error).__name__}: {error}"])
        return 1
    write_frame(answers, [True, []])
    with asyncio.Runner() as runner:
        while (request := read_frame(requests)) is not None:
            write_frame(answers, answer(handler, request, runner))
    return 0


def answer(handler: EventHandler, request: list[Any], runner: asyncio.Runner) -> list[Any]:
    """The answer to one request: ``[True, events]`` or ``[False, error text]``."""
    try:
        events = [decode_event(stored) for stored in request]
        results = runner.run(handler.handle_batch(events))
        return [True, [encode_event(event) for event in results]]
    except Exception as error:  # noqa: BLE001 - a handler may raise anything; the parent is told
        return [False, f"{type(error).__name__}: {error}"]


def read_frame(stream: BinaryIO) -> Any:
    """The next value, or None at the end of the stream."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    body = stream.read(LENGTH.unpack(head)[0])
    return msgspec.msgpack.decode(body)


def write_frame(stream: BinaryIO, value: Any) -> None:
    stream.write(frame(value))
    stream.flush()


def frame(value: Any) -> bytes:
    """A value as it travels: its length and its msgpack. Raises ContractError above 64 MB."""
    body = msgspec.msgpack.encode(value)
    if len(body) > MAX_FRAME:
        raise ContractError(f"a message to a worker may have {MAX_FRAME} bytes at most, this one has {len(body)}")
    return LENGTH.pack(len(body)) + body


def main(arguments: list[str]) -> int:
    """Serve over the socket whose file descriptor is given."""
    with socket.socket(fileno=int(arguments[0])) as connection:
        return serve(connection.makefile("rb"), connection.makefile("wb"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
