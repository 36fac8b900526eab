"""The REST calls of KIS: headers, pace, pages, tokens, and what of a failure may be asked again.

A query is asked again when KIS refuses it by its limit of requests or because the token has ended, and is otherwise
not answered at all. An order is sent once: no redirect is followed, and aiohttp repeats a request on a connection
that was closed only where its method changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

import aiohttp
import msgspec

from qts.broker.broker_clock import BrokerClock
from qts.broker.kis.answers import Envelope, Reply, envelope_of, expiry_ns, explained
from qts.broker.kis.credentials import KisAccess, Secret
from qts.broker.kis.pauses import Pace, Pause
from qts.broker.kis.token import AccessTokens, IssuedToken, IssuedTooSoon, TokenFile
from qts.clock import Clock, to_ns
from qts.errors import BrokerUnavailable, ContractError

TOKEN_ONCE_A_MINUTE: Final = "EGW00133"  # noqa: S105 - a code
TOKEN_ENDED: Final = frozenset({"EGW00121", "EGW00123"})
TOO_MANY: Final = frozenset({"EGW00201", "EGW00215"})
"""Refusals by a limit of requests in a second: of the gateway, of the ledger of accounts."""
_JSON: Final = "application/json; charset=utf-8"
_USER_AGENT: Final = "Mozilla/5.0 (compatible; qts-runtime)"
"""KIS is said to cut off calls without one."""
_MORE: Final = frozenset({"F", "M"})
_MOST_PAGES: Final = 200
_MOST_TRIES: Final = 4
_TOO_MANY_S: Final = 1.1
_KEEPALIVE_S: Final = 10.0
"""How long an idle connection is kept: shorter than KIS keeps it, so that no order meets one that has closed."""
_TOKEN_S: Final = 2.0
"""Real time that an order waits for a token."""
_MOST_BYTES: Final = 4 << 20


class NotSent(BrokerUnavailable):
    """An order that has not left, as this process knows for certain."""


class Query(NamedTuple):
    """A call that asks. ``paper`` "": there is none for paper accounts. ``context``: names of its page keys."""

    path: str
    live: str
    paper: str
    context: tuple[str, str] | None = ("CTX_AREA_FK100", "CTX_AREA_NK100")

    def tr_id(self, *, is_live: bool) -> str:
        """Return the name of the transaction. Raises BrokerUnavailable where paper accounts have none."""
        found = self.live if is_live else self.paper
        if not found:
            raise BrokerUnavailable(f"a paper account of KIS has no {self.path.rsplit('/', 1)[-1]}")
        return found


class _Token(msgspec.Struct, frozen=True):
    access_token: str = ""
    access_token_token_expired: str = ""
    expires_in: int = 0


class _Approval(msgspec.Struct, frozen=True):
    approval_key: str = ""


class KisRest:
    """The REST calls with one account. Made on any thread, used on one event loop.

    ``tell`` is called with sentences for people. Queries raise BrokerUnavailable, which names no secret.
    """

    def __init__(
        self,
        access: KisAccess,
        clock: Clock,
        pause: Pause,
        tokens: TokenFile,
        *,
        pace: Pace,
        answer_s: float,
        tell: Callable[[str], object],
    ) -> None:
        self.access = access
        self._clock, self._pause = clock, pause
        self._pace = pace
        self._answer_s = answer_s
        self._session: aiohttp.ClientSession | None = None
        self.tokens = AccessTokens(self._issue, tokens, clock, pause, tell)
        self.times = BrokerClock()

    async def close(self) -> None:
        """Close all connections; may be called twice, and the next call opens others."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    # -- keys ----------------------------------------------------------------------------------------------------

    async def approval_key(self) -> Secret:
        """Return a key for the websocket. Raises BrokerUnavailable."""
        what = "get a key for the websocket"
        fields = {
            "grant_type": "client_credentials",
            "appkey": self.access.app_key.reveal(),
            "secretkey": self.access.app_secret.reveal(),
        }
        status, _, body = await self._send("POST", "/oauth2/Approval", {"content-type": _JSON}, what, fields=fields)
        key = _plain(body, _Approval).approval_key
        if status != 200 or not key:
            raise BrokerUnavailable(f"{_tried(what)}: {explained(_reply(status, body), self.access.account)}")
        return Secret(key)

    async def _issue(self) -> IssuedToken:
        what = "get an access token"
        fields = {
            "grant_type": "client_credentials",
            "appkey": self.access.app_key.reveal(),
            "appsecret": self.access.app_secret.reveal(),
        }
        status, _, body = await self._send("POST", "/oauth2/tokenP", {"content-type": _JSON}, what, fields=fields)
        found = _plain(body, _Token)
        if status == 200 and found.access_token:
            ends_ns = expiry_ns(found.access_token_token_expired, found.expires_in, self._clock.time_ns())
            return IssuedToken(Secret(found.access_token), ends_ns)
        reply = _reply(status, body)
        if reply.code == TOKEN_ONCE_A_MINUTE:
            raise IssuedTooSoon
        raise BrokerUnavailable(f"{_tried(what)}: {explained(reply, self.access.account)}")

    # -- queries -------------------------------------------------------------------------------------------------

    async def ask(self, query: Query, fields: Mapping[str, str], what: str) -> Envelope:
        """Return the one page of an answer."""
        tr_id = query.tr_id(is_live=self.access.is_live)
        envelope, _ = await self._page(query.path, tr_id, fields, "", what)
        return envelope

    async def pages(
        self,
        query: Query,
        fields: Mapping[str, str],
        what: str,
        *,
        is_enough: Callable[[Envelope], bool] = lambda page: False,
    ) -> list[Envelope]:
        """Return all pages of an answer, at least one; none behind one that ``is_enough``."""
        assert query.context is not None  # asked for its pages
        tr_id = query.tr_id(is_live=self.access.is_live)
        place = ("", "")
        found: list[Envelope] = []
        for _ in range(_MOST_PAGES):
            asked = {**fields, **dict(zip(query.context, place, strict=True))}
            envelope, tr_cont = await self._page(query.path, tr_id, asked, "N" if found else "", what)
            found.append(envelope)
            if tr_cont not in _MORE or is_enough(envelope):
                return found
            last, place = place, _place(envelope, query.context)
            if place == last:
                raise BrokerUnavailable(f"{_tried(what)}: page {len(found) + 1} would be the one before it")
        raise BrokerUnavailable(f"{_tried(what)}: it has more than {_MOST_PAGES} pages")

    async def answer(self, path: str, tr_id: str, fields: Mapping[str, str], what: str) -> Reply:
        """Return what KIS answers to one question, also a refusal. Raises BrokerUnavailable without an answer."""
        token = await self.tokens.token()
        await self._pace.turn(is_order=False)
        return await self._reply("GET", path, self._headers(token, tr_id, ""), what, query=fields)

    async def _page(
        self, path: str, tr_id: str, fields: Mapping[str, str], tr_cont: str, what: str
    ) -> tuple[Envelope, str]:
        renewed = False
        for number in range(1, _MOST_TRIES + 1):
            token = await self.tokens.token()
            await self._pace.turn(is_order=False)
            reply = await self._reply("GET", path, self._headers(token, tr_id, tr_cont), what, query=fields)
            if reply.is_done:
                assert reply.envelope is not None  # it is done
                return reply.envelope, reply.tr_cont
            if reply.code in TOKEN_ENDED and not renewed:
                self.tokens.refuse(token)
                renewed = True
            elif reply.code in TOO_MANY and number < _MOST_TRIES:
                await self._pause(_TOO_MANY_S)
            else:
                break
        raise BrokerUnavailable(f"{_tried(what)}: {explained(reply, self.access.account)}")

    # -- orders --------------------------------------------------------------------------------------------------

    async def post(self, path: str, tr_id: str, fields: Mapping[str, str], what: str) -> Reply:
        """Send an order, a change or a cancel, once, and return what was answered.

        Raises NotSent when it has not left, and BrokerUnavailable without an answer: then it may have been done.
        """
        token = self.tokens.present() or await self._token_for(what)
        await self._pace.turn(is_order=True)
        reply = await self._reply("POST", path, self._headers(token, tr_id, ""), what, fields=fields)
        if reply.code in TOKEN_ENDED:
            self.tokens.refuse(token)
        return reply

    # -- inside --------------------------------------------------------------------------------------------------

    async def _token_for(self, what: str) -> Secret:
        """Return a token for an order, which does not wait for one for long: its price would be past."""
        try:
            async with asyncio.timeout(_TOKEN_S):
                return await self.tokens.token()
        except TimeoutError:
            raise NotSent(f"{_tried(what)}: KIS has given no token within {_TOKEN_S:g} s") from None
        except BrokerUnavailable as error:
            raise NotSent(f"{_tried(what)}: {error}") from None

    def _headers(self, token: Secret, tr_id: str, tr_cont: str) -> dict[str, str]:
        return {
            "content-type": _JSON,
            "authorization": f"Bearer {token.reveal()}",
            "appkey": self.access.app_key.reveal(),
            "appsecret": self.access.app_secret.reveal(),
            "tr_id": tr_id,
            "tr_cont": tr_cont,
            "custtype": "P",
        }

    async def _reply(self, method: str, path: str, headers: Mapping[str, str], what: str, **sent: Any) -> Reply:
        status, tr_cont, body = await self._send(method, path, headers, what, **sent)
        return _reply(status, body, tr_cont)

    async def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        what: str,
        *,
        query: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> tuple[int, str, bytes]:
        """Return status, ``tr_cont`` and body of one answer. Raises BrokerUnavailable where there is none."""
        session = self._session or self._open()
        data = None if fields is None else msgspec.json.encode(fields)
        sent_ns = self._clock.time_ns()
        # Errors of aiohttp hold the request with its headers, so none is passed on, nor named as the cause.
        try:
            async with session.request(
                method,
                self.access.rest + path,
                params=query,
                data=data,
                headers=headers,
                allow_redirects=False,
            ) as response:
                body = bytearray()
                async for part in response.content.iter_any():
                    body += part
                    if len(body) > _MOST_BYTES:
                        raise BrokerUnavailable(f"{_tried(what)}: the answer has more than {_MOST_BYTES:,} bytes")
                self._note_time(response.headers.get("Date", ""), sent_ns)
                return response.status, response.headers.get("tr_cont", "").strip().upper(), bytes(body)
        except TimeoutError:
            raise BrokerUnavailable(f"{_tried(what)}: no answer within {self._answer_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise BrokerUnavailable(f"KIS is not connected: cannot {what} ({_kind_of(error)})") from None

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=64, keepalive_timeout=_KEEPALIVE_S),
            timeout=aiohttp.ClientTimeout(total=self._answer_s),
            headers={"User-Agent": _USER_AGENT},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
            trust_env=False,
            loop=asyncio.get_running_loop(),
        )
        return self._session

    def _note_time(self, text: str, sent_ns: int) -> None:
        try:
            shown_ns = to_ns(parsedate_to_datetime(text))
        except (TypeError, ValueError, ContractError):
            return
        received_ns = self._clock.time_ns()
        self.times.note(shown_ns, sent_ns, received_ns)


def _place(envelope: Envelope, context: tuple[str, str]) -> tuple[str, str]:
    if context[0] == "CTX_AREA_FK":
        return envelope.ctx_area_fk, envelope.ctx_area_nk
    return envelope.ctx_area_fk100, envelope.ctx_area_nk100


def _reply(status: int, body: bytes, tr_cont: str = "") -> Reply:
    return Reply(status, tr_cont, envelope_of(body))


def _plain(body: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return kind()


def _kind_of(error: Exception) -> str:
    reason = getattr(error, "strerror", None)
    return f"{type(error).__name__}: {reason}" if isinstance(reason, str) and reason else type(error).__name__


def _tried(what: str) -> str:
    return f"KIS: cannot {what}"
