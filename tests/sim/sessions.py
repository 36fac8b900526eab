"""Short whole sessions, and what two of them are compared by.

The demo's own feed, cut to the eight days around the VIX spike of February 2018: scalpers trade, the state falls to
DEFENSIVE, holdings are forced out, orders expire, buys are refused.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from qts.capital.contracts import Pool
from qts.market.contracts import Bar, Quote
from qts.market.demo_feed import DemoFeed
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.result import ResultValues, SessionResult
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options, SessionPlan
from qts.strategy.contracts import Context, FillView, Intent, Side, Strategy
from qts.strategy.scalp import Scalp

SYMBOL = "005930"
MAY_DIFFER = {"wall_s", "events_per_s", "started_at", "finished_at", "report"}
"""Keys of the JSON that two equal runs need not share, beside those that contain "latency"."""


class Restless:
    """A strategy that trades far too much, so that a short session has every kind of order.

    Every ``every`` quotes it does the next thing of a fixed round: buy at the market, bid well below it or offer
    well above it (such an order works on and expires), sell what it holds.
    """

    symbols: Sequence[str] = ()

    def __init__(self, name: str, pool: Pool, every: int, confidence: float = 0.95) -> None:
        self.name = name
        self.pool = pool
        self.every = every
        self.confidence = confidence
        self.quotes = 0
        self.acts = 0
        self.seen_fills: dict[str, int] = {}

    def on_start(self, ctx: Context) -> None:
        """Prepare nothing."""

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        self.quotes += 1
        if self.quotes % self.every or quote.ask is None or quote.bid is None:
            return ()
        self.acts += 1
        kind = self.acts % 4
        if kind == 1:
            return (Intent(quote.symbol, Side.BUY, self.confidence, qty=1 + self.acts % 3, reason="at the market"),)
        if kind == 2:
            limit = quote.bid * 97 // 100 // 1000 * 1000
            return (Intent(quote.symbol, Side.BUY, self.confidence, qty=2, limit=limit, reason="hoping"),)
        if kind == 3 and self.acts % 8 == 3:
            return (Intent(quote.symbol, Side.BUY, self.confidence / 2, qty=1, reason="half-hearted"),)
        if self.acts % 8 == 0:
            limit = quote.ask * 103 // 100 // 1000 * 1000
            return (Intent(quote.symbol, Side.SELL, 1.0, limit=limit, reason="dreaming"),)
        return (Intent(quote.symbol, Side.SELL, 1.0, reason="enough"),)

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        return ()

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        key = f"{fill.side.value} {fill.partial}"
        self.seen_fills[key] = self.seen_fills.get(key, 0) + 1


def restless() -> Sequence[Strategy]:
    """Several of them, so that two digits of order numbers are open at once, and a scalper of the package."""
    busy = [Restless(f"restless-{n}", pool, 23 + 4 * n) for n, pool in enumerate([*Pool, *Pool, *Pool, *Pool])]
    return (*busy, Scalp(samples=20, entry_deviation=2.0, take_profit=0.01, stop_loss=0.01, time_limit_s=1_800.0))


def spike_feed(seed: int = 7, events_per_day: int = 600) -> DemoFeed:
    """Nine days; five of them are played out quote by quote, on the last of those the VIX stands at 37."""
    return DemoFeed(
        seed,
        start=date(2018, 1, 30),
        end=date(2018, 2, 8),
        window_start=date(2018, 1, 31),
        window_end=date(2018, 2, 6),
        events_per_day=events_per_day,
    )


def spike_plan(
    data_dir: Path, *, seed: int = 7, resume: bool = False, overrides: dict[str, str] | None = None
) -> SessionPlan:
    """Return the plan of a session on :func:`spike_feed` with the strategies of :func:`restless`."""
    options = Options(seed=seed, data_dir=data_dir, resume=resume, overrides=overrides or {})
    return SessionPlan(
        command="demo",
        options=options,
        open_feed=lambda: spike_feed(seed),
        default_strategies=restless,
        overrides_for=lambda feed: {
            "risk.symbol_weight_limit": "0.60",
            "runtime.checkpoint_interval_rows": "500",
            "runtime.equity_sample_interval_s": "1800",
        },
        judged_by_index=True,
    )


def run(plan: SessionPlan, stop: StopFlag | None = None) -> SessionResult:
    return run_session(plan, progress=lambda share, moment: None, stop=stop or StopFlag())


def comparable(value: Any) -> Any:
    """Return ``value`` without what may differ between two equal runs."""
    if isinstance(value, ResultValues):
        value = msgspec.to_builtins(value)
    if isinstance(value, dict):
        return {
            key: comparable(inner)
            for key, inner in value.items()
            if key not in MAY_DIFFER and "latency" not in str(key)
        }
    if isinstance(value, list):
        return [comparable(inner) for inner in value]
    return value


def book_of(data_dir: Path, name: str = "qts.sqlite") -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of the tables that are facts of the session, in SQLite's own order."""
    with closing(sqlite3.connect(data_dir / name)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: list(connection.execute(_facts_of(connection, name)))
            for name in sorted(names)
            if name not in ABOUT_THE_RUN
        }


ABOUT_THE_RUN = {"runs", "checkpoint", "configurations", "schema_migrations", "batches"}
"""Tables that say when and under which settings the run began and where it stands, and what was written together: a
resumed session counts the rows to its next checkpoint from where it was resumed."""
BOOKKEEPING = {"generation", "before"}
"""Columns the store keeps for its own rewinding."""


def _facts_of(connection: sqlite3.Connection, table: str) -> str:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] not in BOOKKEEPING]
    return f"SELECT {', '.join(columns)} FROM {table}"
