"""A broker without a market: a test says what it answers, when it answers and what happens to its orders.

It implements the port :class:`~qts.broker.contracts.Broker` and nothing of a simulated venue. Its books are its
own: an order stands there from the moment at which it was received, whatever becomes of the answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal

from msgspec.structs import replace

from qts.broker.contracts import Balance, BrokerOrder, BrokerOrderState, BrokerPosition, Capabilities
from qts.errors import BrokerUnavailable
from qts.execution.contracts import (
    AckStatus,
    BrokerDisconnect,
    ExecutionReport,
    Fill,
    FillReversed,
    OrderAck,
    OrderCancelled,
    OrderRejected,
    VenueRef,
)
from qts.ledger.contracts import Charges
from qts.money import ZERO, minus, plus, ratio, times
from qts.risk.contracts import Approved, OrderType, TimeInForce

DAY = date(2026, 1, 22)
Answer = AckStatus | Exception


class ScriptedBroker:
    """Answers each order with the next of ``answers``, then with ``answer``: a status, or an exception it raises.

    ``receives``: whether an order reaches the books; one that is answered REJECTED never does. While
    ``holds_answers``, an answer to an order or a cancel waits until :meth:`let_answer`; orders reach the books at
    once. While ``holds_queries``, a query waits until :meth:`let_tell`. While ``is_up`` is false nothing arrives,
    orders and cancels are UNKNOWN and queries raise.
    """

    def __init__(
        self,
        publish: Callable[[ExecutionReport | BrokerDisconnect], None] = lambda report: None,
        name: str = "scripted",
    ) -> None:
        self.name = name
        self.capabilities = Capabilities(
            order_types=frozenset({OrderType.MARKET, OrderType.LIMIT}),
            times_in_force=frozenset({TimeInForce.DAY}),
            client_order_ids=True,
            replaces=False,
            visibility_lag_ns=0,
            requests_per_s=None,
        )
        self.publish = publish
        self.answer: Answer = AckStatus.ACCEPTED
        self.answers: deque[Answer] = deque()
        self.receives = True
        self.is_up = True
        self.holds_answers = self.holds_queries = False
        self.asked = 0
        """Queries that wait for :meth:`let_tell`."""
        self._told = asyncio.Event()
        self.before_query: Callable[[], None] = lambda: None
        self.before_answer: Callable[[Approved], None] = lambda approved: None
        self.placed: list[Approved] = []
        """Every approval that ``place`` was called with."""
        self.cancels: list[str] = []
        """Every id that ``cancel`` was called with."""
        self.calls: list[str] = []
        """``connect``, ``close`` and the queries, in the order in which they came."""
        self.book: dict[str, BrokerOrder] = {}
        self.fills: list[Fill] = []
        self.held: dict[str, Decimal] = {}
        self.paid: dict[str, Decimal | None] = {}
        """Average price by symbol of what is held; a symbol that is missing has none that the broker says."""
        self.cash: Decimal | None = Decimal(100_000_000)
        """Money with all trades settled; fills change it. None: the broker does not say."""
        self.told_balance: Callable[[], Balance | None] = lambda: Balance("KRW", self.cash, self.cash)
        """What the broker says of its money."""
        self.charged: dict[date, Charges] = {}
        """Fees and taxes of the days of which the broker has told them."""
        self.asked_charges: list[date] = []
        self._acks: dict[str, OrderAck] = {}
        self._waiting: dict[str, asyncio.Event] = {}

    # -- the port ----------------------------------------------------------------------------------------

    async def connect(self) -> None:
        self._asked("connect")

    async def close(self) -> None:
        self.calls.append("close")

    async def place(self, approved: Approved) -> OrderAck:
        key = approved.request.client_order_id
        self.placed.append(approved)
        if not self.is_up:
            return OrderAck(AckStatus.UNKNOWN, key, reason="the line is down")
        if key in self._acks:
            return self._acks[key]
        answer = self.answers.popleft() if self.answers else self.answer
        if self.capabilities.lacks(approved.request):
            answer = AckStatus.REJECTED
        if self.receives and answer is not AckStatus.REJECTED:
            self._enter(approved)
        self.before_answer(approved)
        await self._wait(key)
        if isinstance(answer, Exception):
            raise answer
        ref = self.book[key].ref if key in self.book and answer is not AckStatus.UNKNOWN else None
        self._acks[key] = OrderAck(answer, key, ref, "as scripted")
        return self._acks[key]

    async def replace(self, approved: Approved, client_order_id: str) -> OrderAck:
        return OrderAck(AckStatus.REJECTED, approved.request.client_order_id, reason="orders are not replaced here")

    async def cancel(self, client_order_id: str) -> OrderAck:
        self.cancels.append(client_order_id)
        await self._wait(client_order_id)
        if not self.is_up:
            return OrderAck(AckStatus.UNKNOWN, client_order_id, reason="the line is down")
        order = self.book.get(client_order_id)
        if order is None or not order.is_open:
            return OrderAck(AckStatus.REJECTED, client_order_id, reason="the order is not open")
        return OrderAck(AckStatus.ACCEPTED, client_order_id, order.ref)

    async def orders(self) -> Sequence[BrokerOrder]:
        self._asked("orders")
        shown = list(self.book.values())  # of the moment at which it was asked
        await self._tell()
        return shown

    async def fills_since(self, ts_ns: int) -> Sequence[Fill]:
        self._asked("fills_since")
        shown = [fill for fill in self.fills if fill.ts_ns >= ts_ns]
        await self._tell()
        return shown

    async def positions(self) -> Mapping[str, BrokerPosition]:
        self._asked("positions")
        shown = {symbol: BrokerPosition(qty, self.paid.get(symbol)) for symbol, qty in self.held.items() if qty}
        await self._tell()
        return shown

    async def balance(self) -> Balance | None:
        self._asked("balance")
        shown = self.told_balance()
        await self._tell()
        return shown

    async def charges(self, day: date) -> Charges | None:
        self._asked("charges")
        self.asked_charges.append(day)
        return self.charged.get(day)

    # -- what a test lets happen -------------------------------------------------------------------------

    @property
    def waiting(self) -> list[str]:
        """Ids of the orders whose answer is held back, oldest first."""
        return list(self._waiting)

    def let_answer(self, *client_order_ids: str) -> None:
        """Let the answers held back for these orders go, for all when none is named."""
        for key in client_order_ids or tuple(self._waiting):
            self._waiting.pop(key).set()

    def let_tell(self) -> None:
        """Let the queries that wait be answered, with what was true when they were asked."""
        self._told.set()
        self._told = asyncio.Event()

    async def _tell(self) -> None:
        self.before_query()
        if self.holds_queries:
            self.asked += 1
            await self._told.wait()
            self.asked -= 1

    def trade_by_hand(self, fill: Fill, *, told: bool = True) -> None:
        """Let a person trade at the broker without the session."""
        self.fills.append(fill)
        self._hold(fill, 1)
        if told:
            self.publish(fill)

    def take_back(self, fill: Fill, ts_ns: int) -> None:
        """Take an execution back (a bust), and say so."""
        self.fills = [one for one in self.fills if one != fill]
        self._hold(fill, -1)
        ids = (fill.broker, fill.execution_id, fill.client_order_id, fill.symbol)
        self.publish(FillReversed(*ids, fill.ts_ns, ts_ns, "price out of line"))

    def _hold(self, fill: Fill, sign: int) -> None:
        change = times(fill.qty, Decimal(sign * fill.side.sign))
        before, paid = self.held.get(fill.symbol, ZERO), self.paid.get(fill.symbol)
        after = self.held[fill.symbol] = plus(before, change)
        if not before:
            self.paid[fill.symbol] = fill.price
        elif change > 0 and paid is not None:
            self.paid[fill.symbol] = ratio(plus(times(before, paid), times(change, fill.price)), after)
        if self.cash is not None:
            cost = plus(times(change, fill.price), times(plus(fill.fee, fill.tax), Decimal(sign)))
            self.cash = minus(self.cash, cost)

    def fill(
        self, client_order_id: str, qty: int | str, price: int | str, ts_ns: int, *, told: bool = True
    ) -> Fill:
        """Execute part of an order in the books; published unless ``told`` is false, as on a broken stream."""
        order, amount = self.book[client_order_id], Decimal(qty)
        filled = plus(order.filled, amount)
        last = filled >= order.qty
        state = BrokerOrderState.FILLED if last else order.state
        self.book[client_order_id] = replace(order, filled=filled, state=state)
        number = f"{self.name}-{len(self.fills) + 1}"
        fill = Fill(
            self.name,
            number,
            client_order_id,
            order.symbol,
            order.side,
            amount,
            Decimal(price),
            ZERO,
            ZERO,
            ts_ns,
            last,
        )
        self.fills.append(fill)
        self._hold(fill, 1)
        if told:
            self.publish(fill)
        return fill

    def end(self, client_order_id: str, ts_ns: int, *, rejected: bool = False, told: bool = True) -> None:
        """Cancel what is left of an order in the books, or reject it later than in its answer."""
        order = self.book[client_order_id]
        state = BrokerOrderState.REJECTED if rejected else BrokerOrderState.CANCELLED
        self.book[client_order_id] = replace(order, state=state)
        kind = OrderRejected if rejected else OrderCancelled
        if told:
            self.publish(kind(self.name, client_order_id, order.symbol, ts_ns, "as scripted"))

    def _enter(self, approved: Approved) -> None:
        request = approved.request
        ref = VenueRef(DAY, f"{self.name}-o{len(self.book) + 1}", self.name)
        self.book[request.client_order_id] = BrokerOrder(
            request.client_order_id,
            ref,
            request.symbol,
            request.side,
            request.qty,
            ZERO,
            BrokerOrderState.OPEN,
        )

    async def _wait(self, client_order_id: str) -> None:
        if self.holds_answers:
            await self._waiting.setdefault(client_order_id, asyncio.Event()).wait()

    def _asked(self, what: str) -> None:
        self.calls.append(what)
        if not self.is_up:
            raise BrokerUnavailable(f"broker {self.name} is not connected")
