"""Kills paper sessions beside a slow journal and a slow store, again and again, and compares what was stored.

One round is one life of a child: it begins or resumes a session that trades at every quote, and the parent ends it
with SIGKILL a random time after a random number of transactions with fills. The child's own syncs are slow: half of
the delay comes before the disk is asked, half before its answer is heard, for the journal's ``fdatasync`` and for
the store's commit each.

refused: lives that would not resume · lost: fills that stood in the store and do not after a later kill, and events
that the journal says were handled without their row · doubled: rows beyond one for each fill, holdings that are not
the sum of their fills, and what contradicts the journal's own rules · changed: fills that came back with other
digits.
"""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from decimal import Decimal
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from qts.capital.contracts import Pool
from qts.clock import NS_PER_S
from qts.db import sqlite
from qts.errors import QtsError
from qts.event.codec import unpack_event
from qts.event.contracts import EventType
from qts.event.journal_recovery import read_journal
from qts.execution.contracts import Fill
from qts.ledger.contracts import LedgerRow
from qts.market.contracts import Bar, MarketValue, Quote
from qts.market.synthetic import SyntheticFeed
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options, SessionPlan
from qts.strategy.contracts import Context, FillView, Intent, Side, Strategy

KILLS = 500
JOBS = 4
FAULTS = ("refused", "lost", "doubled", "changed")
SHORT_KILLS = 8
DELAYS_MS = (0, 60, 300)
SPEED = 5.0
EVENTS_PER_DAY = 300_000
"""About 60 quotes a second of real time."""
ROUNDS_PER_RUN = 14
"""Lives of one session before a new one begins; so a run is resumed often, and its files stay small."""
MOST_COMMITS = 3
PATIENCE_S = 20.0
"""For a life that stores no fill; then it is killed where it is."""
MOST_FAILURES = 20
"""After these the trial ends: the first ones say what is wrong."""
SETTINGS = {
    "broker.sim.duplicate_fill_probability": "0.5",
    "risk.approval_ttl_ms": "60000",
    "risk.order_rate_per_second": "1000",
    "state.properties.aggressive.max_daily_trades": "1000",
    "state.properties.balanced.max_daily_trades": "1000",
    "state.properties.defensive.max_daily_trades": "1000",
}
_ROWS = "broker, execution_id, order_id, symbol, side, qty, price, amount, fee, tax, timestamp, strategy_tag, pool"
_FILLS = frozenset({EventType.FILL_PARTIAL, EventType.FILL_CONFIRMED})
Rows = dict[tuple[str, str], tuple[Any, ...]]


class Busy:
    """Buys one share at a quote and sells what it holds at the next."""

    symbols: Sequence[str] = ()

    def __init__(self, name: str, pool: Pool) -> None:
        self.name, self.pool, self.quotes = name, pool, 0

    def on_start(self, ctx: Context) -> None:
        """Nothing to prepare."""

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        self.quotes += 1
        if self.quotes % 2:
            return (Intent(quote.symbol, Side.BUY, 0.95, qty=1, reason="in"),)
        return (Intent(quote.symbol, Side.SELL, 1.0, reason="out"),)

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        return ()

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        """It does not care."""


class Open(SyntheticFeed):
    """The generated market from its opening on; its prices may be older than usual, because the disks are slow."""

    def __init__(self) -> None:
        super().__init__(seed=7, events_per_day=EVENTS_PER_DAY)
        self.max_age_ns = 60 * NS_PER_S

    def values(self) -> Iterator[MarketValue]:
        return (value for value in super().values() if not isinstance(value, Bar))


def _strategies() -> Sequence[Strategy]:
    return tuple(Busy(f"busy-{pool.value.lower()}", pool) for pool in Pool)


def _plan(directory: Path) -> SessionPlan:
    return SessionPlan(
        command="run",
        options=Options(seed=7, data_dir=directory, resume=True, overrides=SETTINGS, speed=SPEED),
        open_feed=Open,
        default_strategies=_strategies,
        overrides_for=lambda feed: {},
        paced=True,
    )


def run(directory: Path, *, short: bool, seed: int) -> dict[str, Any]:
    """The whole trial; see the module for what is counted. A life mostly waits, so several run side by side."""
    left = SHORT_KILLS if short else KILLS
    pairs = [(journal, store) for journal in DELAYS_MS for store in DELAYS_MS]
    if short:
        pairs = [(0, 0), (60, 0), (300, 0), (0, 300)]
    each = 2 if short else ROUNDS_PER_RUN
    total = dict.fromkeys(("kills", "fills", *FAULTS), 0)
    failed: list[str] = []
    with ProcessPoolExecutor(JOBS, mp_context=get_context("fork")) as pool:
        trials = [
            pool.submit(_run_trial, directory / str(number), *pair, min(each, left - begun), f"{seed}/{number}")
            for number, (pair, begun) in enumerate(zip(cycle(pairs), range(0, left, each), strict=False))
        ]
        for trial in as_completed(trials):
            name, counts, sentences = trial.result()
            total = {key: value + counts[key] for key, value in total.items()}
            failed += sentences
            print(f"{name}: {total}", file=sys.stderr, flush=True)
            if len(failed) >= MOST_FAILURES:
                pool.shutdown(cancel_futures=True)
                break
    return {**total, "failed": failed}


def _run_trial(
    directory: Path, journal_ms: int, store_ms: int, rounds: int, seed: str
) -> tuple[str, dict[str, int], list[str]]:
    """One session with its lives, in a process of its own: the delays, the counts, what should not have been."""
    counts = dict.fromkeys(("kills", "fills", *FAULTS), 0)
    failed: list[str] = []
    _Trial(directory, journal_ms, store_ms, counts, failed).run(rounds, random.Random(seed))
    shutil.rmtree(directory, ignore_errors=True)
    return f"{journal_ms} ms, {store_ms} ms", counts, failed


class _Trial:
    """One session and its lives."""

    def __init__(
        self, directory: Path, journal_ms: int, store_ms: int, counts: dict[str, int], failed: list[str]
    ) -> None:
        self._directory = directory
        self._journal_ms, self._store_ms = journal_ms, store_ms
        self._counts, self._failed = counts, failed
        self._known: Rows = {}

    def run(self, rounds: int, rng: random.Random) -> None:
        longest_s = 0.05 + (self._journal_ms + self._store_ms) / 1_000
        for _ in range(rounds):
            if not self._live(rng.randint(1, MOST_COMMITS), rng.random() * longest_s, kill=True):
                return
            self._counts["kills"] += 1
            self._compare(f"kill {self._counts['kills']}")
        if self._live(1, 0.0, kill=False):
            self._compare("the last life")
            self._look_at_the_end()
        self._counts["fills"] += len(self._known)

    def _fail(self, count: str, what: str) -> None:
        self._counts[count] += 1
        self._failed.append(f"{count}: journal {self._journal_ms} ms, store {self._store_ms} ms: {what}")
        print(self._failed[-1], file=sys.stderr, flush=True)

    def _live(self, commits: int, seconds: float, *, kill: bool) -> bool:
        """One life: until some time after so many transactions, then killed or asked to stop; False: it refused."""
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            _child(self._directory, self._journal_ms, self._store_ms, writing)
        os.close(writing)
        said, until = b"", time.monotonic() + PATIENCE_S
        while (
            said.count(b".") < commits and select.select((reading,), (), (), max(0.0, until - time.monotonic()))[0]
        ):
            new = os.read(reading, 4_096)
            said += new
            if not new:
                break
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL if kill else signal.SIGTERM)
        _, status = os.waitpid(pid, 0)
        said += os.read(reading, 65_536)
        os.close(reading)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            self._fail("refused", said.decode("utf-8", "replace").lstrip("."))
            return False
        return True

    def _compare(self, when: str) -> None:
        rows = self._stored()
        for key, row in self._known.items():
            if key not in rows:
                self._fail("lost", f"{when}: {row}")
            elif rows[key] != row:
                self._fail("changed", f"{when}: {row} is now {rows[key]}")
        self._known = rows

    def _stored(self) -> Rows:
        """The fills in a copy of the store: opening the file itself would recover it, which is the next life's."""
        with closing(self._copy()) as connection:
            found = connection.execute(f"SELECT {_ROWS} FROM t_ledger").fetchall()
        rows = {(row[0], row[1]): tuple(row) for row in found}
        if len(rows) != len(found):
            self._fail("doubled", f"{len(found)} rows for {len(rows)} fills")
        return rows

    def _copy(self) -> sqlite3.Connection:
        copy = self._directory.with_suffix(".copy")
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for path in self._directory.glob("qts.sqlite*"):
            if not path.name.endswith("-shm"):
                shutil.copy(path, copy / path.name)
        return sqlite3.connect(copy / "qts.sqlite")

    def _look_at_the_end(self) -> None:
        """After an orderly stop: every event has its outcome, every handled fill its row, all adds up."""
        report = read_journal(self._directory / "journal")
        for problem in report.problems:
            self._fail("doubled", problem)
        for entry in report.entries.values():
            if entry.status_name == "accepted":
                self._fail("lost", f"event {entry.record.event_id} has no outcome")
            event = unpack_event(entry.record.body)
            if entry.status_name == "applied" and event.event_type in _FILLS:
                self._look_at(event.payload)
        with closing(self._copy()) as connection:
            held = connection.execute("SELECT strategy, symbol, qty FROM positions").fetchall()
        for strategy, symbol, qty in held:
            rows = (row for row in self._known.values() if (row[11], row[3]) == (strategy, symbol))
            booked = sum(Decimal(row[5]) if row[4] == "BUY" else -Decimal(row[5]) for row in rows)
            if booked != Decimal(qty):
                self._fail("doubled", f"{strategy} holds {qty} {symbol}, its fills add up to {booked}")

    def _look_at(self, fill: Fill) -> None:
        row = self._known.get((fill.broker, fill.execution_id))
        told = (fill.client_order_id, fill.symbol, fill.side.value, str(fill.qty), str(fill.price))
        if row is None:
            self._fail("lost", f"{fill} was handled and has no row")
        elif row[2:7] != told:
            self._fail("changed", f"{told} was handled, its row says {row[2:7]}")


def _child(directory: Path, journal_ms: int, store_ms: int, ready: int) -> None:
    """A life; never returns."""
    code = 1
    try:
        _slow_down(journal_ms, store_ms, lambda: os.write(ready, b"."))
        stop = StopFlag()
        signal.signal(signal.SIGTERM, lambda number, frame: stop.request())
        run_session(_plan(directory), progress=lambda share, moment_ns: None, stop=stop)
        code = 0
    except QtsError as error:
        code = error.exit_code
        os.write(ready, str(error).encode())
    except BaseException as error:  # the child must never come back into the parent's loop
        os.write(ready, repr(error).encode())
    finally:
        sys.stderr.flush()
        os._exit(code)


def _slow_down(journal_ms: int, store_ms: int, on_commit: Callable[[], object]) -> None:
    """Delay the syncs of this process, half before and half after: a kill finds either."""
    sync, commit = os.fdatasync, sqlite.SqliteStore.commit

    def slow_sync(fd: int) -> None:
        time.sleep(journal_ms / 2_000)
        sync(fd)
        time.sleep(journal_ms / 2_000)

    def slow_commit(store: sqlite.SqliteStore, *args: Any) -> int:
        time.sleep(store_ms / 2_000)
        seq = commit(store, *args)
        if any(type(record) is LedgerRow for record in args[0]):
            on_commit()
        time.sleep(store_ms / 2_000)
        return seq

    os.fdatasync = slow_sync
    sqlite.SqliteStore.commit = slow_commit  # type: ignore[method-assign]
