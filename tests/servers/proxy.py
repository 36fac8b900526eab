"""A TCP proxy before a server that delays, cuts, swallows, and counts round trips.

It reads the messages of PostgreSQL that pass, so a fault can be put at a statement: "lose the answer to COMMIT". Of
another protocol whatever passes in one piece counts as a statement, and the next piece as its answer.
It runs on a thread of its own. Its methods are called from the thread of the test, and hold from the next message
on.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Literal, Self, TypeVar

T = TypeVar("T")
Direction = Literal["up", "down", "both"]
"""From the client to the server, from the server to the client, or both."""
SSL_REQUEST, GSS_REQUEST = 80877103, 80877104
CHUNK = 1 << 16
Fate = Literal["pass", "swallow", "end"]
"""What becomes of bytes: passed on, not passed on, or not passed on and the connection ended."""


class Proxy:
    """Connections from a port of the loopback interface to another one. ``with`` starts and stops it."""

    def __init__(self, target: int, *, is_postgres: bool = True) -> None:
        """Pass connections on to the port ``target``."""
        self.target = target
        self.is_postgres = is_postgres
        self.port = 0
        """The port that clients connect to, from the start on."""
        self.statements: list[str] = []
        """The text of every statement that clients had executed, in the order in which they were passed on."""
        self.round_trips = 0
        """How often a client sent something and then waited for the server."""
        self.accepted = 0
        """How many connections clients opened."""
        self._delay = {"up": 0.0, "down": 0.0}
        self._silent: set[str] = set()
        self._refusing = False
        self._lost: list[Callable[[str], bool]] = []
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy of the tests")
        self._listener: asyncio.Server | None = None

    # -- faults -------------------------------------------------------------

    def delay(self, seconds: float, direction: Direction = "up") -> None:
        """Pass everything on in that direction ``seconds`` later, in order; 0 ends it."""
        for one in _directions(direction):
            self._delay[one] = seconds

    def silence(self, direction: Direction = "both") -> None:
        """Swallow what comes in that direction, on all connections, without ending any."""
        self._silent.update(_directions(direction))

    def heal(self) -> None:
        """Pass on again and at once. Connections on which something was swallowed stay out of step."""
        self._delay = {"up": 0.0, "down": 0.0}
        self._silent.clear()
        self._refusing = False

    def half_open(self) -> None:
        """Leave the connections of now as if the other machine had lost its power: nothing passes, not even an end.

        Connections that are opened later work.
        """
        self._call(self._half_open)

    def cut(self) -> None:
        """End all connections at once, in both directions. New ones work."""
        self._call(self._cut)

    def refuse(self) -> None:
        """End all connections and each new one as soon as it is opened, until :meth:`heal`."""
        self._refusing = True
        self.cut()

    def lose_answer(self, text: str = "", *, at: int = 1) -> None:
        """Let the ``at``-th statement that contains ``text`` from now on be executed, then end its connection.

        The client does not see the answer; the server had the statement and answered. Once.
        """
        left = [at]

        def is_it(statement: str) -> bool:
            if text not in statement:
                return False
            left[0] -= 1
            if left[0]:
                return False
            self._lost.remove(is_it)
            return True

        self._lost.append(is_it)

    # -- start and end -------------------------------------------------------------

    def start(self) -> None:
        """Listen on a free port."""
        self._thread.start()
        self._call(self._listen)

    def stop(self) -> None:
        """End all connections and the thread."""
        self._call(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.stop()

    def _call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(20)

    # -- on the loop -------------------------------------------------------------

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._listener is not None
        self._listener.close()
        await self._cut()
        me = asyncio.current_task()
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not me), return_exceptions=True)

    async def _cut(self) -> None:
        for link in list(self._links):
            link.abort()

    async def _half_open(self) -> None:
        for link in self._links:
            link.dead = True

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._refusing:
            writer.transport.abort()
            return
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(self, (reader, writer), (server_reader, server_writer))
        self._links.add(link)
        try:
            await link.run()
        finally:
            link.abort()
            self._links.discard(link)

    # -- asked by the connections -------------------------------------------------------------

    def delay_of(self, direction: str) -> float:
        return self._delay[direction]

    def is_silent(self, direction: str) -> bool:
        return direction in self._silent

    def executed(self, statement: str) -> bool:
        """Take down a statement that is passed on, and return whether its answer is lost."""
        self.statements.append(statement)
        losing = [lost for lost in list(self._lost) if lost(statement)]
        return bool(losing)


def _directions(direction: Direction) -> tuple[str, ...]:
    return ("up", "down") if direction == "both" else (direction,)


End = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Link:
    """One client's connection and the one to the server that belongs to it."""

    def __init__(self, proxy: Proxy, client: End, server: End) -> None:
        self.dead = False  # nothing passes, not even an end
        self._aborted = asyncio.Event()
        self._proxy = proxy
        self._client, self._server = client, server
        self._asked = False  # the client sent something that no message of the server followed yet
        self._losing = False
        self._statements: _Statements | _Pieces = (
            _Statements(self._executed) if proxy.is_postgres else _Pieces(self._executed)
        )

    async def run(self) -> None:
        """Pass on until one of the ends is gone."""
        ways = [
            asyncio.ensure_future(self._pump("up", self._client[0], self._server[1], self._upward)),
            asyncio.ensure_future(self._pump("down", self._server[0], self._client[1], self._downward)),
            asyncio.ensure_future(self._aborted.wait()),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if self.dead:  # the ends are kept open until the test is done
                await self._aborted.wait()
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    def abort(self) -> None:
        """End it in both directions."""
        self._aborted.set()
        for _, writer in (self._client, self._server):
            writer.transport.abort()

    async def _pump(
        self,
        direction: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        see: Callable[[bytes], Fate],
    ) -> None:
        loop = asyncio.get_running_loop()
        due: deque[tuple[float, bytes]] = deque()
        arrived = asyncio.Event()

        async def read() -> None:
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(CHUNK):
                    if self.dead or self._proxy.is_silent(direction):
                        continue
                    due.append((loop.time() + self._proxy.delay_of(direction), data))
                    arrived.set()
            due.append((loop.time() + self._proxy.delay_of(direction), b""))
            arrived.set()

        reading = asyncio.ensure_future(read())
        try:
            while True:
                while not due:
                    arrived.clear()
                    await arrived.wait()
                when, data = due.popleft()
                if (wait := when - loop.time()) > 0:
                    await asyncio.sleep(wait)
                if not data:
                    return
                if self.dead:
                    continue
                fate = see(data)
                if fate == "end":
                    return
                if fate == "swallow":
                    continue
                with contextlib.suppress(ConnectionError):
                    writer.write(data)
                    await writer.drain()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    def _upward(self, data: bytes) -> Fate:
        self._asked = True
        self._statements.take(data)
        return "pass"

    def _downward(self, data: bytes) -> Fate:
        if self._asked:
            self._asked = False
            self._proxy.round_trips += 1
        complete = self._statements.answers.take(data)
        if not self._losing:
            return "pass"
        return "end" if complete else "swallow"

    def _executed(self, statement: str) -> None:
        if self._proxy.executed(statement):
            self._losing = True


class _Frames:
    """The messages of one direction: a byte of type, four bytes of length that count themselves, the body."""

    def __init__(self) -> None:
        self._rest = b""
        self.bare = 0
        """How many bytes come next that are no message: the answer to a request for TLS."""
        self.unreadable = False
        """Whether the connection is encrypted."""

    def take(self, data: bytes) -> bool:
        """Return whether one of the messages that end in ``data`` says that the server is ready for the next."""
        return b"Z" in [kind for kind, _ in self.of(data)]

    def of(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield type and body of the messages that end in ``data``."""
        self._rest += data
        while self.bare and self._rest:
            self.unreadable |= self._rest[:1] == b"S"
            self._rest, self.bare = self._rest[1:], self.bare - 1
        while len(self._rest) >= 5 and not self.unreadable:
            end = 1 + int.from_bytes(self._rest[1:5], "big")
            if len(self._rest) < end:
                return
            frame, self._rest = self._rest[:end], self._rest[end:]
            yield frame[:1], frame[5:]
        if self.unreadable:
            self._rest = b""


class _Statements:
    """The statements in what a client sends, by the names that it gave them."""

    def __init__(self, executed: Callable[[str], None]) -> None:
        self.answers = _Frames()
        self._executed = executed
        self._frames = _Frames()
        self._start = b""
        self._started = False
        self._prepared: dict[bytes, str] = {}
        self._portals: dict[bytes, str] = {}

    def take(self, data: bytes) -> None:
        if not self._started:
            data = self._take_start(data)
        for kind, body in self._frames.of(data):
            self._see(kind, body)

    def _take_start(self, data: bytes) -> bytes:
        """Read the messages before the first that has a type, and return what follows them."""
        self._start += data
        while len(self._start) >= 8:
            length, code = int.from_bytes(self._start[:4], "big"), int.from_bytes(self._start[4:8], "big")
            if len(self._start) < length:
                break
            self._start = self._start[length:]
            if code in (SSL_REQUEST, GSS_REQUEST):
                self.answers.bare += 1
            else:
                self._started = True
                return self._start
        return b""

    def _see(self, kind: bytes, body: bytes) -> None:
        if kind == b"Q":
            self._executed(_text(body.split(b"\0", 1)[0]))
        elif kind == b"P":
            name, statement, _ = body.split(b"\0", 2)
            self._prepared[name] = _text(statement)
        elif kind == b"B":
            portal, name, _ = body.split(b"\0", 2)
            self._portals[portal] = self._prepared.get(name, "")
        elif kind == b"E":
            self._executed(self._portals.get(body.split(b"\0", 1)[0], ""))


class _Pieces:
    """Whatever a client sends at once, of a protocol that is not read."""

    def __init__(self, executed: Callable[[str], None]) -> None:
        self.answers = _AnyAnswer()
        self._executed = executed

    def take(self, data: bytes) -> None:
        self._executed(_text(data))


class _AnyAnswer:
    """Whatever a server sends at once."""

    def take(self, data: bytes) -> bool:
        """Return that an answer is complete."""
        return bool(data)


def _text(statement: bytes) -> str:
    return statement.decode("utf-8", errors="replace")
