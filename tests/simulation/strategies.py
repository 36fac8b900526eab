"""The strategies of a simulation: they want what the story says at a quote, and write down all they are told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from qts.capital.contracts import Pool
from qts.market.contracts import Bar, Quote
from qts.strategy.contracts import AnyIntent, Context, FillView, Intent, Side
from qts.strategy.levels import Away
from qts.strategy.order_news import OrderNews
from qts.strategy.targets import Cancel, Target
from tests.simulation.story import SYMBOLS

LIMIT = 150_100


class Wanting:
    """A strategy that wants what ``wishes`` say at the time of a quote."""

    name: ClassVar[str]
    pool: ClassVar[Pool]
    symbols = SYMBOLS

    def __init__(self, wishes: Callable[[str, Quote], tuple[str, int]]) -> None:
        self._wishes = wishes
        self.fills: list[str] = []
        self.news: list[str] = []

    def on_start(self, ctx: Context) -> None:
        """Prepare nothing."""

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[AnyIntent]:
        want, size = self._wishes(self.name, quote)
        symbol = quote.symbol
        if want == "buy":
            yield Intent(symbol, Side.BUY, 1.0, qty=size, limit=LIMIT)
        elif want == "buy at the market":
            yield Intent(symbol, Side.BUY, 1.0, qty=size)
        elif want == "sell" and ctx.holding(symbol) > 0:
            yield Intent(symbol, Side.SELL, 1.0)
        elif want == "cancel":
            yield Cancel(symbol=symbol)
        elif want == "target":
            wanted = size % 12
            yield Target(symbol, wanted, limit=LIMIT if wanted else None, stop=Away(30_000) if wanted else None)

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[AnyIntent]:
        return ()

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        self.fills.append(f"{fill.order_id} {fill.execution_id}")

    def on_order(self, ctx: Context, news: OrderNews) -> None:
        self.news.append(f"{news.order_id} {news.status.value}")

    def save_state(self) -> Mapping[str, Any]:
        return {"fills": self.fills, "news": self.news}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.fills, self.news = list(state["fills"]), list(state["news"])


class Alpha(Wanting):
    """Trades in the pool SCALP."""

    name = "alpha"
    pool = Pool.SCALP


class Beta(Wanting):
    """Trades in the pool SWING."""

    name = "beta"
    pool = Pool.SWING
