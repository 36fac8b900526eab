"""What the stages of an execution in parts cost beside the orders that it sends.

Four sessions of the same seeded quotes, one after the other in turns: without orders, with plain orders, with
eleven plain orders in a row, and with one order in eleven parts. The path of a plain order is what the second
costs above the first; the stages' own time what the fourth costs above the third.

``python -m bench.executions [--quick] [--json]``.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from time import process_time_ns
from typing import Any

import msgspec

from bench.figures import QUICK_RUNS, RUNS, about, machine, table
from bench.replay_cases import OVERRIDES, EmaTrader, PreparedFeed, prepared_plan
from bench.suite import run_suite
from qts.kit import Algo, Intent, Side
from qts.market.contracts import Quote
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session import run_session

ROWS = 40_000
EVERY = 400
PARTS = 11
BAR = 5.0
ROOM = {"state.properties.balanced.max_daily_trades": "10000", "broker.limits.enabled": "false"}


class Trader(EmaTrader):
    """Buys every ``order_every`` quotes in one way, and sells all halfway to the next time.

    ``how``: "none", "plain" (one order), "eleven" (one order every second quote, eleven times) or "parts".
    """

    def __init__(self, how: str, order_every: int = EVERY) -> None:
        super().__init__(order_every)
        self.how = how

    def on_quote(self, ctx: Any, quote: Quote) -> Any:
        super().on_quote(ctx, quote)
        place = self.seen % self.order_every
        if self.how == "none":
            return ()
        if place == self.order_every // 2 and ctx.holding(quote.symbol) > 0:
            return (Intent(quote.symbol, Side.SELL, 1.0, reason="its turn"),)
        part, limit = Decimal("0.010"), quote.ask
        if self.how == "eleven" and not place % 2 and place < 2 * PARTS:
            return (Intent(quote.symbol, Side.BUY, 1.0, part, limit, reason="its turn"),)
        if place or self.how == "eleven":
            return ()
        algo = Algo.iceberg(part) if self.how == "parts" else None
        return (Intent(quote.symbol, Side.BUY, 1.0, part * PARTS, limit, reason="its turn", algo=algo),)


def cpu_ns(feed: PreparedFeed, how: str) -> int:
    """The CPU time of one session."""
    feed.resume({"given": 0})
    with tempfile.TemporaryDirectory() as directory:
        plan = prepared_plan(feed, EVERY, Path(directory) / "run")
        options = msgspec.structs.replace(plan.options, overrides={**OVERRIDES, **ROOM})
        plan = msgspec.structs.replace(plan, options=options, default_strategies=lambda: (Trader(how),))
        begun = process_time_ns()
        run_session(plan, progress=lambda share, moment: None, stop=StopFlag())
        return process_time_ns() - begun


def measure(*, quick: bool = False) -> dict[str, Any]:
    """Microseconds of a plain order's path and of the stages' own time, the medians of interleaved runs."""
    runs, rows = (QUICK_RUNS, ROWS // 4) if quick else (RUNS, ROWS)
    feed, buys = PreparedFeed(rows), rows // EVERY
    took: dict[str, list[int]] = {"none": [], "plain": [], "eleven": [], "parts": []}
    for _ in range(runs):
        for how, times in took.items():
            times.append(cpu_ns(feed, how))
    none, plain, eleven, parts = (statistics.median(times) / 1_000 for times in took.values())
    path_us, stages_us = (plain - none) / buys / 2, (parts - eleven) / buys
    share = stages_us / path_us
    return {
        "machine": machine(),
        "runs": runs,
        "order_us": path_us,
        "stages_us": stages_us,
        "targets": [
            {
                "what": "all stages' own time of eleven parts, paths of one order",
                "value": share,
                "bar": BAR,
                "met": share <= BAR,
            }
        ],
    }


def show(report: dict[str, Any]) -> str:
    (target,) = report["targets"]
    rows = [
        ["one plain order, from the wish to the fill", f"{report['order_us']:,.0f} µs"],
        ["the stages of an order in eleven parts, without its orders", f"{report['stages_us']:,.0f} µs"],
        ["the second in paths of the first", f"{target['value']:.2f} (bar {target['bar']:.0f})"],
    ]
    return "\n\n".join([about(report), table(["", "CPU"], rows)])


if __name__ == "__main__":
    sys.exit(run_suite("executions", __doc__, "fewer rows and runs", sys.argv[1:], measure, show))
