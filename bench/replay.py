"""How many market values a second the whole machine takes: book, account, risk gate, ledger and checkpoints on.

Two inputs: prepared columns (events are made while replaying) and the raw capture straight from its .gz. The
strategy follows two EMAs and sends a market order every 1,000 quotes. Beside it, in the same run, a peer doing the
same, and what nothing in Python can beat: the strategy shown the prepared values, and the capture's lines only
unpacked and decoded.

``python -m bench.replay [--quick] [--json]``.
"""

from __future__ import annotations

import gzip
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from array import array
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

from bench.figures import RUNS, about, machine, median_ratio, table, targets_table
from qts.capital.contracts import Pool
from qts.clock import NS_PER_S, to_ns
from qts.ids import seeded
from qts.market.contracts import Instrument, MarketValue, Quote
from qts.market.files import open_feed
from qts.market.generic import AlwaysOpen, FixedTicks, RateCosts
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options, SessionPlan
from qts.strategy.contracts import Intent, Side

ROWS = 1_050_000
STEP_NS = 25_000_000
"""Forty quotes a second, as a liquid future gives them; 1.05 million make seven hours."""
START_NS = to_ns(datetime(2024, 1, 1, tzinfo=UTC))
ORDER_EVERY = 1_000
PEER = "nautilus BacktestEngine"
BARS = {"prepared": 500_000, "raw capture": 250_000}
PEER_AT_THE_BARS = 260_000
"""What the peer reached on the machine for which the bars were set; their ratio travels, the bars do not."""
MOST_MB = 250
CAPTURE = Path(__file__).resolve().parents[2] / "shared" / "data" / "binance_usdm_btcusdt_20240808.gz"


class PreparedFeed:
    """A seeded random walk kept as two columns; the quotes are made on the way."""

    def __init__(self, rows: int = ROWS) -> None:
        rng = seeded(1, "bench")
        level, levels = 50_000, array("i")
        for _ in range(rows):
            level += rng.choice((-1, 0, 0, 1))
            levels.append(level)
        self._levels = levels
        low, high = min(levels), max(levels) + 1
        self._prices = {i: Decimal(i) / 10 for i in range(low, high + 1)}
        self.name = "prepared"
        self.source_id = f"bench/{rows}"
        self.max_age_ns = 60 * NS_PER_S
        ticks, costs = FixedTicks(Decimal("0.1")), RateCosts(Decimal("0.0005"), Decimal(0), Decimal("0.00000001"))
        self.instruments = {
            "BTC": Instrument("BTC", "USDT", Decimal("0.00000001"), Decimal("0.001"), ticks, costs, AlwaysOpen())
        }
        self.declares_volatility = False
        self.rows_refused: Mapping[str, int] = {}
        self._given = 0

    def values(self) -> Iterator[MarketValue]:
        prices, size = self._prices, Decimal(5)
        ts = START_NS
        for level in self._levels[self._given :]:
            ts += STEP_NS
            self._given += 1
            yield Quote("BTC", ts, prices[level], prices[level + 1], size, size)

    def position(self) -> dict[str, Any]:
        return {"given": self._given}

    def resume(self, position: Mapping[str, Any]) -> None:
        self._given = position["given"]

    def progress(self) -> float | None:
        return self._given / len(self._levels)


class EveryThousand:
    """Two EMAs, and an order every 1,000 quotes: buy when flat, sell when not."""

    order_every = ORDER_EVERY

    def __init__(self) -> None:
        self.name = "every-thousand"
        self.pool = Pool.SCALP
        self.symbols: tuple[str, ...] = ()
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
        return (Intent(quote.symbol, side, 1.0, qty=qty, reason="every thousand"),)

    def on_bar(self, ctx: Any, bar: Any) -> Any:
        return ()

    def on_fill(self, ctx: Any, fill: Any) -> None: ...


def measure(make_feed: Any) -> dict[str, Any]:
    """One session in a temporary directory; rows a second of the run itself, without preparing the input."""
    with tempfile.TemporaryDirectory() as directory:
        plan = SessionPlan(
            command="replay",
            options=Options(data_dir=Path(directory) / "run", overrides=OVERRIDES),
            open_feed=make_feed,
            default_strategies=lambda: (EveryThousand(),),
        )
        values = run_session(plan, progress=lambda share, moment: None, stop=StopFlag()).values
    return {
        "rows": values.rows,
        "rows_per_s": round(values.rows / values.wall_s),
        "orders": values.orders,
        "fills": values.fills,
        "refusals": values.refusals,
        "breached": [name for name, row in values.invariants.items() if row["ok"] is False],
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


OVERRIDES = {
    "runtime.currency": "USDT",
    "runtime.equity_start": "100000",
    "risk.symbol_weight_limit": "0.9",
    # One order every 1,000 quotes is 525 entries in seven hours; the states' own limits are 10 to 50 a day.
    "state.properties.balanced.max_daily_trades": "1000",
    "runtime.checkpoint_interval_rows": "200000",
}


def bare_rate(feed: PreparedFeed) -> int:
    """Values made and shown to the strategy, nothing else: what no runtime in Python can beat."""
    strategy, rows = EveryThousand(), 0
    begun = perf_counter()
    for rows, value in enumerate(feed.values(), 1):  # noqa: B007 - the count is what is left of the loop
        strategy.on_quote(_Flat, value)
    return round(rows / (perf_counter() - begun))


class _Flat:
    """A context that never holds anything."""

    @staticmethod
    def holding(symbol: str) -> int:
        return 0


def peer_run(rows: int) -> dict[str, Any]:
    """One run of the peer in a process of its own."""
    command = [sys.executable, "-m", "bench.replay_peer", str(rows)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def measure_all(runs: int, rows: int) -> dict[str, Any]:
    """All cases take turns, so that a busy minute hits them all; medians, and the ratios of neighbouring runs."""
    feed = PreparedFeed(rows)
    cases: dict[str, list[dict[str, Any]]] = {"prepared": [], "raw capture": [], PEER: []}
    bare, notes = [], []
    for _ in range(runs):
        bare.append(bare_rate(_again(feed)))
        cases["prepared"].append(measure(lambda: _again(feed)))
        if CAPTURE.exists():
            cases["raw capture"].append(measure(lambda: open_feed(CAPTURE, "binance-raw")))
        peer = peer_run(rows) if not notes else {"missing": notes[0]}
        if "missing" in peer:
            notes = [peer["missing"]]
        else:
            cases[PEER].append(peer)
    report = {name: done[-1] | {"rows_per_s": _median(done)} for name, done in cases.items() if done}
    report["bare loop"] = {"rows_per_s": round(statistics.median(bare))}
    if CAPTURE.exists():
        report["decoded lines"] = {"rows_per_s": round(statistics.median(decoded_rate() for _ in range(runs)))}
    if cases[PEER]:
        ours, theirs = ([row["rows_per_s"] for row in cases[name]] for name in ("prepared", PEER))
        report["prepared"]["ratio_to_peer"] = median_ratio(ours, theirs)
    notes += [] if CAPTURE.exists() else [f"raw capture: left out, {CAPTURE.name} is not here"]
    return {"machine": machine(), "runs": runs, "cases": report, "notes": notes, "targets": judge(report)}


def decoded_rate() -> int:
    """Lines of the capture unpacked and decoded, nothing else."""
    decode, rows = msgspec.json.decode, 0
    begun = perf_counter()
    with gzip.open(CAPTURE, "rb") as lines:
        for rows, line in enumerate(lines, 1):  # noqa: B007 - the count is what is left of the loop
            decode(line[line.index(b"{") :])
    return round(rows / (perf_counter() - begun))


def judge(cases: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The bars, each with what no runtime in Python can beat here."""
    found = []
    for name, best in (("prepared", "bare loop"), ("raw capture", "decoded lines")):
        rate = cases.get(name, {}).get("rows_per_s")
        found.append(_target(f"{name}, rows/s", rate, BARS[name], cases.get(best, {}).get("rows_per_s")))
    ratio = cases["prepared"].get("ratio_to_peer")
    found.append(_target(f"prepared, x {PEER}", ratio, round(BARS["prepared"] / PEER_AT_THE_BARS, 2)))
    most = max(row.get("peak_mb", 0) for name, row in cases.items() if name != PEER)
    return [*found, _target("peak MB", most, MOST_MB, at_least=False)]


def _target(
    what: str, value: float | None, bar: float, floor: float | None = None, *, at_least: bool = True
) -> dict[str, Any]:
    met = None if value is None else value >= bar if at_least else value <= bar
    return {"what": what, "value": value, "bar": bar, "at_least": at_least, "met": met, "floor": floor}


def show(report: dict[str, Any]) -> str:
    rows = [
        [
            name,
            f"{row['rows_per_s']:,}",
            f"{row.get('ratio_to_peer', '')}",
            *(f"{row[key]:,}" if key in row else "" for key in ("rows", "fills", "peak_mb")),
            ", ".join(row.get("breached", ())) or "",
        ]
        for name, row in report["cases"].items()
    ]
    header = ["replay", "rows/s", f"x {PEER}", "rows", "fills", "peak MB", "breached"]
    return "\n".join(
        [about(report), "", table(header, rows), *report["notes"], "", targets_table(report["targets"])]
    )


def main(argv: list[str]) -> int:
    runs, rows = (1, ROWS // 10) if "--quick" in argv else (RUNS, ROWS)
    report = measure_all(runs, rows)
    print(json.dumps(report) if "--json" in argv else show(report))
    return 0


def _median(done: list[dict[str, Any]]) -> int:
    return round(statistics.median(row["rows_per_s"] for row in done))


def _again(feed: PreparedFeed) -> PreparedFeed:
    feed.resume({"given": 0})
    return feed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
