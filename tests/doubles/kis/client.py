"""A raw client for the tests of the double: plain calls as the documents of KIS write them, and nothing kept."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp

from tests.doubles.kis.double import KisDouble

TRADING = "/uapi/domestic-stock/v1/trading/"
QUOTATIONS = "/uapi/domestic-stock/v1/quotations/"
WAIT_S = 10.0


class Reply(NamedTuple):
    """An answer: status, headers and body."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def code(self) -> str:
        return str(self.body.get("msg_cd", self.body.get("error_code", "")))


class RawClient:
    """One customer of the double with a token of its own."""

    def __init__(self, kis: KisDouble) -> None:
        self.kis = kis
        self.session = aiohttp.ClientSession()
        self.token = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()

    async def sign_in(self) -> Self:
        """Get a token."""
        reply = await self.post_plain("/oauth2/tokenP", self.token_body())
        self.token = reply.body["access_token"]
        return self

    def token_body(self, **changes: str) -> dict[str, str]:
        keys = self.kis.keys
        body = {"grant_type": "client_credentials", "appkey": keys.appkey, "appsecret": keys.appsecret}
        return {**body, **changes}

    async def approval(self) -> str:
        """Get a key for the websocket."""
        body = self.token_body()
        body["secretkey"] = body.pop("appsecret")
        return str((await self.post_plain("/oauth2/Approval", body)).body["approval_key"])

    async def post_plain(self, path: str, body: dict[str, str]) -> Reply:
        """Send a call without a token."""
        async with self.session.post(self.kis.rest_url + path, json=body) as answer:
            return Reply(answer.status, dict(answer.headers), await answer.json())

    def headers(self, tr_id: str, **changes: str | None) -> dict[str, str]:
        keys = self.kis.keys
        found: dict[str, str | None] = {
            "content-type": "application/json; charset=utf-8",
            "authorization": f"Bearer {self.token}",
            "appkey": keys.appkey,
            "appsecret": keys.appsecret,
            "tr_id": "V" + tr_id[1:] if self.kis.is_paper and tr_id[0] in "TJC" else tr_id,
            "custtype": "P",
            "tr_cont": "",
            **changes,
        }
        return {name: value for name, value in found.items() if value is not None}

    async def get(self, path: str, tr_id: str, query: dict[str, str], **headers: str | None) -> Reply:
        """Send a query."""
        async with self.session.get(
            self.kis.rest_url + path, params=query, headers=self.headers(tr_id, **headers)
        ) as answer:
            return Reply(answer.status, dict(answer.headers), await answer.json())

    async def post(self, path: str, tr_id: str, body: dict[str, Any], **headers: str | None) -> Reply:
        """Send an order."""
        async with self.session.post(
            self.kis.rest_url + path, data=json.dumps(body), headers=self.headers(tr_id, **headers)
        ) as answer:
            return Reply(answer.status, dict(answer.headers), await answer.json())

    def account(self) -> dict[str, str]:
        return {"CANO": self.kis.keys.account, "ACNT_PRDT_CD": self.kis.keys.product}

    async def price(self, code: str = "005930", division: str = "J", **headers: str | None) -> Reply:
        query = {"FID_COND_MRKT_DIV_CODE": division, "FID_INPUT_ISCD": code}
        return await self.get(QUOTATIONS + "inquire-price", "FHKST01010100", query, **headers)

    async def order(self, side: str = "buy", **changes: str) -> Reply:
        """Order ten shares of 005930 at a limit of 69,000 won, or as ``changes`` say."""
        body = {
            **self.account(), "PDNO": "005930", "ORD_DVSN": "00", "ORD_QTY": "10", "ORD_UNPR": "69000",
            "EXCG_ID_DVSN_CD": "KRX", "SLL_TYPE": "", "CNDT_PRIC": "", **changes,
        }  # fmt: skip
        return await self.post(TRADING + "order-cash", "TTTC0012U" if side == "buy" else "TTTC0011U", body)

    async def balance(self, **changes: str) -> Reply:
        query = {
            **self.account(), "AFHR_FLPR_YN": "N", "OFL_YN": "", "INQR_DVSN": "02", "UNPR_DVSN": "01",
            "FUND_STTL_ICLD_YN": "N", "FNCG_AMT_AUTO_RDPT_YN": "N", "PRCS_DVSN": "00", "CTX_AREA_FK100": "",
            "CTX_AREA_NK100": "", **changes,
        }  # fmt: skip
        return await self.get(TRADING + "inquire-balance", "TTTC8434R", query)

    async def connect(self, path: str = "/tryitout") -> RawSocket:
        """Open a websocket."""
        socket = await self.session.ws_connect(self.kis.ws_url + path, autoping=False)
        return RawSocket(socket, await self.approval())


class RawSocket:
    """A websocket of a client with its approval key."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, approval: str) -> None:
        self.socket, self.approval = socket, approval

    async def register(self, tr_id: str, key: str, *, tr_type: str = "1", **header: str) -> dict[str, Any]:
        """Register, and return the acknowledgement."""
        await self.send_registration(tr_id, key, tr_type=tr_type, **header)
        found: dict[str, Any] = json.loads(await self.text())
        return found

    async def send_registration(self, tr_id: str, key: str, *, tr_type: str = "1", **header: str) -> None:
        head = {
            "approval_key": self.approval, "custtype": "P", "tr_type": tr_type, "content-type": "utf-8", **header,
        }  # fmt: skip
        await self.socket.send_str(json.dumps({"header": head, "body": {"input": {"tr_id": tr_id, "tr_key": key}}}))

    async def text(self) -> str:
        """Return the next text."""
        message = await asyncio.wait_for(self.socket.receive(), WAIT_S)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        return str(message.data)

    async def record(self) -> list[str]:
        """Return the fields of the next frame of data that is not encrypted."""
        return (await self.text()).split("|", 3)[3].split("^")

    async def ended(self) -> int | None:
        """Wait for the end of the connection and return its code: None or 1006 without a close frame."""
        while True:
            message = await asyncio.wait_for(self.socket.receive(), WAIT_S)
            if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
                return self.socket.close_code

    async def close(self) -> None:
        await self.socket.close()
