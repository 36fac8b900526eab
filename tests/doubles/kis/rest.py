"""The REST side of the double: finds the call, refuses what KIS refuses, and answers with its headers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import format_datetime
from typing import Any

from aiohttp import web

from tests.doubles.kis.access import Access, Keys
from tests.doubles.kis.answers import Answer, Refused, field_error, gateway
from tests.doubles.kis.clock import DoubleClock
from tests.doubles.kis.limits import PerSecond
from tests.doubles.kis.settings import Settings

Fields = dict[str, str]


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
    """One call: its TR ids on each host, the fields that it needs (those that may be empty too), what answers it.

    ``empty``: fields that may be empty. ``optional``: those that may be missing. ``ledger``: whether it asks the
    ledger of accounts.
    """

    method: str
    path: str
    live: tuple[str, ...]
    paper: tuple[str, ...]
    fields: tuple[str, ...]
    handler: Callable[[Keys, Fields, str, str], Answer]
    empty: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    ledger: bool = False


class Rest:
    """All calls of this host."""

    def __init__(self, access: Access, clock: DoubleClock, settings: Settings, *, is_paper: bool) -> None:
        self.requests: list[Request] = []
        self.calls: dict[tuple[str, str], Call] = {}
        self._access, self._clock, self._settings, self._is_paper = access, clock, settings, is_paper
        self._per_second = PerSecond(clock, "EGW00201")
        self._ledger = PerSecond(clock, "EGW00215")
        self._sign_in = {
            "/oauth2/tokenP": access.token,
            "/oauth2/revokeP": access.revoke,
            "/oauth2/Approval": access.approval,
        }

    def add(self, *calls: Call) -> None:
        """Serve calls."""
        for call in calls:
            self.calls[call.method, call.path] = call

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one call."""
        raw = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        came = Request(
            self._clock.time_ns(),
            request.method,
            request.path,
            headers.get("tr_id", ""),
            headers,
            dict(request.query),
        )
        self.requests.append(came)
        try:
            if request.method == "POST":
                came.fields = _body(headers, raw)
            answer = self._answered(came)
        except Refused as refused:
            return self._response(came, refused.status, refused.body, "")
        return self._response(came, 200, answer.body if came.tr_id else answer.parts, answer.tr_cont)

    def _response(self, came: Request, status: int, body: dict[str, Any], tr_cont: str) -> web.Response:
        came.status, came.answer = status, body
        came.code = str(body.get("msg_cd", body.get("error_code", "")))
        return web.Response(
            status=status,
            body=json.dumps(body, ensure_ascii=False).encode(),
            content_type="application/json",
            charset="utf-8",
            headers={
                "tr_id": came.tr_id,
                "tr_cont": tr_cont,
                "gt_uid": f"{len(self.requests):032}",
                "Date": format_datetime(self._clock.utc, usegmt=True),
            },
        )

    def _answered(self, came: Request) -> Answer:
        signing_in = self._sign_in.get(came.path)
        if signing_in is not None and came.method == "POST":
            return signing_in(came.fields)
        call = self.calls.get((came.method, came.path))
        if call is None:
            raise gateway("EGW00202", 404)
        keys = self._access.check(came.headers)
        self._check_tr(call, came)
        self._per_second.take(
            keys.appkey, self._settings.paper_per_s if self._is_paper else self._settings.live_per_s
        )
        if call.ledger:
            self._ledger.take(keys.appkey, self._settings.ledger_per_s)
        self._check_fields(call, came.fields)
        if "CANO" in came.fields and (came.fields["CANO"], came.fields["ACNT_PRDT_CD"]) != (
            keys.account,
            keys.product,
        ):
            raise field_error("OPSQ2000", "ERROR : INPUT INVALID_CHECK_ACNO")
        return call.handler(keys, came.fields, came.headers.get("tr_cont", ""), came.tr_id)

    def _check_tr(self, call: Call, came: Request) -> None:
        if not came.tr_id:
            raise field_error("OPSQ0003", "ERROR : INPUT HEADER NOT FOUND [tr_id]")
        right, other = (call.paper, call.live) if self._is_paper else (call.live, call.paper)
        if came.tr_id not in right:
            if came.tr_id in other:
                raise gateway("EGW00213" if self._is_paper else "EGW02004")
            raise gateway("EGW00203")
        if came.headers.get("custtype") not in ("P", "B"):
            raise field_error("OPSQ0003", "ERROR : INPUT HEADER NOT FOUND [custtype]")

    def _check_fields(self, call: Call, fields: Fields) -> None:
        for name in call.fields:
            if name not in fields and (self._settings.every_field or name not in call.empty):
                raise field_error("OPSQ2001", f"ERROR : INPUT FIELD NOT FOUND [{name}]")
            if name not in call.empty and not fields.get(name):
                raise field_error("OPSQ2001", f"ERROR : INPUT FIELD NOT FOUND [{name}]")


def _body(headers: dict[str, str], raw: bytes) -> Fields:
    if not headers.get("content-type", "").startswith("application/json"):
        raise gateway("EGW00132")
    try:
        found = json.loads(raw)
    except ValueError as error:
        raise field_error("OPSQ9999", "ERROR : JSON PARSING") from error
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise field_error("OPSQ9999", "ERROR : JSON PARSING")
    return found
