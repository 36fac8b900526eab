"""Where a value from the feed enters: clock, last-value table, extremes of the account, exchange, in this order,
before any queue.

So no pause of a queue can blind the exchange, the valuation or a liquidation (spec 00).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from qts.broker.sim.exchange import SimExchange
from qts.clock import Clock, ManualClock
from qts.market.contracts import Bar, BookUpdate, MarketValue, Quote, Tick
from qts.market.last_values import LastValues
from qts.runtime.extremes import Extremes, Held


class Intake:
    """Takes in one value after the other; ``rows`` counts them.

    An object of its own, because every row passes through it: its few attributes are read faster than the
    kernel's many.
    """

    __slots__ = ("_clock", "_exchange", "_extremes", "_held", "_last", "_quotes", "_ticks", "_waiting", "rows")

    def __init__(self, last: LastValues, extremes: Extremes, exchange: SimExchange, clock: Clock) -> None:
        self._last = last
        self._quotes: dict[str, Any] = last.quotes
        self._ticks: dict[str, Any] = last.ticks
        self._extremes = extremes
        self._held: Mapping[str, Held] = extremes.held
        self._exchange = exchange
        self._waiting: Mapping[str, object] = exchange.active
        self._clock = clock if isinstance(clock, ManualClock) else None
        """None: real time moves itself."""
        self.rows = 0

    def absorb(self, value: MarketValue) -> None:
        """Everything that has to be true before anybody hears of ``value``."""
        ts_ns = value.ts_ns
        clock = self._clock
        if clock is not None:
            if ts_ns < clock.ns:
                clock.set_ns(ts_ns)  # says why not
            clock.ns = ts_ns
        self.rows += 1
        kind, symbol = value.__class__, value.symbol
        self._last.feed_ts_ns = ts_ns
        if kind is Quote:
            self._quotes[symbol] = value
            held = self._held.get(symbol)
            if held is not None:
                bid: Decimal | None = value.bid  # type: ignore[union-attr]
                if bid is None or not held.low <= bid <= held.high:
                    self._extremes.on_mark(symbol, self._last.mark(symbol) if bid is None else bid, ts_ns)
            if symbol in self._waiting:
                self._exchange.on_market(value)
        elif kind is Tick:
            self._ticks[symbol] = value
            if symbol in self._held:
                self._extremes.on_mark(symbol, self._last.mark(symbol), ts_ns)
            if symbol in self._waiting:
                self._exchange.on_market(value)
        elif kind is BookUpdate:
            self._exchange.on_market(value)
        elif isinstance(value, Bar):
            self._last.bars[symbol] = value
            if symbol in self._held:
                self._extremes.on_mark(symbol, self._last.mark(symbol), ts_ns)
            self._exchange.on_market(value)
