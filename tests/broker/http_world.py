"""The scripted broker behind a real HTTP server, and a client of it that implements the port of a broker.

The server lives on a thread and a loop of its own and has the books. What becomes of a request follows from a seed
and the order's id: answered, late, never, cut before or after the order was received, a status of 5xx, a body that
is no JSON, half a body. Notices are lines of a response that does not end.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from typing import Any, Final, Self, TypeVar

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout, web

from qts.broker.contracts import Balance, BrokerOrder, BrokerPosition, Capabilities, Holdings
from qts.errors import BrokerUnavailable
from qts.execution.contracts import AckStatus, BrokerDisconnect, ExecutionReport, Fill, OrderAck, VenueRef
from qts.ledger.contracts import Charges
from qts.risk.contracts import Approved, OrderRequest
from qts.strategy.contracts import Side
from tests.broker.scripted import NAMED, ScriptedBroker
from tests.sim.broker_recount import Recount

T = TypeVar("T")
Report = ExecutionReport | BrokerDisconnect
FATES: Final = (
    "answered", "refused", "late", "never", "cut before", "cut after", "502 before", "502 after", "no json", "half",
)  # fmt: skip
"""What becomes of an order; after all but "refused", "cut before" and "502 before" the broker has it."""
_LOST: Final = frozenset({"cut before", "502 before", "refused"})
_WEIGHTS: Final = (50, 3, 6, 6, 6, 6, 6, 6, 6, 5)


class BrokerServer:
    """A broker on a port of the loopback interface. ``with`` starts and stops it.

    ``is_faulty``: whether anything goes wrong from now on. ``late_s``: real time after which a late answer comes.
    ``recount`` is told of everything that arrives.
    """

    def __init__(self, seed: int, *, late_s: float, capabilities: Capabilities = NAMED) -> None:
        self.broker = ScriptedBroker(capabilities=capabilities)
        self.broker.publish = self._notify
        self.recount = Recount(int(self.broker.books.cash or 0))
        self.fates: Counter[str] = Counter()
        self.port = 0
        self.is_faulty = False
        self._seed, self._late_s = seed, late_s
        self._lines: set[asyncio.Queue[bytes]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="broker of the tests")
        self._ended = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._begin(), self._loop).result(20)
        return self

    def __exit__(self, *raised: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def do(self, what: Callable[[], T]) -> T:
        """Do something at the broker, on its thread."""

        async def done() -> T:
            return what()

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(20)

    # -- on its loop -----------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        app = web.Application()
        app.add_routes(
            [
                web.post("/orders", self._order),
                web.post("/cancels", self._cancel),
                web.get("/notices", self._notices),
                web.get("/{list}", self._list),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _end(self) -> None:
        self._ended.set()
        await self._runner.cleanup()

    async def _order(self, request: web.Request) -> web.StreamResponse:
        order = msgspec.json.decode(await request.read(), type=OrderRequest)
        key = order.client_order_id
        (fate,) = random.Random(f"{self._seed} {key}").choices(FATES, _WEIGHTS) if self.is_faulty else ("answered",)
        self.fates[fate] += 1
        self.recount.called(key)
        self.broker.receives = fate not in _LOST
        if self.broker.receives:
            self.recount.arrived(key, int(order.qty), is_sale=order.side is Side.SELL)
        self.broker.answer = AckStatus.REJECTED if fate == "refused" else AckStatus.ACCEPTED
        ack = await self.broker.place(Approved(f"of {key}", order, "", 0))
        if fate == "late":
            await asyncio.sleep(self._late_s)
        elif fate == "never":
            await self._ended.wait()
        elif fate.startswith("cut"):
            return self._cut(request)
        elif fate.startswith("502"):
            return web.Response(status=502, text="<html>Bad Gateway</html>")
        elif fate == "no json":
            return web.Response(text="<html>Please wait</html>")
        elif fate == "half":
            return await self._half(request, msgspec.json.encode(ack))
        return web.Response(body=msgspec.json.encode(ack))

    async def _cancel(self, request: web.Request) -> web.Response:
        key, ref = msgspec.json.decode(await request.read(), type=tuple[str, VenueRef | None])
        return web.Response(body=msgspec.json.encode(await self.broker.cancel(key, ref)))

    async def _list(self, request: web.Request) -> web.StreamResponse:
        what = request.match_info["list"]
        rng = random.Random(f"{self._seed} {what} {len(self.broker.calls)}")
        asked = self.broker.fills_since(0) if what == "fills" else getattr(self.broker, what)()
        body = msgspec.json.encode(await asked)
        fate = rng.random() if self.is_faulty else 1.0
        if fate < 0.05:
            return self._cut(request)
        if fate < 0.1:
            return await self._half(request, body)
        return web.Response(body=body, status=503 if fate < 0.15 else 200)

    async def _notices(self, request: web.Request) -> web.StreamResponse:
        lines: asyncio.Queue[bytes] = asyncio.Queue()
        self._lines.add(lines)
        response = web.StreamResponse()
        await response.prepare(request)
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            while not ended.done():
                line = asyncio.ensure_future(lines.get())
                await asyncio.wait({line, ended}, return_when=asyncio.FIRST_COMPLETED)
                if line.done():
                    await response.write(line.result())
                line.cancel()
        finally:
            ended.cancel()
            self._lines.discard(lines)
        return response

    def _notify(self, report: Report) -> None:
        for lines in self._lines:
            lines.put_nowait(msgspec.json.encode(report) + b"\n")

    @staticmethod
    def _cut(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def _half(self, request: web.Request, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        self._cut(request)
        return response


class HttpBroker:
    """The broker at ``port``, as an adapter would have it: one connection for notices, others for requests."""

    def __init__(self, port: int, capabilities: Capabilities) -> None:
        self.name = "scripted"
        self.capabilities = capabilities
        self.publish: Callable[[Report], None] = lambda report: None
        self.now_ns: Callable[[], int] = lambda: 0
        self.held_back = 0
        self._url = f"http://127.0.0.1:{port}"
        self._session: ClientSession | None = None
        self._listening: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        self._listening = asyncio.ensure_future(self._listen())

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait({self._listening})
        if self._session is not None:
            await self._session.close()

    async def place(self, approved: Approved) -> OrderAck:
        return await self._post("orders", approved.request, approved.request.client_order_id)

    async def replace(self, approved: Approved, client_order_id: str, *more: Any) -> OrderAck:
        return OrderAck(AckStatus.REJECTED, approved.request.client_order_id, reason="orders are not replaced here")

    async def cancel(self, client_order_id: str, ref: VenueRef | None) -> OrderAck:
        return await self._post("cancels", (client_order_id, ref), client_order_id)

    async def orders(self) -> Sequence[BrokerOrder]:
        return await self._get("orders", list[BrokerOrder])

    async def fills_since(self, ts_ns: int) -> Sequence[Fill]:
        return await self._get("fills", list[Fill])

    async def positions(self) -> Mapping[str, BrokerPosition]:
        return await self._get("positions", dict[str, BrokerPosition])

    async def balance(self) -> Balance | None:
        return await self._get("balance", Balance | None)

    async def holdings(self) -> Holdings:
        return Holdings(await self.positions(), await self.balance())

    async def charges(self, day: date) -> Charges | None:
        return None

    @property
    def _client(self) -> ClientSession:
        if self._session is None:  # on the loop on which it is used
            self._session = ClientSession(timeout=ClientTimeout(total=None))
        return self._session

    async def _post(self, where: str, what: object, key: str) -> OrderAck:
        try:
            async with self._client.post(f"{self._url}/{where}", data=msgspec.json.encode(what)) as response:
                response.raise_for_status()
                return msgspec.json.decode(await response.read(), type=OrderAck)
        except (ClientError, OSError, msgspec.MsgspecError) as error:
            return OrderAck(AckStatus.UNKNOWN, key, reason=repr(error))

    async def _get(self, where: str, kind: Any) -> Any:
        try:
            async with self._client.get(f"{self._url}/{where}") as response:
                response.raise_for_status()
                return msgspec.json.decode(await response.read(), type=kind)
        except (ClientError, OSError, msgspec.MsgspecError) as error:
            raise BrokerUnavailable(f"{where} were not read: {error!r}") from error

    async def _listen(self) -> None:
        while True:
            with suppress(ClientError, OSError):
                async with self._client.get(f"{self._url}/notices") as response:
                    async for line in response.content:
                        self.publish(msgspec.json.decode(line, type=Report))
            self.publish(BrokerDisconnect(self.name, "the line was cut", self.now_ns()))
            await asyncio.sleep(0.01)
