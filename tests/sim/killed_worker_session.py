"""Paper sessions whose strategy lives in a worker process, killed and resumed; a process of its own.

    python -m tests.sim.killed_worker_session DIRECTORY SCENARIOS

As :mod:`tests.sim.killed_session`, with a clock that advances only when the kernel has
come to rest: however long the worker takes, the session has the same result every time.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from qts.clock import PacedClock, to_ns
from qts.db.sqlite import SqliteStore
from qts.runtime.components import Components
from qts.runtime.kernel import Kernel
from qts.runtime.persistence.checkpoint import decode
from qts.runtime.session import session as launch
from qts.runtime.session.session_plan import Options, SessionPlan
from qts.runtime.wiring import stores
from qts.runtime.wiring.plans import paper_plan
from tests.runtime import recording_strategy
from tests.sim.killed_session import KillingStore, scenario
from tests.sim.recordings import walk, write


class PatientClock(PacedClock):
    """Shows the time it was told to wait for, once the kernel has come to rest."""

    kernel: ClassVar[Kernel]

    def __init__(self, start: datetime, speed: float = 1.0) -> None:
        super().__init__(start, speed)
        self._begin_ns = self._now_ns = to_ns(start)

    def time_ns(self) -> int:
        return self._now_ns

    def monotonic_ns(self) -> int:
        return self._now_ns - self._begin_ns

    async def sleep_until_ns(self, ns: int) -> None:
        async with asyncio.timeout(120):
            kernel = self.kernel
            while any(
                (
                    kernel.due.pending,
                    kernel.background.is_busy,
                    kernel.shared.record.is_writing,
                    kernel.dispatcher.stats.is_busy,
                )
            ):
                await kernel.run_due_work()
                await asyncio.sleep(0.0005)
        self._now_ns = max(ns, self._now_ns)


class PatientKernel(Kernel):
    def __init__(self, components: Components) -> None:
        super().__init__(components)
        PatientClock.kernel = self


def plan(directory: Path, *, resume: bool, overrides: dict[str, str]) -> SessionPlan:
    """A day of quotes for the recording_strategy."""
    tape = directory.parent / f"{directory.name}.csv"
    if not tape.exists():
        tape.parent.mkdir(parents=True, exist_ok=True)
        write(tape, walk(150, seed=9))
    options = Options(
        strategies=(f"{recording_strategy.__file__}:RecordingStrategy",),
        data_dir=directory,
        resume=resume,
        speed=1e6,
        overrides={"event.lane_limits.p1_ms": "60000", "event.stop_timeout_ms": "60000", **overrides},
    )
    return paper_plan(options, str(tape), "csv")


def memory_of(directory: Path) -> Any:
    """What the last checkpoint says of the strategies."""
    store = SqliteStore(directory / "qts.sqlite", durability="NORMAL")
    with closing(store._connection):
        stored = store.checkpoint()
    assert stored is not None
    return decode(stored)["parts"]["strategies"]


def main(directory: str, scenarios: str) -> None:
    """Every scenario in a directory of its own, what came of it in a file beside it.

    Not on standard output: unbuffered, it loses the rest of a long line when a signal comes in between.
    """
    stores.SqliteStore, launch.Kernel = KillingStore, PatientKernel  # type: ignore[misc]
    launch.PacedClock = PatientClock  # type: ignore[misc]
    for number, (settings, kills) in enumerate(json.loads(scenarios)):
        place = Path(directory) / str(number)
        told = scenario(place, settings, [(k, side) for k, side in kills], plan)
        Path(directory, f"{number}.json").write_text(
            json.dumps(told | {"memory": memory_of(place)}, default=bytes.hex)
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
