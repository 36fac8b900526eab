"""What a server behind the local book costs: a fill's batch on it, a followed replay, a minute without it, and P0.

``python -m bench.store [--quick] [--json] [--only PART] [--before DIR]`` starts a PostgreSQL of its own, its
data on a disk and with fsync, so it needs the extras ``postgres``
and ``test``. ``--only`` measures one of the parts:

``fill``: the batch of a fill, applied, beside a bare one-row autocommit insert over the same kind of connection.
``replay``: ``qts replay --db`` beside the same replay without a server.
``away``: the server is away for a minute at 50 fills a second.
``flood``: how late P0 events are under a flood of market values, with a follower at 200 batches/s and without.
``serverless``: demo and replay without a server, beside those of the source tree DIR of another commit.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import asyncpg
from tests.servers import sql
from tests.servers.postgres import Postgres
from tests.servers.proxy import Proxy

from bench.figures import QUICK_RUNS, RUNS, about, latency_us, machine, micros, targets_table
from bench.suite import print_report
from qts.capital.contracts import Pool
from qts.db.access import parse
from qts.db.batch import Batch
from qts.db.contracts import DecisionRow, LedgerRow, PoolRow, PositionRow, Record, RunRow
from qts.db.sqlite import SqliteStore
from qts.db.timescale.adapter import TimescaleDBAdapter
from qts.execution.contracts import Order, OrderState
from qts.risk.contracts import OrderRequest
from qts.strategy.contracts import Side

FILLS, QUICK_FILLS = 1_000, 200
WARM = 50
FILL_P50, FILL_P99, TRIPS = 1.3, 2.0, 1
NAME = "bench"


@contextmanager
def server() -> Iterator[Postgres]:
    """A PostgreSQL whose data is on a disk, not in memory: what it confirms is on that disk."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="qts-bench-") as folder:
        Path(folder).chmod(0o755)
        directory = Path(folder)
        with Postgres("18", directory=directory) as started:
            sql.migrate(started.url())
            yield started


class Fills:
    """A local book of which each batch is one fill: the ledger's row, its order, position and pool."""

    def __init__(self, path: Path, run_id: str) -> None:
        self.run = RunRow(run_id, "run", 7, "bench", "c" * 64, "2026-01-02T09:00:00+09:00", False)
        self.store = SqliteStore(path, durability="NORMAL")
        self.store.open_run(self.run)
        self.store.follow([NAME])
        self._number = 0

    def order(self) -> None:
        """Commit a decision and its order: the fills are those of the newest one."""
        self.store.commit(
            [DecisionRow(self._id("a"), self._id("d"), self._id("o"), 1, 2, "c" * 64, "{}"), self._order()]
        )

    def fill(self) -> int:
        """Commit one fill and return the number of its batch."""
        self._number += 1
        at_ns = 1_767_312_000_000_000_000 + self._number
        qty, price = Decimal(10), Decimal(71_200 + self._number % 97)
        money = (qty, price, qty * price, Decimal(106), Decimal(0), Decimal(-106))
        names = ("ema", Pool.SCALP, self._id("o"), "main", "2026-01-02")
        ledger = LedgerRow("sim", f"x-{self._number}", at_ns, "005930", Side.BUY, *money, *names)
        rows: list[Record] = [
            ledger,
            self._order(filled=qty * self._number),
            PositionRow("ema", Pool.SCALP, "005930", qty * self._number, price * qty * self._number, at_ns),
            PoolRow(Pool.SCALP, Decimal(10**9) - price * self._number, Decimal(-106) * self._number, at_ns),
        ]
        return self.store.commit(rows, inbox=[f"sim:{self._id('o')}:x-{self._number}"])

    def batches(self) -> Sequence[Batch]:
        """Return every batch that is not done with."""
        return self.store.pending(NAME, 1 << 20, 1 << 40)

    def _id(self, kind: str) -> str:
        return f"{self.run.run_id}-{kind}-1"

    def _order(self, filled: Decimal = Decimal(0)) -> Order:
        request = OrderRequest(
            client_order_id=self._id("o"),
            decision_id=self._id("d"),
            strategy="ema",
            pool=Pool.SCALP,
            symbol="005930",
            side=Side.BUY,
            qty=Decimal(10**9),
            limit=None,
            decision_price=Decimal(71_200),
            ts_ns=1,
        )
        state = OrderState.PARTIAL if filled else OrderState.WORKING
        return Order(request, approval_id=self._id("a"), state=state, filled=filled, ts_update_ns=1)


# -- the batch of a fill -----------------------------------------------------------------------------------------


def measure_fill(*, quick: bool) -> dict[str, Any]:
    """Apply one batch, insert one row, and so on in turns, on one server; count the round trips of one call."""
    runs, fills = (QUICK_RUNS, QUICK_FILLS) if quick else (RUNS, FILLS)
    with server() as started, tempfile.TemporaryDirectory() as folder:
        sql.execute(started.url(), "CREATE TABLE bare (id bigint PRIMARY KEY, amount numeric, note text)")
        found = [_fill_run(started.url(), Path(folder), run, fills) for run in range(runs)]
        with Proxy(started.port) as proxy:
            trips = _trips(started.url(port=proxy.port), Path(folder), proxy)
    ours, bare = ([one[place] for one in found] for place in (0, 1))
    shares = [(latency_us([a]), latency_us([b])) for a, b in found]
    p50, p99 = (round(statistics.median(a[at] / b[at] for a, b in shares), 3) for at in ("p50", "p99"))
    return {
        "batch_us": latency_us(ours),
        "insert_us": latency_us(bare),
        "targets": [
            _target("fill batch p50, times a bare insert", p50, FILL_P50),
            _target("fill batch p99, times a bare insert", p99, FILL_P99),
            _target("round trips of a fill batch", trips, TRIPS),
        ],
    }


def _fill_run(url: str, folder: Path, run: int, fills: int) -> tuple[list[int], list[int]]:
    book = Fills(folder / f"fill-{run}.sqlite", f"{run:016x}")
    book.order()
    for _ in range(fills + WARM):
        book.fill()
    batches = book.batches()

    async def both() -> tuple[list[int], list[int]]:
        adapter = TimescaleDBAdapter(parse(url, {}), live=True)
        await adapter.open()
        await adapter.claim(book.run, whole_account=False)
        await adapter.put_run(book.run, (), ())
        connection = await asyncpg.connect(url)
        insert = await connection.prepare("INSERT INTO bare VALUES ($1, $2, $3)")
        ours: list[int] = []
        bare: list[int] = []
        for number, batch in enumerate(batches):
            begun = perf_counter_ns()
            await adapter.apply([batch])
            between = perf_counter_ns()
            await insert.fetchval(run * 1_000_000 + number, Decimal("71200.50"), "a note of twenty cha")
            ended = perf_counter_ns()
            if number > WARM:
                ours.append(between - begun)
                bare.append(ended - between)
        await connection.close()
        await adapter.close()
        return ours, bare

    found = asyncio.run(both())
    book.store.close()
    return found


def _trips(url: str, folder: Path, proxy: Proxy) -> int:
    book = Fills(folder / "trips.sqlite", "f" * 16)
    book.order()
    for _ in range(20):
        book.fill()

    async def count() -> int:
        adapter = TimescaleDBAdapter(parse(url, {}), live=True)
        await adapter.open()
        await adapter.claim(book.run, whole_account=False)
        await adapter.put_run(book.run, (), ())
        batches = book.batches()
        await adapter.apply(batches[:10])
        before = proxy.round_trips
        for batch in batches[10:20]:
            await adapter.apply([batch])
        trips = proxy.round_trips - before
        await adapter.close()
        return round(trips / 10, 1)

    found = asyncio.run(count())
    book.store.close()
    return found


def _target(what: str, value: float | None, bar: float, *, at_least: bool = False) -> dict[str, Any]:
    met = None if value is None else (value >= bar if at_least else value <= bar)
    return {"what": what, "value": value, "bar": bar, "at_least": at_least, "met": met}


PARTS: dict[str, Callable[..., dict[str, Any]]] = {"fill": measure_fill}


def measure(parts: Sequence[str], *, quick: bool) -> dict[str, Any]:
    """Measure the parts, one after the other."""
    report: dict[str, Any] = {"machine": machine(), "runs": QUICK_RUNS if quick else RUNS, "targets": []}
    for name in parts:
        found = PARTS[name](quick=quick)
        report["targets"] += found.pop("targets")
        report[name] = found
    return report


def show(report: dict[str, Any]) -> str:
    """The figures as a table."""
    lines = [about(report), "", targets_table(report["targets"])]
    if "fill" in report:
        batch, insert = report["fill"]["batch_us"], report["fill"]["insert_us"]
        lines += [
            "",
            f"fill batch p50 {micros(batch['p50'])}, p99 {micros(batch['p99'])}; "
            f"bare insert p50 {micros(insert['p50'])}, p99 {micros(insert['p99'])}",
        ]
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.store", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs and loads")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    chosen = parser.parse_args(argv)
    report = measure([chosen.only] if chosen.only else list(PARTS), quick=chosen.quick)
    return print_report(report, show, as_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
