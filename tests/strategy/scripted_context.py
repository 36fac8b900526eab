"""A strategy's context that a test sets: time, holdings, working orders."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from qts.clock import NS_PER_S, from_ns
from qts.market.contracts import Bar, Quote
from qts.state.contracts import OperatingState
from qts.strategy.contracts import FillView, Intent, Side

START = 1_769_126_400_000_000_000  # 2026-01-23 00:00 UTC
DAY_NS = 86_400 * NS_PER_S


class ScriptedContext:
    """The account of one strategy; :meth:`fill` is the market saying yes."""

    def __init__(self) -> None:
        self.ns = START
        self.state = OperatingState.BALANCED
        self.budget = Decimal(1_000_000)
        self.held: dict[str, Decimal] = {}
        self.cost: dict[str, Decimal] = {}
        self.orders: set[str] = set()

    @property
    def now(self) -> datetime:
        return from_ns(self.ns)

    def holding(self, symbol: str) -> Decimal:
        return self.held.get(symbol, Decimal(0))

    def average_cost(self, symbol: str) -> Decimal | None:
        return self.cost.get(symbol)

    def working(self, symbol: str) -> bool:
        return symbol in self.orders

    def fill(self, strategy: Any, symbol: str, side: Side, price: float | str, qty: int = 10) -> None:
        if side is Side.BUY:
            self.held[symbol] = self.holding(symbol) + qty
            self.cost[symbol] = Decimal(str(price))
        else:
            self.held[symbol] = self.holding(symbol) - qty
        strategy.on_fill(
            self,
            FillView(
                symbol=symbol,
                side=side,
                qty=Decimal(qty),
                price=Decimal(str(price)),
                fee=Decimal(0),
                tax=Decimal(0),
                ts_ns=self.ns,
                order_id="o",
                execution_id="e",
                partial=False,
            ),
        )

    def quote(self, symbol: str, price: float) -> Quote:
        """Both sides one apart around ``price``, which is also the last trade."""
        middle = Decimal(str(price))
        half = Decimal("0.5")
        return Quote(symbol, self.ns, bid=middle - half, ask=middle + half, last=middle)

    def quotes(
        self, strategy: Any, prices: Iterable[float], symbol: str = "A", step_s: float = 1.0
    ) -> list[Intent]:
        """Show last prices one step apart; the intents in order."""
        said: list[Intent] = []
        for price in prices:
            self.ns += round(step_s * NS_PER_S)
            said += strategy.on_quote(self, self.quote(symbol, price))
        return said

    def bars(self, strategy: Any, closes: Iterable[float], symbol: str = "A", spread: float = 1.0) -> list[Intent]:
        """Show daily bars that reach ``spread`` above and below their close; the intents in order."""
        said: list[Intent] = []
        for close in closes:
            self.ns += DAY_NS
            price, reach = Decimal(str(close)), Decimal(str(spread))
            bar = Bar(
                "A" if symbol is None else symbol, self.ns, price, price + reach, price - reach, price, Decimal(1)
            )
            said += strategy.on_bar(self, bar)
        return said
