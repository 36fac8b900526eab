"""The sessions that ``bench.replay`` measures, one in a process of its own.

``python -m bench.replay_cases CASE ROWS`` prints one JSON object. It measures the first ``qts`` on the path, so
that ``PYTHONPATH`` can name the package of another checkout; therefore nothing is used here but what every version
has.
"""

from __future__ import annotations

import gzip
import json
import os
import resource
import sys
import tempfile
from array import array
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from inspect import signature
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, NamedTuple

import msgspec

import qts
from qts.capital.contracts import Pool
from qts.clock import NS_PER_S, to_ns
from qts.ids import seeded
from qts.market.contracts import Feed, Instrument, MarketValue, Quote
from qts.market.generic import AlwaysOpen, FixedTicks, RateCosts
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options, SessionPlan
from qts.runtime.wiring.plans import replay_plan
from qts.strategy.contracts import Intent, Side

ROWS = 1_050_000
STEP_NS = 25_000_000
"""Forty quotes a second, as a liquid future gives them; 1.05 million make seven hours."""
MINUTE_NS = 60 * NS_PER_S
DAY_NS = 24 * 60 * MINUTE_NS
START_NS = to_ns(datetime(2024, 1, 1, tzinfo=UTC))
ORDER_EVERY = 1_000
SHARED = Path(os.environ.get("QTS_SHARED", Path(__file__).resolve().parents[2] / "shared"))
CAPTURE = SHARED / "data" / "binance_usdm_btcusdt_20240808.gz"
CAPTURE_ROWS = 94_000


class PreparedFeed:
    """A seeded random walk kept as two columns; the quotes are made on the way."""

    def __init__(self, rows: int = ROWS, step_ns: int = STEP_NS) -> None:
        rng = seeded(1, "bench")
        level, levels = 50_000, array("i")
        for _ in range(rows):
            level += rng.choice((-1, 0, 0, 1))
            levels.append(level)
        self._levels = levels
        self._step_ns = step_ns
        low, high = min(levels), max(levels) + 1
        self._prices = {i: Decimal(i) / 10 for i in range(low, high + 1)}
        self.name = "prepared"
        self.source_id = f"bench/{rows}/{step_ns}"
        self.max_age_ns = 60 * NS_PER_S
        ticks, costs = FixedTicks(Decimal("0.1")), RateCosts(Decimal("0.0005"), Decimal(0), Decimal("0.00000001"))
        self.instruments = {
            "BTC": Instrument("BTC", "USDT", Decimal("0.00000001"), Decimal("0.001"), ticks, costs, AlwaysOpen())
        }
        self.declares_volatility = False
        self.rows_refused: Mapping[str, int] = {}
        self._given = 0

    def values(self) -> Iterator[MarketValue]:
        prices, size, step_ns = self._prices, Decimal(5), self._step_ns
        ts = START_NS
        for level in self._levels[self._given :]:
            ts += step_ns
            self._given += 1
            yield Quote("BTC", ts, prices[level], prices[level + 1], size, size)

    def position(self) -> dict[str, Any]:
        return {"given": self._given}

    def resume(self, position: Mapping[str, Any]) -> None:
        self._given = position["given"]

    def progress(self) -> float | None:
        return self._given / len(self._levels)


class EmaTrader:
    """Two EMAs, and an order every ``order_every`` quotes: buy when flat, sell when not."""

    def __init__(self, order_every: int = ORDER_EVERY) -> None:
        self.name = "ema-trader"
        self.pool = Pool.SCALP
        self.symbols: tuple[str, ...] = ()
        self.order_every = order_every
        self.seen = 0
        self.fast = 0.0
        self.slow = 0.0

    def on_start(self, ctx: Any) -> None: ...

    def on_quote(self, ctx: Any, quote: Quote) -> Any:
        price = float(quote.bid)  # type: ignore[arg-type]
        self.fast += 0.1 * (price - self.fast)
        self.slow += 0.02 * (price - self.slow)
        self.seen += 1
        if self.seen % self.order_every:
            return ()
        side = Side.SELL if ctx.holding(quote.symbol) > 0 else Side.BUY
        qty = None if side is Side.SELL else Decimal("0.100")
        return (Intent(quote.symbol, side, 1.0, qty=qty, reason="its turn"),)

    def on_bar(self, ctx: Any, bar: Any) -> Any:
        return ()

    def on_fill(self, ctx: Any, fill: Any) -> None: ...


OVERRIDES = {
    "runtime.currency": "USDT",
    "runtime.equity_start": "100000",
    "risk.symbol_weight_limit": "0.9",
    # One order every 1,000 quotes is 525 entries in seven hours; the states' own limits are 10 to 50 a day.
    "state.properties.balanced.max_daily_trades": "1000",
    "runtime.checkpoint_interval_rows": "200000",
}


class Case(NamedTuple):
    """What is replayed: so many rows of prepared quotes ``step_ns`` apart, or a capture (``step_ns`` None).

    ``warm``: once before the measured time, so that what a replay keeps for the next one is there.
    """

    rows: int
    order_every: int = ORDER_EVERY
    step_ns: int | None = STEP_NS
    warm: bool = False
    with_depth: bool = True


PREPARED, ORDERS = "prepared", "order every 50 rows"
FIRST, SECOND, NO_DEPTH = "raw capture, first replay", "raw capture, second", "without depth rows, second"
DAILY, MINUTES = "one quote a day", "one quote a minute"
CASES: dict[str, Case] = {
    PREPARED: Case(ROWS),
    ORDERS: Case(100_000, order_every=50),
    FIRST: Case(CAPTURE_ROWS, step_ns=None),
    SECOND: Case(CAPTURE_ROWS, step_ns=None, warm=True),
    NO_DEPTH: Case(CAPTURE_ROWS, step_ns=None, warm=True, with_depth=False),
    DAILY: Case(2_148, step_ns=DAY_NS),
    MINUTES: Case(14_400, step_ns=MINUTE_NS),
}


def measure(case: Case, folder: Path) -> dict[str, Any]:
    """One session; rows a second from the first value asked for until the result, by the clock and by CPU time."""
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")  # nothing that an earlier replay kept, nothing left behind
    make_plan = _plans(case, folder)
    if case.warm:
        _run(make_plan("warm"))
    begun = perf_counter()
    times, values = _run(make_plan("run"))
    took, cpu = perf_counter() - times[0], process_time() - times[1]
    return {
        "package": str(Path(qts.__file__).parent),
        "rows": values.rows,
        "rows_per_s": round(values.rows / took),
        "rows_per_cpu_s": round(values.rows / cpu),
        "opening_s": round(times[0] - begun, 3),
        "orders": values.orders,
        "fills": values.fills,
        "refusals": values.refusals,
        "breached": [name for name, row in values.invariants.items() if row["ok"] is False],
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _run(plan: SessionPlan) -> tuple[tuple[float, float], Any]:
    """The times when the first value was asked for, and the result."""
    times: list[tuple[float, float]] = []

    def open_noted() -> Feed:
        feed = plan.open_feed()
        give = feed.values

        def values() -> Iterator[MarketValue]:
            times.append((perf_counter(), process_time()))
            return give()

        feed.values = values  # type: ignore[method-assign]
        return feed

    noted = msgspec.structs.replace(plan, open_feed=open_noted)
    done = run_session(noted, progress=lambda share, moment: None, stop=StopFlag())
    return times[0], done.values


def _plans(case: Case, folder: Path) -> Callable[[str], SessionPlan]:
    """A plan for each name of a data directory; the prepared quotes are made here, before anything is measured."""
    if case.step_ns is None:
        capture = CAPTURE if case.with_depth else without_depth(CAPTURE, folder)

        def of_capture(name: str) -> SessionPlan:
            options = Options(data_dir=folder / name, overrides=OVERRIDES)
            paths: Any = [capture] if "paths" in signature(replay_plan).parameters else capture  # it was one file
            plan = replay_plan(options, paths, "binance-raw")
            return msgspec.structs.replace(plan, default_strategies=lambda: (EmaTrader(case.order_every),))

        return of_capture
    feed = PreparedFeed(case.rows, case.step_ns)
    return lambda name: prepared_plan(feed, case.order_every, folder / name)


def prepared_plan(feed: PreparedFeed, order_every: int, data_dir: Path) -> SessionPlan:
    """The plan of a replay of ``feed`` with one strategy that orders every ``order_every`` quotes."""
    return SessionPlan(
        command="replay",
        options=Options(data_dir=data_dir, overrides=OVERRIDES),
        open_feed=lambda: feed,
        default_strategies=lambda: (EmaTrader(order_every),),
    )


def without_depth(capture: Path, folder: Path) -> Path:
    """A copy of ``capture`` in ``folder`` that has no changes of the depth."""
    copy = folder / capture.name
    with gzip.open(capture, "rb") as lines, gzip.open(copy, "wb", compresslevel=1) as kept:
        kept.writelines(line for line in lines if not _tells_depth(line))
    return copy


def _tells_depth(line: bytes) -> bool:
    return b"@depth" in line or b'"lastUpdateId"' in line


def main(argv: list[str]) -> int:
    name, rows = argv
    with tempfile.TemporaryDirectory() as directory:
        print(json.dumps(measure(CASES[name]._replace(rows=int(rows)), Path(directory))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
