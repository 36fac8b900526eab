"""A strategy file of the tests: trades by count, and records every value and fill that it gets.

It is loaded like a user's file, by path. The number of the quote at which it kills its process is in the file
``kill_at`` beside it, which it removes first: so it is killed once, within a value, and the second attempt goes on.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path

from qts.capital.contracts import Pool
from qts.market.contracts import Bar, Quote
from qts.strategy.contracts import Context, FillView, Intent, Side

KILL_AT = Path(__file__).with_name("kill_at")


class RecordingStrategy:
    """Buys at every fifth quote, bids lower at every seventh, sells at every eleventh."""

    name = "recorder"
    pool = Pool.SCALP
    symbols = ("005930",)

    def __init__(self) -> None:
        self.quotes = 0
        self.seen: list[str] = []

    def on_start(self, ctx: Context) -> None:
        self.seen.append(f"start {ctx.state.value} {ctx.budget}")

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        self.quotes += 1
        symbol = quote.symbol
        self.seen.append(
            f"quote {quote.ts_ns} {quote.bid!r} {ctx.now.isoformat()} {ctx.state.value} {ctx.budget!r} "
            f"{ctx.holding(symbol)!r} {ctx.average_cost(symbol)!r} {ctx.working(symbol)} {ctx.working('000660')}"
        )
        if self.quotes % 5 == 0:
            yield Intent(symbol, Side.BUY, 0.95, qty=3, reason="every fifth")
        if self.quotes % 7 == 0 and quote.bid is not None:
            yield Intent(symbol, Side.BUY, 1.0, qty=2, limit=quote.bid - 100)
        if KILL_AT.exists() and KILL_AT.read_text() == str(self.quotes):
            KILL_AT.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.quotes % 11 == 0:
            yield Intent(symbol, Side.SELL, 1.0)

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        self.seen.append(f"bar {bar.ts_ns} {bar.close!r}")
        return ()

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        self.seen.append(f"fill {fill!r}")
