"""A real broker for sessions that are killed: its books are a file, so they outlive every process of a session.

Whatever changes them is written before it is told, as a broker's own books are. What happens at it, step
by step, follows from a seed and the number of the step alone: fills that are told, told twice, told later or never;
ends that it does not list any more; executions taken back; trades of others; answers that are late or lost.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec
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
from qts.risk.contracts import Approved, OrderType, TimeInForce
from qts.strategy.contracts import Side

DAY = date(2026, 1, 22)
NAME = "world"
OPENING = Decimal(120_000_000)
"""Settled cash at the first start; the session is allotted 100,000,000 of it."""
Report = ExecutionReport | BrokerDisconnect


class Told(msgspec.Struct):
    """A report that is told in step ``step``, if a session listens then, and with ``again`` a step later too."""

    step: int
    report: Fill | OrderCancelled | OrderRejected | FillReversed | BrokerDisconnect
    again: bool = False


class Books(msgspec.Struct):
    """Everything that the broker has written down. ``ended``: in which step an order ended."""

    step: int = 0
    now_ns: int = 0
    orders: dict[str, BrokerOrder] = {}
    fills: list[Fill] = []
    busts: list[str] = []
    ended: dict[str, int] = {}
    placed: list[tuple[str, str]] = []
    cancels: list[str] = []
    waiting: list[Told] = []
    is_up: bool = True


class WorldBroker:
    """The :class:`~qts.broker.contracts.Broker` over the books in ``path``; ``passes`` is called at each place.

    The places are ``call`` and ``answer`` around each call, and ``report`` before each report.
    """

    def __init__(self, path: Path, seed: int, passes: Callable[[str], object]) -> None:
        self.name = NAME
        self.capabilities = Capabilities(
            order_types=frozenset({OrderType.MARKET, OrderType.LIMIT}),
            times_in_force=frozenset({TimeInForce.DAY}),
            client_order_ids=seed % 3 != 2,
            replaces=False,
            visibility_lag_ns=0,
            requests_per_s=None,
        )
        self.publish: Callable[[Report], None] = lambda report: None
        self.acknowledge: Callable[[], None] = lambda: None
        """Called after each report; returns when it is on the session's disk."""
        self._path, self._seed, self._passes = path, seed, passes
        self.books = msgspec.json.decode(path.read_bytes(), type=Books) if path.exists() else Books()
        self._held_answers: list[asyncio.Event] = []

    # -- the port ----------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Tell at once what was missed, before the session asks."""
        for one in self.books.waiting:
            self.publish(one.report)  # and again later: no session has said that it has it

    async def close(self) -> None:
        """Release nothing."""

    async def place(self, approved: Approved) -> OrderAck:
        key = approved.request.client_order_id
        self._passes("call")
        rng = self._random(f"place {key}")
        self.books.placed.append((key, approved.approval_id))
        self._write()
        if not self.books.is_up:
            return OrderAck(AckStatus.UNKNOWN, key, reason="the line is down")
        fate = 1.0 if self._is_quiet else rng.random()
        if fate < 0.08:
            self._passes("answer")
            return OrderAck(AckStatus.REJECTED, key, reason="not today")
        if fate < 0.16:
            return OrderAck(AckStatus.UNKNOWN, key, reason="lost on the way")
        self._enter(approved)
        if rng.random() < 0.2 and not self._is_quiet:
            self._fill(key, rng, told=True)  # faster than the answer
        if fate < 0.3:
            raise BrokerUnavailable("the answer was lost")
        if fate < 0.45:
            let_go = asyncio.Event()
            self._held_answers.append(let_go)
            await let_go.wait()
        self._passes("answer")
        return OrderAck(AckStatus.ACCEPTED, key, self.books.orders[key].ref)

    async def replace(self, approved: Approved, client_order_id: str) -> OrderAck:
        return OrderAck(AckStatus.REJECTED, approved.request.client_order_id, reason="orders are not replaced here")

    async def cancel(self, client_order_id: str) -> OrderAck:
        self._passes("call")
        rng = self._random(f"cancel {client_order_id} {len(self.books.cancels)}")
        self.books.cancels.append(client_order_id)
        order = self.books.orders.get(client_order_id)
        if not self.books.is_up or rng.random() < 0.2:
            self._write()
            return OrderAck(AckStatus.UNKNOWN, client_order_id, reason="the line is down")
        if order is None or not order.is_open:
            self._write()
            return OrderAck(AckStatus.REJECTED, client_order_id, reason="the order is not open")
        self._end(client_order_id, BrokerOrderState.CANCELLED, told=rng.random() < 0.8)
        self._passes("answer")
        return OrderAck(AckStatus.ACCEPTED, client_order_id, order.ref)

    async def orders(self) -> Sequence[BrokerOrder]:
        self._ask()
        step = self.books.step
        shown = [
            order for key, order in self.books.orders.items() if order.is_open or step - self.books.ended[key] < 4
        ]
        if not self.capabilities.client_order_ids:
            shown = [replace(order, client_order_id=None) for order in shown]
        self._passes("answer")
        return shown

    async def fills_since(self, ts_ns: int) -> Sequence[Fill]:
        self._ask()
        shown = [fill for fill in self.books.fills if fill.ts_ns >= ts_ns and not self._is_taken_back(fill)]
        self._passes("answer")
        return shown

    async def positions(self) -> Mapping[str, BrokerPosition]:
        self._ask()
        return {symbol: BrokerPosition(qty, Decimal(150_000)) for symbol, qty in self.held().items() if qty}

    async def balance(self) -> Balance | None:
        self._ask()
        return Balance("KRW", self.cash(), self.cash())

    async def charges(self, day: date) -> Charges | None:
        return None

    # -- what happens at it --------------------------------------------------------------------------------

    def held(self) -> dict[str, Decimal]:
        """Return the shares by symbol: the sum of what was executed and not taken back."""
        held: dict[str, Decimal] = {}
        for fill in self.books.fills:
            if not self._is_taken_back(fill):
                held[fill.symbol] = held.get(fill.symbol, Decimal(0)) + fill.side.sign * fill.qty
        return {symbol: qty for symbol, qty in held.items() if qty}

    def cash(self) -> Decimal:
        """Return the cash: what there was at the opening, and what was executed and not taken back."""
        kept = [fill for fill in self.books.fills if not self._is_taken_back(fill)]
        return OPENING - sum((f.side.sign * f.qty * f.price + f.fee + f.tax for f in kept), Decimal(0))

    @property
    def is_settled(self) -> bool:
        """Return whether no order is open and everything was told."""
        return not self.books.waiting and not any(order.is_open for order in self.books.orders.values())

    def step(self, symbol: str, now_ns: int, *, quiet: bool) -> None:
        """Let one step pass, at ``now_ns``; ``quiet``: nothing new happens, and what is open ends."""
        books = self.books
        books.step += 1
        rng = self._random(f"step {books.step}")
        books.is_up = quiet or rng.random() >= 0.1
        books.now_ns, self._is_quiet = now_ns, quiet
        if not books.is_up:
            self._later(BrokerDisconnect(NAME, "the line is down", now_ns), 0)
        for key in [key for key, order in books.orders.items() if order.is_open]:
            fate = rng.random()
            if quiet and books.orders[key].side is Side.SELL:
                self._fill(key, rng, told=True, whole=True)
            elif quiet:
                self._end(key, BrokerOrderState.CANCELLED, told=True)
            elif fate < 0.45:
                self._fill(key, rng, told=rng.random() < 0.8)
            elif fate < 0.55:
                self._end(key, BrokerOrderState.CANCELLED, told=rng.random() < 0.7)
            elif fate < 0.6 and not books.orders[key].filled:
                self._end(key, BrokerOrderState.REJECTED, told=rng.random() < 0.7)
        if not quiet and rng.random() < 0.1:
            self._trade_by_hand(symbol, rng)
        if not quiet and books.fills and rng.random() < 0.08:
            self._take_back(rng)
        self._write()
        for answer in self._held_answers:
            answer.set()
        self._held_answers.clear()
        for one in [one for one in books.waiting if one.step <= books.step or quiet]:
            self._tell(one)

    # -- inside --------------------------------------------------------------------------------------------

    _is_quiet = False

    def _ask(self) -> None:
        self._passes("call")
        if not self.books.is_up:
            raise BrokerUnavailable(f"broker {NAME} is not connected")

    def _enter(self, approved: Approved) -> None:
        request = approved.request
        self.books.now_ns = max(self.books.now_ns, request.ts_ns)
        ref = VenueRef(DAY, f"o{len(self.books.orders) + 1}", NAME)
        self.books.orders[request.client_order_id] = BrokerOrder(
            request.client_order_id,
            ref,
            request.symbol,
            request.side,
            request.qty,
            Decimal(0),
            BrokerOrderState.OPEN,
        )
        self._write()

    def _fill(self, key: str, rng: random.Random, *, told: bool, whole: bool = False) -> None:
        order = self.books.orders[key]
        qty = order.remaining if whole or rng.random() < 0.5 else Decimal(rng.randint(1, int(order.remaining)))
        last = qty == order.remaining
        state = BrokerOrderState.FILLED if last else BrokerOrderState.OPEN
        self.books.orders[key] = replace(order, filled=order.filled + qty, state=state)
        price = Decimal(150_100)
        sold = order.side is Side.SELL
        tax = Decimal(int(qty * price * 2 / 1000)) if sold else Decimal(0)
        fill = Fill(
            NAME,
            f"x{len(self.books.fills) + 1}",
            key,
            order.symbol,
            order.side,
            qty,
            price,
            Decimal(int(qty * price / 10_000)),
            tax,
            self.books.now_ns,
            last,
        )
        self.books.fills.append(fill)
        if last:
            self.books.ended[key] = self.books.step
        if told:
            self._later(fill, rng.choice((0, 0, 0, 2)), again=rng.random() < 0.2)
        self._write()

    def _end(self, key: str, state: BrokerOrderState, *, told: bool) -> None:
        order = self.books.orders[key]
        self.books.orders[key] = replace(order, state=state)
        self.books.ended[key] = self.books.step
        kind = OrderRejected if state is BrokerOrderState.REJECTED else OrderCancelled
        if told:
            self._later(kind(NAME, key, order.symbol, self.books.now_ns, "as the seed says"), 0)
        self._write()

    def _trade_by_hand(self, symbol: str, rng: random.Random) -> None:
        number = sum(key.startswith("app") for key in self.books.orders) + 1
        key, qty = f"app{number}", Decimal(rng.randint(1, 5))
        ref = VenueRef(DAY, f"o{len(self.books.orders) + 1}", NAME)
        order = BrokerOrder(key, ref, symbol, Side.BUY, qty, Decimal(0), BrokerOrderState.OPEN)
        self.books.orders[key] = order
        self._fill(key, rng, told=rng.random() < 0.7)

    def _take_back(self, rng: random.Random) -> None:
        fill = rng.choice(self.books.fills)
        if self._is_taken_back(fill) or fill.side is Side.SELL or self.held().get(fill.symbol, 0) < fill.qty:
            return
        self.books.busts.append(fill.execution_id)
        ids = (NAME, fill.execution_id, fill.client_order_id, fill.symbol)
        report = FillReversed(*ids, fill.ts_ns, self.books.now_ns, "price out of line")
        self._later(report, 0, again=rng.random() < 0.2)

    def _is_taken_back(self, fill: Fill) -> bool:
        return fill.execution_id in self.books.busts

    def _later(self, report: Report, steps: int, *, again: bool = False) -> None:
        self.books.waiting.append(Told(self.books.step + steps, report, again))

    def _tell(self, one: Told) -> None:
        """Give a report to the session; it is written off when the session has it on disk."""
        self._passes("report")
        self.publish(one.report)
        self.acknowledge()
        self._passes("reported")
        self.books.waiting.remove(one)
        if one.again:
            self._later(one.report, 1)
        self._write()

    def _random(self, what: str) -> random.Random:
        return random.Random(f"{self._seed} {what}")

    def _write(self) -> None:
        beside = self._path.with_suffix(".new")
        beside.write_bytes(msgspec.json.encode(self.books))
        os.replace(beside, self._path)
