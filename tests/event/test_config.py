from __future__ import annotations

import msgspec
import pytest

from qts.event.config import (
    RELOADABLE,
    Backpressure,
    BackpressureThreshold,
    EventConfig,
    LatencySla,
    LatencySlas,
    QueueAlert,
    QueueAlerts,
    QueueConfig,
    QueueConfigs,
)
from qts.event.contracts import OverflowPolicy
from tests.event.support import P0, P1, P2, P3


def test_the_defaults_are_exactly_these() -> None:
    config = EventConfig()
    assert config.backpressure.p1 == BackpressureThreshold(0.70, 0.90)
    assert config.backpressure.p2 == BackpressureThreshold(0.80, 0.95)
    assert config.queue_alerts == QueueAlerts(
        p0=QueueAlert(50, 80), p1=QueueAlert(7_000, 9_000), p2=QueueAlert(800, 950)
    )
    assert config.latency_sla.p0 == LatencySla(2, 5, 10, 20)
    assert config.latency_sla.p1 == LatencySla(10, 30, 50, 100)
    assert config.latency_sla.p2 == LatencySla(100, 300, 500, 1_000)
    assert config.monitoring_interval_ms == 100
    assert config.loop_handler_limit_us == 200
    assert config.overruns_before_move == 3
    assert config.retries == 3
    assert config.lane_limits[P3] == 5_000
    assert config.block_report_ms == 1_000
    assert config.problems() == []


def test_queue_policies_are_exactly_these() -> None:
    policies = [QueueConfigs()[priority].overflow_policy for priority in (P0, P1, P2, P3)]
    assert policies == list(OverflowPolicy)


def test_impossible_combinations_are_named_with_their_field() -> None:
    config = EventConfig(
        queue_configs=QueueConfigs(
            p0=QueueConfig(P1, 100, OverflowPolicy.DROP_OLDEST),
            p1=QueueConfig(P1, 10, OverflowPolicy.DROP_OLDEST, 11),
        ),
        backpressure=Backpressure(p1=BackpressureThreshold(0.9, 0.9)),
        queue_alerts=QueueAlerts(p2=QueueAlert(5, 4)),
        latency_sla=LatencySlas(p0=LatencySla(5, 4, 10, 20)),
    )
    assert [path for path, _ in config.problems()] == [
        "queue_configs.p0.priority",
        "queue_configs.p0.overflow_policy",
        "queue_configs.p1.batch_size",
        "backpressure.p1.warning",
        "queue_alerts.p2.warning",
        "latency_sla.p0",
    ]


@pytest.mark.parametrize(
    "bad",
    [
        {"retries": 11},
        {"slice_us": 49},
        {"monitoring_interval_ms": 9},
        {"colour": 1},
        {"queue_configs": {"p0": {"priority": 0, "capacity": 0, "overflow_policy": "BLOCK"}}},
        {"backpressure": {"p1": {"warning": 0.5, "critical": 1.1}}},
        {"lane_limits": {"p3_ms": 0}},
    ],
)
def test_values_out_of_range_and_unknown_keys_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(bad, EventConfig)


def test_what_may_change_while_running_exists() -> None:
    for path in RELOADABLE:
        value: object = EventConfig()
        for name in path.split("."):
            value = getattr(value, name)
        assert isinstance(value, int | float)


@pytest.mark.parametrize(("interval", "fits"), [(0, True), (50, True), (51, False)])
def test_a_thread_may_ask_for_the_interpreter_twice_in_a_slice(interval: int, fits: bool) -> None:
    problems = EventConfig(slice_us=100, switch_interval_us=interval).problems()
    assert [path for path, _ in problems] == ([] if fits else ["switch_interval_us"])
