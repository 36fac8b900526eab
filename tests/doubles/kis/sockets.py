"""The websocket of the double: sessions, registrations, PINGPONG, and how connections end."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from qts.clock import NS_PER_S
from tests.doubles.kis.access import Access, Keys
from tests.doubles.kis.clock import DoubleClock
from tests.doubles.kis.settings import Settings

DATA_TRS = {"H0STCNT0", "H0STASP0", "H0STANC0", "H0STMKO0", "H0NXCNT0", "H0NXASP0", "H0NXANC0", "H0NXMKO0"}
DATA_TRS |= {"H0UNCNT0", "H0UNASP0", "H0UNANC0", "H0UNMKO0"}
NOTICE_TR = {False: "H0STCNI0", True: "H0STCNI9"}
"""The TR of fill notices on the live host, and on the paper one."""
KEY_LENGTH, IV_LENGTH = 32, 16
CODE_LENGTHS = (6, 7)


class Session:
    """One connection of a client; ``registered`` are pairs of TR and key."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.socket = socket
        self.registered: list[tuple[str, str]] = []
        self.keys: Keys | None = None
        self.cipher: tuple[str, str] = ("", "")
        """Key and iv of its notices."""
        self.heard_ns = 0
        self.received: list[str] = []
        self.is_muted = False
        """Whether data is held back while PINGPONG goes on."""
        self._transport = request.transport
        self._out: asyncio.Queue[str | None] = asyncio.Queue()
        self.is_open = True

    def send(self, text: str) -> None:
        """Put a text on its way."""
        if self.is_open:
            self._out.put_nowait(text)

    def cut(self) -> None:
        """End the connection without a close frame."""
        self.is_open = False
        self._out.put_nowait(None)
        if self._transport is not None:
            self._transport.abort()

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

    def __init__(self, access: Access, clock: DoubleClock, settings: Settings, seed_text: Any) -> None:
        self.sessions: list[Session] = []
        self.opened = 0
        self._access, self._clock, self._settings = access, clock, settings
        self._text = seed_text

    # -- the life of a connection ------------------------------------------------------------------------------

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one client until it, or a fault, ends the connection."""
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        session = Session(socket, request)
        session.heard_ns = self._clock.time_ns()
        self.sessions.append(session)
        self.opened += 1
        tasks = [asyncio.create_task(session.write()), asyncio.create_task(self._keep_alive(session))]
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._receive(session, message.data)
                elif message.type is WSMsgType.PING:
                    await socket.pong(message.data)
                elif message.type is WSMsgType.PONG:
                    self._heard(session)
        finally:
            session.is_open = False
            self.sessions.remove(session)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return socket

    async def _keep_alive(self, session: Session) -> None:
        while True:
            await self._clock.sleep(self._settings.ping_s)
            if self._clock.time_ns() - session.heard_ns > self._settings.silence_s * NS_PER_S:
                session.cut()
                return
            moment = self._clock.kst.strftime("%Y%m%d%H%M%S")
            session.send(json.dumps({"header": {"tr_id": "PINGPONG", "datetime": moment}}))

    def _heard(self, session: Session) -> None:
        session.heard_ns = self._clock.time_ns()

    async def close(self) -> None:
        """End all connections in order."""
        for session in list(self.sessions):
            with suppress(ConnectionError, RuntimeError):
                await session.socket.close(code=WSCloseCode.GOING_AWAY)

    # -- registrations -----------------------------------------------------------------------------------------

    def _receive(self, session: Session, text: str) -> None:
        session.received.append(text)
        try:
            message = json.loads(text)
        except json.JSONDecodeError:
            self._acknowledge(session, "(null)", "", "OPSP9998", "JSON PARSING ERROR : invalid json")
            return
        header, body = message.get("header", {}), message.get("body", {}).get("input", {})
        if header.get("tr_id") == "PINGPONG":
            self._heard(session)
            return
        tr_id, tr_key = str(body.get("tr_id", "")), str(body.get("tr_key", ""))
        code, said = self._registered(session, header, tr_id, tr_key)
        if code:
            self._acknowledge(session, tr_id, tr_key, code, said)

    def _registered(self, session: Session, header: dict[str, Any], tr_id: str, tr_key: str) -> tuple[str, str]:
        """Register or drop, and return code and text of the answer."""
        keys = self._access.customer_of(str(header.get("approval_key", "")))
        if keys is None:
            return "OPSP0011", "invalid approval : NOT FOUND"
        if any(one is not session and one.keys == keys for one in self.sessions):
            return "OPSP8996", "ALREADY IN USE appkey"
        session.keys = keys
        if header.get("custtype") not in ("P", "B"):
            return "OPSP9994", "INVALID custtype"
        if header.get("tr_type") not in ("1", "2"):
            return "OPSP8997", "INVALID tr_type : NOT FOUND"
        is_notice = tr_id == NOTICE_TR[keys.is_paper]
        if not is_notice and tr_id not in DATA_TRS:
            return "OPSP8991", "INVALID tr_id : NOT FOUND"
        if is_notice and tr_key != keys.hts_id:
            session.cut()
            return "", ""
        if not is_notice and len(tr_key) not in CODE_LENGTHS:
            return "OPSP8992", "INVALID tr_key : NOT FOUND"
        pair = (tr_id, tr_key)
        if header["tr_type"] == "2":
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
        good = code in ("OPSP0000", "OPSP0001")
        body: dict[str, Any] = {"rt_cd": "0" if good else "1", "msg_cd": code, "msg1": text}
        encrypted = "N"
        if code == "OPSP0000":
            if not session.cipher[0]:
                session.cipher = (self._text(KEY_LENGTH), self._text(IV_LENGTH))
            body["output"] = {"iv": session.cipher[1], "key": session.cipher[0]}
        session.send(json.dumps({"header": {"tr_id": tr_id, "tr_key": tr_key, "encrypt": encrypted}, "body": body}))

    # -- data --------------------------------------------------------------------------------------------------

    def push(self, tr_id: str, tr_key: str, frame: str) -> int:
        """Send a frame to those that have registered for it, and return to how many."""
        to = [one for one in self.sessions if one.is_open and (tr_id, tr_key) in one.registered]
        for session in to:
            if not session.is_muted:
                session.send(frame)
        return len(to)
