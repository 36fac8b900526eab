"""A broker without a market: a test says what it answers, when it answers and what happens to its orders.

It implements the port :class:`~qts.broker.contracts.Broker` and nothing of a simulated venue. Its books are its
own (:mod:`tests.broker.books`): an order stands there from the moment at which it was received, whatever becomes of
the answer, and a new broker on the same books is the same broker after its restart. What it tells of them can be
late, lost, doubled, out of order, short of a page, or wrong.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import TypeVar

from msgspec.structs import replace

from qts.broker.broker_clock import BrokerClock
from qts.broker.contracts import Balance, BrokerOrder, BrokerOrderState, BrokerPosition, Capabilities, Holdings
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
from qts.ledger.contracts import Charges
from qts.risk.contracts import Approved, OrderType, TimeInForce
from qts.strategy.contracts import Side
from tests.broker.books import DAY, Books, hand_order
from tests.broker.notices import Notices, Report

__all__ = ["DAY", "NAMED", "ScriptedBroker"]
Answer = AckStatus | Exception
T = TypeVar("T")
NAMED = Capabilities(
    order_types=frozenset({OrderType.MARKET, OrderType.LIMIT}),
    times_in_force=frozenset({TimeInForce.DAY}),
    client_order_ids=True,
    replaces=False,
    visibility_lag_ns=0,
    requests_per_s=None,
)


class Held:
    """An answer that is held back on the loop that waits for it, and let go from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    async def wait(self) -> None:
        await self._event.wait()

    def let_go(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: no one waits any more
            self._loop.call_soon_threadsafe(self._event.set)


class ScriptedBroker(Notices):
    """Answers each order with the next of ``answers``, then with ``answer``: a status, or an exception it raises.

    ``receives``: whether an order reaches the books; one that is answered REJECTED never does. While
    ``holds_answers``, an answer to an order or a cancel waits until :meth:`let_answer`; orders reach the books at
    once. While ``holds_queries``, a query waits until :meth:`let_tell`. While ``is_up`` is false nothing arrives,
    orders and cancels are UNKNOWN and queries raise.

    ``capabilities`` may be replaced: without ``client_order_ids`` no report and no order in a list says whose it
    is, without ``execution_ids`` no execution has a number or is listed: what was executed of an order shows in its
    row alone. Orders and executions show after ``visibility_lag_ns`` by ``now_ns``. ``venue``: where orders go from
    now on.
    """

    def __init__(
        self,
        publish: Callable[[Report], None] = lambda report: None,
        name: str = "scripted",
        *,
        books: Books | None = None,
        capabilities: Capabilities = NAMED,
    ) -> None:
        super().__init__(publish, Books(name) if books is None else books, capabilities)
        self.name = name
        self.venue = name
        self.now_ns: Callable[[], int] = lambda: 0
        self.answer: Answer = AckStatus.ACCEPTED
        self.answers: deque[Answer] = deque()
        self.receives = True
        self.clock: BrokerClock | None = None
        """The times that it tells with its answers; None: none."""
        self.is_up = True
        self.holds_answers = self.holds_queries = False
        self.page_rows: int | None = None
        """Rows of one page of a list; None: everything is on one."""
        self.pages: deque[str] = deque()
        """What is wrong with the next pages that are read, "" for nothing."""
        self.shows: dict[str, Callable[[BrokerOrder], BrokerOrder | None]] = {}
        """What the list of orders tells of an order in place of its row; None: nothing."""
        self.asked = 0
        """Queries that wait for :meth:`let_tell`."""
        self._told: list[Held] = []
        self.before_query: Callable[[], None] = lambda: None
        self.before_answer: Callable[[Approved], None] = lambda approved: None
        self.placed: list[Approved] = []
        """Every approval that ``place`` was called with."""
        self.cancels: list[str] = []
        """Every id that ``cancel`` was called with."""
        self.cancel_refs: list[VenueRef | None] = []
        """Every number that it was called with."""
        self.calls: list[str] = []
        """``connect``, ``close`` and the queries, in the order in which they came."""
        self.told_balance: Callable[[], Balance | None] = lambda: Balance("KRW", self.books.cash, self.books.cash)
        """What the broker says of its money."""
        self.charged: dict[date, Charges] = {}
        """Fees and taxes of the days of which the broker has told them."""
        self.asked_charges: list[date] = []
        self._acks: dict[str, OrderAck] = {}
        self._waiting: dict[str, Held] = {}

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
        answer, reason = self._answer_to(approved)
        if self.receives and answer is not AckStatus.REJECTED:
            self.books.enter(approved.request, self.venue, now_ns=self.now_ns())
            self._changed()
        return await self._answered(approved, answer, reason)

    async def replace(self, approved: Approved, client_order_id: str, ref: VenueRef | None) -> OrderAck:
        request, replaced = approved.request, self._key_of(client_order_id, ref)
        key, order = request.client_order_id, self.books.orders.get(replaced)
        self.placed.append(approved)
        if not self.capabilities.replaces:
            return OrderAck(AckStatus.REJECTED, key, reason="orders are not replaced here")
        if not self.is_up:
            return OrderAck(AckStatus.UNKNOWN, key, reason="the line is down")
        if order is None or not order.is_open or request.qty <= order.filled:
            return OrderAck(AckStatus.REJECTED, key, reason="nothing is left to replace")
        answer, reason = self._answer_to(approved)
        if self.receives and answer is not AckStatus.REJECTED:
            self.books.renumber(replaced, request.qty, request.limit)
            self.books.orders[key] = replace(self.books.orders.pop(replaced), client_order_id=key)
            self.books.since[key] = self.books.since.pop(replaced)
            self._changed()
        return await self._answered(approved, answer, reason)

    async def cancel(self, client_order_id: str, ref: VenueRef | None) -> OrderAck:
        self.cancels.append(client_order_id)
        self.cancel_refs.append(ref)
        await self._wait(client_order_id)
        if not self.is_up:
            return OrderAck(AckStatus.UNKNOWN, client_order_id, reason="the line is down")
        order = self.books.orders.get(self._key_of(client_order_id, ref))
        if order is None or not order.is_open:
            return OrderAck(AckStatus.REJECTED, client_order_id, reason="the order is not open")
        if self.capabilities.client_order_ids:
            return OrderAck(AckStatus.ACCEPTED, client_order_id, order.ref)
        number = self.books.number(order.ref.venue)  # each message has a number of its own
        self._changed()
        return OrderAck(AckStatus.ACCEPTED, client_order_id, number)

    async def orders(self) -> Sequence[BrokerOrder]:
        self._asked("orders")
        rows = [self._row(key, order) for key, order in self.books.orders.items() if self._is_listed(key, order)]
        shown = [row for row in rows if row is not None]  # of the moment at which it was asked
        await self._tell()
        return self._paged("orders", shown)

    async def fills_since(self, ts_ns: int) -> Sequence[Fill]:
        self._asked("fills_since")
        shown = []
        if self.capabilities.execution_ids:
            valid = [fill for fill in self.books.valid_fills() if fill.ts_ns >= ts_ns and self._shows(_id_of(fill))]
            shown = [self.as_told(fill) for fill in valid]
        await self._tell()
        return self._paged("executions", shown)

    async def positions(self) -> Mapping[str, BrokerPosition]:
        self._asked("positions")
        shown = self._held()
        await self._tell()
        return dict(self._paged("positions", list(shown.items())))

    def _held(self) -> dict[str, BrokerPosition]:
        paid = self.books.paid
        return {symbol: BrokerPosition(qty, paid.get(symbol)) for symbol, qty in self.books.held.items() if qty}

    async def balance(self) -> Balance | None:
        self._asked("balance")
        shown = self.told_balance()
        await self._tell()
        return self._paged("balance", [shown])[0]

    async def holdings(self) -> Holdings:
        self._asked("holdings")
        held, money = self._held(), self.told_balance()
        await self._tell()
        return Holdings(dict(self._paged("holdings", list(held.items()))), money)

    async def charges(self, day: date) -> Charges | None:
        self._asked("charges")
        self.asked_charges.append(day)
        return self._paged("charges", [self.charged.get(day)])[0]

    # -- what a test lets happen -------------------------------------------------------------------------

    @property
    def waiting(self) -> list[str]:
        """Ids of the orders whose answer is held back, oldest first."""
        return list(self._waiting)

    @property
    def held_back(self) -> int:
        """Return how many requests wait until a test lets them be answered."""
        return len(self._waiting) + len(self._told)

    def let_answer(self, *client_order_ids: str) -> None:
        """Let the answers held back for these orders go, for all when none is named."""
        for key in client_order_ids or tuple(self._waiting):
            self._waiting.pop(key).let_go()

    def let_tell(self) -> None:
        """Let the queries that wait be answered, with what was true when they were asked."""
        told, self._told = self._told, []
        for one in told:
            one.let_go()

    def trade_by_hand(self, fill: Fill, *, told: bool = True) -> None:
        """Let a person trade at the broker without the session."""
        self.books.book(fill)
        self._changed()
        if told:
            self._notify(fill)

    def order_by_hand(self, symbol: str, side: Side, qty: int, ts_ns: int = 0) -> str:
        """Let a person place an order at the broker; return the key under which the books have it."""
        key = hand_order(self.books, symbol, side, Decimal(qty), self.venue, ts_ns)
        self._changed()
        return key

    def take_back(self, fill: Fill, ts_ns: int, *, told: bool = True) -> None:
        """Take an execution back (a bust), and say so."""
        self.books.take_back(fill)
        self._changed()
        ids = (fill.broker, fill.execution_id, fill.client_order_id, fill.symbol)
        if told:
            self._notify(FillReversed(*ids, fill.ts_ns, ts_ns, "price out of line"))

    def fill(
        self, client_order_id: str, qty: int | str, price: int | str, ts_ns: int, *, told: bool = True
    ) -> Fill:
        """Execute part of an order in the books; published unless ``told`` is false, as on a broken stream."""
        fill = self.books.fill(client_order_id, Decimal(qty), Decimal(price), ts_ns)
        self._changed()
        if told:
            self._notify(fill)
        return fill

    def end(self, client_order_id: str, ts_ns: int, *, rejected: bool = False, told: bool = True) -> None:
        """Cancel what is left of an order in the books, or reject it later than in its answer."""
        self.books.end(client_order_id, BrokerOrderState.REJECTED if rejected else BrokerOrderState.CANCELLED)
        self._changed()
        kind = OrderRejected if rejected else OrderCancelled
        if told:
            symbol = self.books.orders[client_order_id].symbol
            self._notify(kind(self.name, client_order_id, symbol, ts_ns, "as scripted"))

    # -- inside ------------------------------------------------------------------------------------------

    def _key_of(self, client_order_id: str, ref: VenueRef | None) -> str:
        """Return the key of the order that a message names: by our id; where none is kept, by its number."""
        if self.capabilities.client_order_ids:
            return client_order_id
        return next((key for key, order in self.books.orders.items() if order.ref == ref), "")

    def _changed(self) -> None:
        """The books have changed; a broker that keeps them in a file writes them."""

    def _answer_to(self, approved: Approved) -> tuple[Answer, str]:
        lacking = self.capabilities.lacks(approved.request)
        if lacking:
            return AckStatus.REJECTED, lacking
        return (self.answers.popleft() if self.answers else self.answer), "as scripted"

    async def _answered(self, approved: Approved, answer: Answer, reason: str) -> OrderAck:
        key = approved.request.client_order_id
        self.before_answer(approved)
        await self._wait(key)
        if isinstance(answer, Exception):
            raise answer
        order = self.books.orders.get(key)
        ref = order.ref if order is not None and answer is not AckStatus.UNKNOWN else None
        self._acks[key] = OrderAck(answer, key, ref, reason)
        return self._acks[key]

    def _is_listed(self, key: str, order: BrokerOrder) -> bool:
        return self._shows(key)

    def _shows(self, what: str) -> bool:
        """Return whether what was written down long enough ago is shown now."""
        lag = self.capabilities.visibility_lag_ns
        return not lag or self.now_ns() - self.books.since.get(what, 0) >= lag

    def _row(self, key: str, order: BrokerOrder) -> BrokerOrder | None:
        if not self.capabilities.client_order_ids:
            order = replace(order, client_order_id=None)
        return self.shows[key](order) if key in self.shows else order

    def _paged(self, what: str, rows: Sequence[T]) -> Sequence[T]:
        """Return ``rows`` when every page of them was read. Raises BrokerUnavailable for one that was not."""
        size = self.page_rows or max(len(rows), 1)
        for number in range(max(-(-len(rows) // size), 1)):
            wrong = self.pages.popleft() if self.pages else ""
            if wrong:
                raise BrokerUnavailable(f"page {number + 1} of {what} was not read: {wrong}")
        return rows

    async def _tell(self) -> None:
        self.before_query()
        if self.holds_queries:
            held = Held()
            self._told.append(held)
            self.asked += 1
            await held.wait()
            self.asked -= 1

    async def _wait(self, client_order_id: str) -> None:
        if self.holds_answers:
            await self._waiting.setdefault(client_order_id, Held()).wait()

    def _asked(self, what: str) -> None:
        self.calls.append(what)
        if not self.is_up:
            raise BrokerUnavailable(f"broker {self.name} is not connected")


def _id_of(fill: Fill) -> str:
    return f"{fill.client_order_id} {fill.execution_id}"
