"""Two ways of giving requests to a broker: run to their end at once, or in tasks beside everything else."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, TypeAlias

from qts.broker.contracts import Broker
from qts.execution.contracts import AckStatus, OrderAck
from qts.execution.texts import kept_ack, kept_text
from qts.pipeline.sending import Ticket
from qts.risk.contracts import Approved
from qts.runtime.drivers.sync import run_to_completion

ANSWER_TIMEOUT_S: Final = 5.0
"""Real time that a broker has for an answer; one that comes later is found by asking the broker's books."""
MOST_UNDER_WAY: Final = 64
"""Requests that may wait for their answer side by side."""

_Request: TypeAlias = Callable[[], Coroutine[Any, Any, OrderAck]]


class InlineSender:
    """Runs each request to its end at once, for a broker that never waits: a simulated venue's.

    One that does wait is answered UNKNOWN.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def submit(self, approved: Approved) -> Ticket:
        """Send one approved order; it is answered when this returns."""
        return _at_once(approved.request.client_order_id, partial(self._broker.place, approved))

    def cancel(self, client_order_id: str) -> Ticket:
        """Ask for an order to be taken out; it is answered when this returns."""
        return _at_once(client_order_id, partial(self._broker.cancel, client_order_id))

    async def close(self, grace_s: float) -> None:
        """Do nothing: nothing is under way."""


class TaskSender:
    """Runs each request in a task of its own on the running event loop.

    At most ``most`` are under way: an order beyond that is answered REJECTED without having been sent; a cancel, of
    which there is one for each order, waits for its turn. ``on_failed`` is called with what a listener of an answer
    has raised: half an effect stands in memory.
    """

    def __init__(
        self,
        broker: Broker,
        on_failed: Callable[[str, BaseException], object],
        *,
        timeout_s: float = ANSWER_TIMEOUT_S,
        most: int = MOST_UNDER_WAY,
    ) -> None:
        self._broker = broker
        self._on_failed = on_failed
        self._timeout_s = timeout_s
        self._most = most
        self._tasks: set[asyncio.Task[OrderAck]] = set()
        self._cancels: dict[str, Ticket] = {}
        self._waiting: deque[Ticket] = deque()
        """Cancels that are not sent yet."""

    @property
    def under_way(self) -> int:
        """Return how many requests wait for their answer."""
        return len(self._tasks)

    def submit(self, approved: Approved) -> Ticket:
        """Send one approved order in a task. Raises RuntimeError where no event loop runs."""
        ticket = Ticket(approved.request.client_order_id)
        if self._is_full:
            said = f"not sent: {self._most} requests are under way"
            ticket.answer(OrderAck(AckStatus.REJECTED, ticket.client_order_id, reason=said))
        else:
            self._begin(ticket, partial(self._broker.place, approved))
        return ticket

    def cancel(self, client_order_id: str) -> Ticket:
        """Ask for an order to be taken out in a task, unless such a request is under way."""
        ticket = self._cancels.get(client_order_id)
        if ticket is None:
            ticket = self._cancels[client_order_id] = Ticket(client_order_id)
            ticket.when_answered(self._on_cancel_answered)
            self._waiting.append(ticket)
            self._begin_waiting()
        return ticket

    async def close(self, grace_s: float) -> None:
        """Wait ``grace_s`` of real time for what is under way, then cut it off: it is answered UNKNOWN.

        What an answer causes meanwhile, such as the cancel of an order that nobody wants any more, is sent, too.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + grace_s
        while self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=max(until - loop.time(), 0))
            await asyncio.sleep(0)  # the answers are given in callbacks of the tasks
            if loop.time() >= until:
                break
        while self._waiting:
            key = self._waiting[0].client_order_id
            self._waiting.popleft().answer(OrderAck(AckStatus.UNKNOWN, key, reason="cut off before it was sent"))
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(tuple(self._tasks))
            await asyncio.sleep(0)

    def _on_cancel_answered(self, ack: OrderAck) -> None:
        self._cancels.pop(ack.client_order_id, None)

    @property
    def _is_full(self) -> bool:
        return len(self._tasks) >= self._most

    def _begin_waiting(self) -> None:
        while self._waiting and not self._is_full:
            ticket = self._waiting.popleft()
            self._begin(ticket, partial(self._broker.cancel, ticket.client_order_id))

    def _begin(self, ticket: Ticket, request: _Request) -> None:
        key = ticket.client_order_id
        task = asyncio.get_running_loop().create_task(self._run(key, request), name=f"qts-send-{key}")
        self._tasks.add(task)
        task.add_done_callback(partial(self._done, ticket))

    async def _run(self, key: str, request: _Request) -> OrderAck:
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                return _fitting(await request(), key)
        except Exception as error:  # noqa: BLE001 - whatever a client library raises: it may have left
            return _unknown(key, f"within {self._timeout_s:g} s" if limit.expired() else error)

    def _done(self, ticket: Ticket, task: asyncio.Task[OrderAck]) -> None:
        self._tasks.discard(task)
        self._begin_waiting()
        key = ticket.client_order_id
        cut_off = OrderAck(AckStatus.UNKNOWN, key, reason="cut off while it was sent")
        ack = cut_off if task.cancelled() else task.result()
        try:
            ticket.answer(ack)
        except Exception as error:  # noqa: BLE001 - the edge of the task: the session has to end, not the task
            self._on_failed(f"the answer to order {key}", error)


def _at_once(key: str, request: _Request) -> Ticket:
    try:
        ack = _fitting(run_to_completion(request()), key)
    except Exception as error:  # noqa: BLE001 - whatever it raises: it may have left
        ack = _unknown(key, error)
    ticket = Ticket(key)
    ticket.answer(ack)
    return ticket


def _fitting(ack: OrderAck, key: str) -> OrderAck:
    if ack.client_order_id != key:
        return _unknown(key, f"but one to order {ack.client_order_id}")
    return kept_ack(ack)


def _unknown(key: str, why: object) -> OrderAck:
    said = f"{type(why).__name__}: {why}" if isinstance(why, BaseException) else why
    return OrderAck(AckStatus.UNKNOWN, key, reason=kept_text(f"no answer: {said}"))
