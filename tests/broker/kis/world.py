"""KIS and its adapter as the acceptance tests of brokers see them: each on its own thread, over real sockets."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal as D
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from qts.broker.contracts import Balance, BrokerOrder, BrokerPosition, Capabilities, Holdings
from qts.broker.kis.broker import KisBroker
from qts.broker.kis.control import Registration
from qts.broker.kis.known import KnownOrders
from qts.broker.kis.notices import KisNotices
from qts.broker.kis.opening import KisParts
from qts.broker.kis.pauses import Pace
from qts.broker.kis.rest import KisRest
from qts.broker.kis.stream_config import StreamConfig
from qts.broker.kis.websocket import KisWebsocket
from qts.capital.contracts import Pool
from qts.execution.contracts import BrokerDisconnect, ExecutionReport, Fill, OrderAck, VenueRef
from qts.ids import seeded
from qts.ledger.contracts import Charges
from qts.market.contracts import FeeRule
from qts.market.krx import krx_instrument
from qts.risk.contracts import Approved, OrderRequest, OrderType
from qts.strategy.contracts import Side
from tests.broker.kis.rig import SYMBOL, parts_on
from tests.conformance.broker_world import BrokerWorld, Held
from tests.doubles.kis import KST, DoubleClock, KisDouble, Settings
from tests.doubles.kis.access import Keys
from tests.doubles.kis.answers import Answer
from tests.doubles.kis.books import CANCEL, Order, cost_of
from tests.doubles.kis.faults import Fault
from tests.doubles.kis.rest import Call, Fields
from tests.doubles.kis.sockets import NOTICE_TR
from tests.doubles.kis.thread import KisThread

T = TypeVar("T")
BEGIN = datetime(2026, 1, 22, 10, 0, tzinfo=KST)
WAIT_S = 20.0
ANSWER_S = 0.6
SCALE = 1_000
"""The tests speak of prices about 50; here they are about 50,000."""
QUICK = StreamConfig(command_ms=1, first_pause_ms=10, silence_ms=600_000, quiet_ms=600_000)
REFUSAL = {"rt_cd": "7", "msg_cd": "APBK0952", "msg1": "주문가능금액을 초과 했습니다"}


def wait_until(holds: Callable[[], T]) -> T:
    """Return the first true value of ``holds``."""
    end = time.monotonic() + WAIT_S
    while not (found := holds()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)
    return found


class FeesOfTheDouble(FeeRule):
    """The fee that the double charges, and no tax."""

    def fee(self, amount: D, day: date) -> D:
        return D(cost_of("02", int(amount)))

    def tax(self, amount: D, *, is_sell: bool, day: date) -> D:
        return D(0)

    def dividend_tax(self, amount: D, day: date) -> D:
        return D(0)


class LoopThread:
    """An event loop on a thread of its own, as the gateway has one."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="kis-adapter", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner, suppress(asyncio.CancelledError):
            runner.run(self._wait())

    async def _wait(self) -> None:
        self._end = asyncio.Event()
        await self._end.wait()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on it, and wait for it on this thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WAIT_S)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(lambda: self._end.set())
        self._thread.join(WAIT_S)


class Line:
    """The websocket of one process of the adapter, with notices of fills alone."""

    def __init__(self, world: KisWorld, parts: KisParts, rest: KisRest, notices: KisNotices) -> None:
        self._world = world
        self.notices = notices
        self._socket = KisWebsocket(
            parts.access.websocket,
            rest.approval_key,
            self,
            config=QUICK,
            clock=parts.clock,
            pause=parts.pause,
            chance=seeded(1, "kis"),
            tell=lambda said: None,
        )
        assert notices.registration is not None
        self._wanted: list[Registration] = [notices.registration]
        self._task: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        return self._socket.is_up

    async def start(self) -> None:
        self._socket.want(self._wanted)
        self._task = asyncio.create_task(self._socket.run())

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def on_frame(self, text: str, ts_ns: int) -> None:
        self.notices.on_frame(text, ts_ns)
        self._world.taken += 1

    def on_cipher(self, registration: Registration, key: str, iv: str) -> None:
        self.notices.on_cipher(registration, key, iv)

    def on_connected(self) -> None:
        self.notices.on_connected()

    def on_lost(self, reason: str) -> None:
        self.notices.on_lost(reason)


class OnItsLoop:
    """A broker whose calls are made on its own thread, as the gateway makes them."""

    def __init__(self, world: KisWorld, broker: KisBroker) -> None:
        self._world, self._broker = world, broker
        self.name: str = broker.name
        self.capabilities: Capabilities = broker.capabilities

    async def connect(self) -> None:
        await self._on_loop(self._broker.connect())

    async def close(self) -> None:
        await self._on_loop(self._broker.close())

    async def place(self, approved: Approved) -> OrderAck:
        sent = asyncio.run_coroutine_threadsafe(self._broker.place(approved), self._world.adapter.loop)
        self._world.wait_for(sent)
        return await asyncio.wrap_future(sent)

    async def replace(self, approved: Approved, client_order_id: str, ref: VenueRef | None) -> OrderAck:
        return await self._on_loop(self._broker.replace(approved, client_order_id, ref))

    async def cancel(self, client_order_id: str, ref: VenueRef | None) -> OrderAck:
        return await self._on_loop(self._broker.cancel(client_order_id, ref))

    async def orders(self) -> Sequence[BrokerOrder]:
        return await self._on_loop(self._broker.orders())

    async def fills_since(self, ts_ns: int) -> Sequence[Fill]:
        return await self._on_loop(self._broker.fills_since(ts_ns))

    async def positions(self) -> Mapping[str, BrokerPosition]:
        return await self._on_loop(self._broker.positions())

    async def balance(self) -> Balance | None:
        return await self._on_loop(self._broker.balance())

    async def holdings(self) -> Holdings:
        return await self._on_loop(self._broker.holdings())

    async def charges(self, day: date) -> Charges | None:
        return await self._on_loop(self._broker.charges(day))

    async def _on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._world.adapter.loop))


class KisWorld(BrokerWorld):
    """The double of one host, and the adapter on it. Executions are those that a test asks for."""

    def __init__(self, cache: Path, *, paper: bool) -> None:
        settings = Settings(matching="told", cancel_confirm_s=0.5, paper_per_s=1_000, live_per_s=1_000)
        self._clock = DoubleClock(BEGIN)
        self._thread = KisThread(seed=1, paper=paper, clock=self._clock, settings=settings)
        self._thread.__enter__()
        self._costs: list[dict[str, str]] = []
        self._numbers: dict[str, tuple[str, str]] = {}
        self._prices: dict[int, str] = {}
        self._sent, self.taken = 0, 0
        self._orders_in = self._executions = 0
        self._rejects_next = False
        self._held: list[tuple[Keys, list[str]]] | None = None
        self._lasting: list[Fault] = []
        self._do(self._prepare)
        parts = self._do(lambda kis: parts_on(kis, cache, answer_s=ANSWER_S))
        self._parts = msgspec.structs.replace(
            parts, pause=self._clock.sleep, pace=Pace(18, self._clock, self._clock.sleep)
        )
        self.reports: list[ExecutionReport] = []
        self.adapter = LoopThread()
        self._begin()

    def close(self) -> None:
        """End both sides."""
        self.lets_answer()
        self.adapter.run(self._stop())
        self.adapter.close()
        self._thread.__exit__(None, None, None)

    # -- both sides ----------------------------------------------------------------------------------------------

    def _do(self, work: Callable[[KisDouble], T]) -> T:
        return self._thread.do(work)

    def _prepare(self, kis: KisDouble) -> None:
        """Note what the double numbers and sends, and let it tell costs."""
        kis.books.on_event.insert(0, self._on_event)
        send = kis.notices._send

        def counted(keys: Keys, record: list[str]) -> None:
            if self._held is not None:
                self._held.append((keys, record))
                return
            self._sent += len(list(kis.sockets.to(NOTICE_TR[keys.is_paper], keys.hts_id)))
            send(keys, record)

        self._send = counted
        kis.notices._send = counted  # type: ignore[method-assign]
        path = "/uapi/domestic-stock/v1/trading/inquire-period-trade-profit"
        fields = ("CANO", "ACNT_PRDT_CD", "SORT_DVSN", "INQR_STRT_DT", "INQR_END_DT", "CBLC_DVSN", "PDNO")
        kis.rest.add([Call("GET", path, ("TTTC8715R",), (), fields, self._told_costs, ("PDNO",))])

    def _told_costs(self, keys: Keys, fields: Fields, tr_cont: str, tr_id: str) -> Answer:
        return Answer({"output1": self._costs, "output2": {}}, tr_cont="D")

    def _on_event(self, kind: str, order: Order, fill: object) -> None:
        key = self._prices.get(order.price)
        if kind == "accepted" and order.action != CANCEL and key is not None:
            self._numbers[key] = (order.day, order.number)

    def _begin(self) -> None:
        self.adapter.run(self._start())
        wait_until(lambda: self._line.is_up)

    async def _start(self) -> None:
        instrument = msgspec.structs.replace(krx_instrument(SYMBOL), costs=FeesOfTheDouble())
        made: list[tuple[KisRest, KisNotices]] = []

        def make(rest: KisRest, known: KnownOrders) -> KisNotices:
            access, clock = self._parts.access, self._parts.clock
            notices = KisNotices(access, {SYMBOL: instrument}, known, clock, self._publish, lambda said: None)
            made.append((rest, notices))
            return notices

        self._inner = self._parts.broker(make)
        self.broker = OnItsLoop(self, self._inner)
        await self._inner.connect()
        self._line = Line(self, self._parts, *made[0])
        await self._line.start()

    async def _stop(self) -> None:
        await self._line.stop()
        await self._inner.close()

    def _publish(self, report: ExecutionReport | BrokerDisconnect) -> None:
        if not isinstance(report, BrokerDisconnect):
            self.reports.append(report)

    def wait_for(self, sent: Future[OrderAck]) -> None:
        """Wait until the order that was just ``sent`` has come in, or was answered without that."""
        before = self._orders_in
        wait_until(lambda: sent.done() or self._do(lambda kis: len(kis.made("order-cash"))) > before)
        self._orders_in = self._do(lambda kis: len(kis.made("order-cash")))

    def _flush(self) -> None:
        """Wait until the adapter has taken every notice that was sent."""
        self._do(lambda kis: None)
        wait_until(lambda: self.taken >= self._sent)

    def _order(self, key: str) -> Order:
        day, number = wait_until(lambda: self._numbers.get(key))
        return self._do(lambda kis: kis.books.order(number, day))

    # -- every driver --------------------------------------------------------------------------------------------

    def approved(self, key: str, side: Side, qty: int, **terms: Any) -> Approved:
        """At a limit of its own, by which the order is known again; the double fills where it is told."""
        kind = terms.pop("type", OrderType.LIMIT)
        limit, stop = terms.pop("limit", None), terms.pop("stop_price", None)
        if limit is not None:
            limit = limit * SCALE
        elif kind is OrderType.LIMIT:
            known = next((price for price, one in self._prices.items() if one == key), None)
            limit = D(known or (60_000 if side is Side.BUY else 70_000) + 100 * len(self._prices))
        self._prices[0 if limit is None else int(limit)] = key
        now = self._clock.time_ns()
        request = OrderRequest(
            key, f"d-{key}", "test", Pool.SCALP, SYMBOL, side, D(qty), limit, D(70_000), now, type=kind,
            stop_price=None if stop is None else stop * SCALE, **terms,
        )  # fmt: skip
        return Approved(f"a-{key}", request, "0" * 64, now + 1_000_000_000)

    def executes(self, key: str, qty: int) -> None:
        order = self._order(key)
        self._executions += 1
        price = (order.price or 60_000) + 100 * self._executions
        self._do(lambda kis: kis.fill(order.number, qty, price))
        self._flush()

    def lets_time_pass(self) -> None:
        if self._rejects_next:
            self._rejects_next = False
            (order,) = self._do(lambda kis: kis.books.open_orders())
            self._do(lambda kis: kis.trading.reject(order))
        self._clock.jump(timedelta(seconds=1))
        wait_until(lambda: self._do(_has_no_cancel_on_its_way))
        self._flush()

    def cuts_the_line(self) -> None:
        self.adapter.run(self._line.stop())
        wait_until(lambda: not self._do(lambda kis: list(kis.sockets.sessions)))
        self._lasting.append(self._do(lambda kis: kis.fault("cut_before", times=None)))

    def repairs_the_line(self) -> None:
        for fault in self._lasting:
            fault.end()
        self._lasting.clear()
        self.adapter.run(self._line.start())
        wait_until(lambda: self._line.is_up)

    def holds(self) -> Mapping[str, Held]:
        orders = self._do(lambda kis: kis.books.open_orders())
        keys = {number: key for key, (_, number) in self._numbers.items()}
        return {keys[one.number]: Held(D(one.qty), D(one.filled), is_open=True) for one in orders}

    # -- those that can ------------------------------------------------------------------------------------------

    def restarts(self) -> None:
        self.adapter.run(self._stop())
        self._begin()

    def loses_the_next_answer(self) -> None:
        self._do(lambda kis: kis.fault("ack_lost", on="order-cash"))

    def loses_the_next_order(self) -> None:
        self._do(lambda kis: kis.fault("cut_before", on="order-cash"))

    def refuses_the_next_order(self) -> None:
        self._do(lambda kis: kis.fault("answer", on="order-cash", status=200, body=json.dumps(REFUSAL)))

    def rejects_the_next_order_later(self) -> None:
        self._rejects_next = True

    def is_out_of_reach(self) -> None:
        self.cuts_the_line()

    def ends(self, key: str) -> None:
        order = self._order(key)
        self._do(lambda kis: kis.books.end_rest(order))
        self._flush()

    def holds_answers(self) -> None:
        self._lasting.append(self._do(lambda kis: kis.fault("late", on="order-cash", times=None, seconds=300)))

    def lets_answer(self) -> None:
        for fault in self._lasting:
            fault.end()
        self._lasting.clear()
        self._clock.jump(timedelta(seconds=300))

    def drops_the_next_notice(self) -> None:
        self._do(lambda kis: kis.fault("notice_dropped", kind="fill"))

    def doubles_the_next_notice(self) -> None:
        self._do(lambda kis: kis.fault("notice_doubled", kind="fill"))

    def holds_notices(self) -> None:
        self._held = []

    def tells_backwards(self) -> None:
        held, self._held = self._held or [], None
        for keys, record in reversed(held):
            self._do(lambda kis, one=keys, fields=record: self._send(one, fields))  # type: ignore[misc]
        self._flush()

    def orders_by_hand(self, side: Side, qty: int) -> str:
        key = f"hand{len(self._prices)}"
        price = (59_000 if side is Side.BUY else 71_000) + 100 * len(self._prices)
        self._prices[price] = key
        if side is Side.SELL:
            self._do(lambda kis: kis.hold(SYMBOL, qty, price))
        self._do(lambda kis: kis.by_hand(side.value.lower(), SYMBOL, qty, price))
        return key

    def pages(self, rows: int) -> None:
        settings = self._do(lambda kis: kis.settings)
        settings.live_rows = settings.paper_rows = settings.live_holdings = rows

    def fails_a_page(self, number: int, how: str) -> None:
        name = {"error": "http_502", "empty": "empty_body", "timeout": "timeout_before"}[how]
        self._do(lambda kis: kis.fault(name, after=number - 1))

    def shows_late(self) -> None:
        self._do(lambda kis: kis.settings).list_lag_s = (9, 9)

    def lets_the_lag_pass(self) -> None:
        self._clock.jump(timedelta(seconds=10))

    def begins_another_day(self) -> None:
        self.adapter.run(self._line.stop())
        self._clock.jump_to(self._clock.at("10:00", days=1))
        self.adapter.run(self._line.start())
        wait_until(lambda: self._line.is_up)

    def charges_today(self, fees: int, taxes: int) -> None:
        if self.broker.name == "kis-paper":
            self.lacks("tell what a day cost")
        self._costs = [{"trad_dt": "20260122", "fee": f"{fees}", "tl_tax": f"{taxes}"}]


def _has_no_cancel_on_its_way(kis: KisDouble) -> bool:
    return all(one.cancelled or one.rejected for one in kis.books.today() if one.action == CANCEL)
