"""Kills sessions at a real broker and resumes them, as a process of its own (it forks one for each life).

    python -m tests.sim.broker_session DIRECTORY SCENARIOS

``SCENARIOS`` is a JSON list of ``[seed, lane, kills]``, and each kill ``[k, place]``: the process kills itself with
SIGKILL when it comes to ``place`` for the k-th time in its life, see :mod:`tests.sim.broker_places`. A session is
started, killed, resumed from what it and its broker have on disk, killed again … and finally resumed to its end.
Prints one JSON line for each scenario: how each life ended, how often the last came to each place, and what is
wrong at the end; [] for nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import traceback
from collections import Counter, deque
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from qts.broker.contracts import NotSimulated
from qts.broker.gateway.sent_file import SentFile
from qts.clock import from_ns
from qts.config.loader import load_config
from qts.db.contracts import Record, RunRow
from qts.db.sqlite import SqliteStore
from qts.event.payloads import LogWrite
from qts.market.contracts import Quote
from qts.market.last_values import LastValues
from qts.runtime.kernel import Kernel
from qts.runtime.orders.report_relay import ReportRelay
from qts.runtime.persistence.agreement import open_journal
from qts.runtime.persistence.checkpoint import decode
from qts.runtime.persistence.recovery import resume_point
from qts.runtime.wiring.brokers import BrokerConnection
from qts.runtime.wiring.components import make_components
from tests.effort import EVERY_KILL
from tests.event.support import until
from tests.runtime.rig import STEADY, SYMBOL, ScriptFeed, kst
from tests.sim.broker_checks import differences, grown
from tests.sim.broker_places import watch_steps
from tests.sim.broker_strategies import Diary, Levelled
from tests.sim.broker_world import WorldBroker

STEPS = 30 if EVERY_KILL else 16
QUIET = 8
"""Steps at the end in which nothing new happens at the broker, two minutes each."""
MOST_STEPS = STEPS + 60
"""Steps after which a session that is not settled never will be: two hours without news."""
MOST_BYTES = 300
"""Bytes of the gateway's file from which on it is rewritten: few orders, so that a short life does it."""
RUN = RunRow("0123456789abcdef", "live", 7, "script", "", "2026-01-22T00:00:00+00:00", False)
SETTINGS = {
    **STEADY,
    "runtime.equity_start": "100000000",
    "event.lane_limits.p1_ms": "60000",
    "event.retry_backoff_ms": "1",
    "risk.order_rate_per_second": "50",
}


class Death:
    """Where and when this process kills itself; ``kill_at`` None: never."""

    kill_at: int | None = None
    where = ""
    passed: ClassVar[Counter[str]] = Counter()

    @classmethod
    def planned(cls, kill_at: int | None, where: str) -> None:
        cls.kill_at, cls.where, cls.passed = kill_at, where, Counter()

    @classmethod
    def passes(cls, place: str) -> None:
        cls.passed[place] += 1
        if place == cls.where and cls.passed[place] == cls.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


class KillingStore(SqliteStore):
    """A store that may kill its process around a transaction and inside of it."""

    def commit(self, records: Sequence[Record], checkpoint: bytes | None = None, inbox: Sequence[str] = ()) -> int:
        Death.passes("before")
        seq = super().commit(records, checkpoint, inbox)
        Death.passes("after")
        return seq

    def _write(self, records: Sequence[Record], *, keep_images: bool) -> None:
        super()._write(records, keep_images=keep_images)
        Death.passes("inside")


class SteppedClock:
    """A clock in real time, as the session sees it: the broker's steps move it, and the session cannot."""

    def __init__(self, ns: int) -> None:
        self.ns = ns

    def now(self) -> datetime:
        return from_ns(self.ns)

    def time_ns(self) -> int:
        return self.ns

    def monotonic_ns(self) -> int:
        return self.ns


class Life:
    """One process of the session, on what the processes before it and the broker have on disk."""

    def __init__(self, directory: Path, seed: int, lane: str) -> None:
        loaded = load_config(None, {**SETTINGS, "runtime.strategy_lane": lane}, {})
        self.broker = WorldBroker(directory / "world.json", seed, Death.passes)
        self.store = KillingStore(directory / "live.sqlite", durability="NORMAL")
        resumed = self.store.run() is not None
        run = msgspec.structs.replace(RUN, config_hash=loaded.hash)
        self.journal = open_journal(
            directory / "journal", loaded.tree.event.journal, run, self.store, resumed=resumed
        )
        self.checkpoint = resume_point(self.store, is_simulated=False) if resumed else None
        if not resumed:
            self.store.open_run(run)
        relay = ReportRelay()
        sent = SentFile(directory / "sent", RUN.run_id, most_bytes=MOST_BYTES)
        self.broker.publish = relay
        self.logged: deque[LogWrite] = deque(maxlen=10_000)
        begun_ns = kst(0) if self.checkpoint is None else decode(self.checkpoint)["parts"]["clock"]
        self.clock = SteppedClock(max(begun_ns, self.broker.books.time_ns))
        self.strategies = (Diary(), Levelled())
        self.resumed = resumed
        self.memories: dict[str, dict[str, list[str]]] = {}
        self.kernel = Kernel(
            make_components(
                run_id=RUN.run_id,
                seed=7,
                config=loaded.tree,
                config_hash=loaded.hash,
                feed=ScriptFeed(),
                connection=BrokerConnection(self.broker, NotSimulated(), LastValues(), relay, sent),
                strategies=self.strategies,
                store=self.store,
                clock=self.clock,
                log=self.logged.append,
                judged_by_index=False,
                inline=False,
                journal=self.journal,
            )
        )

    async def run(self) -> None:
        kernel, books = self.kernel, self.broker.books
        await kernel.broker.connect()
        if self.resumed:
            await kernel.restore(self.checkpoint, self.store, None)
        else:
            await kernel.start(None)
        self.journal.flush()
        self.broker.acknowledge = self.journal.flush
        async with kernel.shared.record.running():
            await kernel.dispatcher.start()
            try:
                await self._drain()
                while books.step < STEPS + QUIET or not self._is_settled:
                    assert books.step < MOST_STEPS, f"never settled: {list(kernel.shared.orders)}"
                    await self._step(books.step, quiet=books.step >= STEPS)
                for _ in range(2):  # what differs at the broker counts the second time
                    self.clock.ns += 1_000_000_000
                    await kernel.auditor.run_full_audit(self.clock.time_ns())
                await kernel.shared.record.checkpoint()
            finally:
                await kernel.background.cancel()
                await kernel.dispatcher.stop(timeout_ms=1_000)
                await kernel.sender.close(1)
                await kernel.broker.close()
        await kernel.shared.record.checkpoint()

    @property
    def _is_settled(self) -> bool:
        """Return whether nothing is open here or at the broker."""
        waiting = len(self.kernel.execution_reports.numbers)
        # What one has to sell, another one that is short has sold: with no share left there a person decides.
        is_leaving = self.kernel.exits.due_ns < kst(23) and bool(self.broker.books.held.get(SYMBOL))
        is_open = bool(len(self.kernel.shared.orders) + waiting) or is_leaving
        return self.broker.is_settled and not is_open

    def memory(self, strategy: str) -> dict[str, list[str]]:
        """Return what the newest checkpoint says that a strategy was told, or will be before its next value."""
        stored = self.store.checkpoint()
        assert stored is not None
        share = decode(stored)["parts"]["strategies"][strategy]
        memory = share["attributes"]["memory"]
        fills, news = list(memory["fills"]), list(memory["news"])
        for one in share.get("untold", ()):
            if "execution_id" in one:
                fills.append(f"{one['order_id']} {one['execution_id']}")
                news.append(f"{one['order_id']} FILL")
            elif one["order_id"]:
                news.append(f"{one['order_id']} {one['status']}")
        return {"fills": fills, "news": news}

    async def _step(self, number: int, *, quiet: bool) -> None:
        at_ns = kst(10, 0, 10 * number) if not quiet else kst(10, 10, 120 * (number - STEPS))
        self.clock.ns = max(at_ns, self.clock.ns)
        self.broker.step(SYMBOL, at_ns, quiet=quiet)
        await self._drain()
        bid, ask, size = Decimal(150_000), Decimal(150_100), Decimal(10_000)
        kernel = self.kernel
        while kernel.run_scheduled_task(at_ns):
            await self._drain()
        if quiet:
            await self._drain()
        else:
            kernel.on_market_value(Quote(SYMBOL, at_ns, bid=bid, ask=ask, bid_size=size, ask_size=size))
            await self._drain()

    async def _drain(self) -> None:
        kernel = self.kernel
        while True:
            await until(lambda: not self._is_busy or kernel.shared.record.has_failed, seconds=60)
            await kernel.run_due_work()
            await kernel.background.wait(60)
            for _ in range(5):
                await asyncio.sleep(0)
            if not (kernel.due.pending or self._is_busy):
                return

    @property
    def _is_busy(self) -> bool:
        """Return whether something goes on that does not wait for the broker's next step."""
        sender, broker = self.kernel.sender, self.broker
        view = sender.view()
        assert view is not None  # it is on a thread of its own
        # Where the broker does not keep our ids, an order waits for the answer to another one of its key.
        waiting = 0 if broker.capabilities.client_order_ids else sum(lane.waiting for lane in view.lanes)
        return self.kernel.dispatcher.stats.is_busy or sender.in_flight > broker.held_back + waiting


def live(directory: Path, seed: int, lane: str) -> Life:
    life = Life(directory, seed, lane)
    try:
        asyncio.run(life.run())
        life.memories = {name: life.memory(name) for name in ("diary", "levelled")}
        return life
    finally:
        life.journal.close()
        life.store.close()


def attempt(directory: Path, seed: int, lane: str, kill_at: int, where: str) -> str:
    """Run a life in a child process; return "killed", "finished" or "failed"."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        Death.planned(kill_at, where)
        try:
            live(directory, seed, lane)
        except BaseException:  # noqa: BLE001 - the edge of the process: whatever it is, say it and end
            print(f"attempt {kill_at} {where}: {traceback.format_exc()}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return "killed"
    return "finished" if status == 0 else "failed"


def scenario(directory: Path, seed: int, lane: str, kills: Sequence[tuple[int, str]]) -> dict[str, Any]:
    directory.mkdir(parents=True)
    attempts, wrong = [], []
    before: dict[str, list[Any]] = {}
    for kill_at, where in kills:
        attempts.append(attempt(directory, seed, lane, kill_at, where))
        after, shrunk = grown(directory, before)
        wrong += [f"after life {len(attempts)}: {text}" for text in shrunk]
        before = after
    Death.planned(None, "")
    try:
        life = live(directory, seed, lane)
    except Exception:  # noqa: BLE001 - whatever it is, it is what is wrong
        return {"attempts": attempts, "passed": {}, "wrong": [*wrong, traceback.format_exc()]}
    wrong += grown(directory, before)[1]
    wrong += differences(directory, life)
    return {"attempts": attempts, "passed": dict(Death.passed), "wrong": wrong}


def main(directory: str, scenarios: str) -> None:
    """Run every scenario in a directory of its own, and print one JSON line for each."""
    watch_steps(Death.passes)
    for number, (seed, lane, kills) in enumerate(json.loads(scenarios)):
        place = Path(directory) / str(number)
        print(json.dumps(scenario(place, seed, lane, [(k, where) for k, where in kills])), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
