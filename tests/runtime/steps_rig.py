"""A session that records its steps, and another that repeats them; what both have stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qts.clock import HeldClock, PacedClock, from_ns
from qts.config.loader import load_config
from qts.db.contracts import RunRow
from qts.db.sqlite import SqliteStore
from qts.market.day_record import DayRecord, days_by
from qts.market.krx import KrxCalendar
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.drivers.live_driver import run_live
from qts.runtime.drivers.repeat_driver import conducted, run_repeated
from qts.runtime.kernel import Kernel
from qts.runtime.steps.contracts import END, Steps
from qts.runtime.steps.lines import RecordedSteps, text_of
from qts.runtime.steps.recorder import StepRecorder, head_of
from qts.runtime.steps.repeater import StepRepeater
from qts.runtime.wiring.brokers import simulated_broker
from qts.runtime.wiring.components import make_components
from qts.strategy.contracts import Strategy
from tests.runtime.live_market import ScriptedLiveFeed, Step
from tests.runtime.rig import STEADY, kst

RUN = "recorded"
BEGUN_NS = kst(10)
Rows = dict[str, Sequence[Any]]


def _kernel(
    store: SqliteStore, clock: HeldClock, feed: ScriptedLiveFeed, steps: Steps, strategies: Sequence[Strategy]
) -> Kernel:
    loaded = load_config(None, {**STEADY, "state.enabled": "false"}, {})
    store.open_run(RunRow(RUN, "live", 7, "script", loaded.hash, "", False))
    return Kernel(
        make_components(
            run_id=RUN,
            seed=7,
            config=loaded.tree,
            config_hash=loaded.hash,
            feed=feed,
            connection=simulated_broker(loaded.tree.broker.sim, feed, clock, 7),
            strategies=strategies,
            store=store,
            clock=clock,
            log=lambda line: None,
            judged_by_index=False,
            inline=False,
            steps=steps,
        )
    )


def rows_of(store: SqliteStore) -> Rows:
    """Return what must be the same of both."""
    return {
        "decisions": list(store.decisions()),
        "orders": sorted(store.orders(), key=lambda order: order.client_order_id),
        "ledger": list(store.ledger()),
        "bookings": list(store.bookings()),
        "equity": list(store.equity_curve()),
    }


def record(
    directory: Path,
    strategies: Sequence[Strategy],
    steps_of: Callable[[ScriptedLiveFeed], Sequence[Step]],
    *,
    speed: float = 1.0,
) -> Rows:
    """Run a session with what the feed does, record its steps in ``directory``, and return its rows."""

    async def run() -> Rows:
        clock = HeldClock(PacedClock(from_ns(BEGUN_NS), speed))
        feed = ScriptedLiveFeed(clock.real_ns)
        written = DayRecord(
            directory / "steps",
            of="the record",
            day_of=days_by(KrxCalendar()),
            head=head_of(RUN, "script", clock.time_ns()),
            text_of=text_of,
            tell=print,
        )
        written.begin()
        store = SqliteStore(directory / "live.sqlite", durability="FULL")
        try:
            kernel = _kernel(store, clock, feed, StepRecorder(clock, written), strategies)
            await kernel.start(None)
            feed.steps = list(steps_of(feed))

            async def no_commands() -> None:
                """Execute nothing."""

            async with asyncio.timeout(60):
                over = await run_live(kernel, feed, lambda *_: None, StopFlag(), clock, no_commands, lambda: None)
            await (kernel.finish() if over else kernel.shared.record.checkpoint())
            await kernel.shared.steps.turn(END)
            return rows_of(store)
        finally:
            store.close()
            written.close()

    return asyncio.run(run())


def repeat(directory: Path, strategies: Sequence[Strategy]) -> Rows:
    """Repeat what :func:`record` has recorded there, and return the rows of that."""

    async def run() -> Rows:
        recorded = RecordedSteps(directory / "steps")
        clock = HeldClock(PacedClock(from_ns(0)))
        clock.hold(recorded.head.started_ns)
        feed = ScriptedLiveFeed(clock.time_ns)
        steps = StepRepeater(clock, recorded)
        store = SqliteStore(directory / "repeated.sqlite", durability="FULL")
        try:
            kernel = _kernel(store, clock, feed, steps, strategies)
            with conducted(kernel, steps, StopFlag()):
                await kernel.start(None)
                async with asyncio.timeout(60):
                    over = await run_repeated(kernel, feed, steps, clock, lambda kernel: None)
                await (kernel.finish() if over else kernel.shared.record.checkpoint())
                await steps.turn(END)
            return rows_of(store)
        finally:
            store.close()

    return asyncio.run(run())
