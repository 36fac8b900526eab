"""Strategies that write down all they are told; a module of its own, so that a worker process can import them."""

from __future__ import annotations

from collections.abc import Iterable

from qts.capital.contracts import Pool
from qts.market.contracts import Bar, Quote
from qts.strategy.contracts import AnyIntent, Context, FillView, Intent, Side
from qts.strategy.levels import Away
from qts.strategy.order_news import OrderNews
from qts.strategy.targets import Cancel, Target
from tests.runtime.rig import SYMBOL


class Diary:
    """A strategy that writes down all it is told, and trades by what it is told."""

    pool = Pool.SCALP
    symbols = (SYMBOL,)
    name = "diary"

    def __init__(self) -> None:
        self.quotes = 0
        self.fills: list[str] = []
        self.news: list[str] = []

    def on_start(self, ctx: Context) -> None:
        """Prepare nothing."""

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[AnyIntent]:
        self.quotes += 1
        if ctx.working(SYMBOL):
            if self.quotes % 7 == 0:
                yield Cancel(symbol=SYMBOL)
        elif ctx.holding(SYMBOL) <= 0:
            yield Intent(SYMBOL, Side.BUY, 1.0, qty=10, limit=150_100)
            if self.quotes % 3 == 0:
                yield Intent(SYMBOL, Side.BUY, 1.0, qty=5, limit=150_100)
        else:
            yield Intent(SYMBOL, Side.SELL, 1.0)

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[AnyIntent]:
        return ()

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        self.fills.append(f"{fill.order_id} {fill.execution_id}")
        self.news.append(f"{fill.order_id} FILL")

    def on_order(self, ctx: Context, news: OrderNews) -> None:
        if news.order_id:
            self.news.append(f"{news.order_id} {news.status.value}")


class Levelled(Diary):
    """The same with targets and a stop: what it buys is never held without one."""

    pool = Pool.SWING
    name = "levelled"

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[AnyIntent]:
        self.quotes += 1
        wanted = (10, 4, 0, 7)[self.quotes // 3 % 4]
        yield Target(SYMBOL, wanted, limit=150_100 if wanted else None, stop=Away(30_000) if wanted else None)
