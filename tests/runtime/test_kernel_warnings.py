"""What the dispatcher notices about itself reaches the operator: alerts and overruns of handlers are logged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qts.clock import ManualClock, from_ns
from qts.event.contracts import EventPriority
from qts.event.monitoring import Alert, Report
from qts.runtime.drivers.sync import run_to_completion
from qts.runtime.persistence.session_log import FILE_NAME, Notices, SessionLog
from tests.runtime.rig import Rig


def warnings(rig: Rig) -> list[str]:
    rig.drain()
    return [line.message for line in rig.logged if line.level == "WARNING"]


def test_an_alert_is_logged_with_queue_value_and_threshold(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of()
    rig.kernel.notices.alert(Alert(EventPriority.P1_HIGH, "depth", "critical", 9_001.0, 9_000.0))
    assert warnings(rig) == ["critical of queue P1_HIGH: depth 9,001.0 is above 9,000"]


def test_a_handler_that_overruns_again_and_again_is_logged_once_for_each_kind(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of()
    for _ in range(3):
        rig.kernel.notices.report(Report("overrun", "strategies", "e-1", 350.4))
    rig.kernel.notices.report(Report("too long", "strategies", "e-2", 12_000.0))
    rig.kernel.notices.report(Report("queue", "P1_HIGH", "", 0.0, "the queue failed"))
    assert warnings(rig) == [
        "overrun: strategies for 350 µs",
        "too long: strategies for 12,000 µs",
        "queue: P1_HIGH the queue failed",
    ]


def test_an_alarm_does_not_silence_itself(rig_of: Callable[..., Rig]) -> None:
    """Given a WARNING, which pauses P3, the log still says what raised it and what came after."""
    rig = rig_of()
    rig.kernel.on_code("GR020", "the day's loss")
    rig.kernel.on_code("FS052", "a loss beyond the limit")
    told = warnings(rig)
    assert [line.split(":")[0] for line in told] == ["safety NORMAL -> WARNING", "safety WARNING -> FAIL"]
    assert "GR020" in told[0]
    assert "FS052" in told[1]


def test_a_checkpoint_begins_with_what_the_log_holds_back(rig_of: Callable[..., Rig]) -> None:
    rig, told = rig_of(), list[str]()
    rig.kernel.notices.flush = lambda: told.append("flushed")
    run_to_completion(rig.kernel.shared.record.checkpoint())
    assert told == ["flushed"]


def test_lines_are_on_disk_before_the_checkpoint_that_counts_them(tmp_path: Path) -> None:
    """Given a line that a checkpoint counts as written, a kill after that checkpoint must not lose it."""
    log = SessionLog(tmp_path, "INFO")
    notices = Notices(log.write, log.flush, lambda kind, line, source: log.write(line), ManualClock(from_ns(1)))
    notices.say("INFO", "bought")
    notices.flush()
    assert b"bought" in (tmp_path / FILE_NAME).read_bytes()
    notices.say("WARNING", "sold")
    assert b"sold" in (tmp_path / FILE_NAME).read_bytes()
    log.close()
