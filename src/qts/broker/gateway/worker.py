"""The gateway's thread: takes requests from the lanes, writes orders down, calls the broker, returns answers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol

from qts.broker.contracts import Broker
from qts.broker.gateway.admission import Admission
from qts.broker.gateway.config import GatewayConfig
from qts.broker.gateway.file_thread import FileThread
from qts.broker.gateway.lanes import CAN_WAIT, Lane, Lanes, Waiting
from qts.broker.gateway.limits.messages import Messages
from qts.broker.gateway.own_thread import OwnThread
from qts.broker.gateway.requests import Cancel, Place, Question, Request, checked, unknown, unnamed, unsent
from qts.broker.gateway.sent_file import Answered, Asked, Sent, SentFile
from qts.broker.gateway.tokens import KEEPS_FROM, ElapsedTime, Tokens
from qts.broker.gateway.view import GatewayView, LaneView
from qts.clock import NS_PER_MS, NS_PER_S, Clock
from qts.errors import BrokerUnavailable, StorageError
from qts.execution.contracts import AckStatus, OrderAck, VenueRef
from qts.strategy.contracts import Side

_LATE_S: Final = 60.0
"""Real time after which an answer that is late is not waited for any more."""
_LOOK_S: Final = 0.05
"""Real time after which requests that wait are looked at again: for a token, or for the end of another order."""


class Answers(Protocol):
    """The part of the gateway that takes answers and failures; called on the gateway's thread."""

    def on_answer(self, request: Place | Cancel, ack: OrderAck) -> None:
        """Return the answer to a request to the session."""
        ...

    def on_failure(self, effect: str, error: Exception) -> None:
        """End the session: ``effect`` is not whole."""
        ...


class Worker:
    """The lanes, and what becomes of the requests in them.

    ``put``, ``take_back``, ``take_orders`` and ``view`` are for any thread, the rest is for its own.
    ``is_settled`` says of an order whether its fate is known, ``ref_of`` by which number it goes; both only read.
    """

    def __init__(
        self,
        broker: Broker,
        file: SentFile,
        admission: Admission,
        elapsed: ElapsedTime,
        clock: Clock,
        config: GatewayConfig,
        answers: Answers,
        is_settled: Callable[[str], bool],
        ref_of: Callable[[str], VenueRef | None],
        messages: Messages,
    ) -> None:
        self._broker = broker
        self._file = file
        self._admission = admission
        self._elapsed = elapsed
        self._clock = clock
        self._answers = answers
        self._is_settled = is_settled
        self._ref_of = ref_of
        self._messages = messages
        self._has_ids = broker.capabilities.client_order_ids
        self._answer_s = config.answer_ms / 1_000
        self._entry_ns = config.entry_wait_ms * NS_PER_MS
        self._most = config.in_flight
        self._kept = self._most // 2 if self._most >= KEEPS_FROM else 0
        before = elapsed.ns() if file.is_resumed else None  # a process may have used all of them a moment ago
        tokens = Tokens(broker.capabilities.requests_per_s, before)
        if file.is_resumed:
            messages.continue_after(*file.today)
        messages.waiting = self._messages_waiting
        self._lanes: Lanes[Request] = Lanes(tokens, self._exit_that_waits)
        self._lock = threading.Lock()
        self._thread = OwnThread("qts-gateway", self._work, partial(answers.on_failure, "the gateway's thread"))
        self._failed: asyncio.Future[None] | None = None
        """What the thread waits for while it works: the error by which it ends; None: it does not work."""
        self._is_due = False
        self._later: asyncio.TimerHandle | None = None
        self._disk: FileThread | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._written: dict[Place, list[Place]] = {}
        """Orders in the file that wait for the disk, those of one sync by the first of them."""
        self._looked_at = 0
        """The number of the newest request when it was last looked at what may leave."""
        self._in_flight = self._not_sent = self._too_old = 0
        self._under_way: dict[tuple[str, Side], str] = {}
        """Of a broker without our ids: the order of each key that was sent and is not answered, or is unknown."""
        self._unknown: set[str] = set()
        self._is_compacting = False
        self.is_connecting = False
        """Whether requests wait until the broker's connection is open."""
        self.exits_wait = False
        """Whether an exit that was not given to the gateway waits until the fate of an order is known."""

    # -- any thread ------------------------------------------------------------------------------------------------

    def put(self, request: Request, lane: Lane) -> None:
        """Add a request to the end of its lane.

        Raises StorageError where there is no thread for it: an order has not left then.
        """
        with self._lock:
            waiting = self._lanes.put(request, lane, self._elapsed.ns())
            if not isinstance(request, Cancel):
                request.waiting = waiting
            if isinstance(request, Place):
                request.expires_ns = self._admission.expires_ns(request.approved)
        try:
            self._thread.call(self._start_new)
        except StorageError:  # else the thread took it before it ended, and no one knows what became of it
            if isinstance(request, Cancel) or self.take_back(request):
                raise

    def take_back(self, request: Place | Question) -> bool:
        """Take out a request that has not left; return whether it had not."""
        with self._lock:
            return request.waiting is not None and self._lanes.remove(request.waiting)

    def take_orders(self) -> list[Place | Cancel]:
        """Take out every order and cancel that has not left."""
        with self._lock:
            return [one.request for one in self._lanes.take_all() if not isinstance(one.request, Question)]

    def ask_at_once(self, question: Question) -> None:
        """Ask a question that is no request to the broker: it waits for no token."""

        def begin() -> None:
            self._in_flight += 1
            question.task = self._run(self._ask(question))

        self._thread.call(begin)

    def drop(self, question: Question) -> None:
        """End a question that no one waits for any more."""

        def cancel() -> None:
            if question.is_asked and question.task is not None:
                question.task.cancel()

        question.is_dropped = True
        if not self.take_back(question):
            with suppress(StorageError):  # the thread has ended, and the question with it
                self._thread.call(cancel)

    def cut_off(self) -> None:
        """Cancel what waits for an answer of the broker; it is answered UNKNOWN."""
        with suppress(StorageError):  # the thread has ended, and did so
            self._thread.call(self._cut_off)

    def end(self) -> None:
        """End the thread and close the file; does not wait for it."""
        if not self._thread.end():
            self._file.close()

    def join(self, timeout_s: float) -> None:
        """Wait until the thread has ended, at most ``timeout_s`` of real time."""
        self._thread.join(timeout_s)

    def view(self) -> GatewayView:
        """Return what a session shows of it."""
        with self._lock:
            now_ns, lanes = self._elapsed.ns(), self._lanes
            shown = tuple(
                LaneView(
                    lane.name.lower(), lanes.count(lane), lanes.taken[lane], lanes.delay_ns(lane, now_ns) / NS_PER_S
                )
                for lane in Lane
            )
        return GatewayView(shown, self._in_flight, self._not_sent, self._too_old, self._file.size)

    # -- its thread ------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        self._disk = FileThread(self._file)
        self._failed = asyncio.get_running_loop().create_future()
        try:
            self._look()
            await self._failed
        finally:
            self._failed = None
            self._cut_off()
            if self._tasks:
                await asyncio.wait(tuple(self._tasks))
            self._disk.end()
            self._file.close()

    def _start_new(self) -> None:
        """Start what may leave, unless an earlier call has looked at everything that was put into a lane."""
        if self._looked_at != self._lanes.newest:
            self._start()

    def _look(self) -> None:
        """Look once, in the next turn of the loop, at what may leave: what comes by then shares it."""
        if self._failed is not None and not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        self._is_due = False
        if self._failed is None or self._failed.done():
            return
        if self._later is not None:
            self._later.cancel()
            self._later = None
        try:
            if self._start_what_may_leave():
                self._later = asyncio.get_running_loop().call_later(_LOOK_S, self._look)
        except Exception as error:  # noqa: BLE001 - the edge of the loop: it ends the thread, and so the session
            self._failed.set_exception(error)

    def _cut_off(self) -> None:
        for task in self._tasks:
            task.cancel()
        waiting, self._written = self._written, {}
        for orders in waiting.values():
            self._keep_back(orders, "the session ends")

    def _start_what_may_leave(self) -> bool:
        """Start every request whose turn it is; return whether others wait."""
        orders: list[Place] = []
        refused: list[tuple[Place, str]] = []
        with self._lock:
            self._looked_at, now_ns = self._lanes.newest, self._elapsed.ns()
            for old in self._lanes.take_older(Lane.ENTRY, now_ns - self._entry_ns):
                assert isinstance(old.request, Place)  # nothing else is in that lane
                self._too_old += 1
                refused.append((old.request, f"it waited longer than {self._entry_ns / NS_PER_S:g} s"))
            while (waiting := self._lanes.take(now_ns, self._may_go)) is not None:
                request = waiting.request
                if isinstance(request, Place):
                    why = self._admission.why_unsent(request.approved, request.expires_ns)
                    if why:
                        refused.append((request, why))
                        continue
                    self._admission.use(request.approved, request.expires_ns)
                    self._begin(request)
                    orders.append(request)
                elif isinstance(request, Cancel):
                    with suppress(StorageError):  # it leaves all the same; orders tell of the file
                        self._file.append(Asked(self._messages.add()))
                    self._run(self._cancel(request))
                else:
                    self._in_flight += 1
                    request.task = self._run(self._ask(request))
                self._lanes.spend(waiting, now_ns)
            others_wait = len(self._lanes) > 0
        for order, why in refused:
            self._not_sent += 1
            self._answers.on_answer(order, unsent(order.client_order_id, why))
        if orders:
            self._write_down(orders)
        return others_wait

    def _may_go(self, request: Request) -> bool:
        if self.is_connecting:
            return False
        if isinstance(request, Cancel):
            return True
        can_wait = request.waiting is not None and request.waiting.lane in CAN_WAIT
        if self._in_flight >= self._most - (self._kept if can_wait else 0):
            return False
        if isinstance(request, Place) and request.lane is Lane.ENTRY and not self._messages.lets_entry_leave():
            return False
        return self._has_ids or isinstance(request, Question) or self._is_free(request.key)

    def _is_free(self, key: tuple[str, Side]) -> bool:
        """Return whether no order of ``key`` is on its way or unknown."""
        order = self._under_way.get(key)
        if order is None:
            return True
        if order not in self._unknown or not self._is_settled(order):
            return False
        self._unknown.discard(order)
        del self._under_way[key]
        return True

    def _exit_that_waits(self, exits: Iterable[Waiting[Request]]) -> int | None:
        """Return the number of the first exit that waits for the fate of an order; 0: one that is not here does."""
        for one in exits:
            request = one.request
            if isinstance(request, Place) and self._under_way.get(request.key) in self._unknown:
                return one.number
        return 0 if self.exits_wait else None

    def _messages_waiting(self) -> int:
        """Return how many messages wait for their turn; any thread."""
        with self._lock:
            return sum(map(self._lanes.count, (Lane.CANCEL, Lane.EXIT, Lane.ENTRY)))

    def _begin(self, order: Place) -> None:
        self._in_flight += 1
        order.day = self._messages.take()
        if not self._has_ids:
            self._under_way[order.key] = order.client_order_id

    def _write_down(self, orders: list[Place]) -> None:
        """Write orders down, and let them leave when the disk has confirmed it."""
        assert self._disk is not None  # made before anything is sent
        at_ns = self._clock.time_ns()
        try:
            self._file.append(*(_sent(order, at_ns) for order in orders))
        except StorageError as error:
            self._fail_to_write(orders, error)
            return
        self._written[orders[0]] = orders
        self._disk.sync(partial(self._on_synced, orders))

    def _on_synced(self, orders: list[Place], failure: Exception | None) -> None:
        """Send orders that are on disk now."""
        if self._written.pop(orders[0], None) is None:
            return  # they were cut off
        try:
            if failure is not None:
                self._fail_to_write(orders, failure)
                return
            for order in orders:
                why = self._why_late(order)
                if why:
                    self._keep_back((order,), why)
                else:
                    self._run(self._place(order))
        except Exception as error:  # noqa: BLE001 - the edge of the loop: no one answers what it has not sent
            self._answers.on_failure("an order on its way to the broker", error)

    def _fail_to_write(self, orders: Sequence[Place], error: Exception) -> None:
        self._keep_back(orders, str(error))
        self._answers.on_failure("the gateway's file", error)

    def _keep_back(self, orders: Sequence[Place], why: str) -> None:
        """Answer orders that were taken from their lanes and do not leave."""
        for order in orders:
            self._messages.keep_back()
            self._end(order, unsent(order.client_order_id, why))

    def _why_late(self, order: Place) -> str:
        """Return why an order may not leave after the disk took its time; "" when it may."""
        waiting = order.waiting
        with self._lock:
            if waiting is not None and waiting.lane is Lane.ENTRY:
                is_old = self._elapsed.ns() - waiting.since_ns > self._entry_ns
                self._too_old += is_old
                if is_old:
                    return f"it waited longer than {self._entry_ns / NS_PER_S:g} s"
            return self._admission.why_late(order.approved, order.expires_ns)

    async def _place(self, order: Place) -> None:
        """Call the broker. After the time that it has for its answer the order is unknown; a late one counts."""
        key, loop, limit = order.client_order_id, asyncio.get_running_loop(), self._answer_s
        call = asyncio.current_task()
        assert call is not None  # it is run as one
        self._messages.leave()
        late = loop.call_later(limit, lambda: self._end(order, unknown(key, f"within {limit:g} s")))
        given_up = loop.call_later(limit + _LATE_S, call.cancel)
        try:
            ack = checked(await self._broker.place(order.approved), key)
        except asyncio.CancelledError:
            ack = OrderAck(AckStatus.UNKNOWN, key, reason="cut off while it was sent")
        except Exception as error:  # noqa: BLE001 - whatever a client library raises: it may have been sent
            ack = unknown(key, error)
        late.cancel()
        given_up.cancel()
        self._end(order, ack)

    def _end(self, order: Place, ack: OrderAck) -> None:
        """Write down what became of an order that is in the file, and return it. In one step with its answer."""
        if order.is_ended and ack.status is AckStatus.UNKNOWN:
            return
        try:
            self._file.append(Answered(ack.client_order_id, ack.status, ack.ref, ack.reason, self._clock.time_ns()))
        except StorageError as error:
            self._answers.on_failure(f"the answer to order {ack.client_order_id} in the gateway's file", error)
        self._in_flight -= not order.is_ended
        order.is_ended = True
        self._not_sent += ack.status is AckStatus.NOT_SENT
        if self._under_way.get(order.key) == ack.client_order_id:
            if ack.status is AckStatus.UNKNOWN:
                self._unknown.add(ack.client_order_id)
            else:
                self._unknown.discard(ack.client_order_id)
                del self._under_way[order.key]
        self._answers.on_answer(order, ack)
        if self._file.is_crowded and not self._is_compacting:
            self._is_compacting = True
            assert self._disk is not None  # made before anything is sent
            self._disk.compact(self._clock.time_ns(), self._on_compacted)
        self._look()

    async def _cancel(self, request: Cancel) -> None:
        key = request.client_order_id
        ref = self._ref_of(key)
        if ref is None and not self._has_ids:
            self._answers.on_answer(request, unnamed(key))
            return
        try:
            async with asyncio.timeout(self._answer_s) as limit:
                ack = checked(await self._broker.cancel(key, ref), key)
        except asyncio.CancelledError:
            ack = OrderAck(AckStatus.UNKNOWN, key, reason="cut off while it was sent")
        except Exception as error:  # noqa: BLE001 - whatever a client library raises: it may have been sent
            ack = unknown(key, f"within {self._answer_s:g} s" if limit.expired() else error)
        self._answers.on_answer(request, ack)

    async def _ask(self, question: Question) -> None:
        try:
            if not question.is_dropped:
                question.is_asked = True
                question.answer(await question.ask())
        except asyncio.CancelledError:
            question.fail(BrokerUnavailable("the session has ended the question"))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where the question was asked
            question.fail(error)
        finally:
            self._in_flight -= 1
            self._look()

    def _on_compacted(self, failure: Exception | None) -> None:
        """Note that the file was rewritten; a failure ends the session, since no order can leave any more."""
        self._is_compacting = False
        if failure is not None and self._failed is not None:  # else the file is closed: the session has ended
            self._answers.on_failure("the gateway's file", failure)

    def _run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_ended)
        return task

    def _on_ended(self, task: asyncio.Task[None]) -> None:
        """End the session when a task has failed, such as for lack of memory: no one answers what it has sent."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            self._answers.on_failure("a request to the broker", error)


def _sent(order: Place, at_ns: int) -> Sent:
    approved = order.approved
    return Sent(order.client_order_id, approved.approval_id, approved.expires_ns, at_ns, order.day)
