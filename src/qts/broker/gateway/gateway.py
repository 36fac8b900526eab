"""The gateway as the session sees it: orders, cancels and questions are handed over and never waited for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

from qts.broker.contracts import Broker
from qts.broker.gateway.admission import Admission, WhyNot
from qts.broker.gateway.arrivals import ANSWER, ANSWER_FIRST, ANSWERED, AS_THEY_COME, CUT_OFF, TAKEN_BACK, Arrivals
from qts.broker.gateway.config import GatewayConfig
from qts.broker.gateway.lanes import Lane
from qts.broker.gateway.limits.messages import Messages
from qts.broker.gateway.limits.order_limits import OrderLimits
from qts.broker.gateway.queries import LaneQueries
from qts.broker.gateway.questions import CONNECT, GIVEN_UP, Answered, failure_of
from qts.broker.gateway.repeated_worker import RepeatedWorker
from qts.broker.gateway.requests import Cancel, Place, Question, checked, unknown, unnamed, unsent
from qts.broker.gateway.sent_file import SentFile
from qts.broker.gateway.tokens import ElapsedTime
from qts.broker.gateway.view import GatewayView
from qts.broker.gateway.worker import Worker
from qts.broker.sending import Ticket
from qts.clock import Clock
from qts.errors import StorageError
from qts.execution.contracts import AckStatus, OrderAck, VenueRef
from qts.risk.contracts import Approved, OrderRequest
from qts.threads import off_loop

_CLOSE_S: Final = 5.0
"""Real time that a broker has to close its connection."""
T = TypeVar("T")


class Gateway:
    """The only way to ``broker``, an :class:`~qts.broker.sending.OrderSender`. For the session's thread.

    With a ``file`` the broker lives on a thread and an event loop of its own, and an order is in the file,
    confirmed by the disk, before it leaves. Without one, on the virtual clock and at a simulated venue, the same
    happens at once: the broker may not suspend, nothing is written, and no request has to wait for its turn.
    ``complete`` runs a coroutine that does not suspend.

    ``why_not`` is asked right before an order leaves, ``ref_of`` for the number of an order right before its cancel
    does, ``is_settled`` whether an order's fate is known; all are called on the gateway's thread and only read.
    ``limits`` are asked before an order enters a lane; None: there are none. ``why_not_part`` is asked then about
    each part of an execution, whose parts together never exceed what was approved.
    ``on_failed`` is called when memory holds a half-done effect or the file has failed: the session has to end;
    ``on_late_answer`` with the answer to an order that was told to be UNKNOWN; ``on_number`` with an order and the
    number that a broker gave to its cancel. ``arrivals``: the order in which the session takes what comes from the
    gateway's thread; where it is repeated ``broker`` is never called.
    """

    def __init__(
        self,
        broker: Broker,
        clock: Clock,
        *,
        config: GatewayConfig,
        file: SentFile | None,
        why_not: WhyNot,
        is_settled: Callable[[str], bool],
        ref_of: Callable[[str], VenueRef | None],
        on_failed: Callable[[str, BaseException], object],
        on_late_answer: Callable[[OrderAck], object],
        on_number: Callable[[str, VenueRef], object],
        complete: Callable[[Coroutine[Any, Any, OrderAck]], OrderAck],
        limits: OrderLimits | None = None,
        why_not_part: WhyNot | None = None,
        arrivals: Arrivals = AS_THEY_COME,
    ) -> None:
        self._arrivals = arrivals
        self._broker = broker
        self._file = file
        self._on_failed = on_failed
        self._on_late_answer = on_late_answer
        self._ref_of = ref_of
        self._on_number = on_number
        self._complete = complete
        self._limits = limits
        self._why_not_part = why_not_part
        counted = None if limits is None else limits.counted
        self._messages = Messages.uncounted(clock) if counted is None else counted.messages
        elapsed = ElapsedTime(clock)
        used = [] if file is None else [one.approval_id for one in file.sent()]
        admission = self._admission = Admission(clock, elapsed, why_not, used)
        self._worker: Worker | RepeatedWorker | None = None
        if arrivals.is_repeated:
            self._worker = RepeatedWorker()
        elif file is not None:
            given = admission, elapsed, clock, config, self, is_settled, ref_of, self._messages
            self._worker = Worker(broker, file, *given)
        self._orders: dict[str, Place] = {}
        self._cancels: dict[str, Cancel] = {}
        self._questions = self._asked = 0
        self._answers: deque[tuple[Place | Cancel, OrderAck]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()
        self._answered: list[str] = [] if file is None else [one.client_order_id for one in file.sent()]
        """Orders whose answer no checkpoint on disk contains yet."""
        self._in_checkpoint: list[str] = []
        self.resolving = LaneQueries(broker, self, Lane.RESOLVE)
        """The broker for questions about what became of orders."""
        self.queries = LaneQueries(broker, self, Lane.BACKGROUND)
        """The broker for all other questions."""

    @property
    def in_flight(self) -> int:
        """Return the number of requests that were given away and are not answered."""
        return len(self._orders) + len(self._cancels) + self._questions

    def view(self) -> GatewayView | None:
        """Return what a session shows of it; None where every request leaves at once."""
        return None if self._worker is None else self._worker.view()

    # -- orders ----------------------------------------------------------------------------------------------------

    def submit(self, approved: Approved) -> Ticket:
        """Send one approved order."""
        order, worker = Place(approved), self._worker
        refusal = None if self._limits is None else self._limits.refusal_of(approved.request)
        if refusal is not None:
            order.ticket.answer(unsent(order.client_order_id, refusal.text))
        elif approved.request.parent_id and (why := self._why_too_much(approved.request)):
            order.ticket.answer(unsent(order.client_order_id, why))
        elif worker is None:
            order.ticket.answer(self._place_now(order))
        else:
            self._loop = asyncio.get_running_loop()
            self._orders[order.client_order_id] = order
            try:
                worker.put(order, order.lane)
            except StorageError as error:
                self._answer(order, unsent(order.client_order_id, str(error)))
                self._on_failed("the gateway's thread", error)
        return order.ticket

    def _why_too_much(self, part: OrderRequest) -> str:
        """Return why a part of an execution may not leave; without anyone who knows its execution none may."""
        return "no one knows its execution" if self._why_not_part is None else self._why_not_part(part)

    def cancel(self, client_order_id: str) -> Ticket:
        """Request the cancel of an order; return the ticket of a request under way if there is one."""
        request = self._cancels.get(client_order_id)
        if request is None:
            request = Cancel(client_order_id)
            if self._worker is None:
                ack = self._cancel_now(client_order_id)
                self._note_number(request, ack)
                request.ticket.answer(ack)
            else:
                self._loop = asyncio.get_running_loop()
                self._cancels[client_order_id] = request
                try:
                    self._worker.put(request, Lane.CANCEL)
                except StorageError as error:
                    self._answer(request, unknown(client_order_id, error))
                    self._on_failed("the gateway's thread", error)
        return request.ticket

    def take_back(self, client_order_id: str, why: str) -> bool:
        """Take back an order that has not left; return whether it had not."""
        order = self._orders.get(client_order_id)
        if order is None or self._worker is None:
            return False
        if not self._arrivals.take(TAKEN_BACK, client_order_id, self._worker.take_back(order)):
            return False
        self._answer(order, unsent(client_order_id, why))
        return True

    def deliver(self) -> None:
        """Pass on the answers that are there, ahead of a report."""
        self._deliver(ANSWER_FIRST)

    def deliver_repeated(self) -> None:
        """Pass on the answer that comes next in a record that is repeated."""
        self._deliver_next(ANSWER)

    def _deliver(self, kind: str) -> None:
        while self._answers:
            request, ack = self._answers.popleft()
            self._arrivals.take(kind, request.name, ack)
            self._answer(request, ack)
        while self._arrivals.next_key(ANSWER_FIRST):
            self._deliver_next(ANSWER_FIRST)

    def _deliver_next(self, kind: str) -> None:
        assert isinstance(self._worker, RepeatedWorker)  # nothing else repeats
        key = self._arrivals.next_key(kind)
        ack: OrderAck = self._arrivals.take(kind, key)
        self._answer(self._worker.answered(key, ack), ack)

    def let_exits_wait(self, waiting: bool) -> None:
        """Note whether an exit waits until the fate of an order is known."""
        if self._worker is not None:
            self._worker.exits_wait = waiting

    def _place_now(self, order: Place) -> OrderAck:
        why = self._admission.use_at_once(order.approved)
        if why:
            return unsent(order.client_order_id, why)
        self._messages.add()
        return self._now(order.client_order_id, self._broker.place(order.approved))

    def _cancel_now(self, key: str) -> OrderAck:
        ref = self._ref_of(key)
        if ref is None and not self._broker.capabilities.client_order_ids:
            return unnamed(key)
        self._messages.add()
        return self._now(key, self._broker.cancel(key, ref))

    def _now(self, key: str, request: Coroutine[Any, Any, OrderAck]) -> OrderAck:
        try:
            return checked(self._complete(request), key)
        except Exception as error:  # noqa: BLE001 - whatever it raises: it may have been sent
            return unknown(key, error)

    def _answer(self, request: Place | Cancel, ack: OrderAck) -> None:
        key = request.client_order_id
        of_kind: dict[str, Any] = self._orders if isinstance(request, Place) else self._cancels
        if of_kind.get(key) is request:
            del of_kind[key]
        is_late = request.ticket.ack is not None
        if isinstance(request, Place) and not is_late:
            self._answered.append(key)
        try:
            self._note_number(request, ack)
            if not is_late:
                request.ticket.answer(ack)
            elif isinstance(request, Place) and ack.status is not AckStatus.UNKNOWN:
                self._on_late_answer(ack)
        except Exception as error:  # noqa: BLE001 - the edge: the session has to end, not the call
            self._on_failed(f"the answer to order {key}", error)
        self._changed.set()

    def _note_number(self, request: Place | Cancel, ack: OrderAck) -> None:
        if isinstance(request, Cancel) and ack.ref is not None:
            self._on_number(ack.client_order_id, ack.ref)

    # -- the gateway's thread --------------------------------------------------------------------------------------

    def on_answer(self, request: Place | Cancel, ack: OrderAck) -> None:
        """Return an answer to the session: as a call on its loop, or earlier by :meth:`deliver`."""
        self._answers.append((request, ack))
        self._on_loop(partial(self._deliver, ANSWER))

    def on_failure(self, effect: str, error: Exception) -> None:
        """End the session: ``effect`` is not whole."""
        self._on_loop(partial(self._on_failed, effect, error))

    def _on_loop(self, call: Callable[[], object]) -> None:
        assert self._loop is not None  # every request names it before the thread has the request
        with suppress(RuntimeError):  # the loop is closed: the session has ended, and its file has the answer
            self._loop.call_soon_threadsafe(call)

    # -- questions -------------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Open the broker's connection; from the call on no request leaves before it is open."""
        if self._worker is not None:
            self._worker.is_connecting = True
        await self.ask(None, self._broker.connect, CONNECT)
        if self._worker is not None:
            self._worker.is_connecting = False

    async def ask(self, lane: Lane | None, question: Callable[[], Awaitable[T]], name: str) -> T:
        """Implement :class:`~qts.broker.gateway.queries.Asks`."""
        worker = self._worker
        if worker is None:
            return await question()
        self._asked += 1
        key = f"{name}:{self._asked}"
        self._questions += 1
        try:
            if isinstance(worker, RepeatedWorker):
                told: Answered = await self._arrivals.turn(ANSWERED, key)
                answer: T = told.result()
            else:
                answer = await self._recorded(self._answer_of(worker, lane, question), key)
            return answer
        finally:
            self._questions -= 1
            self._changed.set()

    async def _recorded(self, answer: Awaitable[T], key: str) -> T:
        """Return ``answer``, taken in its order."""
        try:
            found = await answer
        except asyncio.CancelledError:
            self._arrivals.take(ANSWERED, key, GIVEN_UP)
            raise
        except Exception as error:
            self._arrivals.take(ANSWERED, key, failure_of(error))
            raise
        self._arrivals.take(ANSWERED, key, Answered(found))
        return found

    async def _answer_of(self, worker: Worker, lane: Lane | None, question: Callable[[], Awaitable[T]]) -> T:
        asked = Question(question)
        self._loop = asyncio.get_running_loop()
        try:
            if lane is None:
                worker.ask_at_once(asked)
            else:
                worker.put(asked, lane)
            answer: T = await asked.future
            return answer
        except asyncio.CancelledError:
            worker.drop(asked)
            raise

    # -- what is stored --------------------------------------------------------------------------------------------

    def fate_of(self, client_order_id: str) -> OrderAck:
        """Return what is known of an order that an earlier process was about to send."""
        if self._file is not None:
            return self._file.fate_of(client_order_id)
        return OrderAck(AckStatus.UNKNOWN, client_order_id, reason="the session ended while it was sent")

    def begin_checkpoint(self) -> None:
        """Note that a checkpoint is made, which contains the answers until now."""
        if self._file is not None:
            self._in_checkpoint = list(self._answered)

    def end_checkpoint(self) -> None:
        """Note that it is on disk: the file need not hold what became of those orders."""
        if self._file is not None and self._in_checkpoint:
            stored, self._in_checkpoint = set(self._in_checkpoint), []
            self._file.settle(stored)
            self._answered = [key for key in self._answered if key not in stored]

    def export_state(self) -> dict[str, int]:
        """Return how many orders were written down, for a checkpoint."""
        return {"sent": 0 if self._file is None else self._file.count}

    def import_state(self, saved: Mapping[str, int]) -> None:
        """Continue from :meth:`export_state`: a file that knows of fewer orders was put back from a copy."""
        if self._file is not None:
            self._file.require(saved["sent"])

    # -- the end ---------------------------------------------------------------------------------------------------

    async def close(self, grace_s: float) -> None:
        """Wait ``grace_s`` of real time for what is under way, then cut it off."""
        if self._worker is None:
            return
        if not self._arrivals.is_repeated:
            await self._wait_for_answers(grace_s)
        waiting = {request.name: request for request in self._worker.take_orders()}
        for name in await self._arrivals.turn(CUT_OFF, "", tuple(waiting)):
            request = waiting[name]
            key, why = request.client_order_id, "the session ended before its turn"
            cut_off = OrderAck(AckStatus.UNKNOWN, key, reason="cut off before it was sent")
            self._answer(request, unsent(key, why) if isinstance(request, Place) else cut_off)
        self._worker.cut_off()
        left: list[Place | Cancel] = [*self._orders.values(), *self._cancels.values()]
        for request in left:
            key = request.client_order_id
            self._answer(request, OrderAck(AckStatus.UNKNOWN, key, reason="cut off while it was sent"))

    async def _wait_for_answers(self, grace_s: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + grace_s
        while (self._orders or self._cancels) and loop.time() < until:
            self._changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), max(until - loop.time(), 0))

    async def end(self) -> None:
        """Close the broker's connection, within seconds, and end the gateway's thread."""
        if self._worker is None:
            await self._broker.close()
            return
        if isinstance(self._worker, RepeatedWorker):
            return
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._answer_of(self._worker, None, self._broker.close)
        except (TimeoutError, StorageError):
            return  # what hangs there, or is left there by a thread that has ended, ends with the process
        finally:
            self._worker.end()
            await off_loop(partial(self._worker.join, _CLOSE_S))
