"""How many market values a second the whole machine takes: book, account, risk gate, ledger and checkpoints on.

Two inputs: prepared columns (events are made while replaying) and the raw capture straight from its .gz. The
strategy follows two EMAs and sends a market order every 1,000 quotes.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import tempfile
from array import array
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from qts.capital.contracts import Pool
from qts.clock import NS_PER_S, to_ns
from qts.ids import seeded
from qts.market.contracts import Instrument, MarketValue, Quote
from qts.market.files import open_feed
from qts.market.generic import AlwaysOpen, FixedTicks, RateCosts
from qts.runtime.drive import StopFlag
from qts.runtime.launch import run_session
from qts.runtime.plan import Options, SessionPlan
from qts.strategy.contracts import Intent, Side

ROWS = 1_050_000
STEP_NS = 25_000_000
"""Forty quotes a second, as a liquid future gives them; 1.05 million make seven hours."""
START_NS = to_ns(datetime(2024, 1, 1, tzinfo=UTC))
ORDER_EVERY = 1_000
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
        "rows": values["rows"],
        "rows_per_s": round(values["rows"] / values["wall_s"]),
        "orders": values["orders"],
        "fills": values["fills"],
        "refusals": values["refusals"],
        "breached": [name for name, row in values["invariants"].items() if row["ok"] is False],
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


def main(argv: list[str]) -> int:
    runs, rows = (1, ROWS // 10) if "--quick" in argv else (3, ROWS)
    feed = PreparedFeed(rows)
    report: dict[str, Any] = {}
    cases = {"prepared": lambda: _again(feed)}
    if CAPTURE.exists():
        cases["raw capture"] = lambda: open_feed(CAPTURE, "binance-raw")
    else:
        print(f"raw capture: skipped, {CAPTURE} is not here", file=sys.stderr)
    for name, make in cases.items():
        rows = [measure(make) for _ in range(runs)]
        report[name] = rows[-1] | {"rows_per_s": statistics.median(row["rows_per_s"] for row in rows)}
    if "--json" in argv:
        print(json.dumps(report))
    else:
        for name, row in report.items():
            print(f"{name:12} {row['rows_per_s']:>10,} rows/s  {row}")
    return 0


def _again(feed: PreparedFeed) -> PreparedFeed:
    feed.resume({"given": 0})
    return feed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
