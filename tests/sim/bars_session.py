"""Short sessions of a strategy that looks back on bars, with and without bars from before them.

What the strategy sees of every bar is a line of the log: the bar, its window to the last digit, an indicator.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from datetime import date, timedelta
from decimal import Decimal as D
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from qts.clock import NS_PER_S
from qts.indicators import Ema
from qts.kit import Bar, Context, Intent, Side, Strategy
from qts.market.contracts import MarketValue, Quote, Tick
from qts.runtime.session.session_plan import Options, SessionPlan
from qts.runtime.wiring.plans import backtest_plan
from tests.sim.split_session import BIDS, ListFeed, at

FIRST_TOLD = date(2024, 3, 4)
SOME: dict[str, str] = {"runtime.checkpoint_interval_rows": "100"}
"""Transactions so seldom that most kills take bars away, and so often that windows are read from many."""


class LooksBack(Strategy):
    """Says what it sees on each bar, buys when it holds nothing, sells when it does."""

    not_saved = ("mean",)
    bars: ClassVar[Any] = {"20m": 8, "1h": 5, "1d": 3, "5t": 6}

    def on_start(self, ctx: Context) -> None:
        self.mean = {interval: ctx.track(Ema(4), interval) for interval in self.bars}

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        window = ctx.history(bar.symbol, bar.interval, self.bars[bar.interval])
        mean = self.mean[bar.interval][bar.symbol]
        ctx.log(f"{bar} {[str(one.close) for one in window]} {mean.value} {ctx.ready(bar.symbol)}"[:1_000])
        if bar.interval in ("1h", "1w") and not ctx.working(bar.symbol):
            side = Side.BUY if ctx.is_flat(bar.symbol) else Side.SELL
            yield Intent(bar.symbol, side, 1.0, qty=1)


class LooksBackOnDays(LooksBack):
    bars: ClassVar[Any] = {"1d": 20, "1w": 4}


def trades() -> list[MarketValue]:
    """Return trades of two symbols over three days, several at one nanosecond, and a quote with each tenth."""
    rng, values, now_ns = random.Random(3), list[MarketValue](), at(0, 1)
    for number in range(1_500):
        now_ns += rng.choice((0, 1, 60, 200, 400)) * NS_PER_S
        symbol = rng.choice(tuple(BIDS))
        price = D(BIDS[symbol][0]) + rng.randrange(-50, 50) * D("0.01")
        values.append(Tick(symbol, now_ns, price, D(rng.randrange(1, 9))))
        if number % 10 == 0:
            values.append(Quote(symbol, now_ns, price, price + D("0.01"), D(10_000), D(10_000)))
    return values


def bars_plan(data_dir: Path, *, resume: bool, overrides: Mapping[str, str]) -> SessionPlan:
    """Return the plan of a session that builds all its bars from trades."""
    return SessionPlan(
        command="replay",
        options=Options(data_dir=data_dir, resume=resume, overrides={**SOME, **overrides}),
        open_feed=lambda: ListFeed(trades(), actions=()),
        default_strategies=lambda: [LooksBack()],
        overrides_for=lambda feed: {
            "runtime.currency": "USD",
            "runtime.equity_start": "100000",
            "risk.symbol_weight_limit": "0.60",
        },
    )


def warm_plan(data_dir: Path, *, resume: bool, overrides: Mapping[str, str]) -> SessionPlan:
    """Return the plan of a session on daily bars, of which the first fifty are from before it."""
    data = data_dir.parent / "005930.csv"
    data.parent.mkdir(parents=True, exist_ok=True)
    if not data.exists():
        rng, rows = random.Random(5), ["Date,Open,High,Low,Close,Volume"]
        for number in range(700):
            day, price = FIRST_TOLD + timedelta(days=number), 100 * rng.randrange(600, 700)
            if day.weekday() < 5:
                rows.append(f"{day},{price},{price + 300},{price - 300},{price + 100},100000")
        data.write_text("\n".join(rows) + "\n")
    first = FIRST_TOLD + timedelta(days=70)
    options = Options(data_dir=data_dir, resume=resume, first_day=first, overrides={**SOME, **overrides})
    plan = backtest_plan(options, [data], None)
    return msgspec.structs.replace(plan, default_strategies=lambda: [LooksBackOnDays()])


def stored_windows(directory: Path) -> list[tuple[Any, ...]]:
    """Return the rows of the last bars of each series, as many as the longest window has."""
    kept = {**LooksBack.bars, **LooksBackOnDays.bars, "1d": 3}
    columns = "symbol, interval, timestamp, begun, open, high, low, close, volume, value, trades, partial, day"
    with closing(sqlite3.connect(directory / "qts.sqlite")) as connection:
        found = []
        for series in connection.execute("SELECT DISTINCT symbol, interval FROM bars ORDER BY 1, 2").fetchall():
            query = f"SELECT {columns} FROM bars WHERE symbol = ? AND interval = ? ORDER BY id DESC LIMIT ?"
            found += connection.execute(query, (*series, kept[series[1]])).fetchall()
        return found
