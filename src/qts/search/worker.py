"""A worker process of a search: ``python -m qts.search.worker FD PARENT``.

It reads frames over a socket that it inherits, each a length and bytes: first the
:class:`~qts.search.contracts.Setup`, then one :class:`~qts.search.contracts.Job` after the other, and answers each
with an encoded :class:`~qts.search.contracts.Answer`. To the setup it answers with an empty frame, or with
the text of an error.
"""

from __future__ import annotations

import os
import resource
import socket
import struct
import sys
from typing import BinaryIO, Final

from qts.errors import QtsError, StorageError
from qts.event.worker import end_with_parent
from qts.search.contracts import Answer, Job, Setup, decode, encode

LENGTH: Final = struct.Struct("<I")
MOST_FRAME_BYTES: Final = 1024 * 1024
"""The longest frame; a setup holds the paths of all files."""


def read_frame(source: BinaryIO) -> bytes | None:
    """Return the next frame; None when the other side has ended. Raises StorageError for an impossible length."""
    head = source.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    if length > MOST_FRAME_BYTES:
        raise StorageError(f"a frame of {length:,} bytes: at most {MOST_FRAME_BYTES:,} are allowed")
    data = source.read(length)
    return data if len(data) == length else None


def frame(data: bytes) -> bytes:
    """Return ``data`` with its length in front."""
    return LENGTH.pack(len(data)) + data


def serve(source: BinaryIO, sink: BinaryIO) -> int:
    """Answer frames until they end; return the exit code."""
    from qts.search.trial import Trials

    first = read_frame(source)
    if first is None:
        return 0
    setup = decode(first, Setup)
    try:
        trials = Trials(setup)
    except QtsError as error:
        _send(sink, str(error).encode())
        return 1
    if setup.memory_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (setup.memory_bytes, setup.memory_bytes))
    _send(sink, b"")
    forks = _Forks()
    while (data := read_frame(source)) is not None:
        job = decode(data, Job)
        forks.count = 0
        try:
            answer = trials.answer(job)
        except SystemExit as error:
            answer = encode(Answer(key=job.key, failed=f"the strategy ended its process: sys.exit({error.code})"))
        if forks.count:
            answer = encode(Answer(key=job.key, failed="the strategy forked its process"))
        _send(sink, answer)
    return 0


class _Forks:
    """A count of the copies that were made of this process; each copy ends at once.

    It would share the connection and the loop of the session, and speak for the worker.
    """

    def __init__(self) -> None:
        self.count = 0
        os.register_at_fork(after_in_parent=self._add, after_in_child=lambda: os._exit(0))

    def _add(self) -> None:
        self.count += 1


def _send(sink: BinaryIO, data: bytes) -> None:
    sink.write(frame(data))
    sink.flush()


def main(descriptor: str, parent: str) -> int:
    end_with_parent(int(parent))
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # what a strategy prints has no reader here
        os.dup2(nothing, stream)
    with socket.socket(fileno=int(descriptor)) as connection, connection.makefile("rwb") as both:
        os.set_inheritable(connection.fileno(), False)
        return serve(both, both)  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
