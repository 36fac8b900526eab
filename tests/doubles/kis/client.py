"""A raw client for the tests of the double: plain calls as the documents of KIS write them, and nothing kept."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from tests.doubles.kis.access import Keys
from tests.doubles.kis.double import KisDouble

TRADING = "/uapi/domestic-stock/v1/trading/"
QUOTATIONS = "/uapi/domestic-stock/v1/quotations/"
WAIT_S = 20.0
BLOCK_BITS = 128


class Reply(NamedTuple):
    """An answer: status, headers and body."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def code(self) -> str:
        return str(self.body.get("msg_cd", self.body.get("error_code", "")))

    @property
    def text(self) -> str:
        return str(self.body.get("msg1", ""))

    @property
    def number(self) -> str:
        """The number of an order that was taken."""
        assert self.body["rt_cd"] == "0", self.body
        return str(self.body["output"]["ODNO"])


class RawClient:
    """One customer of the double with a token of its own."""

    def __init__(self, kis: KisDouble, keys: Keys | None = None) -> None:
        self.kis = kis
        self.keys = keys or kis.keys
        self.session = aiohttp.ClientSession()
        self.sockets: list[aiohttp.ClientWebSocketResponse] = []
        self.token = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for socket in self.sockets:
            await socket.close()
        await self.session.close()

    # -- signing in --------------------------------------------------------------------------------------------

    async def sign_in(self) -> Self:
        """Get a token."""
        reply = await self.ask_token()
        self.token = reply.body["access_token"]
        return self

    async def ask_token(self, **changes: str) -> Reply:
        return await self.post_plain("/oauth2/tokenP", self.signature(**changes))

    def signature(self, **changes: str) -> dict[str, str]:
        body = {
            "grant_type": "client_credentials", "appkey": self.keys.appkey, "appsecret": self.keys.appsecret,
        }  # fmt: skip
        return {**body, **changes}

    async def approval(self) -> str:
        """Get a key for the websocket."""
        body = self.signature()
        body["secretkey"] = body.pop("appsecret")
        return str((await self.post_plain("/oauth2/Approval", body)).body["approval_key"])

    # -- calls -------------------------------------------------------------------------------------------------

    async def post_plain(self, path: str, body: dict[str, str]) -> Reply:
        """Send a call without a token."""
        async with self.session.post(self.kis.rest_url + path, json=body) as answer:
            return Reply(answer.status, dict(answer.headers), await answer.json())

    def headers(self, tr_id: str, /, **changes: str | None) -> dict[str, str]:
        found: dict[str, str | None] = {
            "content-type": "application/json; charset=utf-8",
            "authorization": f"Bearer {self.token}",
            "appkey": self.keys.appkey,
            "appsecret": self.keys.appsecret,
            "tr_id": "V" + tr_id[1:] if self.kis.is_paper and tr_id[0] in "TJC" else tr_id,
            "custtype": "P",
            "tr_cont": "",
            **changes,
        }
        return {name.replace("_type", "-type"): value for name, value in found.items() if value is not None}

    async def get(self, path: str, tr_id: str, query: dict[str, str], /, **headers: str | None) -> Reply:
        """Send a query."""
        sent = self.headers(tr_id, **headers)
        async with self.session.get(self.kis.rest_url + path, params=query, headers=sent) as answer:
            return Reply(answer.status, dict(answer.headers), await answer.json())

    async def post(self, path: str, tr_id: str, body: dict[str, Any], /, **headers: str | None) -> Reply:
        """Send an order."""
        sent = self.headers(tr_id, **headers)
        async with self.session.post(self.kis.rest_url + path, data=json.dumps(body), headers=sent) as answer:
            return Reply(answer.status, dict(answer.headers), await answer.json())

    def account(self) -> dict[str, str]:
        return {"CANO": self.keys.account, "ACNT_PRDT_CD": self.keys.product}

    async def price(self, code: str = "005930", division: str = "J", /, **headers: str | None) -> Reply:
        query = {"FID_COND_MRKT_DIV_CODE": division, "FID_INPUT_ISCD": code}
        return await self.get(QUOTATIONS + "inquire-price", "FHKST01010100", query, **headers)

    def order_body(self, **changes: str) -> dict[str, str]:
        """Ten shares of 005930 at a limit of 69,000 won, or as ``changes`` say."""
        return {
            **self.account(), "PDNO": "005930", "ORD_DVSN": "00", "ORD_QTY": "10", "ORD_UNPR": "69000",
            "EXCG_ID_DVSN_CD": "KRX", "SLL_TYPE": "", "CNDT_PRIC": "", **changes,
        }  # fmt: skip

    async def order(self, side: str = "buy", **changes: str) -> Reply:
        """Order ten shares of 005930 at a limit of 69,000 won, or as ``changes`` say."""
        tr_id = "TTTC0012U" if side == "buy" else "TTTC0011U"
        return await self.post(TRADING + "order-cash", tr_id, self.order_body(**changes))

    async def cancel(self, number: str, **changes: str) -> Reply:
        """Cancel all that is left of an order, or as ``changes`` say."""
        body = {
            **self.account(), "KRX_FWDG_ORD_ORGNO": "91252", "ORGN_ODNO": number, "ORD_DVSN": "00",
            "RVSE_CNCL_DVSN_CD": "02", "ORD_QTY": "0", "ORD_UNPR": "0", "QTY_ALL_ORD_YN": "Y",
            "EXCG_ID_DVSN_CD": "KRX", **changes,
        }  # fmt: skip
        return await self.post(TRADING + "order-rvsecncl", "TTTC0013U", body)

    async def revise(self, number: str, price: int, **changes: str) -> Reply:
        return await self.cancel(number, **{"RVSE_CNCL_DVSN_CD": "01", "ORD_UNPR": str(price), **changes})

    async def balance(self, tr_cont: str = "", /, **changes: str | None) -> Reply:
        query: dict[str, str | None] = {
            **self.account(), "AFHR_FLPR_YN": "N", "OFL_YN": "", "INQR_DVSN": "02", "UNPR_DVSN": "01",
            "FUND_STTL_ICLD_YN": "N", "FNCG_AMT_AUTO_RDPT_YN": "N", "PRCS_DVSN": "00", "CTX_AREA_FK100": "",
            "CTX_AREA_NK100": "", **changes,
        }  # fmt: skip
        sent = {name: value for name, value in query.items() if value is not None}
        return await self.get(TRADING + "inquire-balance", "TTTC8434R", sent, tr_cont=tr_cont)

    async def daily(self, tr_cont: str = "", /, **changes: str) -> Reply:
        """Ask for all orders of today."""
        query = {
            **self.account(), "INQR_STRT_DT": self.kis.clock.day, "INQR_END_DT": self.kis.clock.day,
            "SLL_BUY_DVSN_CD": "00", "PDNO": "", "CCLD_DVSN": "00", "INQR_DVSN": "00", "INQR_DVSN_1": "",
            "INQR_DVSN_3": "00", "ORD_GNO_BRNO": "", "ODNO": "", "EXCG_ID_DVSN_CD": "ALL", "CTX_AREA_FK100": "",
            "CTX_AREA_NK100": "", **changes,
        }  # fmt: skip
        return await self.get(TRADING + "inquire-daily-ccld", "TTTC0081R", query, tr_cont=tr_cont)

    async def every_daily(self) -> list[dict[str, str]]:
        """Ask for all orders of today, page by page."""
        reply = await self.daily()
        rows = list(reply.body["output1"])
        while reply.headers["tr_cont"] in ("F", "M"):
            keys = {
                "CTX_AREA_FK100": reply.body["ctx_area_fk100"], "CTX_AREA_NK100": reply.body["ctx_area_nk100"],
            }  # fmt: skip
            reply = await self.daily("N", **keys)
            rows += reply.body["output1"]
        return rows

    async def open_orders(self) -> Reply:
        query = {
            **self.account(), "INQR_DVSN_1": "0", "INQR_DVSN_2": "0", "CTX_AREA_FK100": "", "CTX_AREA_NK100": "",
        }  # fmt: skip
        return await self.get(TRADING + "inquire-psbl-rvsecncl", "TTTC0084R", query)

    async def buyable(self, price: int, kind: str = "00") -> Reply:
        query = {
            **self.account(), "PDNO": "005930", "ORD_UNPR": str(price), "ORD_DVSN": kind,
            "CMA_EVLU_AMT_ICLD_YN": "N", "OVRS_ICLD_YN": "N",
        }  # fmt: skip
        return await self.get(TRADING + "inquire-psbl-order", "TTTC8908R", query)

    async def quotation(self, name: str, tr_id: str, *, tr_cont: str = "", **query: str) -> Reply:
        return await self.get(QUOTATIONS + name, tr_id, query, tr_cont=tr_cont)

    async def connect(self, path: str = "/tryitout") -> RawSocket:
        """Open a websocket."""
        socket = await self.session.ws_connect(
            self.kis.ws_url + path, autoping=False, timeout=aiohttp.ClientWSTimeout(ws_close=0.5)
        )
        self.sockets.append(socket)
        return RawSocket(socket, await self.approval())


class RawSocket:
    """A websocket of a client with its approval key."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, approval: str) -> None:
        self.socket, self.approval = socket, approval
        self.cipher = ("", "")

    async def register(self, tr_id: str, key: str, *, tr_type: str = "1", **header: str) -> dict[str, Any]:
        """Register, and return the acknowledgement."""
        await self.send_registration(tr_id, key, tr_type=tr_type, **header)
        found: dict[str, Any] = json.loads(await self.text())
        if "output" in found["body"]:
            self.cipher = (found["body"]["output"]["key"], found["body"]["output"]["iv"])
        return found

    async def send_registration(self, tr_id: str, key: str, *, tr_type: str = "1", **header: str) -> None:
        head = {
            "approval_key": self.approval, "custtype": "P", "tr_type": tr_type, "content-type": "utf-8", **header,
        }  # fmt: skip
        body = {"input": {"tr_id": tr_id, "tr_key": key}}
        await self.socket.send_str(json.dumps({"header": head, "body": body}))

    async def text(self) -> str:
        """Return the next text."""
        message = await asyncio.wait_for(self.socket.receive(), WAIT_S)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        return str(message.data)

    async def fields(self) -> list[str]:
        """Return the fields of the next frame of data, decrypted where it is encrypted; PINGPONG is answered."""
        while (text := await self.text()).startswith("{"):
            await self.socket.send_str(text)
        flag, _, _, text = text.split("|", 3)
        if flag == "1":
            key, iv = (part.encode() for part in self.cipher)
            decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
            padded = decryptor.update(b64decode(text)) + decryptor.finalize()
            unpadder = PKCS7(BLOCK_BITS).unpadder()
            text = (unpadder.update(padded) + unpadder.finalize()).decode()
        return text.split("^")

    async def ended(self) -> int | None:
        """Wait for the end of the connection and return its code: 1006 without a close frame."""
        while True:
            message = await asyncio.wait_for(self.socket.receive(), WAIT_S)
            if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
                return self.socket.close_code

    async def close(self) -> None:
        await self.socket.close()
