"""What one order costs us between the wish and the booked fill, stage by stage, and what a checkpoint weighs.

A session of seeded quotes with an order every 200 of them runs as it is; the stages are timed from outside, each
without the stages inside it. "send → fill" is our own part: placing, matching, booking, with and without the
store; the latency that the simulated exchange plays is virtual time and not in it.

``python -m bench.stages [--quick] [--json]``.
"""

from __future__ import annotations

import inspect
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from bench.figures import QUICK_RUNS, RUNS, about, latency_us, machine, micros, table
from bench.replay_cases import PreparedFeed, prepared_plan
from bench.suite import run_suite
from qts.broker.sim.exchange import SimExchange
from qts.db.sqlite import SqliteStore
from qts.pipeline.runner import Pipeline
from qts.risk.gate import RiskGate
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.orders.execution_reports import ExecutionReportHandler
from qts.runtime.persistence.checkpoint import Checkpoints
from qts.runtime.session.session import run_session

ROWS = 40_000
ORDER_EVERY = 200
STAGES: dict[str, tuple[type, str]] = {
    "pipeline: signal → decision": (Pipeline, "decided"),
    "pipeline: decision → order": (Pipeline, "act"),
    "risk gate": (RiskGate, "evaluate"),
    "exchange: place": (SimExchange, "place"),
    "exchange: match": (SimExchange, "on_market"),
    "execution reports: book the fill": (ExecutionReportHandler, "on_event"),
    "checkpoint: encode": (Checkpoints, "encode"),
    "store: one transaction": (SqliteStore, "commit"),
}
OWN = ("exchange: place", "exchange: match", "execution reports: book the fill")
STORED = ("checkpoint: encode", "store: one transaction")
TARGET_US = 50.0


class Stopwatches:
    """Time spent in each stage, without the stages that ran inside it."""

    def __init__(self) -> None:
        self.samples: dict[str, list[int]] = {name: [] for name in STAGES}
        self.sizes: list[int] = []
        self._inside = [0]

    def enter(self) -> int:
        self._inside.append(0)
        return perf_counter_ns()

    def leave(self, name: str, begun_ns: int) -> None:
        took_ns = perf_counter_ns() - begun_ns
        self.samples[name].append(took_ns - self._inside.pop())
        self._inside[-1] += took_ns


@contextmanager
def timed(watches: Stopwatches) -> Iterator[None]:
    """Every stage with a stopwatch round it."""
    originals = {name: getattr(owner, method) for name, (owner, method) in STAGES.items()}
    for name, (owner, method) in STAGES.items():
        setattr(owner, method, _with_stopwatch(originals[name], name, watches))
    try:
        yield
    finally:
        for name, (owner, method) in STAGES.items():
            setattr(owner, method, originals[name])


def _with_stopwatch(call: Callable[..., Any], name: str, watches: Stopwatches) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(call):

        async def timed_coroutine(*args: Any, **kwargs: Any) -> Any:
            begun = watches.enter()
            try:
                return await call(*args, **kwargs)
            finally:
                watches.leave(name, begun)

        return timed_coroutine

    def timed_call(*args: Any, **kwargs: Any) -> Any:
        begun = watches.enter()
        try:
            result = call(*args, **kwargs)
        finally:
            watches.leave(name, begun)
        if isinstance(result, bytes):
            watches.sizes.append(len(result))
        return result

    return timed_call


def one_session(feed: PreparedFeed) -> tuple[Stopwatches, dict[str, Any]]:
    watches = Stopwatches()
    feed.resume({"given": 0})
    with tempfile.TemporaryDirectory() as directory, timed(watches):
        plan = prepared_plan(feed, ORDER_EVERY, Path(directory) / "run")
        values = run_session(plan, progress=lambda share, moment: None, stop=StopFlag()).values
    return watches, values


def measure(*, quick: bool = False) -> dict[str, Any]:
    """Microseconds by stage, the sums for one fill, the checkpoint's bytes."""
    runs = QUICK_RUNS if quick else RUNS
    feed = PreparedFeed(ROWS // 4 if quick else ROWS)
    sessions = [one_session(feed) for _ in range(runs)]
    fills = [values.fills for _, values in sessions]
    sizes = [size for watches, _ in sessions for size in watches.sizes]
    own, stored = (
        statistics.median(
            sum(sum(watches.samples[name]) for name in names) / values.fills / 1_000 for watches, values in sessions
        )
        for names in (OWN, STORED)
    )
    return {
        "machine": machine(),
        "runs": runs,
        "fills_per_run": statistics.median(fills),
        "stages_us": {name: latency_us([watches.samples[name] for watches, _ in sessions]) for name in STAGES},
        "send_to_fill_us": {"own": own, "store": stored, "together": own + stored},
        "checkpoint_bytes": {"median": statistics.median(sizes), "max": max(sizes)} if sizes else None,
        "targets": [
            {"what": "send → fill, own time, µs a fill", "value": own, "bar": TARGET_US, "met": own <= TARGET_US}
        ],
    }


def show(report: dict[str, Any]) -> str:
    rows = [
        [name, f"{row['n']:,}", *(micros(row[key]) for key in ("p50", "p99", "max"))]
        for name, row in report["stages_us"].items()
    ]
    total, weight = report["send_to_fill_us"], report["checkpoint_bytes"]
    return "\n\n".join(
        [
            about(report),
            table(["stage, own time", "n", "p50", "p99", "max"], rows),
            f"send → fill of our own time: {total['own']:.1f} µs a fill, with the store {total['together']:.1f} µs "
            f"(bar {TARGET_US:.0f} µs without waiting); "
            f"{report['fills_per_run']:,.0f} fills a run",
            f"checkpoint: {weight['median']:,.0f} bytes, at most {weight['max']:,}" if weight else "no checkpoint",
        ]
    )


if __name__ == "__main__":
    sys.exit(run_suite("stages", __doc__, "fewer rows and runs", sys.argv[1:], measure, show))
