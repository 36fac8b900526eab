"""Two implementations of the order sender: requests run to completion at once, or in tasks beside the session."""

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
"""Real time that a broker has for an answer; a later one is found by querying the broker's books."""
MAX_IN_FLIGHT: Final = 64
"""Largest number of requests that wait for their answer at a time."""

_Request: TypeAlias = Callable[[], Coroutine[Any, Any, OrderAck]]


class InlineSender:
    """Runs each request to completion at once, for a simulated venue, whose methods never suspend.

    A request that does suspend is answered UNKNOWN.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def submit(self, approved: Approved) -> Ticket:
        """Send one approved order; its ticket is answered on return."""
        return _run_inline(approved.request.client_order_id, partial(self._broker.place, approved))

    def cancel(self, client_order_id: str) -> Ticket:
        """Request the cancel of an order; its ticket is answered on return."""
        return _run_inline(client_order_id, partial(self._broker.cancel, client_order_id))

    async def close(self, grace_s: float) -> None:
        """Do nothing: no request is in flight."""


class TaskSender:
    """Runs each request in a task of its own on the running event loop.

    At most ``most`` are in flight: an order beyond that is answered REJECTED without having been sent; a cancel, of
    which there is one for each order, waits for its turn. ``on_failed`` is called with the exception of a listener
    to an answer: memory then holds a half-done effect.
    """

    def __init__(
        self,
        broker: Broker,
        on_failed: Callable[[str, BaseException], object],
        *,
        timeout_s: float = ANSWER_TIMEOUT_S,
        most: int = MAX_IN_FLIGHT,
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
    def in_flight(self) -> int:
        """Return the number of requests that wait for their answer."""
        return len(self._tasks)

    def submit(self, approved: Approved) -> Ticket:
        """Send one approved order in a task. Raises RuntimeError where no event loop runs."""
        ticket = Ticket(approved.request.client_order_id)
        if self._is_full:
            reason = f"not sent: {self._most} requests are under way"
            ticket.answer(OrderAck(AckStatus.REJECTED, ticket.client_order_id, reason=reason))
        else:
            self._start(ticket, partial(self._broker.place, approved))
        return ticket

    def cancel(self, client_order_id: str) -> Ticket:
        """Request the cancel of an order in a task; return the ticket of a request in flight if there is one."""
        ticket = self._cancels.get(client_order_id)
        if ticket is None:
            ticket = self._cancels[client_order_id] = Ticket(client_order_id)
            ticket.when_answered(self._on_cancel_answered)
            self._waiting.append(ticket)
            self._start_waiting()
        return ticket

    async def close(self, grace_s: float) -> None:
        """Wait ``grace_s`` s of real time for requests in flight, then cut them off: they are answered UNKNOWN.

        Requests that an answer causes meanwhile, such as the cancel of an order of an ended exit, are sent too.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + grace_s
        while self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=max(until - loop.time(), 0))
            await asyncio.sleep(0)  # answers are given in callbacks of the tasks
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

    def _start_waiting(self) -> None:
        while self._waiting and not self._is_full:
            ticket = self._waiting.popleft()
            self._start(ticket, partial(self._broker.cancel, ticket.client_order_id))

    def _start(self, ticket: Ticket, request: _Request) -> None:
        key = ticket.client_order_id
        task = asyncio.get_running_loop().create_task(self._run(key, request), name=f"qts-send-{key}")
        self._tasks.add(task)
        task.add_done_callback(partial(self._done, ticket))

    async def _run(self, key: str, request: _Request) -> OrderAck:
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                return _checked(await request(), key)
        except Exception as error:  # noqa: BLE001 - whatever a client library raises: it may have been sent
            return _unknown(key, f"within {self._timeout_s:g} s" if limit.expired() else error)

    def _done(self, ticket: Ticket, task: asyncio.Task[OrderAck]) -> None:
        self._tasks.discard(task)
        self._start_waiting()
        key = ticket.client_order_id
        cut_off = OrderAck(AckStatus.UNKNOWN, key, reason="cut off while it was sent")
        ack = cut_off if task.cancelled() else task.result()
        try:
            ticket.answer(ack)
        except Exception as error:  # noqa: BLE001 - the edge of the task: the session has to end, not the task
            self._on_failed(f"the answer to order {key}", error)


def _run_inline(key: str, request: _Request) -> Ticket:
    try:
        ack = _checked(run_to_completion(request()), key)
    except Exception as error:  # noqa: BLE001 - whatever it raises: it may have been sent
        ack = _unknown(key, error)
    ticket = Ticket(key)
    ticket.answer(ack)
    return ticket


def _checked(ack: OrderAck, key: str) -> OrderAck:
    if ack.client_order_id != key:
        return _unknown(key, f"but one to order {ack.client_order_id}")
    return kept_ack(ack)


def _unknown(key: str, why: object) -> OrderAck:
    said = f"{type(why).__name__}: {why}" if isinstance(why, BaseException) else why
    return OrderAck(AckStatus.UNKNOWN, key, reason=kept_text(f"no answer: {said}"))
