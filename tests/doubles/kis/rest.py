"""The REST side of the double: finds the call, refuses what KIS refuses, and answers with its headers."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

from aiohttp import web

from tests.doubles.kis.access import Access, Keys
from tests.doubles.kis.answers import Answer, Refused, field_error, gateway
from tests.doubles.kis.clock import DoubleClock
from tests.doubles.kis.days import SATURDAY
from tests.doubles.kis.faults import CALLS, Fault, Faults, Way
from tests.doubles.kis.limits import PerSecond
from tests.doubles.kis.settings import Settings

Fields = dict[str, str]
KEPT = 20_000
"""Calls that are kept for tests to look at, so that long runs do not fill the memory."""
OLD_TRS = {"TTTC0802U", "TTTC0801U", "TTTC0803U"}
Handler = Callable[[Keys, Fields, str, str], Answer]


@dataclass
class Request:
    """A call that came in, and what it was answered: status 0 for no answer at all."""

    at_ns: int
    method: str
    path: str
    tr_id: str
    headers: dict[str, str]
    fields: Fields
    status: int = 0
    code: str = ""
    answer: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Call:
    """One call: its TR ids on each host, the fields that it needs, and what answers it.

    ``empty``: those of its fields that may be empty. ``ledger``: whether it asks the ledger of accounts.
    """

    method: str
    path: str
    live: tuple[str, ...]
    paper: tuple[str, ...]
    fields: tuple[str, ...]
    handler: Handler
    empty: tuple[str, ...] = ()
    ledger: bool = False


@dataclass
class Hook:
    """Something that a test does while a call comes; see :meth:`KisDouble.during`."""

    name: str
    work: Callable[[], object]
    when: str
    times: int
    after: int

    def run(self, name: str, when: str) -> None:
        """Do it if this is its occasion."""
        if self.when != when or self.name not in ("", name) or not self.times:
            return
        if self.after:
            self.after -= 1
        else:
            self.times -= 1
            self.work()


class Rest:
    """All calls of this host."""

    def __init__(
        self,
        access: Access,
        clock: DoubleClock,
        settings: Settings,
        faults: Faults,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        *,
        is_paper: bool,
    ) -> None:
        self.requests: deque[Request] = deque(maxlen=KEPT)
        self.count = 0
        """How many calls there have been."""
        self.calls: dict[tuple[str, str], Call] = {}
        self.hooks: list[Hook] = []
        self.is_down = False
        """Whether all calls are cut off."""
        self.before_call: Callable[[], None] = lambda: None
        self.while_in_call: Callable[[bool], None] = lambda _: None
        """Told True before a call is done and False behind it."""
        self.before_answer: Callable[[], Awaitable[None]] | None = None
        self.after_answer: Callable[[], None] = lambda: None
        self._access, self._clock, self._settings, self._faults = access, clock, settings, faults
        self._is_paper, self.spawn = is_paper, spawn
        self._per_second = PerSecond(clock, settings, "EGW00201")
        self._ledger = PerSecond(clock, settings, "EGW00215")
        self._released = asyncio.Event()
        self._plain = {
            "/oauth2/tokenP": access.token,
            "/oauth2/revokeP": access.revoke,
            "/oauth2/Approval": access.approval,
            "/uapi/hashkey": self._hash,
        }

    def add(self, calls: list[Call]) -> None:
        """Serve calls."""
        self.calls.update({(call.method, call.path): call for call in calls})

    def release(self) -> None:
        """End the calls that are held without an answer."""
        self._released.set()

    # -- one call ----------------------------------------------------------------------------------------------

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one call, or let the fault that waits for it happen."""
        raw = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        came = Request(
            self._clock.time_ns(),
            request.method,
            request.path,
            headers.get("tr_id", ""),
            headers,
            dict(request.query) if request.method == "GET" else _loose(raw),
        )
        self.requests.append(came)
        self.count += 1
        self.before_call()
        if self._is_away(headers):
            return await self._without_answer(request, "cut")
        fault = self._faults.call(came.name, came.tr_id, came.fields)
        way = _way(fault)
        if way.ends == "slow":
            await self._clock.sleep(_seconds(fault))
        self._run_hooks(came.name, "before")
        status, body, tr_cont = self._done(came, raw) if way.is_done else (0, {}, "")
        self._run_hooks(came.name, "after")
        if self.before_answer is not None:
            await self.before_answer()
        if way.ends == "late":
            await self._clock.sleep(_seconds(fault))
        if way.ends == "later":
            self.spawn(self._later(came, raw, _seconds(fault)))
        if way.ends in ("cut", "silent", "later"):
            response = await self._without_answer(request, way.ends)
        else:
            response = self._answer(came, status, body, tr_cont, way)
            with suppress(ConnectionError):  # the client has gone
                await response.prepare(request)
                await response.write_eof()
        self.after_answer()
        return response

    async def _later(self, came: Request, raw: bytes, seconds: float) -> None:
        """Do a call whose client has long been cut off."""
        await self._clock.sleep(seconds)
        self._done(came, raw)
        self.after_answer()

    def _is_away(self, headers: dict[str, str]) -> bool:
        """Return whether the call is cut off before it is looked at."""
        weekend = self._clock.kst.weekday() >= SATURDAY
        is_down = self._is_paper and weekend and self._settings.down_at_weekends
        return self.is_down or is_down or (self._settings.needs_user_agent and "user-agent" not in headers)

    def _run_hooks(self, name: str, when: str) -> None:
        for hook in list(self.hooks):
            hook.run(name, when)

    def _done(self, came: Request, raw: bytes) -> tuple[int, dict[str, Any], str]:
        self.while_in_call(True)
        try:
            if came.method == "POST":
                came.fields = _body(came.headers, raw)
            answer = self._answered(came)
            return 200, answer.parts if came.path in self._plain else answer.body, answer.tr_cont
        except Refused as refused:
            return refused.status, dict(refused.body), ""
        finally:
            self.while_in_call(False)

    async def _without_answer(self, request: web.Request, ends: str) -> web.StreamResponse:
        if ends == "silent":
            await self._released.wait()
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    def _answer(self, came: Request, status: int, body: dict[str, Any], tr_cont: str, way: Way) -> web.Response:
        if way.code:
            refused = gateway(way.code, way.status)
            status, body = refused.status, dict(refused.body)
        status = way.status or status
        came.status, came.answer = status, body
        came.code = str(body.get("msg_cd", body.get("error_code", "")))
        content = json.dumps(body, ensure_ascii=False).encode()
        content = {
            "truncated": content[: len(content) * 2 // 3],
            "empty": b"",
            "cp949": json.dumps(body, ensure_ascii=False).encode("cp949"),
        }.get(way.ends, content)
        if way.body:
            content = way.body.encode()
            came.answer, came.code = {}, ""
        date = self._clock.utc + timedelta(seconds=self._settings.date_offset_s)
        headers = {
            "tr_id": came.tr_id,
            "tr_cont": tr_cont,
            "gt_uid": f"{self.count:032}",
            "Date": format_datetime(date, usegmt=True),
        }
        return web.Response(status=status, body=content, content_type=way.kind, charset="utf-8", headers=headers)

    # -- what is refused ---------------------------------------------------------------------------------------

    def _answered(self, came: Request) -> Answer:
        plain = self._plain.get(came.path)
        if plain is not None and came.method == "POST":
            return plain(came.fields)
        call = self.calls.get((came.method, came.path))
        if call is None:
            raise gateway("EGW00202", 404)
        keys = self._access.check(came.headers)
        self._check_headers(call, came)
        self._per_second.take(
            keys.appkey, self._settings.paper_per_s if self._is_paper else self._settings.live_per_s
        )
        if call.ledger:
            self._ledger.take(keys.appkey, self._settings.ledger_per_s)
        self._check_fields(call, came.fields)
        account = (came.fields.get("CANO"), came.fields.get("ACNT_PRDT_CD"))
        if "CANO" in call.fields and account != (keys.account, keys.product):
            raise field_error("OPSQ2000", "ERROR : INPUT INVALID_CHECK_ACNO")
        return call.handler(keys, came.fields, came.headers.get("tr_cont", ""), came.tr_id)

    def _check_headers(self, call: Call, came: Request) -> None:
        if not came.tr_id:
            raise field_error("OPSQ0003", "ERROR INPUT HEADER NOT FOUND [tr_id]")
        right, other = (call.paper, call.live) if self._is_paper else (call.live, call.paper)
        is_old = "T" + came.tr_id[1:] in OLD_TRS and not self._settings.old_tr_ids
        if came.tr_id not in right or is_old:
            if came.tr_id in other:
                raise gateway(self._settings.not_paper_tr if self._is_paper else "EGW02004")
            raise gateway("EGW00203")
        if came.headers.get("custtype") not in ("P", "B"):
            raise field_error("OPSQ0003", "ERROR INPUT HEADER NOT FOUND [custtype]")
        if came.headers.get("hashkey", "") not in ("", self._hash(came.fields).parts["HASH"]):
            raise gateway("EGW00131")

    def _check_fields(self, call: Call, fields: Fields) -> None:
        for name in call.fields:
            is_missing = name not in fields and (self._settings.every_field or name not in call.empty)
            if is_missing or (not fields.get(name) and name not in call.empty):
                raise field_error("OPSQ2001", f"ERROR INPUT FIELD NOT FOUND [{name}]")

    def _hash(self, body: dict[str, str]) -> Answer:
        text = json.dumps(body, sort_keys=True, ensure_ascii=False)
        return Answer({"BODY": body, "HASH": hashlib.sha256(text.encode()).hexdigest()})


def _way(fault: Fault | None) -> Way:
    """Return how a call goes: as it should without a fault."""
    if fault is None:
        return Way(True)
    way = CALLS[fault.name]
    if way.ends != "custom":
        return way
    options = fault.options
    return Way(
        bool(options.get("is_done", False)),
        "answer",
        int(options.get("status", 200)),
        body=str(options.get("body", " ")),
        kind=str(options.get("content_type", "application/json")),
    )


def _seconds(fault: Fault | None) -> float:
    return float(fault.options.get("seconds", 1)) if fault else 0.0


def _loose(raw: bytes) -> Fields:
    """Return the fields of a body where it has any, for the log and for faults."""
    try:
        found = json.loads(raw)
    except ValueError:
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _body(headers: dict[str, str], raw: bytes) -> Fields:
    if not headers.get("content-type", "").startswith("application/json"):
        raise gateway("EGW00132")
    try:
        found = json.loads(raw)
    except ValueError as error:
        raise field_error("OPSQ9999", "ERROR JSON PARSING") from error
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise field_error("OPSQ9999", "ERROR JSON PARSING")
    return found
