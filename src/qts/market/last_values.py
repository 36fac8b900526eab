"""The last-value table: prices go here first, before any queue (``last-value-first``).

The simulated exchange, marking to market and the checks read it, so no queue that a degradation pauses can blind
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from qts.market.contracts import Bar, Quote, Tick
from qts.money import ZERO, minus, plus


class LastValues:
    """The newest quote, trade and bar of every symbol, and when the feed last gave a value.

    The dictionaries are public because the replay loop writes them once per row. ``changed`` are the symbols whose
    prices may have changed since the holdings were valued, among them all that are held; who values them clears it.
    """

    __slots__ = ("_paid", "_symbols", "bars", "changed", "feed_ts_ns", "quotes", "ticks")

    def __init__(self) -> None:
        self.quotes: dict[str, Quote] = {}
        self.ticks: dict[str, Tick] = {}
        self.bars: dict[str, Bar] = {}
        self.changed: set[str] = set()
        self.feed_ts_ns = 0
        self._symbols: list[str] = []
        self._paid: dict[str, tuple[Decimal, int]] = {}
        """Dividends paid since the newest price of a symbol, and that price's time; see :meth:`mark_down`."""

    def mark_down(self, symbol: str, amount: Decimal) -> None:
        """Value ``symbol`` at ``amount`` less until its next price: a dividend of so much a share was paid."""
        self.changed.add(symbol)
        before, ts_ns = self._paid.get(symbol, (ZERO, -1))
        newest = self.last_value_ns(symbol)
        self._paid[symbol] = (plus(before, amount) if ts_ns == newest else amount, newest)

    def rescale(self, symbol: str, convert: Callable[[Decimal], Decimal]) -> None:
        """Convert every price of a symbol whose shares were split; sizes stay as the market stated them."""

        def converted(price: Decimal | None) -> Decimal | None:
            return None if price is None else convert(price)

        self.changed.add(symbol)
        quote, tick, bar = self.quotes.get(symbol), self.ticks.get(symbol), self.bars.get(symbol)
        replace = msgspec.structs.replace
        if quote is not None:
            sides = {"bid": converted(quote.bid), "ask": converted(quote.ask), "last": converted(quote.last)}
            self.quotes[symbol] = replace(quote, **sides)
        if tick is not None:
            self.ticks[symbol] = replace(tick, price=convert(tick.price))
        if bar is not None:
            prices = {name: convert(getattr(bar, name)) for name in ("open", "high", "low", "close")}
            self.bars[symbol] = replace(bar, **prices)
        if symbol in self._paid:
            amount, ts_ns = self._paid[symbol]
            self._paid[symbol] = (convert(amount), ts_ns)

    def export_state(self) -> dict[str, Any]:
        """Return the table for a checkpoint."""
        return {
            "feed_ts_ns": self.feed_ts_ns,
            "quotes": list(self.quotes.values()),
            "ticks": list(self.ticks.values()),
            "bars": list(self.bars.values()),
            **({"paid": self._paid} if self._paid else {}),
        }

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Take a table back, into the dictionaries that exist: those who read them every row hold on to them."""
        self.feed_ts_ns = saved["feed_ts_ns"]
        self.quotes.update((v.symbol, v) for v in msgspec.convert(saved["quotes"], list[Quote], strict=False))
        self.ticks.update((v.symbol, v) for v in msgspec.convert(saved["ticks"], list[Tick], strict=False))
        self.bars.update((v.symbol, v) for v in msgspec.convert(saved["bars"], list[Bar], strict=False))
        self.changed.update(self.symbols())
        paid = saved.get("paid", {})
        self._paid.update((symbol, (Decimal(amount), ts_ns)) for symbol, (amount, ts_ns) in paid.items())

    def symbols(self) -> Sequence[str]:
        """Return every symbol that ever had a value, sorted."""
        known = self.quotes.keys() | self.ticks.keys() | self.bars.keys()
        if len(self._symbols) != len(known):  # none is ever taken out
            self._symbols = sorted(known)
        return self._symbols

    def last_prices(self) -> Iterator[tuple[str, Decimal, int]]:
        """Yield every symbol that has a price, sorted: its last trade, else its mark; and its newest time (ns)."""
        quotes, ticks, bars = self.quotes, self.ticks, self.bars
        for symbol in self.symbols():
            if symbol in quotes or symbol in ticks:
                price, ts_ns = self.last_trade(symbol), self.last_value_ns(symbol)
            else:
                bar = bars[symbol]
                price, ts_ns = bar.close, bar.ts_ns
            price = price or self.mark(symbol)
            if price is not None:
                yield symbol, price, ts_ns

    def shows_bars_alone(self, symbol: str) -> bool:
        """Return whether bars are all that ``symbol`` was ever seen by: no quote, no trade."""
        return symbol in self.bars and symbol not in self.quotes and symbol not in self.ticks

    def mark(self, symbol: str) -> Decimal | None:
        """Return the price at which a long holding of ``symbol`` is valued; None when none was ever seen.

        The bid of the newest quote (what a sale would bring); without a book what :meth:`last_trade` gives. Less a
        dividend paid since.
        """
        quote = self.quotes.get(symbol)
        price: Decimal | None
        if quote is not None and quote.bid is not None:
            price = quote.bid
        elif quote is None and symbol not in self.ticks:  # asked for each holding of a universe of bars
            bar = self.bars.get(symbol)
            price = None if bar is None else bar.close
        else:
            price = self.last_trade(symbol)
        return self._less_paid(symbol, price) if self._paid else price

    def _less_paid(self, symbol: str, price: Decimal | None) -> Decimal | None:
        amount, ts_ns = self._paid.get(symbol, (ZERO, -1))
        if price is None or ts_ns != self.last_value_ns(symbol):
            return price
        return max(ZERO, minus(price, amount))

    def last_trade(self, symbol: str) -> Decimal | None:
        """Return the newest of trade price, snapshot price and bar close; None when none was ever seen."""
        best: Decimal | None = None
        best_ts = -1
        quote = self.quotes.get(symbol)
        if quote is not None and quote.last is not None:
            best, best_ts = quote.last, quote.ts_ns
        tick = self.ticks.get(symbol)
        if tick is not None and tick.ts_ns >= best_ts:
            best, best_ts = tick.price, tick.ts_ns
        bar = self.bars.get(symbol)
        if bar is not None and bar.ts_ns > best_ts:
            best = bar.close
        return best

    def shown(self, symbol: str) -> frozenset[Decimal]:
        """Return every price that the newest values of ``symbol`` name."""
        quote, tick, bar = self.quotes.get(symbol), self.ticks.get(symbol), self.bars.get(symbol)
        prices = {
            *(() if quote is None else (quote.bid, quote.ask, quote.last)),
            *(() if tick is None else (tick.price,)),
            *(() if bar is None else (bar.open, bar.high, bar.low, bar.close)),
        }
        return frozenset(price for price in prices if price is not None)

    def last_value_ns(self, symbol: str) -> int:
        """Return when ``symbol`` last had a value, ns since the epoch; 0 when it never had one."""
        newest = (self.quotes.get(symbol), self.ticks.get(symbol), self.bars.get(symbol))
        return max((value.ts_ns for value in newest if value is not None), default=0)

    def entry_price(self, symbol: str) -> Decimal | None:
        """Return the price a buyer has to expect: the ask; without a book what :meth:`last_trade` gives.

        None also while the book is crossed, locked or empty on one side: no entry is decided on it.
        """
        quote = self.quotes.get(symbol)
        if quote is None or (quote.bid is None and quote.ask is None):
            return self.last_trade(symbol)
        if quote.bid is None or quote.ask is None or quote.bid >= quote.ask:
            return None
        if quote.bid_size == 0 or quote.ask_size == 0:  # a price without size; None is a size that is not reported
            return None
        return quote.ask
