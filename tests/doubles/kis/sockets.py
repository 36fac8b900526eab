"""The websocket of the double: sessions, registrations, PINGPONG, and how connections end."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from fnmatch import fnmatch
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from qts.clock import NS_PER_S
from tests.doubles.kis.access import Access, Keys
from tests.doubles.kis.clock import DoubleClock
from tests.doubles.kis.settings import Settings

DATA_TRS = {f"H0{venue}{kind}0" for venue in ("ST", "NX", "UN") for kind in ("CNT", "ASP", "ANC", "MKO")}
NOTICE_TR = {False: "H0STCNI0", True: "H0STCNI9"}
"""The TR of fill notices on the live host, and on the paper one."""
NO_PAPER_TR = {tr_id for tr_id in DATA_TRS if not tr_id.startswith("H0ST")}
KEY_LENGTH, IV_LENGTH = 32, 16
KEPT = 20_000
CODE_LENGTHS = (6, 7)
UNNAMED = ("(null)", "")


class Session:
    """One connection of a client; ``registered`` are pairs of TR and key."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.socket = socket
        self.registered: list[tuple[str, str]] = []
        self.keys: Keys | None = None
        self.approval = ""
        self.cipher: tuple[str, str] = ("", "")
        """Key and iv of its notices."""
        self.unanswered = 0
        """How many PINGPONGs it has not answered since the last answer."""
        self.told_ns = 0
        """When it last asked for a registration."""
        self.received: deque[str] = deque(maxlen=KEPT)
        self.is_muted = False
        """Whether data and notices are dropped while PINGPONG goes on."""
        self.is_frozen = False
        """Whether nothing at all is sent, as on a line that is dead without having been closed."""
        self.is_open = True
        self._transport = request.transport
        self._out: asyncio.Queue[str | None] = asyncio.Queue()

    def send(self, text: str, *, is_data: bool = True) -> None:
        """Put a text on its way."""
        if self.is_open and not self.is_frozen and not (is_data and self.is_muted):
            self._out.put_nowait(text)

    def cut(self) -> None:
        """End the connection without a close frame."""
        self.is_open = False
        self._out.put_nowait(None)
        if self._transport is not None:
            self._transport.abort()

    def forget(self) -> None:
        """Drop what it has registered, and let its application key be used by another session."""
        self.registered.clear()
        self.keys = None

    async def write(self) -> None:
        """Write what was put on its way, in order."""
        while (text := await self._out.get()) is not None:
            with suppress(ConnectionError, RuntimeError):
                await self.socket.send_str(text)
            self._out.task_done()

    async def written(self) -> None:
        """Wait until all is written."""
        if self.is_open:
            await self._out.join()


class Sockets:
    """All connections of this host."""

    def __init__(
        self, access: Access, clock: DoubleClock, settings: Settings, text: Callable[[int], str], *, is_paper: bool
    ) -> None:
        self.sessions: list[Session] = []
        self.is_down = False
        """Whether all new connections are cut off."""
        self.opened = 0
        """How many connections there have been."""
        self.registrations: deque[tuple[str, str, str, str]] = deque(maxlen=KEPT)
        """All that was asked for, oldest first: ``tr_type``, TR, key, and the code of the answer."""
        self._access, self._clock, self._settings, self._text = access, clock, settings, text
        self._is_paper = is_paper
        self._lingering: dict[str, int] = {}

    # -- the life of a connection ------------------------------------------------------------------------------

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one client until it, or a fault, ends the connection."""
        if self.is_down and request.transport is not None:
            request.transport.abort()
            return web.Response()
        if not any(fnmatch(request.path, path) for path in self._settings.paths):
            return web.Response(status=404)
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        session = Session(socket, request)
        self.sessions.append(session)
        self.opened += 1
        tasks = [asyncio.create_task(session.write()), asyncio.create_task(self._keep_alive(session))]
        try:
            async for message in socket:
                if session.is_frozen:
                    continue
                if message.type is WSMsgType.TEXT:
                    await self._receive(session, message.data)
                elif message.type is WSMsgType.PING:
                    with suppress(ConnectionError):  # it was cut in this moment
                        await socket.pong(message.data)
                elif message.type is WSMsgType.PONG:
                    session.unanswered = 0
        finally:
            session.is_open = False
            self.sessions.remove(session)
            if session.keys is not None:
                self._lingering[session.keys.appkey] = self._clock.time_ns()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return socket

    async def _keep_alive(self, session: Session) -> None:
        while True:
            await self._clock.sleep(self._settings.ping_s)
            if session.unanswered >= self._settings.unanswered:
                if session.is_frozen:
                    session.forget()  # the client does not learn of it
                else:
                    session.cut()
                return
            session.unanswered += 1
            moment = self._clock.kst.strftime("%Y%m%d%H%M%S")
            session.send(json.dumps({"header": {"tr_id": "PINGPONG", "datetime": moment}}), is_data=False)

    async def close(self) -> None:
        """End all connections in order."""
        for session in list(self.sessions):
            with suppress(ConnectionError, RuntimeError):
                await session.socket.close(code=WSCloseCode.GOING_AWAY)

    # -- what a test does to them ------------------------------------------------------------------------------

    def cut(self) -> int:
        """End all connections without a close frame (clients see 1006), and return how many there were."""
        cut = list(self.sessions)
        for session in cut:
            session.cut()
        return len(cut)

    def mute(self, *, on: bool = True) -> None:
        """Drop all data and notices while PINGPONG goes on, or send them again."""
        for session in self.sessions:
            session.is_muted = on

    def freeze(self) -> None:
        """Send nothing more over the connections of now, and read nothing: they are dead without an end."""
        for session in self.sessions:
            session.is_frozen = True

    def say(self, text: str) -> None:
        """Send a text as it is to all: for frames that a parser must survive."""
        for session in self.sessions:
            session.send(text)

    # -- registrations -----------------------------------------------------------------------------------------

    async def _receive(self, session: Session, text: str) -> None:
        session.received.append(text)
        try:
            message = json.loads(text)
            header, asked = message["header"], message.get("body", {}).get("input", {})
        except (ValueError, KeyError, TypeError, AttributeError):
            self._acknowledge(session, *UNNAMED, "OPSP9990", "JSON PARSING ERROR")
            return
        if header.get("tr_id") == "PINGPONG":
            session.unanswered = 0
            return
        tr_id, tr_key = str(asked.get("tr_id", "")), str(asked.get("tr_key", ""))
        code, said = self._registered(session, header, tr_id, tr_key)
        self.registrations.append((str(header.get("tr_type", "")), tr_id, tr_key, code))
        if not code:
            session.cut()
        elif code in ("OPSP8996", "OPSP0011"):
            self._acknowledge(session, *UNNAMED, code, said)
            if code == "OPSP8996" and self._settings.in_use_closes:
                await session.written()
                session.cut()
        else:
            self._acknowledge(session, tr_id, tr_key, code, said)

    def _registered(self, session: Session, header: dict[str, Any], tr_id: str, tr_key: str) -> tuple[str, str]:
        """Register or drop, and return code and text of the answer; no code: the connection is cut."""
        now = self._clock.time_ns()
        approval = str(header.get("approval_key", ""))
        is_known = (
            session.keys is not None and approval == session.approval
        )  # a live session need not renew its key
        keys = session.keys if is_known else self._access.customer_of(approval)
        if keys is None or keys.is_paper != self._is_paper:
            return "OPSP0011", "invalid approval : NOT FOUND"
        if self._is_in_use(session, keys, now):
            return "OPSP8996", "ALREADY IN USE appkey"
        session.keys, session.approval = keys, approval
        spacing, session.told_ns = now - session.told_ns, now
        if spacing < self._settings.register_spacing_s * NS_PER_S:
            return "OPSP0007", "SUBSCRIBE INTERNAL ERROR"
        if header.get("custtype") not in ("P", "B"):
            return "OPSP8994", "INVALID custtype : NOT FOUND"
        if header.get("tr_type") not in ("1", "2"):
            return "OPSP8997", "INVALID tr_type : NOT FOUND"
        is_notice = tr_id == NOTICE_TR[keys.is_paper]
        if not is_notice and (tr_id not in DATA_TRS or (keys.is_paper and tr_id in NO_PAPER_TR)):
            return "OPSP8991", "INVALID tr_id : NOT FOUND"
        if is_notice and tr_key != keys.hts_id:
            return "", ""
        if not is_notice and len(tr_key) not in CODE_LENGTHS:
            return "OPSP8992", "INVALID tr_key : NOT FOUND"
        return self._changed(session, header["tr_type"], (tr_id, tr_key))

    def _is_in_use(self, session: Session, keys: Keys, now: int) -> bool:
        gone = self._lingering.get(keys.appkey)
        lingers = session.keys is None and gone is not None and now - gone < self._settings.linger_s * NS_PER_S
        return lingers or any(one is not session and one.keys == keys for one in self.sessions)

    def _changed(self, session: Session, tr_type: str, pair: tuple[str, str]) -> tuple[str, str]:
        if tr_type == "2":
            if pair not in session.registered:
                return "OPSP0003", "UNSUBSCRIBE ERROR : not found!"
            session.registered.remove(pair)
            return "OPSP0001", "UNSUBSCRIBE SUCCESS"
        if pair in session.registered:
            return "OPSP0002", "ALREADY IN SUBSCRIBE"
        if len(session.registered) >= self._settings.most_registrations:
            return "OPSP0008", "MAX SUBSCRIBE OVER"
        session.registered.append(pair)
        return "OPSP0000", "SUBSCRIBE SUCCESS"

    def _acknowledge(self, session: Session, tr_id: str, tr_key: str, code: str, text: str) -> None:
        is_good = code in ("OPSP0000", "OPSP0001")
        result = "0" if is_good else "9" if (tr_id, tr_key) == UNNAMED else "1"
        body: dict[str, Any] = {"rt_cd": result, "msg_cd": code, "msg1": text}
        if code == "OPSP0000":
            if not session.cipher[0]:
                session.cipher = (self._text(KEY_LENGTH), self._text(IV_LENGTH))
            body["output"] = {"iv": session.cipher[1], "key": session.cipher[0]}
        is_encrypted = tr_id in NOTICE_TR.values() and self._settings.encrypted
        header = {"tr_id": tr_id, "tr_key": tr_key, "encrypt": "Y" if is_encrypted else "N"}
        session.send(json.dumps({"header": header, "body": body}), is_data=False)

    # -- data --------------------------------------------------------------------------------------------------

    def to(self, tr_id: str, tr_key: str) -> list[Session]:
        """Return the sessions that have registered for something."""
        return [one for one in self.sessions if one.is_open and (tr_id, tr_key) in one.registered]

    def push(self, tr_id: str, tr_key: str, frame: str) -> int:
        """Send a frame to those that have registered for it, and return to how many."""
        sessions = self.to(tr_id, tr_key)
        for session in sessions:
            session.send(frame)
        return len(sessions)

    def wants(self, tr_id: str, tr_key: str) -> bool:
        """Return whether anyone has registered for something."""
        return any((tr_id, tr_key) in one.registered for one in self.sessions)
