"""Depths and latencies against their thresholds, each crossing told once; reports; a level's row of counters."""

from __future__ import annotations

import random

import pytest

from qts.event.config import EventConfig
from qts.event.contracts import EventType, create_event
from qts.event.monitoring import Alert, Monitor, Report, Reports, stats_of
from qts.event.queue import create_queue
from qts.event.work import PriorityLevel
from tests.event.support import P0, P1, P2, P3, event_of


def levels_with(priority: int, depth: int) -> tuple[PriorityLevel, ...]:
    levels = tuple(PriorityLevel(p, create_queue(EventConfig().queue_configs[p])) for p in (P0, P1, P2, P3))
    fill_to(levels[priority], depth)
    return levels


def fill_to(level: PriorityLevel, depth: int) -> None:
    while level.queue.size() < depth:
        level.queue.put_nowait(create_event(EventType.STRATEGY_EVALUATE, payload={"symbol": str(random.random())}))
    while level.queue.size() > depth:
        level.queue.get_nowait()


@pytest.mark.parametrize(("priority", "warning", "critical"), [(P0, 50, 80), (P1, 7_000, 9_000), (P2, 800, 950)])
def test_depth_alerts_fire_at_the_threshold_once_per_crossing(priority: int, warning: int, critical: int) -> None:
    fired: list[Alert] = []
    monitor = Monitor(EventConfig(), fired.append)
    levels = levels_with(priority, warning - 1)
    assert monitor.check(levels) == []
    fill_to(levels[priority], warning)
    assert [(a.priority, a.measure, a.severity, a.value) for a in monitor.check(levels)] == [
        (priority, "depth", "warning", warning)
    ]
    assert monitor.check(levels) == []
    fill_to(levels[priority], critical)
    assert [alert.severity for alert in monitor.check(levels)] == ["critical"]
    fill_to(levels[priority], warning - 1)
    assert monitor.check(levels) == []
    fill_to(levels[priority], warning)
    assert [alert.severity for alert in monitor.check(levels)] == ["warning"]
    assert [alert.severity for alert in fired] == ["warning", "critical", "warning"]


def test_p3_has_no_depth_alert() -> None:
    assert Monitor(EventConfig()).check(levels_with(P3, 10_000)) == []


def test_latency_alerts_fire_above_the_bound_once() -> None:
    monitor = Monitor(EventConfig())
    levels = levels_with(P0, 0)

    def taken_after(*waited_ns: int) -> None:
        for ns in waited_ns:
            levels[P0].queue.taken += 1
            levels[P0].wait.record(ns)

    taken_after(2_000_000)
    assert monitor.check(levels) == []
    taken_after(6_000_000, 6_000_000, 6_000_000)
    measures = {alert.measure: alert.threshold for alert in monitor.check(levels)}
    assert measures == {"p50": 2, "p95": 5}
    assert monitor.check(levels) == []
    taken_after(25_000_000)
    assert {alert.measure for alert in monitor.check(levels)} == {"p99", "max"}


def test_the_rate_is_events_handled_between_two_looks() -> None:
    monitor = Monitor(EventConfig())
    levels = levels_with(P1, 0)
    monitor.check(levels)
    levels[P1].finished = 1_000
    monitor.check(levels)
    assert monitor.rates[P1] > 0
    assert monitor.rates[P2] == 0


def test_stats_tell_depth_high_water_and_all_counters() -> None:
    level = levels_with(P0, 3)[P0]
    level.queue.get_nowait()
    row = stats_of(level, 2.5)
    assert (row["size"], row["queued"], row["capacity"], row["utilization"], row["high_water"]) == (
        3,
        2,
        100,
        0.02,
        3,
    )
    assert (row["accepted"], row["handled"], row["events_per_s"], row["overflow"]) == (3, 0, 2.5, 0)


def test_reports_are_bounded_and_counted_by_kind() -> None:
    reports = Reports(capacity=2)
    for _ in range(3):
        reports.overrun("slow", event_of(P1), 300_000)
    reports.overrun("slow", event_of(P0), 10_000_001)
    reports.add(Report("moved", "slow", "", 0.0))
    assert len(reports) == 2
    assert [report.kind for report in reports] == ["too long", "moved"]
    assert reports.counts == {"overrun": 3, "too long": 1, "moved": 1}


def test_overruns_are_counted_by_handler_with_the_longest_and_reported_at_once() -> None:
    told: list[tuple[str, str, float]] = []
    reports = Reports(on_report=lambda report: told.append((report.kind, report.name, report.took_us)))
    for took_ns in (300_000, 900_000, 400_000):
        reports.overrun("slow", event_of(P1), took_ns)
    reports.overrun("slower", event_of(P1), 2_000_000)
    assert {name: (one.count, one.longest_us) for name, one in reports.overruns.items()} == {
        "slow": (3, 900.0),
        "slower": (1, 2_000.0),
    }
    assert told == [
        ("overrun", "slow", 300.0),
        ("overrun", "slow", 900.0),
        ("overrun", "slow", 400.0),
        ("overrun", "slower", 2_000.0),
    ]
