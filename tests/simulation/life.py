"""One process of the session on the machine of a simulation: started on what the disk has, run until it ends.

The components are those of a session at a real broker, wired as :mod:`qts.runtime.session.session` does it, with
the live driver; only the files that people read beside the books (view, log, charts) are left out.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

import qts
from qts.broker.broker_clock import BrokerClock
from qts.broker.contracts import NotSimulated
from qts.broker.gateway.sent_file import SentFile
from qts.clock import PacedClock, from_ns
from qts.config.loader import LoadedConfig, load_config
from qts.db.contracts import RunRow
from qts.db.sqlite import SqliteStore
from qts.errors import InputError, QtsError
from qts.event.contracts import events_made_by
from qts.event.payloads import LogWrite
from qts.market.contracts import FeedGap, Instrument, MarketValue
from qts.market.krx import krx_instrument
from qts.market.last_values import LastValues
from qts.runtime.control.command_handler import CommandHandler
from qts.runtime.control.commands import Command
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.drivers.live_driver import run_live
from qts.runtime.kernel import Kernel
from qts.runtime.orders.report_relay import ReportRelay
from qts.runtime.persistence.agreement import open_journal
from qts.runtime.persistence.recovery import resume_point
from qts.runtime.wiring.brokers import BrokerConnection
from qts.runtime.wiring.components import make_components
from tests.simulation.broker import SimBroker
from tests.simulation.story import SYMBOLS
from tests.simulation.strategies import Alpha, Beta
from tests.simulation.world import World

RUN = RunRow("0123456789abcdef", "live", 7, "simulation", "", "2026-01-22T00:00:00+00:00", False)
PACKAGE = str(Path(qts.__file__).parent)
MOST_BYTES = 2_000
"""Bytes of the gateway's file from which on it is rewritten: few orders, so that a short story does it."""
SETTINGS = {
    "runtime.equity_start": "100000000",
    "event.collect_when_quiet": "false",
    "event.switch_interval_us": "0",
    "event.retry_backoff_ms": "1",
    "event.monitoring_interval_ms": "1000",
    "event.journal.segment_bytes": "4096",
    "runtime.strategy_lane": "loop",
    "risk.max_price_deviation": "0.2",
}


@cache
def config() -> LoadedConfig:
    """Return the configuration of every simulation, read once."""
    return load_config(None, SETTINGS, {})


class SimFeed:
    """A feed that pushes what the world shows, from another thread, to the loop of the session."""

    name = "simulation"
    max_age_ns = 5_000_000_000
    declares_volatility = True
    rows_refused: Mapping[str, int] = {}

    def __init__(self) -> None:
        self.instruments: Mapping[str, Instrument] = {one: krx_instrument(one) for one in SYMBOLS}
        self.connected = False
        self._push: Callable[[MarketValue | FeedGap], None] | None = None

    def push(self, value: MarketValue | FeedGap) -> None:
        """Give a value to the session, if it listens; on the world's thread."""
        if self._push is not None:
            self._push(value)

    async def run(self, on_value: Callable[[MarketValue], object], on_gap: Callable[[FeedGap], object]) -> None:
        loop = asyncio.get_running_loop()

        def push(value: MarketValue | FeedGap) -> None:
            loop.call_soon_threadsafe(on_gap if isinstance(value, FeedGap) else on_value, value)

        self._push, self.connected = push, True
        try:
            await loop.create_future()
        finally:
            self._push, self.connected = None, False


class Life:
    """A process of the session on what ``directory`` holds. Made and run on the machine's first thread."""

    def __init__(
        self,
        directory: Path,
        world: World,
        broker: SimBroker,
        wishes: Callable[[str, Any], tuple[str, int]],
        wall_ns: int,
    ) -> None:
        loaded = config()
        self.world, self.broker = world, broker
        self.feed = SimFeed()
        self.stop = StopFlag()
        self.commands: deque[Command] = deque()
        self.answers: list[tuple[Command, str]] = []
        self.clock = PacedClock(from_ns(wall_ns))
        self.has_begun = self.has_lacked_memory = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self.store = SqliteStore(directory / "qts.sqlite", durability="FULL")
        self._closing: list[Callable[[], object]] = [self.store.close]
        resumed = self.store.run() is not None
        run = msgspec.structs.replace(RUN, config_hash=loaded.hash)
        self.journal = open_journal(
            directory / "journal", loaded.tree.event.journal, run, self.store, resumed=resumed
        )
        self._closing.append(self.journal.close)
        if resumed:
            self.store.verify_history()
        self.checkpoint = resume_point(self.store, is_simulated=False) if resumed else None
        if not resumed:
            self.store.open_run(run)
        relay = ReportRelay()
        sent = self.sent = SentFile(directory / "sent", RUN.run_id, most_bytes=MOST_BYTES)
        self.resumed = resumed
        self.broker_clock = BrokerClock()
        self.kernel = Kernel(
            make_components(
                run_id=RUN.run_id,
                seed=7,
                config=loaded.tree,
                config_hash=loaded.hash,
                feed=self.feed,
                connection=BrokerConnection(broker, NotSimulated(), LastValues(), relay, sent, self.broker_clock),
                strategies=(Alpha(wishes), Beta(wishes)),
                store=self.store,
                clock=self.clock,
                log=self._log,
                judged_by_index=False,
                inline=False,
                journal=self.journal,
            )
        )
        broker.listener, broker.clock = relay, self.broker_clock
        self.kernel.shared.kill = self.stop.kill
        self._handler = CommandHandler(self.kernel)

    async def run(self) -> None:
        """Run until a stop is requested or something ends it."""
        kernel, self._loop = self.kernel, asyncio.get_running_loop()
        with events_made_by(kernel.dispatcher.factory):
            connects_beside = self.checkpoint is not None
            if not connects_beside:
                await kernel.broker.connect()
            if self.resumed:
                await kernel.restore(self.checkpoint, self.store, None)
            else:
                await kernel.start(None)
            if connects_beside:
                kernel.connect_soon()
            self.journal.flush()
            self.has_begun = True
            self.broker.begun_ns = self.broker.begun_ns or self.world.now_ns
            await run_live(
                kernel, self.feed, lambda share, ns: None, self.stop, self.clock, self._commands, self._begin_stops
            )
            await kernel.shared.record.checkpoint()

    def fail_after(self, calls: int) -> None:
        """Let the call of the package's code behind ``calls`` on the session's thread find no memory."""
        assert self._loop is not None  # it runs
        left = calls

        def trace(frame: FrameType, event: str, arg: object) -> None:
            nonlocal left
            if frame.f_code.co_filename.startswith(PACKAGE):
                left -= 1
                if left < 0:
                    sys.settrace(None)
                    self.has_lacked_memory = True
                    self.world.fire("memory: none at a call")
                    callers = "".join(traceback.format_stack(frame, 8)) if self.world.tells_all else ""
                    self.world.say(f"   in {frame.f_code.co_qualname}\n{callers}")
                    raise MemoryError(f"in {frame.f_code.co_qualname}")

        self._loop.call_soon_threadsafe(sys.settrace, trace)

    async def close(self) -> None:
        """Release what the process held, at an end in order or by an error."""
        await self.kernel.broker.close()
        for close in reversed(self._closing):
            close()

    def _log(self, line: LogWrite) -> None:
        if line.level != "INFO":
            self.world.say(f"   log: {line.message[:300]}")

    async def _commands(self) -> None:
        kill = self.kernel.shared.kill
        for _ in kill.take():
            kill.on_stop_begun()
            kill.on_stop_in_force()
        for _ in range(len(self.commands)):
            command = self.commands.popleft()
            try:
                answer = await self._handler.step(command)
            except InputError as error:
                said = f"InputError: {error}"
            except QtsError as error:
                said = f"{type(error).__name__}: {error}"
            else:
                if answer is None:
                    self.commands.append(command)
                    continue
                said = answer.answer
            self.answers.append((command, said))

    def _begin_stops(self) -> None:
        """Begin nothing: the world gives stops as commands."""
