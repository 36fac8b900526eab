"""The scripted market of :mod:`tests.runtime.rig` for a kernel that runs on the event loop, as in a paper session.

The clock is moved by the values as on the virtual clock, and :meth:`LiveRig.show` waits after each value until
no task has anything left to do. So a session here and one on the virtual clock see the same, wherever strategies
run.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from qts.broker.contracts import NotSimulated
from qts.broker.gateway.sent_file import SentFile
from qts.clock import ManualClock, from_ns
from qts.config.loader import load_config
from qts.db.contracts import RunRow
from qts.db.sqlite import SqliteStore
from qts.event.contracts import EventPriority
from qts.event.payloads import LogWrite
from qts.event.remote_lane import RemoteRunner
from qts.execution.contracts import Order
from qts.market.contracts import MarketValue
from qts.market.last_values import LastValues
from qts.runtime.drivers.sync import run_to_completion
from qts.runtime.kernel import Kernel
from qts.runtime.orders.report_relay import ReportRelay
from qts.runtime.persistence.checkpoint import decode
from qts.runtime.persistence.recovery import resume_point
from qts.runtime.wiring.brokers import BrokerConnection, simulated_broker
from qts.runtime.wiring.components import make_components
from qts.strategy.contracts import Strategy
from qts.strategy.loading import StrategySpec, load_strategies
from tests.broker.scripted import ScriptedBroker
from tests.event.support import until
from tests.runtime.new_store import opened_store
from tests.runtime.rig import STEADY, ScriptFeed, kst

PROCESS = {"runtime.strategy_lane": "process", "event.retry_backoff_ms": "1"}
CALM = {**PROCESS, "event.lane_limits.p1_ms": "60000"}
"""Limits that no busy machine can reach."""


class LiveRig:
    """Kernel, store and market; begin and end it with :func:`live`."""

    def __init__(
        self,
        store: SqliteStore,
        specs: Sequence[str],
        strategies: Sequence[Strategy],
        settings: Mapping[str, str],
        broker: ScriptedBroker | None,
        feed: ScriptFeed,
        directory: Path,
    ) -> None:
        loaded = load_config(None, {**STEADY, **settings}, {})
        self.logged: deque[LogWrite] = deque(maxlen=1_000)
        self.store = store
        self._broker = broker
        self.resumed = self.store.run() is not None
        if not self.resumed:
            self.store.open_run(RunRow("rig", "test", 7, "script", loaded.hash, "", False))
        self.clock = ManualClock(from_ns(self._begins_ns()))
        if broker is None:
            connection = simulated_broker(loaded.tree.broker.sim, feed, self.clock, 7)
        else:
            file = SentFile(directory / "sent", "rig", most_bytes=loaded.tree.broker.gateway.file_kb << 10)
            connection = BrokerConnection(broker, NotSimulated(), LastValues(), ReportRelay(), file)
            broker.publish = connection.report_relay
        self.kernel = Kernel(
            make_components(
                run_id="rig",
                seed=7,
                config=loaded.tree,
                config_hash=loaded.hash,
                feed=feed,
                connection=connection,
                strategies=strategies or load_strategies([StrategySpec(spec) for spec in specs]),
                specs=[StrategySpec(spec) for spec in specs],
                store=self.store,
                clock=self.clock,
                log=self.logged.append,
                judged_by_index=False,
                inline=False,
            )
        )

    def _begins_ns(self) -> int:
        if not self.resumed:
            return kst(0)
        checkpoint = resume_point(self.store, is_simulated=self._broker is None)
        assert checkpoint is not None
        clock: int = decode(checkpoint)["parts"]["clock"]
        return clock

    async def begin(self) -> None:
        if self.resumed:
            checkpoint = self.store.checkpoint()
            assert checkpoint is not None
            await self.kernel.restore(checkpoint, self.store, None)
        else:
            await self.kernel.start(None)
        await self.kernel.dispatcher.start()

    async def show(self, *values: MarketValue) -> None:
        """Let the market say these values, each when everything that follows from the one before is done."""
        for value in values:
            await self._push(value, self.drain)
            await self.drain()

    async def push(self, *values: MarketValue) -> None:
        """Let the market say these values, while tasks are still busy, too."""
        for value in values:
            await self._push(value, self.kernel.run_due_work)

    async def _push(self, value: MarketValue, do_due_work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while self.kernel.run_scheduled_task(value.ts_ns):
            await do_due_work()
        await do_due_work()
        self.kernel.on_market_value(value)

    async def _do_due_work(self) -> None:
        await self.kernel.run_due_work()
        await self.kernel.background.wait(60)

    async def drain(self) -> None:
        """Wait until nothing is queued, in a lane or due, and nothing asks for a quiet moment.

        Raises StorageError when the record has failed.
        """
        while self.kernel.due.pending or self._is_busy:
            await until(lambda: not self._is_busy or self.kernel.shared.record.has_failed, seconds=60)
            await self._do_due_work()

    @property
    def _is_busy(self) -> bool:
        held_back = 0 if self._broker is None else self._broker.held_back
        return (
            self.kernel.dispatcher.stats.is_busy or self.kernel.sender.in_flight > held_back
        )  # what is paused waits

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for ``condition``, attending to the kernel as a driver does."""
        async with asyncio.timeout(60):
            while not condition():
                await self.kernel.run_due_work()
                await asyncio.sleep(0.001)

    def memory(self, strategy: str) -> dict[str, Any]:
        """What a checkpoint of this moment says of a strategy."""
        saved = msgspec.msgpack.decode(
            msgspec.msgpack.Encoder(decimal_format="string").encode(self.share(strategy))
        )
        assert isinstance(saved, dict)
        return saved

    def share(self, strategy: str) -> Any:
        return self.kernel.host.export_state()[strategy]

    def pid(self, strategy: str) -> int | None:
        """The process in which a strategy runs at present."""
        return self._runner(strategy).pid

    def in_lane(self, strategy: str) -> int:
        """How many values wait for a strategy's process or are there."""
        return len(self._runner(strategy).pending)

    def _runner(self, strategy: str) -> RemoteRunner:
        handlers = self.kernel.dispatcher.stats.handlers(EventPriority.P1_HIGH)
        (runner,) = (one.runner for one in handlers if one.name == f"strategy {strategy}")
        assert isinstance(runner, RemoteRunner)
        return runner

    def orders(self) -> list[Order]:
        run_to_completion(self.kernel.shared.record.checkpoint())
        stored = self.store.orders()
        return sorted(stored, key=lambda order: (len(order.client_order_id), order.client_order_id))

    def faults(self) -> list[str]:
        """What was logged about a strategy's mistakes, oldest first, without the tracebacks."""
        return [line.message.splitlines()[0] for line in self.logged if line.level == "ERROR"]


@asynccontextmanager
async def live(
    directory: Path,
    *specs: str,
    strategies: Sequence[Strategy] = (),
    settings: Mapping[str, str] = CALM,
    broker: ScriptedBroker | None = None,
    feed: ScriptFeed | None = None,
) -> AsyncIterator[LiveRig]:
    """A running rig, at the simulated exchange unless ``broker`` is given; whatever its store holds is resumed.

    At the end nothing more is written, as after a crash.
    """
    store = opened_store(directory / "rig.sqlite", rewindable=broker is None)
    try:
        rig = LiveRig(store, specs, strategies, settings, broker, feed or ScriptFeed(), directory)
    except BaseException:
        store.close()
        raise
    try:
        await rig.begin()
        yield rig
    finally:
        await rig.kernel.background.cancel()
        await rig.kernel.dispatcher.stop(timeout_ms=1)
        await rig.kernel.sender.close(0)
        await rig.kernel.broker.close()
        rig.store.close()
