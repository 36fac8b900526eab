"""A live feed that plays a script, and a session of the real kernel on it with the simulated exchange."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import msgspec

from qts.clock import PacedClock, from_ns
from qts.config.loader import load_config
from qts.db.contracts import RunRow
from qts.db.sqlite import SqliteStore
from qts.event.payloads import LogWrite
from qts.ids import run_id_of
from qts.market.contracts import FeedGap, Instrument, MarketValue
from qts.market.krx import krx_instrument
from qts.market.session_info import SessionInfo
from qts.runtime.control.kill_switch import Press
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.drivers.live_driver import run_live
from qts.runtime.kernel import Kernel
from qts.runtime.session.run_identity import live_source_id
from qts.runtime.wiring.brokers import simulated_broker
from qts.runtime.wiring.components import make_components
from qts.strategy.contracts import Strategy
from tests.runtime.rig import STEADY, SYMBOL

Step: TypeAlias = MarketValue | FeedGap | Exception | Callable[[], Awaitable[object]]


class ScriptedLiveFeed:
    """A live feed that executes a script: each step pushes a value or a gap, raises an error, or waits.

    A value without a time (``ts_ns`` 0) is stamped with the clock's. ``connected`` may be set by the script.
    """

    name = "scripted"
    max_age_ns = 5_000_000_000
    declares_volatility = True
    rows_refused: Mapping[str, int] = {}

    def __init__(self, now_ns: Callable[[], int], steps: Sequence[Step] = ()) -> None:
        self.instruments: Mapping[str, Instrument] = {SYMBOL: krx_instrument(SYMBOL)}
        self.connected = False
        self.steps: list[Step] = list(steps)
        self.is_closed = False
        self._now_ns = now_ns
        self.push: Callable[[MarketValue], object] = lambda value: None
        """For steps that push values themselves."""

    async def run(self, on_value: Callable[[MarketValue], object], on_gap: Callable[[FeedGap], object]) -> None:
        self.push = lambda value: on_value(self._stamped(value))
        self.connected = True
        try:
            for step in self.steps:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, FeedGap):
                    on_gap(step)
                elif isinstance(step, msgspec.Struct):
                    self.push(step)
                else:
                    await step()
        finally:
            self.connected = False
            self.is_closed = True

    def _stamped(self, value: MarketValue) -> MarketValue:
        return value if value.ts_ns else msgspec.structs.replace(value, ts_ns=self._now_ns())


class TellingFeed(ScriptedLiveFeed):
    """One that tells session info as well, when a step calls ``tell``."""

    def tell_session_info(self, on_info: Callable[[SessionInfo], object]) -> None:
        self.tell = on_info


@dataclass
class LiveSession:
    """A session of kernel, clock in real time and scripted feed; call :meth:`run` with the steps of the feed."""

    kernel: Kernel
    clock: PacedClock
    feed: ScriptedLiveFeed
    store: SqliteStore
    stop: StopFlag
    logged: deque[LogWrite]
    polls: int = 0
    fail_with: Exception | None = None
    """Raised by the next poll of operators' commands while the kill switch is pressed."""
    taken: list[Press] = field(default_factory=list)
    """The presses of the kill switch that a poll has taken."""

    async def run(self, *steps: Step, max_waiting: int = 1_000) -> bool:
        self.feed.steps = list(steps)

        async def run_commands() -> None:
            self.polls += 1
            if self.fail_with is not None and self.kernel.shared.kill.is_pressed():
                raise self.fail_with
            kill = self.kernel.shared.kill
            for press in kill.take():  # each is in force at once
                self.taken.append(press)
                kill.on_stop_begun()
                kill.on_stop_in_force()

        async with asyncio.timeout(60):
            return await run_live(
                self.kernel,
                self.feed,
                lambda share, moment_ns: None,
                self.stop,
                self.clock,
                run_commands,
                lambda: None,
                max_waiting=max_waiting,
            )

    def messages(self, level: str) -> list[str]:
        return [line.message for line in self.logged if line.level == level]


@asynccontextmanager
async def live_session(
    directory: Path,
    *strategies: Strategy,
    begun_ns: int,
    speed: float = 1.0,
    make_feed: Callable[[Callable[[], int]], ScriptedLiveFeed] = ScriptedLiveFeed,
) -> AsyncIterator[LiveSession]:
    """Yield a new live session that starts at ``begun_ns`` and has handled nothing yet."""
    loaded = load_config(None, {**STEADY, "state.enabled": "false"}, {})
    source_id = live_source_id(broker="sim", account="12345678-01", mode="paper", begun_ns=begun_ns)
    run_id = run_id_of("live", "7", source_id, loaded.hash)
    store = SqliteStore(directory / "live.sqlite", durability="FULL")
    clock = PacedClock(from_ns(begun_ns), speed)
    feed = make_feed(clock.time_ns)
    logged: deque[LogWrite] = deque(maxlen=1_000)
    store.open_run(RunRow(run_id, "live", 7, source_id, loaded.hash, "", False))
    kernel = Kernel(
        make_components(
            run_id=run_id,
            seed=7,
            config=loaded.tree,
            config_hash=loaded.hash,
            feed=feed,
            connection=simulated_broker(loaded.tree.broker.sim, feed, clock, 7),
            strategies=strategies,
            store=store,
            clock=clock,
            log=logged.append,
            judged_by_index=False,
            inline=False,
        )
    )
    await kernel.start(None)
    try:
        yield LiveSession(kernel, clock, feed, store, StopFlag(), logged)
    finally:
        store.close()
