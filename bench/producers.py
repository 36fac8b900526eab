"""Who sends the P0 events of a latency measurement: the loop itself, a foreign thread, another process.

Every mark carries the moment its producer was due and the moment it really sent. Latency counted from "due" also
shows a producer that was kept from sending (a starved thread, a loop that gave no turn). The stamps are of
CLOCK_MONOTONIC, which all processes of one machine share.
"""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from time import perf_counter_ns
from typing import NamedTuple

INTERVAL_NS = 1_000_000
LEAD_NS = 20_000_000
_WIRE = struct.Struct("<qqq")
_PR_SET_TIMERSLACK = 29


class Mark(NamedTuple):
    """Number, when it was due, when it was sent."""

    number: int
    due_ns: int
    sent_ns: int


Send = Callable[[Mark], object]


async def from_loop(send: Send, count: int) -> None:
    """Timers of the loop; plain asyncio rounds them up to a millisecond when it has nothing else to do."""
    loop = asyncio.get_running_loop()
    offset_s = loop.time() - perf_counter_ns() / 1e9
    start_ns = perf_counter_ns() + LEAD_NS
    done: asyncio.Future[None] = loop.create_future()

    def fire(number: int) -> None:
        """Send all that are due; uvloop's timers may also be early, then the moment of sending counts."""
        while number < count:
            due_ns, now_ns = start_ns + number * INTERVAL_NS, perf_counter_ns()
            if due_ns > now_ns + INTERVAL_NS // 2:
                loop.call_at(due_ns / 1e9 + offset_s, fire, number)
                return
            send(Mark(number, min(due_ns, now_ns), now_ns))
            number += 1
        done.set_result(None)

    loop.call_at(start_ns / 1e9 + offset_s, fire, 0)
    await done


async def from_thread(send: Send, count: int) -> None:
    """A thread of this process, as the callback thread of a broker's library would be."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def produce() -> None:
        sharp_sleep()
        start_ns = perf_counter_ns() + LEAD_NS
        for number in range(count):
            due_ns = start_ns + number * INTERVAL_NS
            wait_until(due_ns)
            send(Mark(number, due_ns, perf_counter_ns()))
        loop.call_soon_threadsafe(done.set_result, None)

    threading.Thread(target=produce, name="p0-producer", daemon=True).start()
    await done


async def from_process(send: Send, count: int) -> None:
    """Another process over a TCP connection; the loop reads the bytes, as from a broker's stream."""
    loop = asyncio.get_running_loop()
    received: asyncio.Future[None] = loop.create_future()
    server = await loop.create_server(lambda: _Receiver(send, received), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    command = [sys.executable, "-m", "bench.producers", str(port), str(count)]
    child = await asyncio.to_thread(subprocess.Popen, command)
    try:
        await received
    finally:
        server.close()
        await asyncio.to_thread(child.wait)


SOURCES = {"loop": from_loop, "thread": from_thread, "process": from_process}


class _Receiver(asyncio.Protocol):
    def __init__(self, send: Send, received: asyncio.Future[None]) -> None:
        self._send = send
        self._received = received
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        whole = len(data) - len(data) % _WIRE.size
        for mark in _WIRE.iter_unpack(data[:whole]):
            self._send(Mark(*mark))
        self._rest = data[whole:]

    def connection_lost(self, error: Exception | None) -> None:
        if not self._received.done():
            self._received.set_result(None)


def send_marks(port: int, count: int) -> None:
    """The life of the other process."""
    sharp_sleep()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        start_ns = perf_counter_ns() + LEAD_NS
        for number in range(count):
            due_ns = start_ns + number * INTERVAL_NS
            wait_until(due_ns)
            connection.sendall(_WIRE.pack(number, due_ns, perf_counter_ns()))


def wait_until(due_ns: int) -> None:
    left_ns = due_ns - perf_counter_ns()
    if left_ns > 0:
        time.sleep(left_ns / 1e9)


def sharp_sleep() -> None:
    """Let this thread's sleeps end within microseconds instead of the 50 µs of slack that Linux allows itself."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)


if __name__ == "__main__":
    send_marks(int(sys.argv[1]), int(sys.argv[2]))
