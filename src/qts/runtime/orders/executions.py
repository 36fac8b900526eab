"""Works off large orders in parts: the stages of executions, one after the other, each with its row.

An intent that names an algorithm becomes an :class:`~qts.execution.executions.Execution`. PreCheck is the verdict
of the risk gate on the whole quantity, with less where money is missing; OrderSplit makes the plan; every part then
takes the decision path of all orders (AsyncSend), with the id of the execution as its ``parent_id``. A part is sent
only when no other of the execution works and the fate of all is known. What does not fill is adjusted, and at the
end given up.

A plain order is an execution of one part whose rows are those it has anyway: its decision (PreCheck) and itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Protocol

import msgspec

from qts.clock import NEVER_NS, NS_PER_MS, NS_PER_S, stopwatch_ns
from qts.db.session import SessionStore
from qts.errors import StorageError
from qts.execution.adjust import AdjustAction, Adjusted, AdjustInputs, adjusted
from qts.execution.contracts import Fill, Order, OrderState
from qts.execution.executions import Execution, Stage, StageRow, committed, moved, why_too_much
from qts.execution.pacing import PaceInputs, next_part, next_part_ns
from qts.execution.protective.contracts import Origin
from qts.execution.split import Profile, SplitInputs, Unplanned, split_order
from qts.execution.states import FINAL, LIMITS, ExecutionState, ExecutionUpdate
from qts.execution.working import FINAL_STATES
from qts.ledger.contracts import FillEffect
from qts.market.contracts import Instrument
from qts.money import ZERO, minus, plus, sum_of, times
from qts.pipeline.act import decision_row
from qts.pipeline.contracts import Decision, Outcome
from qts.risk.contracts import OrderRequest, Refusal, Refused
from qts.risk.sizing import payable_qty
from qts.runtime.due_work import DueWork
from qts.runtime.orders.protective_orders import ProtectiveOrders
from qts.runtime.session_events import Log
from qts.runtime.shared_components import SharedComponents
from qts.strategy.algo import AlgoKind
from qts.strategy.contracts import Intent, Side, Signal

_LOOK_NS: Final = 100_000_000
"""Time after which an execution that waits is looked at again."""
_KEPT: Final = 100
"""Executions that have ended and are remembered, so that late fills of their parts are counted."""
_PASSING: Final = frozenset(
    {
        Refusal.PRICE_STALE,
        Refusal.PRICE_IN_DOUBT,
        Refusal.PRICE_UNUSABLE,
        Refusal.UNRESOLVED_ORDER,
        Refusal.ORDER_RATE_LIMIT,
        Refusal.OPEN_ORDERS_LIMIT,
        Refusal.STORE_BEHIND,
        Refusal.BROKER_NOT_COMPARED,
        Refusal.REJECTED_JUST_NOW,
        Refusal.CONFLICTING_SIGNALS,
        Refusal.DUPLICATE_INTENT,
        Refusal.CRITICAL_ONLY_MODE,
        Refusal.WITHDRAWN,
    }
)
"""Refusals that may be over by the next part; any other ends the execution."""
_CODE_OF: Final = {Refusal.INSUFFICIENT_CAPITAL: "GR061", Refusal.UNKNOWN_SYMBOL: "FS091"}
_SURE: Final = FINAL_STATES
_S, _U = ExecutionState, ExecutionUpdate


class ForcesOut(Protocol):
    """Sells what strategies hold because a rule wants it. Called on the session's thread; never raises."""

    def request(self, strategy: str, symbol: str, reason: str, now_ns: int) -> None:
        """Request that a holding be sold, and that what works against it be cancelled."""
        ...

    def is_requested(self, strategy: str, symbol: str) -> bool:
        """Return whether such a sale is open."""
        ...

    def cancel(self, order: Order, now_ns: int, reason: str) -> None:
        """Cancel an order, again and again while the broker does not accept it."""
        ...


class ExitsOfExecutions:
    """The protective orders as executions use them; ``cancel`` takes out an order, again until it works."""

    def __init__(self, exits: ProtectiveOrders, cancel: Callable[[Order, int, str], None]) -> None:
        self._exits = exits
        self._cancel = cancel

    def request(self, strategy: str, symbol: str, reason: str, now_ns: int) -> None:
        """Request that a holding be sold."""
        self._exits.request(strategy, symbol, Origin.ESCAPE, reason, now_ns)

    def is_requested(self, strategy: str, symbol: str) -> bool:
        """Return whether such a sale is open."""
        return self._exits.is_requested(strategy, symbol)

    def cancel(self, order: Order, now_ns: int, reason: str) -> None:
        """Cancel an order."""
        self._cancel(order, now_ns, reason)


class Executions:
    """The executions of a session. For the session's thread alone.

    ``judge`` returns risk's verdict on a signal without sending it, ``send`` decides and sends one, ``on_refused``
    takes a refusal. ``make_signal`` makes the signal of a part of an execution. ``profile`` measures the volume of
    a symbol for so many parts of so much time before a moment; ``volume`` returns what its market has traded since
    one, None where that is not known. ``on_code`` gets a code and its particulars. ``on_ended`` is called with
    strategy and symbol when an execution has ended. ``measures``: own times of stages are stored.
    """

    def __init__(
        self,
        shared: SharedComponents,
        exits: ForcesOut,
        *,
        judge: Callable[[Signal], Decision | Refused],
        send: Callable[[Signal], Awaitable[Outcome]],
        on_refused: Callable[[Refused], None],
        make_signal: Callable[[Execution, Intent], Signal],
        profile: Callable[[str, int, int, int], Profile | None],
        volume: Callable[[str, int], Decimal | None],
        on_code: Callable[[str, str], object],
        on_ended: Callable[[str, str], None],
        due: DueWork,
        log: Log,
        measures: bool,
    ) -> None:
        self._shared = shared
        self._exits = exits
        self._judge = judge
        self._send = send
        self._on_refused = on_refused
        self._make_signal = make_signal
        self._profile = profile
        self._volume = volume
        self._on_code = on_code
        self._on_ended = on_ended
        self._due = due
        self._log = log
        self._measures = measures
        self._of: dict[str, Execution] = {}
        """Every execution that has not ended, and the newest that have, by id."""
        self._sent_ns: dict[str, int] = {}
        """When the last part of each was sent or skipped."""
        self._part: dict[str, tuple[Decimal, Decimal, Decimal | None]] = {}
        """Of a part that works or is being adjusted: filled in all at its end, price of decision, its limit."""
        self._repricing: set[str] = set()
        """The executions of which a part is being cancelled, or was, so that its rest leaves at another price."""
        self._wait_ns: dict[str, int] = {}
        """Before when nothing new can be done about an execution, unless something is told of its parts."""
        self._sending = ""
        """The execution of which a part is being sent."""
        self.ended: dict[str, int] = {}
        """How many executions have ended in each final state."""
        self._slowest_ns = 0

    # -- the first stages ------------------------------------------------------------------------------------------

    @property
    def active(self) -> Sequence[Execution]:
        """Return the executions that have not ended, oldest first."""
        return tuple(self._shared.orders.executing.values())

    @property
    def slowest_stage_us(self) -> int | None:
        """Return the longest time that a stage took by itself, in µs; None where it is not measured."""
        return self._slowest_ns // 1_000 if self._measures and self._slowest_ns else None

    @property
    def due_ns(self) -> int:
        """Return when something is to be done next (ns since 1970, UTC); NEVER_NS for nothing."""
        executing = self._shared.orders.executing
        return min(map(self._next_ns, executing.values()), default=NEVER_NS) if executing else NEVER_NS

    def begin(self, signal: Signal) -> None:
        """Begin the execution of ``signal``, whose intent names an algorithm: PreCheck, then OrderSplit.

        The first part leaves with the next due work. What is refused is told like any other refusal.
        """
        intent, now_ns = signal.intent, self._shared.clock.time_ns()
        assert isinstance(intent, Intent)
        begun = stopwatch_ns()
        verdict, asked = self._checked(signal)
        request = verdict.request if isinstance(verdict, Refused) else verdict.approved.request
        one = Execution(
            execution_id=signal.decision_id,
            strategy=signal.strategy,
            pool=signal.pool,
            symbol=intent.symbol,
            side=intent.side,
            qty=request.qty,
            intent=intent,
            decision_price=request.decision_price,
            created_ns=now_ns,
            state=_S.INIT,
            changed_ns=now_ns,
        )
        one = moved(one, _U.BEGUN, now_ns)
        if isinstance(verdict, Refused):
            why = {"code": verdict.code, "reason": verdict.reason.value}
            one = self._answered(
                one, Stage.PRECHECK, _U.REFUSED, now_ns, begun, {"asked": asked}, verdict.detail, **why
            )
            self._put(one)
            self._on_refused(verdict)
            return
        inputs = msgspec.Raw(decision_row(verdict).inputs.encode())
        told = {"asked": str(asked), "decision": inputs}
        one = self._answered(
            one, Stage.PRECHECK, _U.PASSED, now_ns, begun, told, f"{request.qty:f} may be executed"
        )
        self._split(one, verdict.proposal.facts.instrument, now_ns)

    def _checked(self, signal: Signal) -> tuple[Decision | Refused, Decimal]:
        """Return risk's verdict on the whole quantity, or on what the money is there for; and what was asked."""
        verdict = self._judge(signal)
        if not isinstance(verdict, Refused):
            return verdict, verdict.approved.request.qty
        request, asked = verdict.request, verdict.request.qty
        instrument = self._shared.feed.instruments.get(signal.symbol)
        if verdict.reason is not Refusal.INSUFFICIENT_CAPITAL or request.side is not Side.BUY or instrument is None:
            return verdict, asked
        account, price = self._shared.account, request.limit or request.decision_price
        day = instrument.calendar.local_date(self._shared.clock.now())
        money = min(account.cash, account.available(signal.pool))
        fits = payable_qty(asked, money, price, instrument, day) if money > 0 and price > 0 else ZERO
        if not 0 < fits < asked:
            return verdict, asked
        intent = msgspec.structs.replace(signal.intent, qty=fits)
        return self._judge(msgspec.structs.replace(signal, intent=intent)), asked

    def _split(self, one: Execution, instrument: Instrument | None, now_ns: int) -> None:
        assert instrument is not None  # the gate refuses unknown symbols
        begun, config, algo = stopwatch_ns(), self._shared.config.execution, one.intent.algo
        profile = None
        if algo is not None and algo.kind is AlgoKind.VWAP and not algo.profile:
            count = algo.slices or config.slices
            profile = self._profile(one.symbol, count, algo.over_ns, now_ns)
        inputs = SplitInputs(one.qty, instrument.lot, algo, now_ns, config.slices, config.max_slices, profile)
        plan = split_order(inputs)
        if isinstance(plan, Unplanned):
            one = self._answered(
                one,
                Stage.SPLIT,
                _U.UNPLANNED,
                now_ns,
                begun,
                inputs,
                plan.reason,
                code=plan.code,
                reason=plan.reason,
            )
            self._put(one)
            self._on_code(plan.code, f"{one.symbol}: {plan.reason}")
            return
        one = msgspec.structs.replace(one, plan=plan)
        self._put(self._answered(one, Stage.SPLIT, _U.PLANNED, now_ns, begun, inputs, plan))
        self._due.look_again()

    # -- parts -----------------------------------------------------------------------------------------------------

    async def step(self, now_ns: int) -> None:
        """Do what is due: send parts, adjust what does not fill, end what is over."""
        for one in self.active:
            if self._next_ns(one) > now_ns:
                continue
            await self._step(one, now_ns)
            key = one.execution_id
            if self._of[key].state not in FINAL and self._next_ns(self._of[key]) <= now_ns:
                self._wait_ns[key] = now_ns + _LOOK_NS

    async def _step(self, one: Execution, now_ns: int) -> None:
        if one.state is _S.ESCAPING:
            self._escape_on(one, now_ns)
            return
        if self._exits.is_requested(one.strategy, one.symbol):
            self.on_exit(one.strategy, one.symbol, "its holding is being ended by a rule", now_ns)
            return
        working = self._working(one)
        if one.reason or not one.remaining:
            self._end_if_settled(one, now_ns)
        elif working:
            self._look_at(one, working, now_ns)
        elif not self._is_known(one):
            return
        elif one.state in (_S.SENDING, _S.MONITORING):
            await self._send_next(one, now_ns)

    async def _send_next(self, one: Execution, now_ns: int) -> None:
        instrument = self._shared.feed.instruments[one.symbol]
        begun, key = stopwatch_ns(), one.execution_id
        sent_ns = self._sent_ns.get(key, 0)
        settings = self._shared.config.execution
        pace = PaceInputs(
            one, now_ns, instrument.lot, sent_ns, self._volume(one.symbol, sent_ns), settings.participation
        )
        part = self._part.get(key) if key in self._repricing else None
        self._repricing.discard(key)
        if len(one.children) >= self._most_parts(one):
            self.give_up(
                one.strategy, one.symbol, f"{len(one.children):,} orders did not execute all of it", now_ns
            )
            return
        if part is not None and part[0] > one.filled:  # the rest of a part that was adjusted
            qty, limit = min(minus(part[0], one.filled), one.remaining), part[2]
        else:
            part = None
            qty, limit = next_part(pace), self._limit_of(one)
        if not qty > 0:
            return
        if one.state is _S.MONITORING:
            one = moved(one, _U.NEXT_PART, now_ns)
        if part is None:
            one = msgspec.structs.replace(one, rounds=0)
        self._put(one)
        if not one.children:  # a part without its execution would be one of which nothing is known after a kill
            await self._shared.record.write_intent((one,))
        anchor = part[1] if part is not None else self._touch(one.symbol, one.side) or one.decision_price
        self._part[key] = plus(one.filled, qty), anchor, limit
        self._sent_ns[key] = now_ns
        intent = msgspec.structs.replace(one.intent, qty=qty, limit=limit, algo=None)
        self._sending = key
        try:
            outcome = await self._send(self._make_signal(one, intent))
        finally:
            self._sending = ""
        inputs = {"qty": qty, "limit": limit, "filled": one.filled, "volume": pace.volume, "sent_ns": sent_ns}
        one = self._of[key]
        if isinstance(outcome, Refused):
            self._part.pop(key, None)
            self._on_part_refused(one, outcome, now_ns, begun, inputs)
            return
        order_id = outcome.decision.approved.request.client_order_id
        update = _U.SENT if one.state is _S.SENDING else None
        self._put(self._answered(one, Stage.SEND, update, now_ns, begun, inputs, "sent", order_id=order_id))
        self._note_end(order_id, now_ns)

    def _on_part_refused(
        self, one: Execution, refused: Refused, now_ns: int, begun: int, inputs: Mapping[str, object]
    ) -> None:
        """Skip a part that may be sent later, or end the execution."""
        code, why = refused.code or _CODE_OF.get(refused.reason, ""), f"{refused.reason.value}: {refused.detail}"
        one = self._answered(one, Stage.SEND, _U.SKIPPED, now_ns, begun, inputs, f"skipped, {why}", code=code)
        self._put(one)
        if refused.reason in _PASSING:
            self._log("WARNING", f"execution {one.execution_id} of {one.symbol}: a part was skipped: {why}")
            return
        if code:
            self._on_code(code, f"execution {one.execution_id} of {one.symbol}: {refused.detail}")
        self.give_up(one.strategy, one.symbol, why, now_ns, code=code)

    def _limit_of(self, one: Execution) -> Decimal | None:
        """Return the price of a new part: the order's own; an iceberg without one joins its own side."""
        if one.intent.limit is not None or one.kind is not AlgoKind.ICEBERG:
            return None if one.intent.limit is None else Decimal(one.intent.limit)
        quote = self._shared.last.quotes.get(one.symbol)
        return None if quote is None else quote.bid if one.side is Side.BUY else quote.ask

    def _most_parts(self, one: Execution) -> int:
        planned = 1 if one.plan is None else len(one.plan.slices)
        return planned * (2 + self._shared.config.execution.of(one.pool).rounds)

    # -- a part that works -----------------------------------------------------------------------------------------

    def _look_at(self, one: Execution, working: Sequence[Order], now_ns: int) -> None:
        """Adjust a part that has worked for too long, or whose successor is due."""
        if one.state is _S.ADJUSTING:
            if now_ns >= self._limit_ns(one):
                self.escape(one.execution_id, "FS093", "an adjustment took too long", now_ns)
            return
        if one.state is _S.SENDING:
            if now_ns >= self._limit_ns(one):
                self._unfilled(one, "FS090", "a part was not answered in time", now_ns)
            return
        if any(order.state not in (OrderState.WORKING, OrderState.PARTIAL) for order in working):
            return  # its fate is not known
        if one.intent.limit is not None and not self._is_successor_due(one, now_ns):
            return  # the price is the strategy's, which waits
        if one.intent.limit is not None and one.plan is not None and now_ns >= (one.plan.end_ns or NEVER_NS):
            self.give_up(one.strategy, one.symbol, "its time is over", now_ns)
            return
        begun, order, day = stopwatch_ns(), working[-1], self._day(one.symbol)
        pool = self._shared.config.execution.of(one.pool)
        anchor = self._part.get(one.execution_id, (ZERO, order.decision_price, None))[1]
        inputs = AdjustInputs(
            side=one.side,
            limit=order.limit if self._is_posted(one) else None,
            worst=None if one.intent.limit is None else Decimal(one.intent.limit),
            decided_at=anchor,
            touch=self._touch(one.symbol, one.side),
            round=one.rounds,
            rounds=pool.rounds,
            step=pool.step,
            most=pool.slippage_limit,
        )
        one = self._put(moved(one, _U.SLOW, now_ns))
        if self._is_successor_due(one, now_ns):
            answer = Adjusted(AdjustAction.REPRICE, "the next part is due: its rest joins that", order.limit)
            self._part.pop(one.execution_id, None)
        else:
            answer = adjusted(inputs, self._shared.feed.instruments[one.symbol].ticks, day)
        self._adjust(one, order, inputs, answer, now_ns, begun)

    def _adjust(
        self, one: Execution, order: Order, inputs: AdjustInputs, answer: Adjusted, now_ns: int, begun: int
    ) -> None:
        key = one.execution_id
        one = msgspec.structs.replace(one, rounds=one.rounds + 1)
        if answer.action is AdjustAction.REPRICE:
            part = self._part.get(key)
            if part is not None:
                self._part[key] = part[0], part[1], answer.limit
                self._repricing.add(key)
            update = None  # it goes on when the cancel is confirmed
        else:
            update = _U.ADJUSTED
        self._put(
            self._answered(
                one,
                Stage.ADJUST,
                update,
                now_ns,
                begun,
                inputs,
                answer,
                code=answer.code,
                order_id=order.client_order_id,
            )
        )
        if answer.code:
            self._on_code(answer.code, f"execution {key} of {one.symbol}: {answer.reason}")
        if answer.action is AdjustAction.REPRICE:
            self._exits.cancel(order, now_ns, f"adjusted: {answer.reason}")
            self._note_end(order.client_order_id, now_ns)
        elif answer.action is AdjustAction.GIVE_UP:
            self._unfilled(self._of[key], answer.code, answer.reason, now_ns)

    def _unfilled(self, one: Execution, code: str, reason: str, now_ns: int) -> None:
        """Do what the pool wants where a part does not fill: sell what was bought, or give up the rest."""
        if self._shared.config.execution.of(one.pool).unfilled == "escape":
            self.escape(one.execution_id, code, reason, now_ns)
        else:
            self.give_up(one.strategy, one.symbol, reason, now_ns, code=code)

    def _is_posted(self, one: Execution) -> bool:
        """Return whether parts wait at a price that is ours to improve."""
        return one.intent.limit is None and one.kind is AlgoKind.ICEBERG

    def _is_successor_due(self, one: Execution, now_ns: int) -> bool:
        plan, sent_ns = one.plan, self._sent_ns.get(one.execution_id, 0)
        return plan is not None and plan.end_ns is not None and next_part_ns(one, sent_ns) <= now_ns

    # -- the ends --------------------------------------------------------------------------------------------------

    def give_up(self, strategy: str, symbol: str, reason: str, now_ns: int, *, code: str = "") -> bool:
        """Drop what is not filled of the execution of ``strategy`` in ``symbol``; return whether there is one.

        What works of it is cancelled; it ends when that is confirmed.
        """
        one = self._shared.orders.executing.get((strategy, symbol))
        if one is None:
            return False
        if one.state is _S.ESCAPING or one.reason:
            return True
        one = self._put(msgspec.structs.replace(one, reason=reason, code=code or one.code))
        for order in self._working(one):
            self._exits.cancel(order, now_ns, f"its execution was given up: {reason}")
        self._end_if_settled(self._of[one.execution_id], now_ns)
        return True

    def give_up_all(self, reason: str, now_ns: int) -> None:
        """Drop the rest of every execution: the session of the market ends."""
        for one in self.active:
            self.give_up(one.strategy, one.symbol, reason, now_ns)

    def escape(self, execution_id: str, code: str, reason: str, now_ns: int) -> None:
        """Leave an execution: cancel what works and sell what the strategy holds there, until all of it is gone.

        The manager of protective orders does both, and raises FS092.
        """
        one = self._of.get(execution_id)
        if one is not None and one.state not in FINAL:
            self._to_escaping(one, code, reason, now_ns)
            self._exits.request(one.strategy, one.symbol, reason, now_ns)

    def _to_escaping(self, one: Execution, code: str, reason: str, now_ns: int) -> None:
        begun = stopwatch_ns()
        told = {"filled": one.filled, "state": one.state.value}
        self._put(
            self._answered(one, Stage.ESCAPE, _U.ESCAPE, now_ns, begun, told, reason, code=code, reason=reason)
        )
        for order in self._working(one):
            self._exits.cancel(order, now_ns, reason)
        self._due.look_again()

    def on_exit(self, strategy: str, symbol: str, reason: str, now_ns: int) -> None:
        """Let the execution of ``strategy`` in ``symbol`` escape: a rule or a person wants the holding ended.

        Nothing is requested: the exit is there.
        """
        one = self._shared.orders.executing.get((strategy, symbol))
        if one is not None and one.state is not _S.ESCAPING:
            self._to_escaping(one, "", reason, now_ns)

    def _escape_on(self, one: Execution, now_ns: int) -> None:
        """Look whether an escape is over: nothing works, and nothing is held."""
        if self._working(one) or self._exits.is_requested(one.strategy, one.symbol):
            if now_ns >= self._limit_ns(one):
                if one.code:
                    self._on_code("FS092", f"execution {one.execution_id} of {one.symbol} still escapes")
                self._put(msgspec.structs.replace(one, changed_ns=now_ns))
            return
        held = self._shared.account.holding(one.strategy, one.symbol)
        if held and one.code:  # its own escape is not over before nothing is held
            self._exits.request(one.strategy, one.symbol, one.reason, now_ns)
            return
        why = f"the exit was withdrawn, {held:f} stay" if held else "nothing works and nothing is held"
        self._finish(one, _U.FLAT, Stage.ESCAPE, now_ns, why)

    def _end_if_settled(self, one: Execution, now_ns: int) -> None:
        """End an execution that is filled or given up, once nothing of it works and every fate is known."""
        if self._working(one) or not self._is_known(one):
            return
        why = one.reason or "all of it is filled"
        if not one.filled and not any(self._left(key) for key in one.children):
            if one.state is not _S.SENDING:
                one = moved(moved(one, _U.ADJUSTED, now_ns), _U.NEXT_PART, now_ns)
            self._finish(one, _U.ALL_FAILED, Stage.SEND, now_ns, why)
        else:
            self._finish(one, _U.DONE, Stage.MONITOR, now_ns, why)

    def _finish(self, one: Execution, update: ExecutionUpdate, stage: Stage, now_ns: int, why: str) -> None:
        told = {"filled": one.filled, "average": one.average_price, "parts": len(one.children)}
        one = self._put(self._answered(one, stage, update, now_ns, stopwatch_ns(), told, why))
        self._log("INFO", f"execution {one.execution_id} of {one.symbol}: {one.state.value}, {one.filled:f} of "
                  f"{one.qty:f} filled: {why}")  # fmt: skip
        for memory in (self._part, self._sent_ns, self._wait_ns):
            memory.pop(one.execution_id, None)
        self._repricing.discard(one.execution_id)
        self._on_ended(one.strategy, one.symbol)

    # -- what is asked right before a part leaves ------------------------------------------------------------------

    def why_not_part(self, request: OrderRequest) -> str:
        """Return why a part may not leave: all parts together never exceed what was approved; "" when it may."""
        one = self._of.get(request.parent_id)
        if one is None or one.state in FINAL:
            return f"the execution {request.parent_id} of which it is a part is not known or has ended"
        try:
            others = self._children(one, but=request.client_order_id)
        except StorageError as error:
            return f"what the other parts have filled cannot be read: {error}"
        return why_too_much(one.qty, others, request.qty)

    def _children(self, one: Execution, but: str = "") -> list[Order]:
        """Return the orders of the parts that are in the book. Raises StorageError when unknown."""
        found = (self._shared.orders.recall(key) for key in one.children if key != but)
        return [order for order in found if order is not None]

    def committed(self, one: Execution) -> Decimal:
        """Return what its parts have filled or may still fill. Raises StorageError when unknown."""
        return committed(self._children(one))

    def _working(self, one: Execution) -> list[Order]:
        known = (self._shared.orders.get(key) for key in one.children[-8:])
        return [order for order in known if order is not None and order.state not in FINAL_STATES]

    def _is_known(self, one: Execution) -> bool:
        """Return whether the fate of every part is known."""
        known = (self._shared.orders.get(key) for key in one.children[-8:])
        return all(order is None or order.state in _SURE for order in known)

    def _left(self, key: str) -> bool:
        order = self._shared.orders.get(key)
        return order is None or order.state is not OrderState.NOT_SENT

    # -- listeners -------------------------------------------------------------------------------------------------

    def on_sent(self, request: OrderRequest) -> None:
        """Note a part before it is written down and sent."""
        one = self._of.get(request.parent_id) if request.parent_id else None
        if one is not None and request.client_order_id not in one.children:
            self._put(msgspec.structs.replace(one, children=(*one.children, request.client_order_id)))

    def on_fill(self, fill: Fill, order: Order, effect: FillEffect) -> None:
        """Count a fill of a part; the next one may follow."""
        one = self._of.get(order.request.parent_id) if order.request.parent_id else None
        if one is None:
            return
        filled, amount = plus(one.filled, fill.qty), plus(one.amount, times(fill.qty, fill.price))
        now_ns = self._shared.clock.time_ns()
        one = msgspec.structs.replace(one, filled=filled, amount=amount)
        if one.state in FINAL:
            self._put(moved(one, _U.LATE_FILL, now_ns))
            return
        if one.state is _S.MONITORING:
            one = msgspec.structs.replace(one, changed_ns=now_ns)
        self._put(one)
        self._note_end(order.client_order_id, now_ns)

    def on_ended(self, order: Order) -> None:
        """Take the end of a part that was not filled."""
        self._note_end(order.client_order_id, self._shared.clock.time_ns())

    def on_answer(self, order: Order) -> None:
        """Take the answer to a part."""
        if order.request.parent_id:
            self._note_end(order.client_order_id, self._shared.clock.time_ns())

    def _note_end(self, order_id: str, now_ns: int) -> None:
        """Continue with the execution of a part that has ended."""
        order = self._shared.orders.get(order_id)
        if order is None or not order.request.parent_id or order.state not in FINAL_STATES:
            return
        one = self._of.get(order.request.parent_id)
        if one is None or one.state in FINAL or self._sending == one.execution_id:
            return
        if one.state is _S.ADJUSTING:
            one = self._put(moved(one, _U.ADJUSTED, now_ns))
        if one.execution_id not in self._repricing or order.state is OrderState.FILLED:
            self._part.pop(one.execution_id, None)
            self._repricing.discard(one.execution_id)
        self._wait_ns.pop(one.execution_id, None)
        self._due.look_again()

    # -- rows ------------------------------------------------------------------------------------------------------

    def _answered(
        self,
        one: Execution,
        stage: Stage,
        update: ExecutionUpdate | None,
        now_ns: int,
        begun: int,
        inputs: object,
        answer: object,
        *,
        code: str = "",
        reason: str = "",
        order_id: str = "",
    ) -> Execution:
        """Store what a stage answered; return the execution after it."""
        before = one.state
        if update is not None:
            one = moved(one, update, now_ns, code=code, reason=reason)
        own_ns = stopwatch_ns() - begun
        self._slowest_ns = max(self._slowest_ns, own_ns)
        self._shared.record.write_later(
            StageRow(
                ts_ns=now_ns,
                execution_id=one.execution_id,
                stage=stage,
                from_state=before,
                to_state=one.state,
                order_id=order_id,
                code=code,
                inputs=msgspec.json.encode(inputs).decode(),
                answer=msgspec.json.encode(answer).decode(),
                own_ns=own_ns if self._measures else None,
            )
        )
        return one

    def _put(self, one: Execution) -> Execution:
        """Keep and store an execution as it stands now."""
        executing, key = self._shared.orders.executing, (one.strategy, one.symbol)
        before = self._of.get(one.execution_id)
        self._of[one.execution_id] = one
        if one.state not in FINAL:
            executing[key] = one
        else:
            if executing.get(key) is not None and executing[key].execution_id == one.execution_id:
                del executing[key]
            if before is None or before.state not in FINAL:
                self.ended[one.state.value] = self.ended.get(one.state.value, 0) + 1
            self._forget_old()
        if before != one:
            self._shared.record.write_later(one)
        return one

    def _forget_old(self) -> None:
        ended = [key for key, one in self._of.items() if one.state in FINAL]
        for key in ended[: max(len(ended) - _KEPT, 0)]:
            del self._of[key]

    # -- times -----------------------------------------------------------------------------------------------------

    def _next_ns(self, one: Execution) -> int:
        """Return when something is to be done about ``one`` next."""
        return max(self._due_ns(one), self._wait_ns.get(one.execution_id, 0))

    def _due_ns(self, one: Execution) -> int:
        limit_ns, sent_ns = self._limit_ns(one), self._sent_ns.get(one.execution_id, 0)
        working = self._working(one)
        if one.state is _S.ESCAPING:
            is_over = not self._exits.is_requested(one.strategy, one.symbol) and not working
            return 0 if is_over else limit_ns
        if one.reason or not one.remaining:
            return NEVER_NS if working else 0
        if working:
            return self._working_due_ns(one, sent_ns, limit_ns)
        if one.execution_id in self._repricing:
            return 0
        if one.kind not in (AlgoKind.ICEBERG, AlgoKind.SINGLE):
            return next_part_ns(one, sent_ns)
        return sent_ns + NS_PER_S if sent_ns and self._was_skipped(one) else 0

    def _working_due_ns(self, one: Execution, sent_ns: int, limit_ns: int) -> int:
        """Return when a part that works is looked at next."""
        if one.state is not _S.MONITORING:
            return limit_ns
        plan, rounds = one.plan, one.rounds
        later = next_part_ns(one, sent_ns) if plan is not None and plan.end_ns is not None else NEVER_NS
        if one.intent.limit is not None:
            return later
        if rounds:
            limit_ns = one.changed_ns + self._shared.config.execution.of(one.pool).round_ms * NS_PER_MS
        return min(limit_ns, later)

    def _was_skipped(self, one: Execution) -> bool:
        """Return whether the last part was not sent, or came to nothing."""
        order = self._shared.orders.get(one.children[-1]) if one.children else None
        if order is None:
            return not one.children
        return not order.filled or order.ts_intent_ns < self._sent_ns.get(one.execution_id, 0)

    def _limit_ns(self, one: Execution) -> int:
        limit = LIMITS.get(one.state)
        if limit is None:
            return NEVER_NS
        return one.changed_ns + self._shared.config.execution.limits.ns(limit.name)

    def _touch(self, symbol: str, side: Side) -> Decimal | None:
        last = self._shared.last
        return last.entry_price(symbol) if side is Side.BUY else last.mark(symbol)

    def _day(self, symbol: str) -> Any:
        return self._shared.feed.instruments[symbol].calendar.local_date(self._shared.clock.now())

    # -- checkpoints -----------------------------------------------------------------------------------------------

    def export_state(self) -> dict[str, Any]:
        """Return the executions as plain data, for a checkpoint; {} while there was none."""
        if not self._of:
            return {}
        return {
            "executions": [msgspec.to_builtins(one) for one in self._of.values()],
            "sent_ns": self._sent_ns,
            "parts": {key: [None if n is None else str(n) for n in part] for key, part in self._part.items()},
            "repricing": sorted(self._repricing),
            "ended": self.ended,
        }

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Restore what :meth:`export_state` returned."""
        if not saved:
            return
        found = msgspec.convert(saved["executions"], list[Execution], strict=False)
        self._of = {one.execution_id: one for one in found}
        self._shared.orders.executing.clear()
        self._shared.orders.executing.update(
            ((one.strategy, one.symbol), one) for one in found if one.state not in FINAL
        )
        self._sent_ns = dict(saved["sent_ns"])
        self._part = {
            key: (Decimal(end), Decimal(at), None if limit is None else Decimal(limit))
            for key, (end, at, limit) in saved["parts"].items()
        }
        self._repricing = set(saved["repricing"])
        self.ended = dict(saved["ended"])

    def restore(self, store: SessionStore, now_ns: int) -> None:
        """Continue at a real broker: with executions as their rows and those of their parts stand.

        No part follows at once: what was missed meanwhile is caught up like any other delay. An escape goes on by
        itself. Raises StorageError.
        """
        open_ones = [one for one in store.executions() if one.state not in FINAL]
        if not open_ones:
            return
        orders, fills = store.orders(), store.ledger()
        for stored in open_ones:
            children = [order for order in orders if order.request.parent_id == stored.execution_id]
            children.sort(key=lambda order: (order.ts_intent_ns, len(order.client_order_id), order.client_order_id))
            keys = tuple(order.client_order_id for order in children)
            booked = [row for row in fills if row.order_id in set(keys)]
            one = msgspec.structs.replace(
                stored,
                children=keys,
                filled=sum_of(row.qty for row in booked),
                amount=sum_of(times(row.qty, row.price) for row in booked),
                changed_ns=now_ns,
            )
            self._of[one.execution_id] = one
            self._shared.orders.executing[one.strategy, one.symbol] = one
            self._sent_ns[one.execution_id] = now_ns
            self._part.pop(one.execution_id, None)
            if one.plan is None or one.state in (_S.INIT, _S.PRECHECK, _S.SPLITTING):
                self.give_up(one.strategy, one.symbol, "the session ended before it was split", now_ns)
            elif one.state is _S.ADJUSTING and not self._working(one):
                self._put(moved(one, _U.ADJUSTED, now_ns))
            elif one.state is _S.ESCAPING:
                self._exits.request(one.strategy, one.symbol, one.reason, now_ns)
        self._due.look_again()
