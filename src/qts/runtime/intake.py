"""Applies a value from the feed to the clock, the day's price band, the last-value table, the extremes of the
account, the exchange and the stops of positions, in this order, before any queue.

So no pause of a queue can blind the exchange, the valuation or a liquidation (``last-value-first``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qts.broker.contracts import MarketDriven
from qts.clock import Clock, ManualClock
from qts.market.contracts import Bar, BookUpdate, MarketValue, Quote, Tick
from qts.market.last_values import LastValues
from qts.runtime.checks.price_bands import CHECK_EVERY_VALUE, Band, PriceBands, bar_fits, quote_fits, tick_fits
from qts.runtime.metrics.extremes import Extremes, HeldSymbol
from qts.runtime.orders.position_triggers import PositionTriggers
from qts.runtime.strategies.moments import Moments


class Intake:
    """The entrance through which every value passes one after the other; ``rows`` counts them.

    For the session's thread alone. It is an object of its own with slots because it runs for every row.
    """

    __slots__ = (
        "_bands",
        "_bound",
        "_clock",
        "_extremes",
        "_held",
        "_last",
        "_moments",
        "_on_code",
        "_price_bands",
        "_quotes",
        "_ticks",
        "_triggers",
        "_venue",
        "_waiting",
        "_watched",
        "rows",
    )

    def __init__(
        self,
        last: LastValues,
        extremes: Extremes,
        venue: MarketDriven,
        clock: Clock,
        price_bands: PriceBands,
        on_code: Callable[[str, str], None],
        triggers: PositionTriggers,
        moments: Moments | None = None,
    ) -> None:
        self._last = last
        self._quotes: dict[str, Any] = last.quotes
        self._ticks: dict[str, Any] = last.ticks
        self._extremes = extremes
        self._held: Mapping[str, HeldSymbol] = extremes.held
        self._venue = venue
        self._waiting: Mapping[str, object] = venue.active
        self._clock = clock if isinstance(clock, ManualClock) else None
        """None for a clock in real time, which advances by itself."""
        self._price_bands = price_bands
        self._bands: Mapping[str, Band | None] = price_bands.bands
        self._on_code = on_code
        self._triggers = triggers
        self._moments = moments
        self._bound: Mapping[str, object] = triggers.bound
        self._watched: Mapping[str, object] = triggers.bounds
        self.rows = 0

    def accept(self, value: MarketValue) -> bool:
        """Apply ``value`` before any handler sees it; return False when it was rejected.

        A value outside the day's price band is rejected: it moves the clock, and is applied to nothing else. Called
        by :mod:`qts.runtime.market_input` alone. Raises ContractError for a value older than the virtual clock.
        """
        ts_ns = value.ts_ns
        clock = self._clock
        if clock is not None:
            if ts_ns < clock.ns:
                clock.set_ns(ts_ns)  # raises the ContractError
            clock.ns = ts_ns
        self.rows += 1
        kind, symbol = value.__class__, value.symbol
        if kind is Quote:
            band = self._bands.get(symbol, CHECK_EVERY_VALUE)
            if band is not None:
                fits = quote_fits(band, value)  # type: ignore[arg-type]
                if (not fits or band is CHECK_EVERY_VALUE) and self._rejects(value):
                    return False
            self._last.feed_ts_ns = ts_ns
            self._quotes[symbol] = value
            if symbol in self._held:
                self._extremes.on_quote(value)  # type: ignore[arg-type]
            if symbol in self._waiting:
                self._venue.on_market(value)
            if symbol in self._watched:
                self._triggers.on_quote(value)  # type: ignore[arg-type]
            if self._moments is not None:
                self._moments.on_quote(value)  # type: ignore[arg-type]
        elif kind is Tick:
            band = self._bands.get(symbol, CHECK_EVERY_VALUE)
            if band is not None and not tick_fits(band, value) and self._rejects(value):  # type: ignore[arg-type]
                return False
            self._last.feed_ts_ns = ts_ns
            self._ticks[symbol] = value
            if symbol in self._held:
                self._extremes.on_mark(symbol, self._last.mark(symbol), ts_ns)
            if symbol in self._waiting:
                self._venue.on_market(value)
            if symbol in self._watched:
                self._triggers.on_tick(value)  # type: ignore[arg-type]
            if self._moments is not None:
                self._moments.on_tick(value)  # type: ignore[arg-type]
        elif kind is BookUpdate:
            if self._bands.get(symbol, CHECK_EVERY_VALUE) is not None and self._rejects(value):
                return False
            self._last.feed_ts_ns = ts_ns
            self._venue.on_market(value)
        elif isinstance(value, Bar):
            band = self._bands.get(symbol, CHECK_EVERY_VALUE)
            if band is not None and not bar_fits(band, value) and self._rejects(value):
                return False
            self._last.feed_ts_ns = ts_ns
            self._last.bars[symbol] = value
            if symbol in self._held:
                self._extremes.on_mark(symbol, self._last.mark(symbol), ts_ns)
            if symbol in self._bound:
                self._venue.on_market(value, holds_limits=True)
                self._triggers.on_bar(value)
            else:
                self._venue.on_market(value)
            if self._moments is not None:
                self._moments.on_bar(value)
        else:
            self._last.feed_ts_ns = ts_ns
        return True

    def _rejects(self, value: MarketValue) -> bool:
        """Return whether ``value`` is rejected; then its alarm is raised, once a day for each symbol."""
        if self._price_bands.accepts(value):
            return False
        venue, ts_ns = self._venue, value.ts_ns
        if isinstance(value, BookUpdate):  # the book it would have changed is unknown from now on
            venue.on_market(BookUpdate(value.symbol, ts_ns, (), (), after_gap=True))
        elif ts_ns >= venue.due_ns:
            venue.on_time(ts_ns)  # its time counts even so
        if alarm := self._price_bands.alarm(value.symbol):
            self._on_code("AN001", alarm)
        return True
