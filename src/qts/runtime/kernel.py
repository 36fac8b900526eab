"""The composition root: the only file that names concrete classes, wires them and hands out the doors.

Life of a value: :meth:`Kernel.take` puts it into the last-value table, shows it to the exchange where orders
wait for it, and publishes it as P1. Everything else happens in handlers, one at a time, P0 first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

import msgspec

from qts.broker.sim.exchange import SimExchange
from qts.capital.targets import opening_weights
from qts.clock import NS_PER_S, Clock, ManualClock, from_ns
from qts.config.tree import QtsConfig
from qts.db.contracts import RefusalRow, SafetyRow, StateRow, Store
from qts.errors import InputError, StateError
from qts.event.contracts import Event, EventPriority, EventType
from qts.event.dispatcher import EventDispatcher
from qts.event.handlers import CallbackHandler, TypeFilterHandler
from qts.event.payloads import LogWrite, RiskEvaluate
from qts.execution.contracts import AckStatus, EmergencyStop, Fill, Order, OrderNews
from qts.execution.working import WorkingOrders
from qts.ids import CounterIds, seeded
from qts.ledger.account import Account
from qts.ledger.contracts import FillEffect
from qts.market.contracts import (
    Bar,
    BookUpdate,
    Calendar,
    Feed,
    IndexLevel,
    MarketValue,
    Quote,
    Tick,
    VolatilityLevel,
)
from qts.market.last_values import LastValues
from qts.pipeline.act import Act
from qts.pipeline.contracts import Outcome
from qts.pipeline.decide import Decide
from qts.pipeline.evaluate import Evaluate
from qts.pipeline.extract import Extract
from qts.pipeline.runner import Pipeline
from qts.pipeline.transform import Transform
from qts.risk.contracts import OrderRequest, Refused
from qts.risk.gate import RiskGate
from qts.runtime.account_metrics import AccountMetrics, MetricsSource
from qts.runtime.auditor import Auditor
from qts.runtime.checkpoint import Checkpoints
from qts.runtime.day import TradingDay
from qts.runtime.drive import complete
from qts.runtime.duties import Duties, pool_targets
from qts.runtime.exits import ForcedExits
from qts.runtime.index_metrics import IndexMetrics
from qts.runtime.invariants import Invariants
from qts.runtime.operator import Command
from qts.runtime.order_desk import OrderDesk, event_type_of
from qts.runtime.parts import Parts
from qts.runtime.record import RunRecord
from qts.runtime.saved_parts import orders_as_they_stood, saved_parts
from qts.runtime.schedule import Appointment, Schedule
from qts.runtime.strategy_host import Seat, StrategyHost
from qts.runtime.unresolved import UnresolvedOrders
from qts.safety.contracts import SafetyChange, SafetyState
from qts.safety.state import SafetyStateManager
from qts.state.contracts import ManualOverride, OperatingState, TransitionRecord
from qts.state.course import TARGET_CAGR
from qts.state.operating_state import OperatingStateManager
from qts.strategy.contracts import Intent, Side, Signal, Strategy

EVENT_OF_VALUE: dict[type, EventType] = {
    Quote: EventType.ORDERBOOK_UPDATE,
    BookUpdate: EventType.ORDERBOOK_UPDATE,
    Tick: EventType.PRICE_TICK,
    Bar: EventType.VOLUME_UPDATE,
    IndexLevel: EventType.INDEX_UPDATE,
    VolatilityLevel: EventType.VIX_UPDATE,
}
GUARD_INTERVAL_NS = 60 * NS_PER_S
"""Limits of the account are looked at once a minute of market time, when prices move."""
MONEY_INVARIANTS = frozenset({1, 2})
P0_NEWS = (
    EventType.FILL_CONFIRMED,
    EventType.FILL_PARTIAL,
    EventType.ORDER_CANCELLED,
    EventType.ORDER_REJECTED,
)


class Kernel:
    """One session's machine. The drivers call :meth:`take` and :meth:`settle`; operators come by :meth:`ask`."""

    def __init__(
        self,
        *,
        run_id: str,
        seed: int,
        config: QtsConfig,
        config_hash: str,
        feed: Feed,
        strategies: Sequence[Strategy],
        store: Store,
        clock: Clock,
        log: Callable[[LogWrite], None],
        judged_by_index: bool,
        inline: bool,
    ) -> None:
        self.rows = 0
        self.in_hand: MarketValue | None = None
        self.fills = 0
        self.orders_sent = 0
        self.forced_exits = 0
        self.refusals: dict[str, int] = {}
        self.stand_in_bases: list[str] = []
        self.invariants = Invariants(self._on_breach)
        self._ids = {kind: CounterIds(f"{run_id[:8]}-{kind}") for kind in ("o", "d", "a", "t", "e")}
        self._set_clock = clock.set_ns if isinstance(clock, ManualClock) else _real_time_moves_itself
        self._codes_told = self._changes = self._evaluations = self._metrics_fed = 0
        self._answer_missing = True
        self._write_log = log
        self._inline = inline
        self._pools = {strategy.name: strategy.pool for strategy in strategies}
        self._operators: deque[Callable[[], None]] = deque()
        self.attention = self._checkpoint_due = self._audit_due = self._unresolved_due = self._unresolved_due = (
            self._done
        ) = False
        self.parts = self._make_parts(config, config_hash, feed, store, clock, judged_by_index)
        self.first_day = _first_session_day(self.parts.calendar, clock)
        self.dispatcher = EventDispatcher(
            config.event,
            clock=clock,
            ids=self._ids["e"],
            rng=seeded(seed, "dispatcher"),
            inline=inline,
            on_code=self.on_code,
        )
        self._publish = self.dispatcher.publish
        self.exchange = SimExchange(
            last_values=self.parts.last,
            instruments=feed.instruments,
            clock=clock,
            publish=self._on_order_news,
            rng=seeded(seed, "exchange"),
            config=config.broker.sim,
        )
        self._last, self._waiting = self.parts.last, self.exchange.active
        self._pipeline = self._make_pipeline()
        self.host = StrategyHost(
            [
                Seat(s, clock=clock, account=self.parts.account, orders=self.parts.orders, state=self.parts.state)
                for s in strategies
            ],
            on_intent=self._on_intent,
            on_other=self._on_other_value,
            on_fault=self._on_strategy_fault,
        )
        self.desk = OrderDesk(
            account=self.parts.account,
            orders=self.parts.orders,
            host=self.host,
            record=self.parts.record,
            on_code=self.on_code,
            on_applied=self._on_fill_applied,
        )
        self.unresolved = UnresolvedOrders(
            account=self.parts.account, orders=self.parts.orders, broker=self.exchange, record=self.parts.record
        )
        self.exits = ForcedExits(
            account=self.parts.account,
            orders=self.parts.orders,
            broker=self.exchange,
            make_signal=self._forced_signal,
            run=self._decide,
            retry_s=config.pipeline.forced_exit_retry_s,
        )
        self.duties = Duties(
            self.parts,
            exits=self.exits,
            host=self.host,
            transfer_ids=self._ids["t"],
            on_code=self.on_code,
            log=self._log,
        )
        self.auditor = Auditor(
            self.parts, self.exchange, self.dispatcher, self.invariants, store, lambda: self.duties.targets
        )
        self.schedule = Schedule(self.parts.calendar, config.runtime.evaluation_hours, clock.now())
        self._sample_ns = config.runtime.equity_sample_interval_s * NS_PER_S
        self._next_guard_ns = self._next_sample_ns = clock.time_ns()
        self.wake_ns = 0
        self._checkpoint_rows = config.runtime.checkpoint_interval_rows
        self._next_checkpoint_row = self._checkpoint_rows
        self.checkpoints = Checkpoints(saved_parts(self))
        self.parts.record.connect(self.checkpoints.take, self._on_storage_failure)
        self._register()

    # -- doors -------------------------------------------------------------------------------------------------

    def take(self, value: MarketValue) -> None:
        """One value from the feed, its appointments kept before: the table, the exchange, then the news."""
        ts_ns = value.ts_ns
        self._set_clock(ts_ns)
        self.rows += 1
        last, kind, symbol = self._last, value.__class__, value.symbol
        last.feed_ts_ns = ts_ns
        if kind is Quote:
            last.quotes[symbol] = value  # type: ignore[assignment]
            if symbol in self._waiting:
                self.exchange.on_market(value)
        elif kind is Tick:
            last.ticks[symbol] = value  # type: ignore[assignment]
            if symbol in self._waiting:
                self.exchange.on_market(value)
        elif kind is BookUpdate:
            self.exchange.on_market(value)
        elif kind is Bar:
            last.bars[symbol] = value  # type: ignore[assignment]
            self.exchange.on_market(value)
        self._publish(EVENT_OF_VALUE[kind], value, "feed")

    def settle(self) -> None:
        """On the virtual clock: handle everything that is queued, then what could not be done in a handler."""
        self.dispatcher.run_inline()
        while self.attention:
            complete(self.attend())
            self.dispatcher.run_inline()  # what attending published belongs to this moment, not to the next value's

    async def attend(self) -> None:
        """Operators' requests, forced exits, the checkpoint that came due: between handlers, never inside one."""
        if not self.attention:
            return
        self.attention = False
        self.parts.record.raise_failure()
        while self._operators:
            self._operators.popleft()()
        now_ns = self.parts.clock.time_ns()
        if self.exits.due_ns <= now_ns:
            await self.exits.work(now_ns)
            self.wake_ns = min(self.wake_ns, self.exits.due_ns)
        if self._unresolved_due:
            self._unresolved_due = False
            await self.unresolved.work(now_ns)
        if self._audit_due:
            self._audit_due = False
            await self.auditor.full(now_ns)
        if self._checkpoint_due or self.parts.record.is_full:
            self._checkpoint_due = False
            await self.parts.record.checkpoint()

    def checkpoint_if_due(self) -> None:
        """Called by the drivers now and then: asks for the checkpoint that goes with the interval of rows."""
        if self.rows >= self._next_checkpoint_row:
            self._next_checkpoint_row = self.rows + self._checkpoint_rows
            self._checkpoint_due = self.attention = True

    def ask(self, request: Callable[[], None]) -> None:
        """The one door for operators; thread-safe, carried out between two handlers."""
        self._operators.append(request)
        self.attention = True

    def emergency_stop(self, actor: str, reason: str, *, liquidate: bool = True) -> None:
        """Stop everything: lockdown, cancel what works, sell what is held. Goes in as P0, ahead of all."""
        stop = EmergencyStop(actor=actor, reason=reason, ts_ns=self.parts.clock.time_ns(), liquidate=liquidate)
        self._publish(EventType.EMERGENCY_STOP, stop, actor)

    def command(self, command: Command) -> str:
        """Carry out what an operator wants; the answer for people. Raises QtsError when it cannot be done."""
        self._log("WARNING", f"operator {command.operator}: {command.command} ({command.reason})")
        self.attention = self._checkpoint_due = True
        if command.command == "stop":
            self.emergency_stop(command.operator, command.reason, liquidate=command.liquidate)
            return "the emergency stop is on its way"
        if command.command == "release":
            return self._release(command)
        if command.command == "override":
            return self._override(command)
        if command.command == "clear_override":
            result = self.parts.state.clear_override(command.operator, command.reason)
            return f"{result.to_state.value}: {result.reason}"
        raise StateError(f"this session does not take {command.command!r}")

    def _release(self, command: Command) -> str:
        checks = self.duties.recovery_checks()
        change = self.parts.safety.request_recovery(
            operator_approved=True, operator_id=command.operator, reason=command.reason, checks=checks
        )
        self._codes_told += 1
        return f"safety is {change.to_state.value}: {change.reason}"

    def _override(self, command: Command) -> str:
        now = self.parts.clock.now()
        try:
            wanted = OperatingState(command.state)
        except ValueError:
            allowed = ", ".join(state.value for state in OperatingState)
            raise InputError(f"there is no operating state {command.state!r}; allowed: {allowed}") from None
        result = self.parts.state.apply_override(
            ManualOverride(
                override_state=wanted,
                override_reason=command.reason,
                operator_id=command.operator,
                override_time=now,
                expiry_time=now + timedelta(days=command.days),
            )
        )
        return f"{result.to_state.value}: {result.reason}" if result.applied else f"refused: {result.reason}"

    def reconfigure(self, config: QtsConfig, config_hash: str) -> None:
        """Take over a reloaded configuration: what may change while running is in force for the next decision."""
        parts = self.parts
        parts.config = config
        parts.state.reconfigure(config.state)
        parts.safety.reconfigure(config.safety)
        parts.gate = RiskGate(config.risk, config.state.table, config_hash, self._ids["a"])
        self._pipeline = self._make_pipeline()
        self._checkpoint_rows = config.runtime.checkpoint_interval_rows
        self._sample_ns = config.runtime.equity_sample_interval_s * NS_PER_S
        self._log("WARNING", f"configuration {config_hash[:12]} is in force")

    async def start(self, first: MarketValue | None) -> None:
        """Before ``first``, which has left the feed, is taken in a fresh session."""
        self.in_hand = first
        self.host.start()
        await self.parts.record.checkpoint()

    async def finish(self) -> None:
        """After the last value: the appointments of its day, a last full look, everything on disk; once."""
        if self._done:
            return  # killed between this checkpoint and the stored result
        day = self.parts.calendar.local_date(self.parts.clock.now())
        while self.parts.calendar.local_date(from_ns(self.schedule.next_ns)) == day:
            self._keep(*self.schedule.pop())
            if self._inline:
                self.settle()
        now_ns = self.parts.clock.time_ns()
        self.duties.guard(now_ns)
        self.duties.sample(now_ns)
        await self.auditor.full(now_ns)
        self._done = True
        await self.parts.record.checkpoint()

    async def suspend(self) -> None:
        """Stopped before the end: put everything on disk, so that the session can be resumed from here."""
        await self.parts.record.checkpoint()

    def keep_appointment(self, now_ns: int) -> bool:
        """Keep one appointment that is due by ``now_ns``, at its own time; False when none is left.

        One at a time, because the events it causes come before the next.
        """
        if self.schedule.next_ns <= now_ns:
            self._keep(*self.schedule.pop())
            return True
        if self._next_guard_ns <= now_ns:
            self._look_around(now_ns)
            return True
        self.wake_ns = min(self.schedule.next_ns, self._next_guard_ns)
        if self.exits.due_ns > now_ns:
            self.wake_ns = min(self.wake_ns, self.exits.due_ns)
        else:
            self.attention = True  # at the first value after it is due, whatever else asks for attention
        return False

    def _look_around(self, now_ns: int) -> None:
        """Once a minute of market time: limits of the account, now and then a point of the curves."""
        self._set_clock(now_ns)
        self._next_guard_ns = now_ns + GUARD_INTERVAL_NS
        self.duties.guard(now_ns)
        self.exchange.on_time(now_ns)
        if self.unresolved.any():
            self._unresolved_due = self.attention = True
        if self._next_sample_ns <= now_ns:
            self._next_sample_ns = now_ns + self._sample_ns
            self.duties.sample(now_ns)

    def _keep(self, due_ns: int, kind: Appointment) -> None:
        self._set_clock(due_ns)
        if kind is Appointment.DAY_START:
            self.duties.day_start(due_ns)
        elif kind is Appointment.EVALUATE:
            self._publish(EventType.RISK_EVALUATE, RiskEvaluate("", due_ns, "hourly"), "schedule")
        elif kind is Appointment.SESSION_END:
            self.exchange.on_session_end(self.parts.calendar.local_date(from_ns(due_ns)), due_ns)
        else:
            self._metrics_fed += 1
            self.duties.day_close(due_ns)
            self._audit_due = self._checkpoint_due = self.attention = True

    # -- what comes in -----------------------------------------------------------------------------------------

    def _on_other_value(self, value: MarketValue) -> None:
        self._metrics_fed += 1
        if isinstance(value, IndexLevel):
            self.parts.metrics.on_index(value)
        elif isinstance(value, VolatilityLevel):
            self.parts.metrics.on_volatility(value)

    def _on_order_news(self, news: OrderNews) -> None:
        self._publish(event_type_of(news), news, self.exchange.name)

    def _on_intent(self, strategy: Strategy, intent: Intent) -> None:
        if intent.symbol not in self.parts.base_prices:
            self._stand_in_base(intent.symbol)
        signal = self._signal(strategy.name, intent, forced=False)
        self._publish(EventType.SIGNAL_GENERATED, signal, strategy.name)

    def _stand_in_base(self, symbol: str) -> None:
        """A recording that begins mid-market has no previous close: its first price stands in, and is reported."""
        price = self.parts.last.last_trade(symbol) or self.parts.last.mark(symbol)
        if price is not None:
            self.parts.base_prices[symbol] = price
            self.stand_in_bases.append(symbol)

    def _forced_signal(self, strategy: str, intent: Intent) -> Signal:
        self.forced_exits += 1
        return self._signal(strategy, intent, forced=True)

    def _signal(self, strategy: str, intent: Intent, *, forced: bool) -> Signal:
        return Signal(
            decision_id=self._ids["d"].next_id(),
            strategy=strategy,
            pool=self._pools[strategy],
            intent=intent,
            ts_ns=self.parts.clock.time_ns(),
            forced=forced,
        )

    # -- handlers ----------------------------------------------------------------------------------------------

    async def _on_signal(self, event: Event) -> None:
        await self._decide(event.payload)

    async def _decide(self, signal: Signal) -> Outcome:
        outcome = await self._pipeline.run(signal)
        if isinstance(outcome, Refused):
            self._on_refused(outcome)
        elif outcome.ack.status is AckStatus.UNKNOWN:
            self.on_code("FS042", f"no answer to order {outcome.ack.client_order_id}")
            self._answer_missing = True
        else:
            self.parts.safety.broker_succeeded()
            self._changes += self._answer_missing  # safety forgot a failure: its cached share is old
            self._answer_missing = False
        return outcome

    async def _on_evaluate(self, event: Event) -> None:
        self._evaluations += 1
        self.duties.evaluate_state(self.parts.clock.time_ns())

    async def _on_emergency_stop(self, event: Event) -> None:
        stop: EmergencyStop = event.payload
        now_ns = self.parts.clock.time_ns()
        self.on_code("FS104", f"{stop.actor}: {stop.reason}")
        for order in self.parts.orders:
            if order.side is Side.BUY or not stop.liquidate:
                await self.exchange.cancel(order.client_order_id)
        if stop.liquidate:
            self.duties.want_all_out(f"emergency stop by {stop.actor}: {stop.reason}", now_ns)
        self.attention = self._checkpoint_due = True

    async def _on_log(self, event: Event) -> None:
        self._write_log(event.payload)

    # -- what happened -----------------------------------------------------------------------------------------

    def on_code(self, code: str, detail: str) -> None:
        """A code raised by any component goes to safety, whatever its family."""
        self._codes_told += 1
        self.parts.safety.apply_code(code, detail)

    def _on_refused(self, refused: Refused) -> None:
        request, reason = refused.request, refused.reason.value
        self.refusals[reason] = self.refusals.get(reason, 0) + 1
        self.parts.record.write_later(
            RefusalRow(
                decision_id=request.decision_id,
                ts_ns=request.ts_ns,
                strategy=request.strategy,
                symbol=request.symbol,
                side=request.side,
                reason=reason,
                detail=refused.detail,
            )
        )
        self.attention = self.attention or self.parts.record.is_full

    def _on_order_sent(self, request: OrderRequest) -> None:
        self.orders_sent += 1
        self.parts.day.sent(request.ts_ns, is_entry=request.side is Side.BUY)
        self.auditor.on_sent(request)
        self._log("INFO", f"{request.side.value} {request.qty} {request.symbol}", order=request.client_order_id)

    def _on_fill_applied(self, fill: Fill, order: Order, effect: FillEffect) -> None:
        self.fills += 1
        if effect.closing:
            self._metrics_fed += 1
            self.parts.metrics.on_closed_trade(order.pool, lost=effect.realized < 0, now_ns=fill.ts_ns)
        self.auditor.on_fill(fill, order)
        self._log("INFO", f"filled {fill.qty} {fill.symbol} at {fill.price}", order=order.client_order_id)

    def _on_strategy_fault(self, name: str, fault: str, halted: bool) -> None:
        self._log("ERROR", f"strategy {name} raised {fault}" + ("; it is halted" if halted else ""))
        if halted:
            self.duties.want_out(name, "its strategy was halted after repeated errors", self.parts.clock.time_ns())
            self.attention = True
            self.on_code("AN060", f"strategy {name} halted: {fault}")

    def _on_safety(self, change: SafetyChange) -> None:
        self._changes += 1
        row = SafetyRow(
            seq=change.seq,
            ts_ns=change.ts_ns,
            from_state=change.from_state.value,
            to_state=change.to_state.value,
            code=change.code,
            actor=change.actor,
            reason=change.reason,
        )
        self.parts.record.write_later(row)
        self.dispatcher.apply_safety_state(change.to_state)
        if change.from_state is SafetyState.LOCKDOWN:
            self.parts.state.on_lockdown_release()
        else:
            self.parts.state.apply_safety_override(change.to_state)
        self.auditor.on_safety(change)
        self._checkpoint_due = self.attention = True

    def _on_state(self, record: TransitionRecord) -> None:
        self._changes += 1
        row = StateRow(
            seq=record.seq,
            ts_ns=record.ts_ns,
            from_state=record.from_state.value,
            to_state=record.to_state.value,
            reason=record.reason,
            meta=msgspec.json.encode({**record.meta, "actor": record.actor, "kind": record.kind.value}).decode(),
        )
        self.parts.record.write_later(row)
        self.auditor.on_state(record)
        if record.is_transition:
            self.duties.on_state_changed(record.ts_ns)
            self._log("INFO", f"{record.from_state.value} -> {record.to_state.value}: {record.reason}")
        self._checkpoint_due = self.attention = True

    def _on_storage_failure(self) -> None:
        # Handlers' exceptions end in the dispatcher, but this one ends the session: memory is ahead of the disk.
        self.attention = True

    def _on_breach(self, number: int, detail: str) -> None:
        # Money made from nothing is worse than a single mismatch (spec 09, invariants).
        code = "FS104" if number in MONEY_INVARIANTS else "FS070"
        self.on_code(code, f"invariant {number}: {detail}")

    def _log(self, level: str, message: str, **fields: str) -> None:
        self._publish(EventType.LOG_WRITE, LogWrite(level, message, self.parts.clock.time_ns(), fields), "kernel")

    # -- checkpoints -------------------------------------------------------------------------------------------

    @property
    def safety_mark(self) -> object:
        """Changes whenever safety was told something."""
        return (self._codes_told, self._changes, self.parts.safety.current_state)

    @property
    def metrics_mark(self) -> object:
        """Changes whenever the metrics of the operating state took something in."""
        return (self._metrics_fed, self._evaluations)

    @property
    def state_mark(self) -> object:
        """Changes whenever the operating state was judged or moved."""
        return (self._evaluations, self._codes_told, self._changes, self.parts.state.current_state)

    def export_counts(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "first_day": self.first_day.isoformat(),
            "fills": self.fills,
            "orders": self.orders_sent,
            "forced_exits": self.forced_exits,
            "duplicates": self.desk.duplicates,
            "refusals": self.refusals,
            "stand_in_bases": self.stand_in_bases,
            "ids": {kind: ids.last for kind, ids in self._ids.items() if kind != "e"},
            "guard_ns": self._next_guard_ns,
            "sample_ns": self._next_sample_ns,
            "codes_told": self._codes_told,
            "evaluations": self._evaluations,
            "audit_due": self._audit_due,
            "unresolved_due": self._unresolved_due,
            "done": self._done,
            "book_rows": self.parts.record.rows_of_the_book,
        }

    def import_counts(self, saved: dict[str, Any]) -> None:
        self.first_day = date.fromisoformat(saved["first_day"])
        self.rows, self.fills = saved["rows"], saved["fills"]
        self.orders_sent, self.forced_exits = saved["orders"], saved["forced_exits"]
        self.desk.duplicates = saved["duplicates"]
        self.refusals = dict(saved["refusals"])
        self.stand_in_bases = list(saved["stand_in_bases"])
        for kind, last in saved["ids"].items():
            self._ids[kind].continue_after(last)
        self._next_guard_ns, self._next_sample_ns = saved["guard_ns"], saved["sample_ns"]
        self._codes_told, self._evaluations = saved["codes_told"], saved["evaluations"]
        self._audit_due, self._unresolved_due = saved["audit_due"], saved["unresolved_due"]
        self._done = saved["done"]
        self.parts.record.rows_of_the_book = saved["book_rows"]
        self.attention = True

    def export_dispatcher(self) -> dict[str, Any]:
        """The dispatcher's share. The fill in hand counts as handled: this transaction is its effect."""
        return self.dispatcher.export_state()

    async def restore(self, checkpoint: bytes, store: Store, in_hand: MarketValue | None) -> None:
        """Continue from ``checkpoint``; the store has been rewound to it. Call instead of :meth:`start`."""
        account = self.checkpoints.share(checkpoint, "account")
        self.parts.account.import_state(account, ledger=await store.ledger(), transfers=await store.transfers())
        share = self.checkpoints.share(checkpoint, "orders")
        self.parts.orders.import_state(orders_as_they_stood(await store.orders(), share))
        self.checkpoints.give(checkpoint)
        self.in_hand = in_hand
        self.host.resume()

    # -- wiring ------------------------------------------------------------------------------------------------

    def _make_parts(
        self, config: QtsConfig, config_hash: str, feed: Feed, store: Store, clock: Clock, judged_by_index: bool
    ) -> Parts:
        instrument = next(iter(feed.instruments.values()))
        state = OperatingStateManager(config.state, clock=clock)
        properties = config.state.table
        account = Account(
            opening=config.runtime.equity_start,
            quantum=instrument.quantum,
            split=opening_weights(config.capital, pool_targets(properties[state.current_state])),
            remainder=config.capital.remainder,
        )
        last, day = LastValues(), TradingDay(config.runtime.equity_start)
        metrics: MetricsSource = (
            IndexMetrics(target_cagr=TARGET_CAGR)
            if judged_by_index
            else AccountMetrics(
                target_cagr=TARGET_CAGR,
                equity=lambda: account.equity(last.mark),
                day_open=lambda: day.open_equity,
                marks_ns=lambda: last.feed_ts_ns,
            )
        )
        return Parts(
            config=config,
            clock=clock,
            feed=feed,
            calendar=instrument.calendar,
            last=last,
            base_prices={},
            account=account,
            orders=WorkingOrders(),
            safety=SafetyStateManager(config.safety, clock=clock),
            state=state,
            gate=RiskGate(config.risk, properties, config_hash, self._ids["a"]),
            metrics=metrics,
            day=day,
            record=RunRecord(store),
        )

    def _make_pipeline(self) -> Pipeline:
        p = self.parts
        properties = p.config.state.table
        return Pipeline(
            Extract(
                clock=p.clock,
                feed=p.feed,
                last_values=p.last,
                base_prices=p.base_prices,
                safety=p.safety,
                state=p.state,
            ),
            Transform(
                account=p.account,
                orders=p.orders,
                last_values=p.last,
                gate=p.gate,
                day=p.day,
                locked_pools={},
                order_ids=self._ids["o"],
                config=p.config.pipeline,
            ),
            Evaluate(properties),
            Decide(p.gate, properties),
            Act(
                account=p.account,
                orders=p.orders,
                broker=self.exchange,
                log=p.record,
                on_sent=self._on_order_sent,
            ),
        )

    def _register(self) -> None:
        register = self.dispatcher.register_handler
        news = TypeFilterHandler(CallbackHandler(self.desk.on_event, "order desk"), P0_NEWS)
        register(EventPriority.P0_CRITICAL, news)
        stop = CallbackHandler(self._on_emergency_stop, "emergency stop")
        register(EventPriority.P0_CRITICAL, TypeFilterHandler(stop, (EventType.EMERGENCY_STOP,)))
        register(EventPriority.P1_HIGH, CallbackHandler(self.host.on_market_event, "strategies"))
        signals = CallbackHandler(self._on_signal, "decision path")
        register(EventPriority.P2_MEDIUM, TypeFilterHandler(signals, (EventType.SIGNAL_GENERATED,)))
        evaluate = CallbackHandler(self._on_evaluate, "operating state")
        register(EventPriority.P2_MEDIUM, TypeFilterHandler(evaluate, (EventType.RISK_EVALUATE,)))
        log = CallbackHandler(self._on_log, "session log")
        register(EventPriority.P3_LOW, TypeFilterHandler(log, (EventType.LOG_WRITE,)))
        self.parts.safety.add_listener(self._on_safety)
        self.parts.state.add_listener(self._on_state)


def _first_session_day(calendar: Calendar, clock: Clock) -> date:
    opening = calendar.next_open(clock.now())
    return calendar.local_date(clock.now() if opening is None else opening)


def _real_time_moves_itself(ns: int) -> None:
    """The system's clock cannot be set."""
