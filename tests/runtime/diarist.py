"""A strategy file of the tests: trades by count, and keeps a diary of all it was shown and told.

It is loaded as a user's file is, by path. The quote it does not survive is named in the file ``sentence`` beside
it, which it removes before it obeys: so it dies once, in the midst of a value, and a second attempt lives.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path

from qts.capital.contracts import Pool
from qts.market.contracts import Bar, Quote
from qts.strategy.contracts import Context, FillView, Intent, Side

SENTENCE = Path(__file__).with_name("sentence")


class Diarist:
    """Buys at every fifth quote, bids lower at every seventh, sells at every eleventh."""

    name = "diarist"
    pool = Pool.SCALP
    symbols = ("005930",)

    def __init__(self) -> None:
        self.quotes = 0
        self.diary: list[str] = []

    def on_start(self, ctx: Context) -> None:
        self.diary.append(f"start {ctx.state.value} {ctx.budget}")

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        self.quotes += 1
        symbol = quote.symbol
        self.diary.append(
            f"quote {quote.ts_ns} {quote.bid!r} {ctx.now.isoformat()} {ctx.state.value} {ctx.budget!r} "
            f"{ctx.holding(symbol)!r} {ctx.average_cost(symbol)!r} {ctx.working(symbol)} {ctx.working('000660')}"
        )
        if self.quotes % 5 == 0:
            yield Intent(symbol, Side.BUY, 0.95, qty=3, reason="every fifth")
        if self.quotes % 7 == 0 and quote.bid is not None:
            yield Intent(symbol, Side.BUY, 1.0, qty=2, limit=quote.bid - 100)
        if SENTENCE.exists() and SENTENCE.read_text() == str(self.quotes):
            SENTENCE.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.quotes % 11 == 0:
            yield Intent(symbol, Side.SELL, 1.0)

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        self.diary.append(f"bar {bar.ts_ns} {bar.close!r}")
        return ()

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        self.diary.append(f"fill {fill!r}")
