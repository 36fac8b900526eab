"""A small server that answers calls of KIS as a test says, also by closed connections and bodies that are none."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Self

from aiohttp import web

from qts.broker.kis.config import KisConfig
from qts.broker.kis.opening import KisParts, parts_of
from qts.broker.kis.pauses import Pause
from qts.broker.kis.rest import KisRest
from qts.clock import Clock
from tests.doubles.kis.clock import DoubleClock

APP_KEY = "PSappKEYcanaryAAAABBBBCCCCDDDDEEEE11"
APP_SECRET = "sEcReT+canary/" + "x" * 150 + "canaryEND=="
ACCOUNT = "12345678-01"
MIDDLE = "3456"
HTS_ID = "htsCANARY"
TOKEN = "tokenCANARY"
DONE = {"rt_cd": "0", "msg_cd": "MCA00000", "msg1": "정상처리 되었습니다."}


@dataclass
class Came:
    """A request that came in."""

    method: str
    path: str
    headers: dict[str, str]
    fields: dict[str, str]
    connection: int


@dataclass
class Answer:
    """What to answer: a JSON value or bytes. ``closes``: the connection, without an answer if ``body`` is None."""

    body: Any = None
    status: int = 200
    tr_cont: str = ""
    closes: bool = False
    headers: dict[str, str] = field(default_factory=dict)


class Wire:
    """The server. ``answers``: of the next calls but those for keys, oldest first; the last one stays."""

    def __init__(self, clock: DoubleClock | None = None) -> None:
        self.clock = clock or DoubleClock(speed=0)
        self.came: list[Came] = []
        self.answers: deque[Answer] = deque([Answer({**DONE, "output": {}})])
        self.tokens: deque[Answer] = deque()
        self.before: Callable[[Came], Any] = lambda came: None
        self.issued = 0
        self.url = ""
        self._connections: dict[int, int] = {}
        self._rests: list[KisRest] = []

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *raised: object) -> None:
        for rest in self._rests:
            await rest.close()
        await self._runner.cleanup()

    @property
    def asked(self) -> list[Came]:
        """The calls but those for keys."""
        return [one for one in self.came if not one.path.startswith("/oauth2")]

    def environ(self, cache: Any, kind: str = "PAPER", **changes: str) -> dict[str, str]:
        """The environment of a user with an account here."""
        prefix = f"QTS_KIS_{kind}_"
        keys = {"APP_KEY": APP_KEY, "APP_SECRET": APP_SECRET, "ACCOUNT": ACCOUNT, "HTS_ID": HTS_ID}
        return {**{prefix + name: text for name, text in keys.items()}, "XDG_CACHE_HOME": str(cache), **changes}

    def parts(
        self,
        cache: Any,
        *,
        live: bool = False,
        tell: Callable[[str], object] = lambda said: None,
        clock: Clock | None = None,
        pause: Pause | None = None,
        **settings: Any,
    ) -> KisParts:
        """What connections of such a user share."""
        kind = "live" if live else "paper"
        config = KisConfig(account=kind, **{f"{kind}_rest": self.url, "paper_requests_per_s": 18, **settings})
        environ = self.environ(cache, kind.upper())
        return parts_of(config, environ, clock or self.clock, live=live, tell=tell, pause=pause or self.jump)

    def rest(self, cache: Any, **settings: Any) -> KisRest:
        """A connection of such a user, which is closed at the end."""
        rest = self.parts(cache, **settings).rest()
        self._rests.append(rest)
        return rest

    async def jump(self, seconds: float) -> None:
        """Let the time pass that something waits for."""
        await asyncio.sleep(0)
        self.clock.jump(timedelta(seconds=seconds))

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        headers = {name.lower(): text for name, text in request.headers.items()}
        fields = json.loads(raw) if raw else dict(request.query)
        number = self._connections.setdefault(id(request.transport), len(self._connections))
        came = Came(request.method, request.path, headers, fields, number)
        self.came.append(came)
        waits = self.before(came)
        if waits is not None:
            await waits
        if request.path == "/oauth2/tokenP":
            self.issued += 1
            answer = self.tokens.popleft() if self.tokens else Answer(self.token(f"{TOKEN}{self.issued}"))
        elif request.path == "/oauth2/Approval":
            answer = Answer({"approval_key": "approvalCANARY"})
        else:
            answer = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
        if answer.closes and answer.body is None:
            assert request.transport is not None
            request.transport.abort()
            await asyncio.sleep(0)
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        response = web.Response(status=answer.status, body=body, content_type="application/json")
        response.headers.update({"tr_cont": answer.tr_cont, **answer.headers})
        if answer.closes:
            response.force_close()
        return response

    def token(self, text: str, life_s: int = 86_400) -> dict[str, Any]:
        """The answer that gives a token."""
        ends = self.clock.kst + timedelta(seconds=life_s)
        return {
            "access_token": text,
            "token_type": "Bearer",
            "expires_in": life_s,
            "access_token_token_expired": f"{ends:%Y-%m-%d %H:%M:%S}",
        }


def too_soon() -> Answer:
    return Answer(
        {"error_code": "EGW00133", "error_description": "접근토큰 발급 잠시 후 다시 시도하세요(1분당 1회)"}, 403
    )


def refused(code: str, text: str, status: int = 500, rt_cd: str = "1") -> Answer:
    return Answer({"rt_cd": rt_cd, "msg_cd": code, "msg1": text}, status)
