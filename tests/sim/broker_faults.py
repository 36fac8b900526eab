"""What goes wrong between a session and its broker, drawn from a seed: answers, notices, lists, cancels.

Every fault leaves the broker's own books right; a :class:`~tests.sim.broker_recount.Recount` is told beside them
what happens there.
"""

from __future__ import annotations

import random
from collections import Counter
from json import JSONDecodeError

from qts.execution.contracts import AckStatus, OrderAck, VenueRef
from qts.risk.contracts import Approved
from qts.strategy.contracts import Side
from tests.broker.scripted import ScriptedBroker
from tests.runtime.test_recovery import RunningSession
from tests.sim.broker_recount import Recount


class ServerError(Exception):
    """A status of 500 and more, as a client library raises it."""


NO_ANSWER = {
    "timeout": lambda: TimeoutError("no answer"),
    "cut": lambda: ConnectionResetError("the connection was cut"),
    "server error": lambda: ServerError("502 Bad Gateway"),
    "unreadable body": lambda: JSONDecodeError("Expecting value", "<html>", 0),
    "empty answer": lambda: AckStatus.UNKNOWN,
}
"""Answers that prove nothing, by kind; each after the order has arrived, or in its place."""


class FaultyBroker(ScriptedBroker):
    """The scripted broker; an order is answered as its :class:`Faults` draw, and each call is counted."""

    faults: Faults

    async def place(self, approved: Approved) -> OrderAck:
        self.faults.before_an_order(approved)
        return await super().place(approved)

    async def cancel(self, client_order_id: str, ref: VenueRef | None) -> OrderAck:
        return await self.faults.cancelled(client_order_id, super().cancel(client_order_id, ref))


class Faults:
    """The faults of one session at ``broker``."""

    def __init__(self, broker: FaultyBroker, seed: int) -> None:
        self.broker, self.rng = broker, random.Random(seed)
        self.recount = Recount(int(broker.books.cash or 0))
        self.unsure: Counter[str] = Counter()
        """Orders and cancels after which the session cannot know what has happened, by what went wrong."""
        self.untold: Counter[str] = Counter()
        """Notices and lists that were lost, doubled or late."""
        self.late: list[tuple[int, OrderAck]] = []
        """Answers that come after their order was given up: the step, and the answer."""
        self.step = 0
        self.is_calm = False
        """Whether nothing goes wrong any more."""
        self._in_a_row = 0
        self._script: bool | None = None
        broker.faults = self

    def of(self, running: RunningSession) -> None:
        """Go on with another process of the session."""
        self.orders = running.shared.orders
        self.broker.now_ns = running.clock.time_ns

    # -- answers -----------------------------------------------------------------------------------------------

    def script(self, *, arrives: bool) -> None:
        """Let the next order have no answer, and reach the broker or not."""
        self._script = arrives

    def before_an_order(self, approved: Approved) -> None:
        rng, broker, request = self.rng, self.broker, approved.request
        key = request.client_order_id
        self.recount.called(key)
        broker.answers.clear()
        broker.receives = True
        fate = rng.random()
        if self.is_calm:
            self._in_a_row = 0
        elif self._script is not None:
            broker.answers.append(TimeoutError("no answer"))
            broker.receives, self._script = self._script, None
        elif fate < 0.08:
            broker.answers.append(AckStatus.REJECTED)
            return
        elif fate < 0.68 and self._in_a_row < 8:  # safety stops at the tenth failure in a row
            self._in_a_row += 1
            kind = rng.choice(tuple(NO_ANSWER))
            broker.answers.append(NO_ANSWER[kind]())
            broker.receives = rng.random() < 0.6
            self.unsure[f"{kind} {'after' if broker.receives else 'before'} it arrived"] += 1
        else:
            self._in_a_row = 0
        if broker.receives and broker.is_up:
            self.recount.arrived(key, int(request.qty), is_sale=request.side is Side.SELL)
            if self._in_a_row and rng.random() < 0.25:
                self.unsure["the answer came late"] += 1
                self.late.append((self.step + rng.randint(1, 4), OrderAck(AckStatus.ACCEPTED, key)))

    async def cancelled(self, key: str, cancel: object) -> OrderAck:
        rng, order = self.rng, self.broker.books.orders.get(key)
        fate = 0.5 if self.is_calm else rng.random()
        if order is not None and order.is_open and fate < 0.2:
            self.unsure["a fill was faster than the cancel"] += 1
            self.executes(key, int(order.remaining), told=rng.random() < 0.5)
        if fate > 0.85:
            self.unsure["a cancel was lost before it arrived"] += 1
            cancel.close()  # type: ignore[attr-defined]
            raise TimeoutError("no answer")
        ack: OrderAck = await cancel  # type: ignore[misc]
        if ack.status is AckStatus.ACCEPTED:
            self.ends(key, told=self.is_calm or rng.random() < 0.5)
            if fate > 0.6:
                self.unsure["a cancel was carried out, its answer lost"] += 1
                raise ServerError("504 Gateway Timeout")
        return ack

    def is_known(self, key: str) -> bool:
        """Return whether the session can name an order to the broker, and take news of it for its own."""
        ours = self.orders.get(key)
        return self.broker.capabilities.client_order_ids or (ours is not None and bool(ours.venue_refs))

    def late_answers(self) -> list[OrderAck]:
        """Return the answers that come in this step."""
        due = [ack for step, ack in self.late if step <= self.step]
        self.late = [(step, ack) for step, ack in self.late if step > self.step]
        orders = self.broker.books.orders
        return [OrderAck(ack.status, ack.client_order_id, orders[ack.client_order_id].ref) for ack in due]

    # -- the broker's own will -----------------------------------------------------------------------------------

    def at_the_broker(self) -> None:
        rng, broker = self.rng, self.broker
        broker.holds_notices = rng.random() < 0.3
        for key, order in list(broker.books.orders.items()):
            if not order.is_open or key not in self.recount.ordered:
                continue
            told = self.is_known(key) and rng.random() < 0.7
            twice = told and rng.random() < 0.2 and broker.capabilities.execution_ids  # else each is told once
            broker.repeats = int(twice)
            fate = rng.random()
            if fate < 0.35:
                self.executes(key, rng.randint(1, int(order.remaining)), told=told)
            elif fate < 0.45:
                self.ends(key, told=told)
        broker.repeats = 0
        while broker.held_notices and rng.random() < 0.7:
            broker.let_notice(rng.randrange(len(broker.held_notices)))

    def executes(self, key: str, qty: int, *, told: bool) -> None:
        price = 150_000 + 100 * self.rng.randint(0, 1)
        self.untold["a notice was lost"] += not told
        self.untold["a notice was doubled"] += bool(told and self.broker.repeats)
        self.untold["a notice was kept back"] += told and self.broker.holds_notices
        self.broker.fill(key, qty, price, self.broker.now_ns(), told=told)
        self.recount.executed(key, qty, price)

    def ends(self, key: str, *, told: bool) -> None:
        self.untold["a notice was lost"] += not told
        self.broker.end(key, self.broker.now_ns(), told=told)
        self.recount.ended(key)

    # -- questions -------------------------------------------------------------------------------------------------

    def before_a_question(self) -> None:
        self.broker.is_up = self.rng.random() < 0.9
        if self.rng.random() < 0.2:
            self.broker.pages.extend([""] * self.rng.randint(0, 1) + ["the body was empty"])
        self.untold["a list was not read"] += not self.broker.is_up or bool(self.broker.pages)

    def heals(self) -> None:
        self.broker.is_up = True
        self.broker.pages.clear()

    def calms_down(self) -> None:
        """Let nothing go wrong from now on, and tell what was kept back."""
        self.is_calm = True
        self.heals()
        self.broker.holds_notices, self.broker.repeats = False, 0
        while self.broker.held_notices:
            self.broker.let_notice()

    def executes_exits(self) -> None:
        """Execute what is open at the market, and tell it."""
        for key, order in list(self.broker.books.orders.items()):
            if order.is_open and order.limit is None and key in self.recount.ordered:
                self.executes(key, int(order.remaining), told=True)

    def ends_the_day(self) -> None:
        """Take out what is open, and tell what was kept back."""
        for key, order in list(self.broker.books.orders.items()):
            if order.is_open and key in self.recount.ordered:
                self.ends(key, told=False)
        while self.broker.held_notices:
            self.broker.let_notice()
