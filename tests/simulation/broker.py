"""The broker of a simulation: it lives in the world, and what goes to and from it takes time and gets lost.

Its books are the scripted broker's. A call leaves, arrives, is answered and comes back as four moments of the
world; a process that dies between two of them changes nothing about the others.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from qts.broker.contracts import Balance, BrokerOrder, BrokerOrderState, BrokerPosition
from qts.errors import BrokerUnavailable
from qts.execution.contracts import (
    AckStatus,
    Fill,
    FillReversed,
    OrderAck,
    OrderCancelled,
    OrderRejected,
    VenueRef,
)
from qts.risk.contracts import Approved, OrderRequest
from qts.strategy.contracts import Side
from tests.broker.books import Books
from tests.broker.notices import Report
from tests.broker.scripted import NAMED, ScriptedBroker
from tests.simulation.model import MICRO
from tests.simulation.story import Story
from tests.simulation.world import NS_PER_MS, OPENING, World

NAME = "world"
NS = 1_000_000_000
FEE = Decimal("0.00015")
TAX = Decimal("0.0018")


class UnreadableAnswer(ValueError):
    """A body that is no answer."""


class SimBroker(ScriptedBroker):
    """The broker of one story; ``publish`` is replaced by each process of the session."""

    def __init__(self, world: World, story: Story) -> None:
        capabilities = replace(
            NAMED,
            client_order_ids=story.has_ids,
            requests_per_s=story.requests_per_s,
            visibility_lag_ns=story.lag_ms * NS_PER_MS,
        )
        super().__init__(name=NAME, books=Books(NAME, cash=Decimal(OPENING)), capabilities=capabilities)
        self.world = world
        self.now_ns = lambda: world.now_ns
        self.listener: Callable[[Report], None] | None = None
        """Takes reports of this process of the session; None: none listens."""
        self.before_call: Callable[[OrderRequest], None] = lambda request: None
        """Called with each order that a process gives to the line."""
        self.order_faults: deque[tuple[str, int]] = deque()
        self.cancel_faults: deque[tuple[str, int]] = deque()
        self.notice_faults: deque[tuple[str, int]] = deque()
        self.query_faults: deque[str] = deque()
        self.told: list[Report] = []
        self.busts: list[Report] = []
        self.offset_ns: Callable[[], int] = lambda: 0
        """What the session's clock shows beside the true time."""
        self.begun_ns = 0
        """When the account was taken over: executions before it are in the opening, and none of the session's."""
        self.revision = 0
        """Changes with the books."""

    # -- the way there and back ----------------------------------------------------------------------------------

    def _way_ns(self) -> int:
        return self.world.rng.randint(2, 40) * NS_PER_MS

    async def _call(self, at_broker: Callable[[], Any], *, way_ns: int | None = None) -> Any:
        """Let a call arrive, and return what comes back; it waits without end for what never does."""
        loop, world = asyncio.get_running_loop(), self.world
        sent_ns = world.now_ns + self.offset_ns()
        future: asyncio.Future[Any] = loop.create_future()

        def back(answer: Any) -> None:
            def put() -> None:
                if future.done():
                    return
                if self.clock is not None:  # to the second, as the header of an answer
                    shown_ns = answered_ns // NS * NS
                    self.clock.note(shown_ns, sent_ns, world.now_ns + self.offset_ns())
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)

            with suppress(RuntimeError):  # the process is gone
                loop.call_soon_threadsafe(put)

        answered_ns = 0

        def arrive() -> None:
            nonlocal answered_ns
            answered_ns = world.now_ns
            answer, way = at_broker()
            if answer is not None:
                world.after(way, lambda: back(answer))

        world.after(self._way_ns() if way_ns is None else way_ns, arrive)
        return await future

    # -- orders --------------------------------------------------------------------------------------------------

    async def place(self, approved: Approved) -> OrderAck:
        request = approved.request
        key = request.client_order_id
        self.world.say(f"-> {request.side.value} {request.qty} {request.symbol} {key} limit {request.limit}")
        self.before_call(request)
        fault, chance = self.order_faults.popleft() if self.order_faults else ("", 0)
        if fault:
            self.world.fire(f"order: {fault}")
        if fault == "cut before arrival" or not self.is_up:
            raise ConnectionResetError("the line is cut")
        if fault == "answer of another order":
            fault, other = "", True
        else:
            other = False

        def at_broker() -> tuple[Any, int]:
            if fault == "lost on the way" or not self.is_up:
                return None, 0
            if fault == "rejected":
                return OrderAck(AckStatus.REJECTED, key, reason="not today"), self._way_ns()
            lacking = self.capabilities.lacks(request) or self._oversells(request)
            if lacking:
                return OrderAck(AckStatus.REJECTED, key, reason=lacking), self._way_ns()
            self.books.enter(request, self.venue, now_ns=self.world.now_ns)
            self.world.model.arrived(key, request.symbol, int(request.qty) * request.side.sign)
            self.revision += 1
            self.world.say(f"   broker has {key}")
            if self.world.is_quiet:
                self.world.after(100 * NS_PER_MS, lambda: self._fill_whole(key))
            answer = OrderAck(AckStatus.ACCEPTED, "another-order" if other else key, self.books.orders[key].ref)
            if fault in ("answer lost", "never answered"):
                return None, 0
            if fault == "cut after arrival":
                return ConnectionResetError("the line is cut"), self._way_ns()
            if fault == "unreadable answer":
                return UnreadableAnswer("<html>502 Bad Gateway</html>"), self._way_ns()
            if fault == "late answer":
                return answer, (4_900 + chance % 6_000) * NS_PER_MS
            if fault == "answer after its fill":
                self.execute(key, 1 + chance % 5, chance)
                return answer, 300 * NS_PER_MS
            return answer, self._way_ns()

        # Two answers two seconds apart prove an absence where orders are shown at once: none is under way longer.
        late_ns = (300 + chance % 1_500) * NS_PER_MS if fault == "arrives late" else None
        ack: OrderAck = await self._call(at_broker, way_ns=late_ns)
        return ack

    async def cancel(self, client_order_id: str, ref: VenueRef | None) -> OrderAck:
        fault, chance = self.cancel_faults.popleft() if self.cancel_faults else ("", 0)
        self.world.say(f"-> cancel {client_order_id}")
        if fault:
            self.world.fire(f"cancel: {fault}")
        if not self.is_up:
            raise ConnectionResetError("the line is cut")

        def at_broker() -> tuple[Any, int]:
            key = self._key_of(client_order_id, ref)
            order = self.books.orders.get(key)
            if fault == "lost on the way" or not self.is_up:
                return None, 0
            if fault == "fill is faster" and order is not None and order.is_open:
                self.execute(key, int(order.remaining), chance)
                order = self.books.orders[key]
            if order is None or not order.is_open or fault == "refused":
                return OrderAck(AckStatus.REJECTED, client_order_id, reason="not open"), self._way_ns()
            number = order.ref if self.capabilities.client_order_ids else self.books.number(order.ref.venue)
            self.end_order(key, "cancelled")
            if fault == "answer lost":
                return None, 0
            return OrderAck(AckStatus.ACCEPTED, client_order_id, number), self._way_ns()

        ack: OrderAck = await self._call(at_broker)
        return ack

    def _oversells(self, request: OrderRequest) -> str:
        """Return why the account cannot sell that much; "" where it can."""
        if request.side is Side.BUY:
            return ""
        working = sum(
            order.remaining
            for order in self.books.orders.values()
            if order.is_open and order.side is Side.SELL and order.symbol == request.symbol
        )
        left = self.books.held.get(request.symbol, Decimal(0)) - working
        return "" if request.qty <= left else f"the account has {left} {request.symbol}"

    # -- questions -----------------------------------------------------------------------------------------------

    async def _ask(self, read: Callable[[], Any], what: str) -> Any:
        fault = self.query_faults.popleft() if self.query_faults else ""
        if fault:
            self.world.fire(f"question: {fault}")
        if not self.is_up:
            raise BrokerUnavailable("the line is down")

        def at_broker() -> tuple[Any, int]:
            if fault == "not answered" or not self.is_up:
                return BrokerUnavailable(f"{what} were not answered in time"), 2_000 * NS_PER_MS
            if fault in ("a page is missing", "unreadable"):
                return BrokerUnavailable(f"page 2 of {what}: {fault}"), self._way_ns()
            return [read()], (1_500 * NS_PER_MS if fault == "slow" else self._way_ns())

        (answer,) = await self._call(at_broker)
        return answer

    async def connect(self) -> None:
        self.tell_busts()

    def tell_busts(self) -> None:
        """Tell what was taken back today, which no list shows; each time the line comes up again."""
        for report in self.busts:
            self.world.after(self._way_ns(), lambda report=report: self.tell(report))  # type: ignore[misc]

    async def orders(self) -> Sequence[BrokerOrder]:
        def read() -> Sequence[BrokerOrder]:
            rows = [
                self._row(key, order) for key, order in self.books.orders.items() if self._is_listed(key, order)
            ]
            return [row for row in rows if row is not None]

        told: Sequence[BrokerOrder] = await self._ask(read, "orders")
        return told

    async def fills_since(self, ts_ns: int) -> Sequence[Fill]:
        def read() -> Sequence[Fill]:
            shown = [fill for fill in self.books.valid_fills() if self._shows(_id_of(fill))]
            return [self.as_told(fill) for fill in shown if fill.ts_ns >= ts_ns]

        told: Sequence[Fill] = await self._ask(read, "executions")
        return told

    async def positions(self) -> Mapping[str, BrokerPosition]:
        def read() -> Mapping[str, BrokerPosition]:
            books = self.books
            return {one: BrokerPosition(qty, books.paid.get(one)) for one, qty in books.held.items() if qty}

        told: Mapping[str, BrokerPosition] = await self._ask(read, "positions")
        return told

    async def balance(self) -> Balance | None:
        told: Balance = await self._ask(lambda: Balance("KRW", self.books.cash, self.books.cash), "the balance")
        return told

    # -- the broker's own will -----------------------------------------------------------------------------------

    def open_orders(self) -> list[str]:
        """Return the keys of the session's orders that can fill."""
        ours = self.world.model.ordered
        return [key for key, order in self.books.orders.items() if order.is_open and key in ours]

    def execute(self, key: str, qty: int, chance: int, *, told: bool = True, over: int = 0) -> None:
        """Execute ``qty`` of an order, at most what is left and ``over``."""
        order = self.books.orders[key]
        qty = max(1, min(qty, int(order.remaining) + over))
        price = 149_900 + 100 * (chance % 4)
        if order.limit is not None:  # no worse than what was asked for
            price = int(order.limit) - order.side.sign * 100 * (chance % 3)
        fee = Decimal(qty * price) * FEE
        tax = Decimal(qty * price) * TAX if order.side is Side.SELL else Decimal(0)
        fill = self.books.fill(key, Decimal(qty), Decimal(price), self.world.now_ns, fee=fee, tax=tax)
        self.world.model.executed(key, order.symbol, qty, price, int((fee + tax) * MICRO))
        self.revision += 1
        self.world.say(f"   broker executes {qty} of {key} at {price}")
        if told:
            self._notify(fill)

    def _fill_whole(self, key: str) -> None:
        if self.books.orders[key].is_open:
            self.execute(key, 1_000_000, 0)

    def end_order(self, key: str, how: str) -> None:
        """Take out what is left of an order."""
        rejected = how == "rejected"
        self.books.end(key, BrokerOrderState.REJECTED if rejected else BrokerOrderState.CANCELLED)
        self.world.model.over.add(key)
        self.revision += 1
        symbol = self.books.orders[key].symbol
        self.world.say(f"   broker ends {key}")
        kind = OrderRejected if rejected else OrderCancelled
        self._notify(kind(self.name, key, symbol, self.world.now_ns, "as the story says"))

    def trade_of_a_person(self, symbol: str, side: Side, qty: int, chance: int) -> None:
        """Let a person trade in the broker's own application."""
        price = 150_000 + 100 * (chance % 3)
        key = self.order_by_hand(symbol, side, qty, self.world.now_ns)
        fill = self.books.fill(key, Decimal(qty), Decimal(price), self.world.now_ns)
        self.world.model.hand(symbol, qty * side.sign, price)
        self.revision += 1
        self._notify(fill)

    def bust(self, pick: int, is_booked: Callable[[Fill], bool]) -> bool:
        """Take an execution of a buy back that is still held; return whether there was one.

        One that the session has booked: of one that came and went unseen no list tells.
        """
        books, model = self.books, self.world.model
        selling: Counter[str] = Counter()
        for order in books.orders.values():
            if order.is_open and order.side is Side.SELL:
                selling[order.symbol] += int(order.remaining)
        can = [
            fill
            for fill in books.valid_fills()
            if fill.side is Side.BUY
            and is_booked(fill)
            and fill.ts_ns > self.begun_ns
            and (model.ours if fill.client_order_id in model.ordered else model.theirs)[fill.symbol]
            >= fill.qty + selling[fill.symbol]
        ]
        if not can:
            return False
        fill = can[pick % len(can)]
        books.take_back(fill)
        key = fill.client_order_id if fill.client_order_id in model.ordered else None
        charges = int((fill.fee + fill.tax) * MICRO)
        model.bust(key, fill.symbol, int(fill.qty), int(fill.price), charges)
        self.revision += 1
        ids = (fill.broker, fill.execution_id, fill.client_order_id, fill.symbol)
        self.world.say(f"   broker takes {fill.execution_id} back")
        report = self.as_told(FillReversed(*ids, fill.ts_ns, self.world.now_ns, "price out of line", ref=fill.ref))
        self.busts.append(report)
        self.world.after(self._way_ns(), lambda: self.tell(report))
        return True

    # -- notices -------------------------------------------------------------------------------------------------

    def _notify(self, report: Report) -> None:
        report = self.as_told(report)
        fault, chance = self.notice_faults.popleft() if self.notice_faults else ("", 0)
        if fault:
            self.world.fire(f"notice: {fault}")
        if fault == "lost" or not self.is_up:
            return
        times = [self._way_ns()]
        if fault == "late":
            times = [(500 + chance % 9_000) * NS_PER_MS]
        elif fault == "told twice":
            times.append(self._way_ns())
        elif fault == "told again much later":
            times.append((5_000 + chance % 20_000) * NS_PER_MS)
        for way_ns in times:
            self.world.after(way_ns, lambda: self.tell(report))

    def tell(self, report: Report) -> None:
        """Give a report to the process that listens."""
        if self.listener is not None and self.is_up:
            self.told.append(report)
            self.listener(report)

    @staticmethod
    def random(chance: int) -> random.Random:
        """Return the chance of one step."""
        return random.Random(chance)


def _id_of(fill: Fill) -> str:
    return f"{fill.client_order_id} {fill.execution_id}"
