"""What the dispatcher notices about itself reaches the operator: alerts and handlers that overstay are logged."""

from __future__ import annotations

from collections.abc import Callable

from qts.event.contracts import EventPriority
from qts.event.monitoring import Alert, Report
from tests.runtime.rig import Rig


def warnings(rig: Rig) -> list[str]:
    rig.kernel.settle()
    return [line.message for line in rig.logged if line.level == "WARNING"]


def test_an_alert_is_logged_with_queue_value_and_threshold(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of()
    rig.kernel._on_alert(Alert(EventPriority.P1_HIGH, "depth", "critical", 9_001.0, 9_000.0))
    assert warnings(rig) == ["critical of queue P1_HIGH: depth 9,001.0 is above 9,000"]


def test_a_handler_that_overstays_again_and_again_is_logged_once_for_each_kind(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of()
    for _ in range(3):
        rig.kernel._on_report(Report("overrun", "strategies", "e-1", 350.4))
    rig.kernel._on_report(Report("too long", "strategies", "e-2", 12_000.0))
    rig.kernel._on_report(Report("queue", "P1_HIGH", "", 0.0, "the queue failed"))
    assert warnings(rig) == [
        "overrun: strategies for 350 µs",
        "too long: strategies for 12,000 µs",
        "queue: P1_HIGH the queue failed",
    ]
