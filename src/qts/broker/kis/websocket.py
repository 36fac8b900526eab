"""The websocket session of one application key at KIS: made again when it is lost, quiet about secrets.

KIS takes one session for each application key. It tells a living connection by PINGPONG texts, which are answered;
a connection that says nothing counts as lost, because the books have to be asked then. A new connection has none of
the registrations of the one before, which are asked for again one by one, at the pace that KIS wants.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, Protocol

import aiohttp
from aiohttp import WSMsgType

from qts.broker.kis.control import IN_USE, INVALID_APPROVAL, Answer, Registration, command, read_control
from qts.broker.kis.credentials import MASK, Secret
from qts.broker.kis.layouts import NOTICES_LIVE, NOTICES_PAPER
from qts.broker.kis.pauses import Pause
from qts.broker.kis.registrations import Registrations
from qts.broker.kis.stream_config import StreamConfig
from qts.clock import NS_PER_MS, NS_PER_S, Clock
from qts.errors import BrokerUnavailable

PATH: Final = "/tryitout"
HEALTHY_NS: Final = 60 * NS_PER_S
"""A connection that lasted so long begins the pauses from the start."""
_CONNECT_S: Final = 5.0
_CLOSE_S: Final = 0.2
_DATA: Final = frozenset({"0", "1"})
"""What the text of a data frame begins with: plain, or encrypted."""
_PING_NS: Final = NS_PER_S
"""After so long without anything KIS is asked by a ping whether the connection lives."""
_WATCH_S: Final = 0.25
_MOST_BYTES: Final = 1 << 20
_MOST_REFUSALS: Final = 2
"""Connections that end while notices are registered for, as a wrong HTS ID does it, before these are given up."""


class Listener(Protocol):
    """The user of a websocket session. Every method is called on its loop, and neither waits nor raises."""

    def on_frame(self, text: str, ts_ns: int) -> None:
        """Take a data frame as it came, at ``ts_ns``."""
        ...

    def on_cipher(self, registration: Registration, key: str, iv: str) -> None:
        """Take key and iv by which the frames of a registration are encrypted from now on."""
        ...

    def on_connected(self) -> None:
        """Take note that a connection has its first registration, so that values can come."""
        ...

    def on_lost(self, reason: str) -> None:
        """Take note that a connection that had registrations is gone; ``reason`` is for people."""
        ...


class Ended(Exception):
    """The end of a connection: why, and after how many seconds another may be made; None: after the usual pause."""

    def __init__(self, reason: str, pause_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.pause_s = pause_s


class KisWebsocket:
    """The session; :meth:`run` keeps it up until it is cancelled. On one event loop.

    ``approval`` asks KIS for an approval key; it raises BrokerUnavailable. ``pause`` waits seconds of ``clock``.
    ``chance`` makes the pauses differ, so that many sessions do not come back in one moment. ``tell`` is called
    with sentences for people.
    """

    def __init__(
        self,
        url: str,
        approval: Callable[[], Awaitable[Secret]],
        listener: Listener,
        *,
        config: StreamConfig,
        clock: Clock,
        pause: Pause,
        chance: random.Random,
        tell: Callable[[str], object],
    ) -> None:
        self.registrations = Registrations(config.registrations)
        self.is_up = False
        """Whether values can come: there is a connection that lives and has a registration."""
        self.connections = 0
        """How many connections were made in all."""
        self.refused_texts = 0
        """How many texts were neither data nor an answer."""
        self.approvals = 0
        """How many approval keys were asked for."""
        self._url = url + PATH
        self._approval_of = approval
        self._listener = listener
        self._config = config
        self._clock = clock
        self._pause = pause
        self._chance = chance
        self._tell = tell
        self._approval: Secret | None = None
        self._is_new_approval = False
        self._has_work = asyncio.Event()
        self._heard_ns = 0
        self._ended: Ended | None = None
        """Why the connection is being ended by us; None: it is not."""
        self._told: set[str] = set()
        self._answers_pings: bool | None = None
        """Whether KIS answers pings; None while that is not known."""
        self._gives_up_notices = 0

    def want(self, wanted: list[Registration]) -> None:
        """Replace what the session is to be registered for, the most important first."""
        if self._gives_up_notices >= _MOST_REFUSALS:
            wanted = [one for one in wanted if one.name not in (NOTICES_LIVE, NOTICES_PAPER)]
        self.registrations.want(wanted)
        self._has_work.set()

    async def run(self) -> None:
        """Keep the session up; every loss is told to the listener. Ends only when it is cancelled."""
        failures = 0
        async with aiohttp.ClientSession(trust_env=False, cookie_jar=aiohttp.DummyCookieJar()) as http:
            while True:
                begun_ns = self._clock.monotonic_ns()
                try:
                    await self._connection(http)
                except Ended as ended:
                    reason, pause_s = ended.reason, ended.pause_s
                lasted = self._clock.monotonic_ns() - begun_ns >= HEALTHY_NS
                failures = 0 if lasted else failures + 1
                if pause_s is None:
                    pause_s = self._pause_after(max(failures, 1))
                self._tell(f"the websocket of KIS is not connected: {reason}; next attempt in {pause_s:.1f} s")
                await self._pause(pause_s)

    def _pause_after(self, failures: int) -> float:
        """Return the seconds before the next attempt: doubled with each failure, bounded, and half of it drawn."""
        whole = self._config.first_pause_ms / 1_000 * 2.0 ** min(failures - 1, 20)
        return min(whole, self._config.longest_pause_s) * (1 + self._chance.random()) / 2

    async def _connection(self, http: aiohttp.ClientSession) -> None:
        """Make one connection and keep it. Always ends by Ended, or by being cancelled."""
        approval = await self._valid_approval()
        try:
            async with asyncio.timeout(_CONNECT_S):
                socket = await http.ws_connect(self._url, autoping=False, max_msg_size=_MOST_BYTES)
        except TimeoutError:
            raise Ended(f"no connection within {_CONNECT_S:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Ended(_kind_of(error)) from None
        self.connections += 1
        self.registrations.begin()
        self._has_work.set()
        self._heard_ns = self._clock.time_ns()
        self._ended = None
        work = [
            asyncio.create_task(self._send_commands(socket, approval), name="qts-kis-commands"),
            asyncio.create_task(self._watch(socket), name="qts-kis-liveness"),
        ]
        try:
            await self._receive(socket)
        except Ended as ended:
            if self.is_up:
                self.is_up = False
                self._listener.on_lost(ended.reason)
            raise
        finally:
            self.is_up = False
            for task in work:
                task.cancel()
            results = await asyncio.gather(*work, return_exceptions=True)
            await _close(socket)
            for result in results:
                if isinstance(result, Exception):
                    raise result

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Take what comes until the connection ends."""
        receive, time_ns = socket.receive, self._clock.time_ns
        on_frame = self._listener.on_frame
        while True:
            message = await receive()
            kind = message.type
            if kind is WSMsgType.TEXT:
                self._heard_ns = ts_ns = time_ns()
                text = message.data
                if text[:1] in _DATA:
                    on_frame(text, ts_ns)
                else:
                    await self._on_control(socket, text)
            elif kind is WSMsgType.PONG:
                self._heard_ns = time_ns()
                self._answers_pings = True
            elif kind is WSMsgType.PING:
                self._heard_ns = time_ns()
                await socket.pong(message.data)
            elif kind is WSMsgType.BINARY:
                self.refused_texts += 1
            else:
                if self._ended is not None:
                    raise self._ended
                self._note_refused_notices()
                raise Ended(_end_of(message, socket))

    async def _on_control(self, socket: aiohttp.ClientWebSocketResponse, text: str) -> None:
        """Take a JSON text."""
        try:
            answer = read_control(text)
        except ValueError:
            self.refused_texts += 1
            return
        if answer is None:
            with suppress(ConnectionError, aiohttp.ClientError):
                await socket.pong(text.encode())
            return
        self._on_answer(answer)

    def _on_answer(self, answer: Answer) -> None:
        """Take the answer to a command. Raises Ended where the session cannot go on with it."""
        if answer.code == INVALID_APPROVAL:
            was_new, self._approval = self._is_new_approval, None
            pause_s = self._config.in_use_pause_s if was_new else 0.0
            raise Ended(f"KIS does not take the approval key ({answer.code})", pause_s)
        if answer.code == IN_USE:
            raise Ended(
                f"another program uses the same application key ({answer.code}): end it, or use keys of its own",
                self._config.in_use_pause_s,
            )
        self._is_new_approval = False
        refused = self.registrations.on_answer(answer)
        registration = answer.registration
        if refused:
            name = MASK if registration.name in (NOTICES_LIVE, NOTICES_PAPER) else registration.key
            self._tell(f"KIS refuses the registration {registration.name} {name}: {refused!a}")
        if answer.cipher is not None:
            self._listener.on_cipher(registration, *answer.cipher)
        if registration in self.registrations.registered:
            if registration.name in (NOTICES_LIVE, NOTICES_PAPER):
                self._gives_up_notices = 0
            if not self.is_up:
                self.is_up = True
                self._listener.on_connected()
        self._has_work.set()

    def _note_refused_notices(self) -> None:
        """Count a connection that ended while notices were registered for: a wrong HTS ID shows in no other way."""
        asked = [one for one in self.registrations.wanted if one.name in (NOTICES_LIVE, NOTICES_PAPER)]
        if not asked or asked[0] in self.registrations.registered or not self.registrations.has_asked(asked[0]):
            return
        self._gives_up_notices += 1
        if self._gives_up_notices == _MOST_REFUSALS:
            self.registrations.want([one for one in self.registrations.wanted if one not in asked])
            self._tell(
                "KIS ends the connection when notices of fills are registered for: the HTS ID may be wrong; until "
                "the session is started again fills are found by asking the books alone"
            )

    async def _send_commands(self, socket: aiohttp.ClientWebSocketResponse, approval: Secret) -> None:
        """Send the commands that are due, at the pace that KIS wants."""
        between_s = self._config.command_ms / 1_000
        while True:
            due = self.registrations.next(self._clock.monotonic_ns())
            if due is None:
                self._has_work.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_WATCH_S):
                        await self._has_work.wait()
                continue
            try:
                await socket.send_str(command(approval, due.registration, due.tr_type))
            except (ConnectionError, aiohttp.ClientError):
                return  # the receiving side finds out
            await self._pause(between_s)

    async def _watch(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """End the connection when nothing has come for too long."""
        silence_ns, quiet_ns = self._config.silence_ms * NS_PER_MS, self._config.quiet_ms * NS_PER_MS
        step_s = min(_WATCH_S, self._config.silence_ms / 4_000)
        self._answers_pings = None
        pinged_ns = self._clock.time_ns()
        await _ping(socket)
        while True:
            await self._pause(step_s)
            now_ns = self._clock.time_ns()
            if self._answers_pings is None and self._heard_ns > pinged_ns and now_ns - pinged_ns >= silence_ns:
                self._answers_pings = False
                self._tell_once(
                    f"KIS answers no pings: a lost connection is noticed after {quiet_ns / NS_PER_S:g} s"
                )
            silent_ns = now_ns - self._heard_ns
            if silent_ns >= (quiet_ns if self._answers_pings is False else silence_ns):
                self._ended = Ended(f"nothing has come for {silent_ns / NS_PER_S:.1f} s")
                await _close(socket)
                return
            if self._answers_pings and silent_ns >= min(_PING_NS, silence_ns // 3):
                await _ping(socket)

    def _tell_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._tell(text)

    async def _valid_approval(self) -> Secret:
        """Return the approval key, asked for when there is none. Raises Ended."""
        if self._approval is None:
            try:
                self._approval = await self._approval_of()
            except BrokerUnavailable as error:
                raise Ended(str(error)) from None
            self.approvals += 1
            self._is_new_approval = True
        return self._approval


async def _ping(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Ask the other side for a sign of life; the receiving side finds out when that cannot be sent."""
    with suppress(ConnectionError, aiohttp.ClientError):
        await socket.ping()


async def _close(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Close a connection, and wait but shortly for the other side."""
    with suppress(TimeoutError, ConnectionError, aiohttp.ClientError):
        async with asyncio.timeout(_CLOSE_S):
            await socket.close()


def _end_of(message: Any, socket: aiohttp.ClientWebSocketResponse) -> str:
    """Return how a connection ended, for people."""
    if message.type is WSMsgType.ERROR:
        return f"the connection failed ({_kind_of(message.data)})"
    code = socket.close_code
    return "KIS has cut the connection" if code in (None, 1006) else f"KIS has closed the connection ({code})"


def _kind_of(error: object) -> str:
    """Return the kind of an error and the system's words: its own text may hold what was sent."""
    words = getattr(error, "strerror", None)
    return f"{type(error).__name__}: {words}" if isinstance(words, str) and words else type(error).__name__
