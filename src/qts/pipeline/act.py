"""Act: money reserved, intent durable, then sent; the answer is booked when it comes, an unknown one as unknown."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from functools import partial
from typing import Final, Protocol

import msgspec

from qts.broker.sending import OrderSender, Ticket
from qts.clock import Clock
from qts.db.contracts import DecisionRow, Record
from qts.errors import HalfDoneError
from qts.execution.contracts import Order, OrderAck, OrderState
from qts.execution.lifecycle import apply_absent, apply_ack, apply_sent
from qts.execution.working import FINAL_STATES, WorkingOrders
from qts.ledger.account import Account
from qts.market.contracts import Instrument
from qts.money import ZERO
from qts.pipeline.contracts import Acted, Decision
from qts.risk.contracts import Approved, OrderRequest, Refusal, Refused
from qts.risk.sizing import cost_of
from qts.strategy.contracts import Side
from qts.strategy.levels import Levels

LEVELS: Final = "levels"
"""The key of a position's levels in the inputs of a decision."""
CUT_OFF: Final = (CancelledError, GeneratorExit)
"""A handler that is cut off while it waits, by its lane's limit or because the session stops."""


class IntentLog(Protocol):
    """The log that takes the intent of an order before it is sent; on the loop's thread."""

    async def write_intent(self, records: Sequence[Record]) -> None:
        """Write ``records``: in real time durable on return, on the virtual clock with the next checkpoint.

        What it raises means that nothing may be sent.
        """
        ...

    def write_later(self, record: Record) -> None:
        """Write ``record`` with the next transaction; never raises."""
        ...

    def begin_send(self) -> None:
        """Let no checkpoint be taken until :meth:`end_send`: an order found on its way out would be in doubt."""
        ...

    def end_send(self) -> None:
        """Allow checkpoints again: the order's answer is booked, or the order did not leave."""
        ...

    def give_up(self, effect: str, error: BaseException) -> Exception:
        """Write nothing more, because ``effect`` is not whole; return the error to raise."""
        ...


class Act:
    """Sends what was approved, once. A send whose answer is unknown is never repeated here (``no-resend``).

    ``on_sent`` is called before the intent is written: the order counts against every limit from then on. From the
    reservation on, what is raised ends the session (HalfDoneError): decided again, money would be held back twice,
    or a second order leave. ``may_enter`` is asked again at the last moment before an entry leaves.
    ``confirmed`` waits until the server that has to have every order has the intent, and returns why it has not, ""
    when it has; a forced exit does not wait, another exit leaves without it. None: no server has to.
    ``stores_pending``: an order that waits for its answer is seen as such in the store; an answer that comes at
    once has nothing to wait for.
    """

    def __init__(
        self,
        *,
        account: Account,
        orders: WorkingOrders,
        sender: OrderSender,
        clock: Clock,
        log: IntentLog,
        may_enter: Callable[[], bool],
        on_sent: Callable[[OrderRequest], None],
        stores_pending: bool,
        confirmed: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        self._account = account
        self._orders = orders
        self._sender = sender
        self._clock = clock
        self._log = log
        self._may_enter = may_enter
        self._on_sent = on_sent
        self._stores_pending = stores_pending
        self._confirmed = confirmed

    async def __call__(self, decision: Decision) -> Acted | Refused:
        """Send the order of ``decision``; return it with its ticket, or a refusal when it may not leave now."""
        try:
            return await self._act(decision)
        except HalfDoneError:
            raise
        except Exception as error:  # whatever it was: money may be held back, or the order have left
            raise self._log.give_up(f"order {decision.approved.request.client_order_id}", error) from error

    async def _act(self, decision: Decision) -> Acted | Refused:
        request = decision.approved.request
        facts = decision.proposal.facts
        assert facts.instrument is not None  # the gate refuses unknown symbols
        if not (request.reduce_only or self._may_enter()):
            detail = f"{request.client_order_id} was approved, but a stop came before it was written down"
            return Refused(request=request, reason=Refusal.SAFETY_BLOCKS_ENTRIES, detail=detail)
        order = self._entered(decision, facts.instrument)
        if order is None:
            return Refused(
                request=request,
                reason=Refusal.INSUFFICIENT_CAPITAL,
                detail=f"{request.pool.value} cannot reserve {request.qty} of {request.symbol}",
                code="GR061",
            )
        # A checkpoint of an intent that a server has to have is wanted: a resumed session asks the broker for it.
        begins_early = self._confirmed is None
        if begins_early:
            self._log.begin_send()
        try:
            stopped = await self._written(decision, order)
        except BaseException:
            if begins_early:
                self._log.end_send()
            raise
        if stopped is not None:
            if begins_early:
                self._log.end_send()
            return stopped
        if not begins_early:
            self._log.begin_send()
        return Acted(decision=decision, ticket=self._submit(decision.approved, order))

    def _entered(self, decision: Decision, instrument: Instrument) -> Order | None:
        """Return the order, its money held back, counted among the open ones; None when that much is missing."""
        request = decision.approved.request
        if not self._reserve(request, instrument, decision.proposal.facts.local_day):
            return None
        order = Order(request, decision.approved.approval_id, OrderState.INTENT, ZERO, request.ts_ns)
        self._orders.put(order)
        self._on_sent(request)
        return order

    async def _written(self, decision: Decision, order: Order) -> Refused | None:
        """Make decision and intent durable; why the order may not leave after all, None when it may."""
        request, now_ns = decision.approved.request, decision.proposal.facts.now_ns
        lacking = ""
        try:
            await self._log.write_intent((decision_row(decision, with_levels=self._stores_pending), order))
            if self._confirmed is not None and not request.forced:
                lacking = await self._confirmed()
        except CUT_OFF:  # while it waited for the disk or the server: nothing has left, nothing stays reserved
            self._withdraw(order, now_ns, "cut off before it was sent")
            raise
        kept = self._orders.get(order.client_order_id)
        if kept is not order:
            why = "it is not in the book" if kept is None else kept.note
            detail = f"withdrawn before it was sent: {why}"
            return Refused(request=request, reason=Refusal.WITHDRAWN, detail=detail)
        if order.reduce_only:
            return None
        if lacking:
            self._withdraw(order, now_ns, lacking)
            detail = f"{lacking}; {request.client_order_id} was withdrawn before it was sent"
            return Refused(request=request, reason=Refusal.STORE_BEHIND, detail=detail)
        if self._may_enter():
            return None
        self._withdraw(order, now_ns, "safety stopped it before it was sent")
        return Refused(
            request=request,
            reason=Refusal.SAFETY_BLOCKS_ENTRIES,
            detail=f"{request.client_order_id} was approved, but was stopped before it was sent",
        )

    def _submit(self, approved: Approved, order: Order) -> Ticket:
        """Send it. From here on it may be at the broker and counts as sent."""
        pending = apply_sent(order, self._clock.time_ns())
        self._orders.put(pending)
        if self._stores_pending:
            self._log.write_later(pending)
        ticket = self._sender.submit(approved)
        ticket.when_answered(partial(self._on_answer, pending))
        return ticket

    def _on_answer(self, order: Order, ack: OrderAck) -> None:
        try:
            self._book(order, ack, self._clock.time_ns())
        except Exception as error:  # whatever it was: half of the answer stands in memory
            raise self._log.give_up(f"order {order.client_order_id}", error) from error
        finally:
            self._log.end_send()

    def _withdraw(self, order: Order, now_ns: int, why: str) -> None:
        if self._orders.get(order.client_order_id) is order:
            withdraw(order, now_ns, why, orders=self._orders, account=self._account, log=self._log)

    def _reserve(self, request: OrderRequest, instrument: Instrument, day: date) -> bool:
        price = request.limit if request.limit is not None else request.decision_price
        cost = request.max_cost
        if cost is None:
            cost = cost_of(request.qty, price, instrument, day) if request.side is Side.BUY else ZERO
        if request.reduce_only and request.side is Side.BUY:  # an exit leaves, whether or not the cash is there
            self._account.hold_back(
                request.client_order_id,
                request.strategy,
                request.pool,
                request.symbol,
                request.side,
                request.qty,
                cost,
            )
            return True
        return self._account.reserve(
            request.client_order_id,
            request.strategy,
            request.pool,
            request.symbol,
            request.side,
            request.qty,
            price,
            cost,
        )

    def _book(self, order: Order, ack: OrderAck, now_ns: int) -> None:
        # A fill may have been booked while the answer was under way; the answer goes onto the newest version.
        current = self._orders.get(order.client_order_id) or order
        updated = apply_ack(current, ack, now_ns)
        self._orders.put(updated)
        if updated.state in FINAL_STATES:  # a refusal of an order that already filled is declined by the table
            self._account.release(order.client_order_id)
        self._log.write_later(updated)


def withdraw(
    order: Order, now_ns: int, why: str, *, orders: WorkingOrders, account: Account, log: IntentLog
) -> None:
    """End an order that never left, and give back what it held."""
    ended = apply_absent(order, now_ns, why)
    orders.put(ended)
    account.release(order.client_order_id)
    log.write_later(ended)


def levels_of(row: DecisionRow) -> Levels | None:
    """Return the levels that were bound to the position when the order of ``row`` was decided; None: none were."""
    found = msgspec.json.decode(row.inputs, type=dict[str, msgspec.Raw]).get(LEVELS) if row.inputs else None
    return None if found is None else msgspec.json.decode(found, type=Levels)


def decision_row(decision: Decision, *, with_levels: bool = False) -> DecisionRow:
    """Return what is needed to explain the decision later: the inputs the gate saw and the limits it used.

    ``with_levels``: also the levels that were bound to the position. At a real broker the order may be all that is
    left of the decision after a kill, and what it buys is not to be held without its stop.
    """
    approved, proposal = decision.approved, decision.proposal
    view = msgspec.structs.asdict(proposal.view)
    view.pop("instrument")
    for why in ("stopped", "in_doubt", "tag_in_use", "warming", "store_behind", "not_compared", "flattened"):
        if not view[why]:
            del view[why]  # an exit may leave all the same
    for name in ("left_there", "holding_working_buys"):
        if view[name] is None:
            del view[name]
    inputs = {
        "confidence": proposal.facts.intent.confidence,
        "limits": msgspec.structs.asdict(proposal.limits),
        "view": view,
    }
    levels = proposal.facts.signal.levels
    if with_levels and levels is not None:
        inputs[LEVELS] = levels
    return DecisionRow(
        approval_id=approved.approval_id,
        decision_id=approved.request.decision_id,
        client_order_id=approved.request.client_order_id,
        ts_ns=approved.request.ts_ns,
        expires_ns=approved.expires_ns,
        config_hash=approved.config_hash,
        inputs=msgspec.json.encode(inputs).decode(),
    )
