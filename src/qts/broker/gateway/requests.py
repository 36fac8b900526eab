"""The requests that wait in the gateway's lanes, orders, cancels and questions, and their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias

from qts.broker.gateway.lanes import Lane, Waiting
from qts.broker.sending import Ticket
from qts.execution.contracts import AckStatus, OrderAck
from qts.execution.texts import kept_ack, kept_text
from qts.risk.contracts import Approved
from qts.strategy.contracts import Side


class Place:
    """An order on its way. ``expires_ns``: of its approval, by the time that has passed. ``waiting``: in a lane.

    ``is_ended``: what became of it was told; a late answer may follow. ``day``: the market's own date under which
    it counts as a message, "" before it does.
    """

    __slots__ = ("approved", "day", "expires_ns", "is_ended", "ticket", "waiting")

    def __init__(self, approved: Approved) -> None:
        self.approved = approved
        self.day = ""
        self.expires_ns = 0
        self.is_ended = False
        self.ticket = Ticket(approved.request.client_order_id)
        self.waiting: Waiting[Request] | None = None

    @property
    def client_order_id(self) -> str:
        """Return the id that we gave the order."""
        return self.ticket.client_order_id

    @property
    def name(self) -> str:
        """Return its name among all requests."""
        return f"order:{self.client_order_id}"

    @property
    def key(self) -> tuple[str, Side]:
        """Return its symbol and side: of one of these a broker without our ids can tell no two orders apart."""
        return self.approved.request.symbol, self.approved.request.side

    @property
    def lane(self) -> Lane:
        """Return the lane in which it leaves."""
        return Lane.EXIT if self.approved.request.reduce_only else Lane.ENTRY


class Cancel:
    """The cancel of an order on its way."""

    __slots__ = ("ticket",)

    def __init__(self, client_order_id: str) -> None:
        self.ticket = Ticket(client_order_id)

    @property
    def client_order_id(self) -> str:
        """Return the id of the order."""
        return self.ticket.client_order_id

    @property
    def name(self) -> str:
        """Return its name among the requests under way."""
        return f"cancel:{self.client_order_id}"


class Question:
    """A question to the broker on its way, asked on the running loop, which gets the answer in ``future``.

    ``is_asked``: its task has begun; one that has not would not count itself out when it is cancelled.
    """

    __slots__ = ("_loop", "ask", "future", "is_asked", "is_dropped", "task", "waiting")

    def __init__(self, ask: Callable[[], Awaitable[Any]]) -> None:
        self.ask = ask
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self._loop.create_future()
        self.waiting: Waiting[Request] | None = None
        self.task: asyncio.Task[None] | None = None
        self.is_asked = False
        self.is_dropped = False

    def answer(self, value: Any) -> None:
        """Pass the answer to the loop that asked; any thread."""
        self._on_loop(self.future.set_result, value)

    def fail(self, error: BaseException) -> None:
        """Raise ``error`` where the question was asked; any thread."""
        self._on_loop(self.future.set_exception, error)

    def _on_loop(self, resolve: Callable[[Any], None], value: Any) -> None:
        def once() -> None:
            if not self.future.done():
                resolve(value)

        with suppress(RuntimeError):  # the loop is closed: no one waits any more
            self._loop.call_soon_threadsafe(once)


Request: TypeAlias = Place | Cancel | Question


def checked(ack: OrderAck, key: str) -> OrderAck:
    """Return the answer to the request about order ``key`` as it can be kept; another order's proves nothing."""
    if ack.client_order_id != key:
        return unknown(key, f"but one to order {ack.client_order_id}")
    if ack.status is AckStatus.NOT_SENT:
        return unknown(key, "but that it was not sent, which no broker can know")
    return kept_ack(ack)


def unknown(key: str, why: object) -> OrderAck:
    """Return the answer to a request that was not answered; ``why``: what was raised instead, or a text."""
    said = f"{type(why).__name__}: {why}" if isinstance(why, BaseException) else why
    return OrderAck(AckStatus.UNKNOWN, key, reason=kept_text(f"no answer: {said}"))


def unnamed(key: str) -> OrderAck:
    """Return the answer to a cancel of an order by a broker that knows orders by a number which is not told yet."""
    return unknown(key, "its number at the broker is not known yet")


def unsent(key: str, why: str) -> OrderAck:
    """Return the answer to an order that never left."""
    return OrderAck(AckStatus.NOT_SENT, key, reason=kept_text(f"not sent: {why}"))
