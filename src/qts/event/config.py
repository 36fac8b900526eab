"""Settings of the dispatcher: capacities, thresholds and limits; the file is ``config/event.yaml``."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from qts.event.contracts import EventPriority, OverflowPolicy

_P0, _P1, _P2, _P3 = EventPriority

RELOADABLE: Final[frozenset[str]] = frozenset(
    {
        "backpressure.p1.warning",
        "backpressure.p1.critical",
        "backpressure.p2.warning",
        "backpressure.p2.critical",
        "queue_alerts.p0.warning",
        "queue_alerts.p0.critical",
        "queue_alerts.p1.warning",
        "queue_alerts.p1.critical",
        "queue_alerts.p2.warning",
        "queue_alerts.p2.critical",
        "monitoring_interval_ms",
        "loop_handler_limit_us",
    }
)
_POLICY_OF: Final = {
    _P0: OverflowPolicy.BLOCK,
    _P1: OverflowPolicy.DROP_OLDEST,
    _P2: OverflowPolicy.COLLAPSE,
    _P3: OverflowPolicy.SAMPLE,
}

Capacity = Annotated[int, Meta(ge=1, le=1_000_000, description="events")]
BatchSize = Annotated[int, Meta(ge=1, le=10_000, description="events handed over at once")]
BatchTimeout = Annotated[int, Meta(ge=0, le=60_000, description="ms an incomplete batch may wait")]
Share = Annotated[float, Meta(ge=0.0, le=1.0, description="fraction 0..1")]
Depth = Annotated[int, Meta(ge=1, le=1_000_000, description="queued events")]
Millis = Annotated[int, Meta(ge=1, le=3_600_000, description="milliseconds")]


class QueueConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One queue. ``sample_rate`` is the share of newcomers a full SAMPLE queue still takes."""

    priority: Annotated[EventPriority, Meta(description="which queue this is; it cannot be another")]
    capacity: Capacity
    overflow_policy: Annotated[
        OverflowPolicy, Meta(description="what it does when full; each queue has its own, no other")
    ]
    batch_size: BatchSize = 1
    batch_timeout_ms: BatchTimeout = 0
    sample_rate: Share = 1.0


class BackpressureThreshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Utilisation at which batches grow (warning) and lower priorities pause (critical)."""

    warning: Share
    critical: Share


class QueueAlert(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Queued events at which an alert fires, once per crossing."""

    warning: Depth
    critical: Depth


class LatencySla(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds of accept→start latency in milliseconds."""

    p50: Millis
    p95: Millis
    p99: Millis
    max: Millis


class QueueConfigs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The four queues."""

    p0: QueueConfig = QueueConfig(_P0, 100, OverflowPolicy.BLOCK)
    p1: QueueConfig = QueueConfig(_P1, 10_000, OverflowPolicy.DROP_OLDEST, 100, 10)
    p2: QueueConfig = QueueConfig(_P2, 1_000, OverflowPolicy.COLLAPSE, 50, 100)
    p3: QueueConfig = QueueConfig(_P3, 50_000, OverflowPolicy.SAMPLE, 100, 1_000, 0.1)

    def __getitem__(self, priority: EventPriority) -> QueueConfig:
        return (self.p0, self.p1, self.p2, self.p3)[priority]


class Backpressure(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Thresholds of the priorities that have lower ones to pause."""

    p1: BackpressureThreshold = BackpressureThreshold(0.70, 0.90)
    p2: BackpressureThreshold = BackpressureThreshold(0.80, 0.95)


class QueueAlerts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Depth alerts; P3 has none."""

    p0: QueueAlert = QueueAlert(50, 80)
    p1: QueueAlert = QueueAlert(7_000, 9_000)
    p2: QueueAlert = QueueAlert(800, 950)


class LatencySlas(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Latency bounds; P3 is best effort."""

    p0: LatencySla = LatencySla(2, 5, 10, 20)
    p1: LatencySla = LatencySla(10, 30, 50, 100)
    p2: LatencySla = LatencySla(100, 300, 500, 1_000)


IDLE_NICENESS: Final = 20
"""One more than the greatest niceness: SCHED_IDLE where the system has it. A woken loop takes the CPU from such a
worker at once; from a merely nice one it may have to wait for the end of its slice, some milliseconds. But beside
programs that keep every core busy such a worker hardly runs, and what exceeds its time limit is dead-lettered."""


class LaneLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The time limits of handlers off the loop, by the priority they serve."""

    p0_ms: Millis = 1_000
    p1_ms: Millis = 1_000
    p2_ms: Millis = 5_000
    p3_ms: Millis = 5_000

    def __getitem__(self, priority: EventPriority) -> int:
        return (self.p0_ms, self.p1_ms, self.p2_ms, self.p3_ms)[priority]


class JournalConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The write-ahead journal of P0 events."""

    enabled: Annotated[bool, Meta(description="keep it in paper sessions; replays never need one")] = True
    directory: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=200,
            pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$",
            description="name of its directory inside the data directory",
        ),
    ] = "journal"
    segment_bytes: Annotated[
        int, Meta(ge=4_096, le=1 << 30, description="bytes after which the next file begins")
    ] = 16 * 1024 * 1024
    group_ms: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000,
            description="ms an event waits for company before it is synced; 0 = only while the disk is busy",
        ),
    ] = 0
    max_group: Annotated[int, Meta(ge=1, le=1_000_000, description="events written with one call")] = 4_096
    mark_ms: Annotated[
        int, Meta(ge=1, le=60_000, description="ms a mark 'applied' may wait for an event to travel with")
    ] = 20
    buffer_bytes: Annotated[
        int,
        Meta(
            ge=65_536, le=1 << 31, description="bytes waiting for the disk at which producers in threads wait too"
        ),
    ] = 64 * 1024 * 1024


class EventConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything about queues, dispatcher and monitoring that can be configured."""

    queue_configs: QueueConfigs = QueueConfigs()
    backpressure: Backpressure = Backpressure()
    queue_alerts: QueueAlerts = QueueAlerts()
    latency_sla: LatencySlas = LatencySlas()
    lane_limits: LaneLimits = LaneLimits()
    journal: JournalConfig = JournalConfig()
    monitoring_interval_ms: Annotated[int, Meta(ge=10, le=60_000, description="ms between depth checks")] = 100
    loop_handler_limit_us: Annotated[
        int, Meta(ge=10, le=1_000_000, description="µs a handler on the loop may take")
    ] = 200
    overruns_before_move: Annotated[
        int, Meta(ge=1, le=1_000, description="overruns after which a loop handler leaves for a process")
    ] = 3
    latency_sample_rows: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="on the virtual clock the latency of one row in so many is measured; in real time of all",
        ),
    ] = 16
    slice_us: Annotated[
        int, Meta(ge=50, le=10_000, description="µs of handling before the event loop gets a turn")
    ] = 100
    retries: Annotated[int, Meta(ge=0, le=10, description="repeats of a failed handler call")] = 3
    retry_backoff_ms: Annotated[
        int, Meta(ge=0, le=60_000, description="ms before the first repeat, four times as long before each next")
    ] = 5
    dead_letter_capacity: Annotated[int, Meta(ge=1, le=100_000, description="dead letters kept in memory")] = 1_000
    held_capacity: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="P1-P3 events held behind one failing key; the oldest goes, counted"),
    ] = 1_000
    lane_backlog: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="P0 events that lanes keep in memory; with a journal more wait in its files",
        ),
    ] = 10_000
    block_report_ms: Annotated[
        int, Meta(ge=1, le=60_000, description="ms a P0 producer waits before FS095 is raised")
    ] = 1_000
    stop_timeout_ms: Annotated[
        int, Meta(ge=0, le=600_000, description="ms that stop() spends on P1-P3; P0 is always drained")
    ] = 5_000
    max_worker_processes: Annotated[int, Meta(ge=1, le=64, description="worker processes at once")] = 8
    max_worker_threads: Annotated[int, Meta(ge=1, le=256, description="worker threads at once")] = 32
    worker_nice: Annotated[
        int, Meta(ge=0, le=IDLE_NICENESS, description="CPU niceness of the workers of strategies, P0 and P1")
    ] = 10
    background_nice: Annotated[
        int,
        Meta(
            ge=0,
            le=IDLE_NICENESS,
            description="the same of P2 and P3; 20 = only CPU time that is otherwise idle",
        ),
    ] = 10
    worker_start_ms: Annotated[
        int,
        Meta(ge=100, le=600_000, description="ms a worker process may take until it is ready"),
    ] = 30_000
    switch_interval_us: Annotated[
        int,
        Meta(ge=0, le=100_000, description="µs of the interpreter's thread switch while running, 0 = leave"),
    ] = 25
    collect_when_quiet: Annotated[
        bool,
        Meta(description="between start and stop collect garbage only in quiet moments"),
    ] = True
    check_payloads: Annotated[
        bool, Meta(description="make typed payloads of mappings; one that does not fit its type is refused")
    ] = False

    def problems(self) -> list[tuple[str, str]]:
        """Return impossible combinations as (dotted field, message with what is allowed)."""
        return [
            *self._queue_problems(), *self._threshold_problems(), *self._sla_problems(), *self._turn_problems(),
        ]  # fmt: skip

    def _queue_problems(self) -> list[tuple[str, str]]:
        found = []
        for priority, policy in _POLICY_OF.items():
            queue, path = self.queue_configs[priority], f"queue_configs.p{priority:d}"
            if queue.priority is not priority:
                found.append(
                    (f"{path}.priority", f"must be {priority:d} ({priority.name}), got {queue.priority:d}")
                )
            if queue.overflow_policy is not policy:
                found.append(
                    (f"{path}.overflow_policy", f"must be {policy.value}, got {queue.overflow_policy.value}")
                )
            if queue.batch_size > queue.capacity:
                found.append((f"{path}.batch_size", f"must be at most the capacity {queue.capacity}"))
        return found

    def _threshold_problems(self) -> list[tuple[str, str]]:
        pairs: list[tuple[str, BackpressureThreshold | QueueAlert]] = [
            *((f"backpressure.{name}", getattr(self.backpressure, name)) for name in ("p1", "p2")),
            *((f"queue_alerts.{name}", getattr(self.queue_alerts, name)) for name in ("p0", "p1", "p2")),
        ]
        return [
            (f"{path}.warning", f"must be below critical ({pair.critical}), got {pair.warning}")
            for path, pair in pairs
            if not pair.warning < pair.critical
        ]

    def _turn_problems(self) -> list[tuple[str, str]]:
        """Return a switch interval too long for the slice, which would keep threads from the interpreter.

        A thread asks for the interpreter only after waiting a whole interval undisturbed. A busy loop gives it away
        for a moment after every slice, which begins that wait again: with an interval as long as the slice a
        producer thread was kept out for half a second (load "flood, P3 only" of the benchmark).
        """
        if self.switch_interval_us * 2 <= self.slice_us:
            return []
        half = f"must be at most half of slice_us ({self.slice_us})"
        return [("switch_interval_us", f"{half}, or threads wait without end; got {self.switch_interval_us}")]

    def _sla_problems(self) -> list[tuple[str, str]]:
        found = []
        for name in ("p0", "p1", "p2"):
            sla: LatencySla = getattr(self.latency_sla, name)
            if not sla.p50 <= sla.p95 <= sla.p99 <= sla.max:
                found.append((f"latency_sla.{name}", "must rise: p50 <= p95 <= p99 <= max"))
        return found


def reloaded(present: EventConfig, new: EventConfig) -> EventConfig:
    """Return ``present`` with the values of ``new`` that may change while running."""
    names = {path.split(".")[0] for path in RELOADABLE}
    return msgspec.structs.replace(present, **{name: getattr(new, name) for name in names})
