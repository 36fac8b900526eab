"""The composition root: with :mod:`qts.runtime.wiring` the only place that names concrete classes; wires them.

Life of a value: :attr:`Kernel.on_market_value` puts it into the last-value table, shows it to the exchange where
orders wait for it, and publishes it as P1. Everything else happens in handlers, one at a time, P0 first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from qts.clock import NS_PER_S, Clock, ManualClock, from_ns
from qts.config.tree import QtsConfig
from qts.db.session import SessionStore
from qts.event.contracts import Event, EventType
from qts.event.dispatcher import EventDispatcher
from qts.event.journal import Journal
from qts.event.payloads import LogWrite, RiskEvaluate
from qts.execution.contracts import AckStatus, BrokerDisconnect, Fill, Order, OrderAck, OrderNews, OrderState
from qts.ids import CounterIds, seeded
from qts.ledger.contracts import FillEffect
from qts.market.contracts import Feed, LiveFeed, MarketValue
from qts.pipeline.contracts import Acted, Outcome
from qts.pipeline.runner import Pipeline
from qts.risk.contracts import OrderRequest, Refused
from qts.risk.gate import RiskGate
from qts.runtime.auditor import Auditor
from qts.runtime.checkpoint import Checkpoints
from qts.runtime.duties import Duties
from qts.runtime.exits import ForcedExits
from qts.runtime.intake import Intake
from qts.runtime.invariants import MONEY_INVARIANTS, Invariants
from qts.runtime.market_input import MarketInput
from qts.runtime.order_desk import OrderDesk, event_type_of
from qts.runtime.recovery import Recovery, RewindAndReplay, RollForward
from qts.runtime.reject_watch import RejectWatch
from qts.runtime.rows import refusal_row, safety_row, safety_text, state_row
from qts.runtime.saved_parts import saved_parts
from qts.runtime.schedule import Appointment, Schedule
from qts.runtime.session_log import Notices
from qts.runtime.signals import Signals
from qts.runtime.stops import Stops
from qts.runtime.tally import Tally
from qts.runtime.trades import Trades
from qts.runtime.unresolved import UnresolvedOrders
from qts.runtime.wiring import (
    BrokerConnection,
    first_session_day,
    make_host,
    make_parts,
    make_pipeline,
    make_sender,
    moves_itself,
    register_handlers,
    reports_to,
)
from qts.safety.contracts import SafetyChange, SafetyState
from qts.state.contracts import TransitionRecord
from qts.strategy.contracts import Side, Signal, Strategy

GUARD_INTERVAL_NS = 60 * NS_PER_S
"""Limits of the account are looked at once a minute of market time, when prices move."""


class Kernel:
    """One session's machine; the drivers call :attr:`on_market_value` and :meth:`settle`."""

    def __init__(
        self,
        *,
        run_id: str,
        seed: int,
        config: QtsConfig,
        config_hash: str,
        feed: Feed | LiveFeed,
        connection: BrokerConnection,
        strategies: Sequence[Strategy],
        store: SessionStore,
        clock: Clock,
        log: Callable[[LogWrite], None],
        judged_by_index: bool,
        inline: bool,
        flush_log: Callable[[], None] = lambda: None,
        journal: Journal | None = None,
        specs: Sequence[str] = (),
        on_strategy_error: Callable[[str], None] = lambda told: None,
    ) -> None:
        self._journal = journal
        self._on_strategy_error = on_strategy_error
        self.notices = Notices(log, flush_log, lambda *told: self._publish(*told), clock)
        self._log = self.notices.say
        self.in_hand: MarketValue | None = None
        self.invariants = Invariants(self._on_breach)
        self.ids = {kind: CounterIds(f"{run_id[:8]}-{kind}") for kind in ("o", "d", "a", "t", "e")}
        self._set_clock = clock.set_ns if isinstance(clock, ManualClock) else moves_itself
        self._answer_missing, self._inline = True, inline
        self._calls: deque[Callable[[], None]] = deque()
        self.attention = self._checkpoint_due = self.audit_due = self.unresolved_due = False
        self.looked_last = self.done = False
        self.broker, self.venue, last, news = connection
        self.parts = make_parts(
            config,
            config_hash,
            feed,
            store,
            clock,
            last,
            judged_by_index=judged_by_index,
            inline=inline,
            approval_ids=self.ids["a"],
        )
        self.tally = Tally(first_session_day(self.parts.calendar, clock).isoformat())
        self.dispatcher = EventDispatcher(
            config.event,
            clock=clock,
            ids=self.ids["e"],
            rng=seeded(seed, "dispatcher"),
            inline=inline,
            on_code=self.on_code,
            on_alert=None if inline else self.notices.alert,  # on the virtual clock nothing may depend on real time
            on_report=None if inline else reports_to(self.notices.report, self.parts.record),
            journal=journal,
        )
        self._publish = self.dispatcher.publish
        self.signals = Signals(
            self.parts,
            pools={strategy.name: strategy.pool for strategy in strategies},
            decision_ids=self.ids["d"],
            tally=self.tally,
            publish=self._publish,
        )
        news.connect(self._on_order_news)
        p = self.parts
        self.intake = Intake(p.last, p.extremes, self.venue, clock, p.price_bands, self.on_code)
        self.market = MarketInput(self.intake, self._publish)
        self.on_market_value = self.market.publish
        self.sender = make_sender(connection, self.parts.record, inline=inline)
        self._pipeline = self._make_pipeline()
        self.host = make_host(
            self.parts,
            strategies,
            specs,
            apart=config.runtime.strategy_lane == "process" and not inline,
            on_intent=self.signals.on_intent,
            on_other=self._on_other_value,
            on_fault=self._on_strategy_fault,
            on_running=lambda name, pid: self._log("INFO", f"strategy {name} runs in process {pid}"),
        )
        self.desk = OrderDesk(
            self.parts,
            host=self.host,
            on_code=self.on_code,
            on_kept=lambda: self._attend_soon(compare=True),
            on_applied=self._on_fill_applied,
            on_ended=self._on_order_ended,
            log=self._log,
        )
        self.rejects = RejectWatch(self.parts, self.on_code, self._log)
        self.trades = Trades(self.parts.metrics, self.tally)
        self.unresolved = UnresolvedOrders(
            account=self.parts.account, orders=self.parts.orders, broker=self.broker, record=self.parts.record
        )
        self.exits = ForcedExits(
            account=self.parts.account,
            orders=self.parts.orders,
            sender=self.sender,
            make_signal=self.signals.forced,
            run=self._decide,
            withdraw=self.unresolved.withdraw,
            wanted=self.parts.leaving,
            retry_s=config.pipeline.forced_exit_retry_s,
        )
        self.duties = Duties(
            self.parts,
            exits=self.exits,
            host=self.host,
            transfer_ids=self.ids["t"],
            on_code=self.on_code,
            books_agree=self.invariants.books_agree,
            log=self._log,
        )
        self.stops = Stops(
            self.parts,
            exits=self.exits,
            pools=self.signals.pools,
            symbols=feed.instruments,
            on_code=self.on_code,
            publish=self._publish,
            want_all_out=partial(self.duties.want_all_out, ordered=True),
            on_carried_out=self._attend_soon,
        )
        book = (self.parts, self.broker, self.dispatcher, self.invariants, store)
        self.auditor = Auditor(*book, lambda: self.duties.targets, self.on_code)
        self.schedule = Schedule(self.parts.calendar, config.runtime.evaluation_hours, clock.now())
        self._sample_ns = config.runtime.equity_sample_interval_s * NS_PER_S
        self.next_guard_ns = self.next_sample_ns = clock.time_ns()
        self.wake_ns = 0
        self._checkpoint_rows = config.runtime.checkpoint_interval_rows
        self._next_checkpoint_row = self._checkpoint_rows
        self.checkpoints = Checkpoints(saved_parts(self))
        self.recovery: Recovery = RewindAndReplay(self.parts, self.checkpoints)
        if not self.venue.is_simulated:
            self.recovery = RollForward(
                self.parts,
                self.checkpoints,
                self.ids,
                self.broker,
                on_news=self._on_order_news,
                on_code=self.on_code,
                on_foreign=lambda told: self._log("WARNING", told),
            )
        on_stored = None if journal is None else lambda: journal.commit(store.checkpoint_number)
        if journal is not None:
            journal.identify = self.parts.account.identity_of
        self.parts.record.connect(self._checkpoint, self._attend_soon, on_stored, journal)
        register_handlers(
            self.dispatcher,
            news=self.desk.on_event,
            stop=self.stops.on_event,
            market=self.host.on_market_event,
            signal=self._on_signal,
            evaluate=self._on_evaluate,
            log=lambda event: log(event.payload),
            away=self.host.away.values(),
        )
        self.parts.safety.add_listener(self._on_safety)
        self.parts.state.add_listener(self._on_state)

    # -- doors -------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """On the virtual clock: handle everything that is queued, then what could not be done in a handler."""
        self.dispatcher.run_inline()
        while self.attention:
            await self.attend()
            self.dispatcher.run_inline()  # what attending published belongs to this moment, not to the next value's

    async def attend(self) -> None:
        """Operators' requests, forced exits, the checkpoint that came due: between handlers, never inside one."""
        if not self.attention:
            return
        self.attention = False
        self.parts.record.raise_failure()
        if self._journal is not None:
            self._journal.raise_if_fatal()
        self._make_calls()
        now_ns = self.parts.clock.time_ns()
        if self.exits.due_ns <= now_ns:
            await self.exits.work(now_ns)
        self.wake_ns = min(self.wake_ns, self.exits.due_ns)
        if self.unresolved_due:
            self.unresolved_due = False
            await self.unresolved.work(now_ns)
        if self.audit_due:
            self.audit_due = not await self.auditor.full(now_ns)  # again when something else asks for attention
        if self._checkpoint_due or self.parts.record.is_full:
            self._checkpoint_due = False
            await self.parts.record.book(())  # beside the loop nothing waits for it

    def checkpoint_if_due(self) -> None:
        """Called by the drivers now and then: asks for the checkpoint that goes with the interval of rows."""
        rows = self.intake.rows
        if rows >= self._next_checkpoint_row:
            self._next_checkpoint_row = rows + self._checkpoint_rows
            self._checkpoint_due = self.attention = True

    def call_soon(self, call: Callable[[], None]) -> None:
        """Have ``call`` made between two handlers, before the next signal is decided; from any thread.

        For those who see something on a thread of their own: the watchdog, a broker's connection.
        """
        self._calls.append(call)
        self.attention = True

    def on_command(self) -> None:
        """Take a checkpoint soon in which both states are stored anew, whatever an operator's command changes."""
        self.attention = self._checkpoint_due = True
        self.tally.codes_told += 1

    def reconfigure(self, config: QtsConfig, config_hash: str) -> None:
        """Take over a reloaded configuration: what may change while running is in force for the next decision."""
        parts = self.parts
        parts.config = config
        self.dispatcher.reconfigure(config.event)
        parts.state.reconfigure(config.state)
        parts.safety.reconfigure(config.safety)
        parts.gate = RiskGate(config.risk, config.state.table, config_hash, self.ids["a"])
        self._pipeline = self._make_pipeline()
        self._checkpoint_rows = config.runtime.checkpoint_interval_rows
        self._sample_ns = config.runtime.equity_sample_interval_s * NS_PER_S

    def _make_pipeline(self) -> Pipeline:
        stores_pending = not self.venue.is_simulated
        return make_pipeline(self.parts, self.sender, self.ids, self._on_order_sent, stores_pending=stores_pending)

    async def start(self, first: MarketValue | None) -> None:
        """Before ``first``, which has left the feed, is taken in a fresh session; stores every pool."""
        self.in_hand = first
        self.host.start()
        self._replay_journal()
        await self.parts.record.checkpoint(self.parts.account.pool_rows())

    async def finish(self) -> None:
        """After the last value: the appointments of its day, a last full look, everything on disk; once."""
        if self.done:
            return  # killed between this checkpoint and the stored result
        if self._inline:
            await self.close_day()
        now_ns = self.parts.clock.time_ns()
        if not self.looked_last:  # the full look may commit; a run that is resumed behind it looks no second time
            self.duties.guard(now_ns)
            self.duties.sample(now_ns)
            self.looked_last = True
        await self.auditor.full(now_ns)
        self.done = True
        await self.parts.record.checkpoint()

    async def close_day(self) -> None:
        """Keep what is left of the day's appointments; off the virtual clock while the dispatcher still runs."""
        day = self.parts.calendar.local_date(self.parts.clock.now())
        while self.parts.calendar.local_date(from_ns(self.schedule.next_ns)) == day:
            self._keep(*self.schedule.pop())
            if self._inline:
                await self.settle()

    def keep_appointment(self, now_ns: int) -> bool:
        """Keep one appointment that is due by ``now_ns``, at its own time; False when none is left.

        One at a time, because the events it causes come before the next.
        """
        if self.schedule.next_ns <= now_ns:
            self._keep(*self.schedule.pop())
            return True
        if self.next_guard_ns <= now_ns:
            self._look_around(now_ns)
            return True
        self.wake_ns = min(self.schedule.next_ns, self.next_guard_ns)
        if self.exits.due_ns > now_ns:
            self.wake_ns = min(self.wake_ns, self.exits.due_ns)
        else:
            self.attention = True  # at the first value after it is due, whatever else asks for attention
        return False

    def _look_around(self, now_ns: int) -> None:
        """Once a minute of market time: limits of the account, now and then a point of the curves."""
        self._set_clock(now_ns)
        self.next_guard_ns = now_ns + GUARD_INTERVAL_NS
        self.duties.guard(now_ns)
        self.venue.on_time(now_ns)
        if self.unresolved.any():
            self.unresolved_due = self.attention = True
        if not self._inline:  # in real time a minute is worth a checkpoint; a replay counts rows
            self._checkpoint_due = self.attention = True
        if self.next_sample_ns <= now_ns:
            self.next_sample_ns = now_ns + self._sample_ns
            self.duties.sample(now_ns)

    def _keep(self, due_ns: int, kind: Appointment) -> None:
        self._set_clock(due_ns)
        if self.venue.due_ns <= due_ns:
            self.venue.on_time(due_ns)  # while nothing was quoted a line may have come up again
        self.duties.judge_what_moved()
        if kind is Appointment.DAY_START:
            self.duties.day_start(due_ns)
        elif kind is Appointment.EVALUATE:
            self._publish(EventType.RISK_EVALUATE, RiskEvaluate("", due_ns, "hourly"), "schedule")
        elif kind is Appointment.SESSION_END:
            self.venue.on_session_end(self.parts.calendar.local_date(from_ns(due_ns)), due_ns)
        else:
            self.tally.metrics_fed += 1
            self.duties.day_close(due_ns)
            self.audit_due = self._checkpoint_due = self.attention = True

    def _on_other_value(self, value: MarketValue) -> None:
        self.tally.metrics_fed += 1
        self.parts.measure(value)

    def _on_order_news(self, news: OrderNews | BrokerDisconnect) -> None:
        heard = self.desk.heard(news, self.call_soon)
        if heard is not None:
            self._publish(event_type_of(heard), heard, self.broker.name)

    def _make_calls(self) -> None:
        while self._calls:
            self._calls.popleft()()

    async def _on_signal(self, event: Event) -> None:
        self._make_calls()  # a FAIL of the watchdog stands before what the strategy that hung says in the end
        await self._decide(event.payload)

    async def _decide(self, signal: Signal) -> Outcome:
        outcome = await self._pipeline.run(signal)
        if isinstance(outcome, Refused):
            with self.parts.record.whole(f"the outcome of decision {signal.decision_id}"):
                self._on_refused(outcome)
        else:
            outcome.ticket.when_answered(partial(self._on_answer, outcome))
        return outcome

    def _on_answer(self, acted: Acted, ack: OrderAck) -> None:
        with self.parts.record.whole(f"the answer to order {ack.client_order_id}"):
            self._judge_answer(acted, ack)
            order = self.parts.orders.get(ack.client_order_id)
            if order is not None and self.exits.answered(order, self.parts.clock.time_ns()):
                self.attention = True

    def _judge_answer(self, acted: Acted, ack: OrderAck) -> None:
        if ack.status is AckStatus.UNKNOWN:
            self.on_code("FS042", f"no answer to order {ack.client_order_id}")
            self._answer_missing = True
        elif ack.status is AckStatus.REJECTED:
            self.rejects.on_answer(acted, ack)
        else:
            self.parts.safety.broker_succeeded()
            self.tally.changes += self._answer_missing  # safety forgot a failure: its cached share is old
            self._answer_missing = False

    async def _on_evaluate(self, event: Event) -> None:
        self.tally.evaluations += 1
        self.duties.evaluate_state(self.parts.clock.time_ns())

    # -- what happened -----------------------------------------------------------------------------------------

    def on_code(self, code: str, detail: str) -> None:
        """A code raised by any component goes to safety, whatever its family."""
        self.tally.codes_told += 1
        if self._journal is not None and self._journal.must_exit:
            self.attention = True  # nobody knows what is on its disk: the session ends at the next quiet moment
        self.parts.safety.apply_code(code, detail)

    def _on_refused(self, refused: Refused) -> None:
        self.tally.refused(refused.reason.value)
        self.parts.record.write_later(refusal_row(refused))
        self.attention = self.attention or self.parts.record.is_full

    def _on_order_sent(self, request: OrderRequest) -> None:
        self.tally.orders += 1
        self.parts.day.sent(request.ts_ns, is_entry=request.side is Side.BUY)
        self.auditor.on_sent(request)
        if request.side is Side.BUY:
            self.exits.entered(request.strategy, request.symbol)
        self._log("INFO", f"{request.side.value} {request.qty} {request.symbol}", order=request.client_order_id)

    def _on_fill_applied(self, fill: Fill, order: Order, effect: FillEffect) -> None:
        self.tally.fills += 1
        self.parts.extremes.book_changed(self.parts.clock.time_ns())
        self.trades.on_fill(order, effect)
        self.stops.on_fill(fill, order)
        self.rejects.on_fill(order)
        self.auditor.on_fill(fill, order)
        self._on_order_moved(order)
        self._log("INFO", f"filled {fill.qty} {fill.symbol} at {fill.price}", order=order.client_order_id)

    def _attend_soon(self, compare: bool = False) -> None:  # to a failed record, too: no handler ends the session
        self.audit_due |= compare
        self.attention = self._checkpoint_due = True

    def _on_order_ended(self, order: Order) -> None:
        self.trades.on_end(order)
        self.rejects.on_end(order)
        self._on_order_moved(order)

    def _on_order_moved(self, order: Order) -> None:
        if (self.parts.leaving or order.state is OrderState.FILLED_LATE) and self.exits.heard_of(order):
            self.attention = True

    def _on_strategy_fault(self, name: str, callback: str, fault: str, halted: bool, trace: str) -> None:
        what = f"strategy {name} raised {fault} in {callback}" + ("; it is halted" if halted else "")
        self._log("ERROR", f"{what}\n{trace}" if trace else what)
        self._on_strategy_error(f"{what}\n{trace}" if trace else "")
        if halted:
            self.duties.want_out(name, f"its strategy was halted: {fault}", self.parts.clock.time_ns())
            self.attention = True
            self.on_code("AN060", f"strategy {name} halted: {fault}")

    def _on_safety(self, change: SafetyChange) -> None:
        self.tally.changes += 1
        self.parts.record.write_later(safety_row(change))
        self._log("WARNING", f"safety {safety_text(change)}")
        self.dispatcher.apply_safety_state(change.to_state)
        if not self.parts.config.state.enabled:
            pass  # it rules nothing: what safety says is enough
        elif change.from_state is SafetyState.LOCKDOWN:
            self.parts.state.on_lockdown_release()
        else:
            self.parts.state.apply_safety_override(change.to_state)
        self.auditor.on_safety(change)
        self.audit_due |= not change.to_state.allows_entries
        self._checkpoint_due = self.attention = True

    def _on_state(self, record: TransitionRecord) -> None:
        self.tally.changes += 1
        self.parts.record.write_later(state_row(record))
        self.auditor.on_state(record)
        if record.is_transition:
            self.duties.on_state_changed(record.ts_ns)
            self._log("INFO", f"{record.from_state.value} -> {record.to_state.value}: {record.reason}")
        self._checkpoint_due = self.attention = True

    def _on_breach(self, number: int, detail: str, again: bool) -> None:
        # Money made from nothing, or the same once more, is worse than a single mismatch (spec 09, invariants).
        code = "FS104" if again or number in MONEY_INVARIANTS else "FS070"
        self.on_code(code, f"invariant {number}: {detail}")

    # -- checkpoints -------------------------------------------------------------------------------------------

    def _checkpoint(self) -> bytes:
        self.host.keep_memories()
        self.notices.flush()  # lines that a resumed session does not write again
        return self.checkpoints.take()

    async def restore(self, checkpoint: bytes, store: SessionStore, in_hand: MarketValue | None) -> None:
        """Continue from ``checkpoint``, see :func:`qts.runtime.recovery.resume_point`; instead of :meth:`start`."""
        self.desk.quarantine.know(store.quarantine())
        self.recovery.restore(store, checkpoint)
        if self.unresolved.doubt_intents(self.parts.clock.time_ns()):
            self.unresolved_due = self.attention = True
        self.in_hand = in_hand
        self.host.resume()
        self._replay_journal()
        await self.recovery.catch_up(self.parts.clock.time_ns())

    def _replay_journal(self) -> None:
        """Take up P0 that was journalled and is in no checkpoint, such as an operator's emergency stop.

        Not the news of a simulated venue: it stands where the checkpoint has put it and publishes them again.
        """
        if self._journal is not None:
            self.dispatcher.replay_journal(lambda event: self.venue.takes_back(event.source, event.payload))
