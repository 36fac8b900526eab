"""Pausing priorities, and books in which every event is accounted for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from qts.errors import ContractError, StateError
from qts.event.config import (
    Backpressure,
    BackpressureThreshold,
    EventConfig,
    QueueAlert,
    QueueAlerts,
    QueueConfig,
    QueueConfigs,
)
from qts.event.contracts import (
    DegradationLevel,
    Event,
    EventType,
    OverflowPolicy,
    create_event,
)
from qts.event.dispatcher import SAFETY_TO_DEGRADATION, EventDispatcher
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Side
from tests.event.support import (
    P0,
    P1,
    P2,
    P3,
    Recorder,
    balance,
    event_of,
    inline_dispatcher,
    signal,
    tick,
)

TICK, LOG, STOP = EventType.PRICE_TICK, EventType.LOG_WRITE, EventType.EMERGENCY_STOP


# -- pausing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "allowed"),
    [
        (DegradationLevel.NORMAL, [True, True, True, True]),
        (DegradationLevel.P3_PAUSED, [True, True, True, False]),
        (DegradationLevel.P2_P3_PAUSED, [True, True, False, False]),
        (DegradationLevel.CRITICAL_ONLY, [True, False, False, False]),
    ],
)
def test_each_level_pauses_what_it_says(level: DegradationLevel, allowed: list[bool]) -> None:
    dispatcher = inline_dispatcher()
    dispatcher.set_degradation_level(level)
    assert [dispatcher.is_priority_allowed(priority) for priority in (P0, P1, P2, P3)] == allowed
    assert [dispatcher.dispatch_nowait(event_of(priority)) for priority in (P0, P1, P2, P3)] == allowed
    assert [
        dispatcher.publish(kind) for kind in (EventType.FILL_PARTIAL, TICK, EventType.RISK_EVALUATE, LOG)
    ] == allowed
    assert dispatcher.reject_count == 2 * allowed.count(False)
    assert [row["rejected"] for row in dispatcher.queue_stats().values()] == [0 if yes else 2 for yes in allowed]


def test_what_was_queued_before_a_pause_waits_and_is_handled_after_it() -> None:
    dispatcher, seen = inline_dispatcher(), Recorder()
    dispatcher.register_handler(P3, seen)
    dispatcher.publish(LOG, {"n": 1})
    dispatcher.set_degradation_level(DegradationLevel.P3_PAUSED)
    assert dispatcher.run_inline() == 0
    dispatcher.set_degradation_level(DegradationLevel.NORMAL)
    assert dispatcher.run_inline() == 1
    assert seen.numbers == [1]


def test_a_pause_set_by_a_handler_stops_the_batch_it_is_in() -> None:
    dispatcher, seen = inline_dispatcher(), list[int]()

    def handler(event: Event) -> None:
        seen.append(event.payload["n"])
        dispatcher.set_degradation_level(DegradationLevel.CRITICAL_ONLY)

    dispatcher.register_handler(P1, handler)
    for n in range(3):
        dispatcher.publish(TICK, {"n": n})
    dispatcher.run_inline()
    assert seen == [0]


@pytest.mark.parametrize("state", list(SafetyState))
def test_every_safety_state_has_its_degradation(state: SafetyState) -> None:
    expected = {
        SafetyState.NORMAL: DegradationLevel.NORMAL,
        SafetyState.WARNING: DegradationLevel.P3_PAUSED,
        SafetyState.FAIL: DegradationLevel.P2_P3_PAUSED,
        SafetyState.LOCKDOWN: DegradationLevel.CRITICAL_ONLY,
    }
    dispatcher = inline_dispatcher()
    assert dispatcher.apply_safety_state(state) is expected[state] is SAFETY_TO_DEGRADATION[state]
    assert dispatcher.degradation_level is expected[state]


@pytest.mark.parametrize("unknown", [None, "NORMAL?", "NORMAL", 0])
def test_an_unknown_safety_state_is_never_treated_as_normal(unknown: Any) -> None:
    dispatcher = inline_dispatcher()
    with pytest.raises(ContractError, match="is no safety state"):
        dispatcher.apply_safety_state(unknown)
    assert dispatcher.degradation_level is DegradationLevel.CRITICAL_ONLY


def under_pressure() -> EventDispatcher:
    """P1 of ten, warning at 7, critical at 9."""
    queues = QueueConfigs(p1=QueueConfig(P1, 10, OverflowPolicy.DROP_OLDEST))
    return inline_dispatcher(EventConfig(queue_configs=queues))


def test_critical_backpressure_pauses_the_lower_priorities_until_below_warning() -> None:
    dispatcher, allowed = under_pressure(), dict[int, bool]()

    def look(event: object = None) -> None:
        dispatcher.check_pressure()
        allowed[dispatcher.queue_stats()["P1_HIGH"]["queued"]] = dispatcher.is_priority_allowed(P2)

    dispatcher.register_handler(P1, look)
    for count in (8, 1):
        for _ in range(count):
            dispatcher.publish(TICK, tick())
        look()
    assert allowed == {8: True, 9: False}

    dispatcher.run_inline(P1)  # each call looks at what is left behind its event
    assert [allowed[depth] for depth in (8, 7, 6, 5, 0)] == [False, False, True, True, True]
    assert dispatcher.is_priority_allowed(P1)


def test_warning_makes_batches_larger_and_nothing_else() -> None:
    dispatcher = under_pressure()
    factors = []
    for depth in (6, 7):
        while dispatcher.queue_stats()["P1_HIGH"]["queued"] < depth:
            dispatcher.publish(TICK, tick())
        dispatcher.check_pressure()
        factors.append(dispatcher.batch_factor(P1))
    assert factors[0] == 1
    assert factors[1] > 1
    assert dispatcher.batch_factor(P3) == 1
    assert dispatcher.is_priority_allowed(P3)


def test_p2_pressure_pauses_p3_only() -> None:
    queues = QueueConfigs(p2=QueueConfig(P2, 20, OverflowPolicy.COLLAPSE))
    threshold = Backpressure(p2=BackpressureThreshold(0.8, 0.95))
    dispatcher = inline_dispatcher(EventConfig(queue_configs=queues, backpressure=threshold))
    for n in range(19):
        dispatcher.publish(EventType.RISK_EVALUATE, {"symbol": str(n)})
    dispatcher.check_pressure()
    assert [dispatcher.is_priority_allowed(p) for p in (P1, P2, P3)] == [True, True, False]


def test_backpressure_delays_a_sell_but_never_refuses_it() -> None:
    dispatcher = under_pressure()
    for _ in range(9):
        dispatcher.publish(TICK, tick())
    dispatcher.check_pressure()
    assert dispatcher.publish(EventType.SIGNAL_GENERATED, signal(Side.BUY)) is False
    assert dispatcher.publish(EventType.SIGNAL_GENERATED, signal(Side.SELL)) is True
    dispatcher.set_degradation_level(DegradationLevel.P2_P3_PAUSED)
    assert dispatcher.publish(EventType.SIGNAL_GENERATED, signal(Side.SELL)) is False


def test_thresholds_and_limits_may_change_while_running_and_nothing_else_does() -> None:
    dispatcher = under_pressure()
    for _ in range(5):
        dispatcher.publish(TICK, tick())
    new = EventConfig(
        backpressure=Backpressure(p1=BackpressureThreshold(0.4, 0.5)),
        queue_alerts=QueueAlerts(p1=QueueAlert(5, 6)),
        loop_handler_limit_us=1_000,
        retries=9,
    )
    dispatcher.check_pressure()
    assert dispatcher.is_priority_allowed(P2)
    dispatcher.reconfigure(new)
    dispatcher.check_pressure()
    assert not dispatcher.is_priority_allowed(P2)
    assert [alert.threshold for alert in dispatcher.monitor.check(dispatcher._levels)] == [5]
    assert dispatcher._scheduler.limit_ns == 1_000_000
    assert dispatcher.config.retries == 3
    assert dispatcher.queue_stats()["P1_HIGH"]["capacity"] == 10


# -- accounting ------------------------------------------------------------------------------------------------


def test_queue_stats_have_the_documented_keys_for_every_priority() -> None:
    stats = inline_dispatcher().queue_stats()
    assert list(stats) == ["P0_CRITICAL", "P1_HIGH", "P2_MEDIUM", "P3_LOW"]
    documented = {"size", "capacity", "utilization", "accepted", "handled", "dropped", "collapsed", "sampled"}
    assert all(documented | {"rejected", "dead_lettered", "high_water"} <= set(row) for row in stats.values())
    assert [row["capacity"] for row in stats.values()] == [100, 10_000, 1_000, 50_000]


def test_an_event_being_handled_is_still_accounted_for() -> None:
    dispatcher, seen = inline_dispatcher(), list[list[int]]()
    dispatcher.register_handler(P1, lambda event: seen.append(balance(dispatcher)))
    dispatcher.publish(TICK, tick())
    dispatcher.run_inline()
    assert seen == [[0, 0, 0, 0]]


def test_latency_is_measured_from_accept_to_start_and_from_start_to_end() -> None:
    dispatcher = inline_dispatcher()
    dispatcher.register_handler(P1, lambda event: sum(range(2_000)))
    for _ in range(50):
        dispatcher.publish(TICK, tick())
    dispatcher.run_inline()
    seen = dispatcher.stats.latency(P1)
    assert seen.start.count == seen.end.count == 50
    assert 0 < seen.start.p50_us <= seen.start.max_us
    assert 0 < seen.end.p50_us <= seen.end.max_us
    assert seen.start.p99_us > seen.end.p50_us  # the last one waited for all before it


def test_long_latencies_are_recorded_too() -> None:
    dispatcher = inline_dispatcher()
    dispatcher.register_handler(P1, lambda event: sum(range(100_000)))
    event = create_event(TICK)
    dispatcher.dispatch_nowait(event)
    for _ in range(20):
        sum(range(100_000))
    dispatcher.run_inline()
    assert dispatcher.stats.latency(P1).end.max_us > 524.288
    assert dispatcher.stats.latency(P1).start.max_us > 524.288


def test_an_inline_dispatcher_cannot_be_started() -> None:
    async def start() -> None:
        await inline_dispatcher().start()

    with pytest.raises(StateError, match="an inline dispatcher is run by run_inline"):
        asyncio.run(start())
