"""A real broker for sessions that are killed: its books are a file, so they outlive every process of a session.

Whatever changes them is written before it is told, as a broker's own books are. What happens at it, step
by step, follows from a seed and the number of the step alone: fills that are told, told twice, told later or never;
ends that it does not list any more, where it keeps our ids; executions taken back; trades of others; answers that
are late or lost.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import msgspec
from msgspec.structs import replace

from qts.broker.contracts import Balance, BrokerOrder, BrokerOrderState, BrokerPosition, Holdings
from qts.errors import BrokerUnavailable
from qts.execution.contracts import (
    AckStatus,
    BrokerDisconnect,
    Fill,
    FillReversed,
    OrderAck,
    OrderCancelled,
    OrderRejected,
    VenueRef,
)
from qts.money import minus, sum_of
from qts.risk.contracts import Approved
from qts.strategy.contracts import Side
from tests.broker.books import Books
from tests.broker.scripted import NAMED, Held, Report, ScriptedBroker

NAME = "world"
OPENING = Decimal(120_000_000)
"""Settled cash at the first start; the session is allotted 100,000,000 of it."""


class Told(msgspec.Struct):
    """A report that is told in step ``step``, if a session listens then, and with ``again`` a step later too."""

    step: int
    report: Fill | OrderCancelled | OrderRejected | FillReversed | BrokerDisconnect
    again: bool = False


class World(Books):
    """Everything that the broker has written down. ``ended``: in which step an order ended.

    ``exits``: orders that only reduce a risk. ``early``: entries that came from a process before it had read the
    books.
    """

    step: int = 0
    time_ns: int = 0
    ended: dict[str, int] = msgspec.field(default_factory=dict)
    sent: list[tuple[str, str]] = msgspec.field(default_factory=list)
    cancelled: list[str] = msgspec.field(default_factory=list)
    exits: list[str] = msgspec.field(default_factory=list)
    early: list[str] = msgspec.field(default_factory=list)
    waiting: list[Told] = msgspec.field(default_factory=list)
    is_up: bool = True


class WorldBroker(ScriptedBroker):
    """The scripted broker over the books in ``path``; ``passes`` is called at each place.

    The places are ``call`` and ``answer`` around each call, and ``report`` before each report.
    """

    books: World

    def __init__(self, path: Path, seed: int, passes: Callable[[str], object]) -> None:
        world = msgspec.json.decode(path.read_bytes(), type=World) if path.exists() else World(NAME, cash=OPENING)
        super().__init__(name=NAME, books=world, capabilities=replace(NAMED, client_order_ids=seed % 3 != 2))
        self.acknowledge: Callable[[], None] = lambda: None
        """Called after each report; returns when it is on the session's disk."""
        self.is_up = world.is_up
        self._path, self._seed, self._passes = path, seed, passes
        self._held_answers: list[Held] = []
        self._at_it = threading.RLock()
        """Held by whichever reads or changes the books: the gateway's thread, or the test that lets a step pass."""
        self._is_quiet = False
        self._read: set[str] = set()
        """The lists that this process of the session has read."""
        self._steps, self._again = 0, False
        """In how many steps the next notice is told, and whether it is told again."""

    # -- the port ----------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Tell at once what was missed, before the session asks."""
        for one in tuple(self.books.waiting):
            self.publish(one.report)  # and again later: no session has said that it has it

    async def place(self, approved: Approved) -> OrderAck:
        self._passes("call")
        with self._at_it:
            ack, held = self._placed(approved)
        if held is not None:
            await held.wait()
        self._passes("answer")
        return ack

    @property
    def held_back(self) -> int:
        """Return how many answers wait for the next step."""
        return len(self._held_answers)

    def _placed(self, approved: Approved) -> tuple[OrderAck, Held | None]:
        key = approved.request.client_order_id
        rng = self._random(f"place {key}")
        self.books.sent.append((key, approved.approval_id))
        if approved.request.reduce_only:
            self.books.exits.append(key)
        elif self._read != {"orders", "fills"}:
            self.books.early.append(key)
        self._changed()
        if not self.is_up:
            return OrderAck(AckStatus.UNKNOWN, key, reason="the line is down"), None
        fate = 1.0 if self._is_quiet else rng.random()
        if fate < 0.08:
            return OrderAck(AckStatus.REJECTED, key, reason="not today"), None
        if fate < 0.16:
            return OrderAck(AckStatus.UNKNOWN, key, reason="lost on the way"), None
        self.books.time_ns = max(self.books.time_ns, approved.request.ts_ns)
        self.books.enter(approved.request, self.venue)
        self._changed()
        if rng.random() < 0.2 and not self._is_quiet:
            self._execute(key, rng, told=True)  # faster than the answer
        if fate < 0.3:
            raise BrokerUnavailable("the answer was lost")
        held = Held() if fate < 0.45 else None
        if held is not None:
            self._held_answers.append(held)
        return OrderAck(AckStatus.ACCEPTED, key, self.books.orders[key].ref), held

    async def cancel(self, client_order_id: str, ref: VenueRef | None) -> OrderAck:
        self._passes("call")
        with self._at_it:
            rng = self._random(f"cancel {client_order_id} {len(self.books.cancelled)}")
            self.books.cancelled.append(client_order_id)
            self._changed()
            if rng.random() < 0.2:
                return OrderAck(AckStatus.UNKNOWN, client_order_id, reason="the line is down")
            ack = await super().cancel(client_order_id, ref)  # does not wait
            if ack.status is AckStatus.ACCEPTED:
                self._end(client_order_id, told=rng.random() < 0.8)
        if ack.status is AckStatus.ACCEPTED:
            self._passes("answer")
        return ack

    # None of these waits for anything, so the lock is held over a turn of no loop.

    async def orders(self) -> Sequence[BrokerOrder]:
        with self._at_it:
            told = await super().orders()
        self._read.add("orders")
        return told

    async def fills_since(self, ts_ns: int) -> Sequence[Fill]:
        with self._at_it:
            told = await super().fills_since(ts_ns)
        self._read.add("fills")
        return told

    async def positions(self) -> Mapping[str, BrokerPosition]:
        with self._at_it:
            return await super().positions()

    async def balance(self) -> Balance | None:
        with self._at_it:
            return await super().balance()

    async def holdings(self) -> Holdings:
        with self._at_it:
            return await super().holdings()

    # -- what happens at it --------------------------------------------------------------------------------

    @property
    def is_settled(self) -> bool:
        """Return whether no order is open and everything was told."""
        return not self.books.waiting and not any(order.is_open for order in self.books.orders.values())

    def step(self, symbol: str, now_ns: int, *, quiet: bool) -> None:
        """Let one step pass, at ``now_ns``; ``quiet``: nothing new happens, and what is open ends."""
        with self._at_it:
            told = self._stepped(symbol, now_ns, quiet=quiet)
        for one in told:
            self._give(one)

    def _stepped(self, symbol: str, now_ns: int, *, quiet: bool) -> list[Told]:
        books = self.books
        books.step += 1
        rng = self._random(f"step {books.step}")
        self.is_up = books.is_up = quiet or rng.random() >= 0.1
        books.time_ns, self._is_quiet = now_ns, quiet
        if not self.is_up:
            self._notify(BrokerDisconnect(NAME, "the line is down", now_ns))
        for key in [key for key, order in books.orders.items() if order.is_open]:
            fate = rng.random()
            if quiet and key in books.exits:  # what buys back a short holding too
                self._execute(key, rng, told=True, whole=True)
            elif quiet:
                self._end(key, told=True)
            elif fate < 0.45:
                self._execute(key, rng, told=rng.random() < 0.8)
            elif fate < 0.55:
                self._end(key, told=rng.random() < 0.7)
            elif fate < 0.6 and not books.orders[key].filled:
                self._end(key, told=rng.random() < 0.7, rejected=True)
        if not quiet and rng.random() < 0.1:
            # Where none of our ids is kept, an order of a person on the key of one of unknown fate may be that one:
            # only a person could say which it is.
            theirs = symbol if self.capabilities.client_order_ids else "000660"
            hand = self.order_by_hand(theirs, Side.BUY, rng.randint(1, 5), now_ns)
            self._execute(hand, rng, told=rng.random() < 0.7)
        if not quiet and books.fills and rng.random() < 0.08:
            self._take_back(rng)
        self._changed()
        for answer in self._held_answers:
            answer.let_go()
        self._held_answers.clear()
        return [one for one in books.waiting if one.step <= books.step or quiet]

    # -- inside --------------------------------------------------------------------------------------------

    def _asked(self, what: str) -> None:
        self._passes("call")
        super()._asked(what)

    async def _tell(self) -> None:
        self._passes("answer")

    def _is_listed(self, key: str, order: BrokerOrder) -> bool:
        """Keep an order that has ended for some steps; where only its row says whose it is, for the day."""
        is_kept = not self.capabilities.client_order_ids
        return order.is_open or is_kept or self.books.step - self.books.ended[key] < 4

    def _row(self, key: str, order: BrokerOrder) -> BrokerOrder | None:
        """Show of an order that has ended what is left of it after executions were taken back."""
        back = sum_of(
            fill.qty for fill in self.books.fills if fill.execution_id in self.books.busts and fill.ref == order.ref
        )
        if back and not order.is_open:
            order = replace(order, filled=minus(order.filled, back), state=BrokerOrderState.CANCELLED)
        return super()._row(key, order)

    def _execute(self, key: str, rng: random.Random, *, told: bool, whole: bool = False) -> None:
        order = self.books.orders[key]
        qty = order.remaining if whole or rng.random() < 0.5 else Decimal(rng.randint(1, int(order.remaining)))
        price = Decimal(150_100)
        tax = Decimal(int(qty * price * 2 / 1000)) if order.side is Side.SELL else Decimal(0)
        fee = Decimal(int(qty * price / 10_000))
        fill = self.books.fill(key, qty, price, self.books.time_ns, fee=fee, tax=tax)
        if fill.last:
            self.books.ended[key] = self.books.step
        if told:
            self._steps, self._again = rng.choice((0, 0, 0, 2)), rng.random() < 0.2
            self._notify(fill)
        self._changed()

    def _end(self, key: str, *, told: bool, rejected: bool = False) -> None:
        self.books.ended[key] = self.books.step
        self.end(key, self.books.time_ns, rejected=rejected, told=told)

    def _take_back(self, rng: random.Random) -> None:
        fill = rng.choice(self.books.fills)
        is_held = self.books.held.get(fill.symbol, 0) >= fill.qty
        if fill.execution_id in self.books.busts or fill.side is Side.SELL or not is_held:
            return
        self._again = rng.random() < 0.2
        self.take_back(fill, self.books.time_ns)

    def _notify(self, report: Report) -> None:
        """Write a report down, to be told in this step or a later one."""
        report, steps, again = self.as_told(report), self._steps, self._again
        self._steps, self._again = 0, False
        self.books.waiting.append(Told(self.books.step + steps, report, again))
        self._changed()

    def _give(self, one: Told) -> None:
        """Give a report to the session; it is written off when the session has it on disk."""
        self._passes("report")
        self.publish(one.report)
        self.acknowledge()
        self._passes("reported")
        with self._at_it:
            self.books.waiting.remove(one)
            if one.again:
                self.books.waiting.append(Told(self.books.step + 1, one.report))
            self._changed()

    def _random(self, what: str) -> random.Random:
        return random.Random(f"{self._seed} {what}")

    def _changed(self) -> None:
        beside = self._path.with_suffix(".new")
        beside.write_bytes(msgspec.json.encode(self.books))
        os.replace(beside, self._path)
