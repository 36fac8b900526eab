"""Random histories: the queues against plain models, the dispatcher against its promises."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from qts.event.config import EventConfig, QueueConfig, QueueConfigs
from qts.event.contracts import DegradationLevel, Event, EventPriority, EventType, OverflowPolicy, create_event
from qts.event.dispatcher import EventDispatcher
from qts.event.handlers import CallbackHandler
from qts.event.ordering_keys import collapse_key, is_risk_reducing, order_key
from qts.event.queue import EventQueue, create_queue
from qts.ids import seeded
from qts.strategy.contracts import Side
from tests.effort import examples
from tests.event.support import P0, P1, P2, P3, inline_dispatcher, signal

POLICY = {
    P0: OverflowPolicy.BLOCK,
    P1: OverflowPolicy.DROP_OLDEST,
    P2: OverflowPolicy.COLLAPSE,
    P3: OverflowPolicy.SAMPLE,
}
SYMBOLS = st.sampled_from("ABCDE")


class QueueMachine(RuleBasedStateMachine):
    """One queue of any policy beside a plain list; every loss has a reason and a count."""

    queue: EventQueue
    model: list[Event]
    taken: int
    given: int
    refused: int

    @initialize(
        priority=st.sampled_from(EventPriority), capacity=st.integers(1, 4), rate=st.sampled_from([0.0, 1.0])
    )
    def begin(self, priority: EventPriority, capacity: int, rate: float) -> None:
        self.policy = POLICY[priority]
        self.rate = rate
        config = QueueConfig(priority, capacity, self.policy, sample_rate=rate)
        self.queue = create_queue(config, rng=seeded(0, "machine"))
        self.model = []
        self.taken = self.given = self.refused = 0

    @rule(symbol=SYMBOLS)
    def put_an_evaluation(self, symbol: str) -> None:
        self._put(create_event(EventType.STRATEGY_EVALUATE, payload={"symbol": symbol}, can_drop=True))

    @rule(symbol=SYMBOLS, side=st.sampled_from(Side))
    def put_a_signal(self, symbol: str, side: Side) -> None:
        self._put(create_event(EventType.SIGNAL_GENERATED, payload=signal(side, symbol=symbol), can_drop=True))

    @rule()
    def put_a_stop(self) -> None:
        self._put(create_event(EventType.EMERGENCY_STOP, can_drop=True))

    @rule()
    def take(self) -> None:
        event = self.queue.get_nowait()
        assert event is (self.model.pop(0) if self.model else None)
        self.taken += event is not None

    def _put(self, event: Event) -> None:
        kept = self.queue.put_nowait(event)
        expected = self._model_put(event)
        assert kept is expected
        self.given += 1
        self.refused += self.policy is OverflowPolicy.BLOCK and not kept

    def _model_put(self, event: Event) -> bool:
        full = len(self.model) >= self.queue.capacity
        if self.policy is OverflowPolicy.BLOCK:
            if event.event_type is EventType.EMERGENCY_STOP:
                self.model.insert(sum(e.event_type is EventType.EMERGENCY_STOP for e in self.model), event)
                return True
            if not full:
                self.model.append(event)
            return not full
        if self.policy is OverflowPolicy.COLLAPSE:
            return self._model_collapse(event, full)
        if full and self.policy is OverflowPolicy.SAMPLE and self.rate == 0.0:
            return False
        if full:
            self.model.pop(0)
        self.model.append(event)
        return True

    def _model_collapse(self, event: Event, full: bool) -> bool:
        keys = [collapse_key(queued) for queued in self.model]
        if collapse_key(event) in keys:
            self.model[keys.index(collapse_key(event))] = event
            return True
        droppable = [queued for queued in self.model if not is_risk_reducing(queued)]
        if full and droppable:
            self.model.remove(droppable[0])
        elif full and not is_risk_reducing(event):
            return False
        self.model.append(event)
        return True

    @invariant()
    def what_went_in_is_there_or_was_taken_or_is_counted(self) -> None:
        queue = self.queue
        assert queue.pending() == self.model
        assert queue.peek() is (self.model[0] if self.model else None)
        losses = queue.dropped_count + queue.collapsed_count + queue.sampled_out_count
        assert queue.accepted == self.given - self.refused == self.taken + queue.size() + losses
        if self.policy is OverflowPolicy.BLOCK:
            assert losses == 0


class DispatcherMachine(RuleBasedStateMachine):
    """A whole dispatcher with small queues, failing handlers, pauses, and restarts from its stored state."""

    def __init__(self) -> None:
        super().__init__()
        queues = QueueConfigs(
            p0=QueueConfig(P0, 3, POLICY[P0]),
            p1=QueueConfig(P1, 4, POLICY[P1]),
            p2=QueueConfig(P2, 3, POLICY[P2]),
            p3=QueueConfig(P3, 4, POLICY[P3], sample_rate=0.5),
        )
        self.config = EventConfig(queue_configs=queues, held_capacity=3)
        self.counter = 0
        self.failures_left = 0
        self.handled: dict[EventPriority, list[Event]] = defaultdict(list)
        self.sent: dict[EventPriority, int] = defaultdict(int)
        self.refused: dict[EventPriority, int] = defaultdict(int)
        self.codes: list[str] = []
        self.overtaken: list[str] = []
        self.dispatcher = self._new()

    def _new(self) -> EventDispatcher:
        dispatcher = inline_dispatcher(self.config, on_code=lambda code, detail: self.codes.append(code))
        for priority in EventPriority:
            dispatcher.register_handler(priority, CallbackHandler(self._handle, f"main {priority}"))
        return dispatcher

    def _handle(self, event: Event) -> None:
        for priority in EventPriority:
            if priority < event.priority and self.dispatcher.stats.is_waiting(priority):
                self.overtaken.append(f"{event} was started while {priority.name} waited")
        if event.payload.get("emits") and len(self.handled[P0]) < 500:
            self._send(P0, "Z")
        if self.failures_left:
            self.failures_left -= 1
            raise ValueError("as told")
        self.handled[event.priority].append(event)

    def _send(self, priority: EventPriority, symbol: str, *, emits: bool = False) -> None:
        kind = {
            P0: EventType.FILL_PARTIAL,
            P1: EventType.PRICE_TICK,
            P2: EventType.RISK_EVALUATE,
            P3: EventType.LOG_WRITE,
        }
        self.counter += 1
        payload = {"symbol": symbol, "n": self.counter, "emits": emits}
        paused = not self.dispatcher.is_priority_allowed(priority)
        kept = self.dispatcher.publish(kind[priority], payload)
        assert kept or paused or priority in (P2, P3)
        self.refused[priority] += paused
        self.sent[priority] += not paused

    @rule(burst=st.lists(st.tuples(st.sampled_from(EventPriority), SYMBOLS, st.booleans()), min_size=1, max_size=8))
    def publish(self, burst: list[tuple[EventPriority, str, bool]]) -> None:
        for priority, symbol, emits in burst:
            self._send(priority, symbol, emits=emits)

    @rule(symbols=st.lists(st.sampled_from("AB"), min_size=1, max_size=8))
    def publish_fills(self, symbols: list[str]) -> None:
        for symbol in symbols:
            self._send(P0, symbol)

    @rule()
    def stop(self) -> None:
        self.counter += 1
        self.sent[P0] += self.dispatcher.publish(EventType.EMERGENCY_STOP, {"n": self.counter})

    @rule(lowest=st.sampled_from(EventPriority))
    def run(self, lowest: EventPriority) -> None:
        self.dispatcher.run_inline(lowest)

    @rule(count=st.integers(1, 9))
    def fail(self, count: int) -> None:
        self.failures_left = count

    @rule(level=st.sampled_from(DegradationLevel))
    def degrade(self, level: DegradationLevel) -> None:
        self.dispatcher.set_degradation_level(level)

    @rule()
    def restart(self) -> None:
        before = self.dispatcher.export_state()
        state: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(before))
        self.dispatcher = self._new()
        self.dispatcher.import_state(state)
        assert self.dispatcher.export_state() == before

    @rule()
    def operate(self) -> None:
        for letter in self.dispatcher.dead_letter_queue:
            self.dispatcher.replay_dead_letter(letter.event.event_id, letter.handler)

    @invariant()
    def in_is_handled_plus_counted_losses(self) -> None:
        for priority in EventPriority:
            row = self.dispatcher.queue_stats()[priority.name]
            losses = row["dropped"] + row["collapsed"] + row["sampled"] + row["dead_lettered"]
            assert row["accepted"] == self.sent[priority]
            assert row["accepted"] == row["handled"] + losses + row["size"]
            assert row["size"] == row["queued"] + row["in_flight"]
            assert row["rejected"] == self.refused[priority]

    @invariant()
    def no_event_is_handled_while_a_higher_one_waits(self) -> None:
        assert self.overtaken == []
        assert self.dispatcher.stats.priority_check()[1] == 0

    @invariant()
    def p0_keeps_its_order_inside_each_key(self) -> None:
        last: dict[object, int] = {}
        for event in self.handled[P0]:
            key = order_key(event)
            if key is not None:
                assert event.payload["n"] > last.get(key, 0)
                last[key] = event.payload["n"]

    def teardown(self) -> None:
        """In the end nothing of P0 is lost: all of it was handled, once the operator has replayed the rest."""
        self.failures_left = 0
        for _ in range(50):
            self.dispatcher.run_inline(P0)
            if not len(self.dispatcher.dead_letter_queue):
                break
            self.operate()
        numbers = [event.payload["n"] for event in self.handled[P0]]
        assert len(numbers) == len(set(numbers)) == self.sent[P0]


TestQueues = QueueMachine.TestCase
TestQueues.settings = settings(max_examples=examples(40, whole=80), stateful_step_count=40, deadline=None)
TestDispatcher = DispatcherMachine.TestCase
TestDispatcher.settings = settings(max_examples=examples(40, whole=100), stateful_step_count=50, deadline=None)
