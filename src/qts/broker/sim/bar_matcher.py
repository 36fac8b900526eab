"""Execution of orders on bars, where a source shows nothing finer; the rules themselves are in ``bar_rules``.

A bar is known at its end. An order that was entered before the bar began fills in it as the bar arrives: at the
bar's prices, before any strategy sees the bar. An order that was entered later, such as one decided on another
symbol's bar of the same moment, waits for the next bar.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal

from qts.broker.sim import matching
from qts.broker.sim.bar_rules import Execution, Stage, execution_in, is_sound, slipped
from qts.broker.sim.bar_times import LastBar, bar_day, began_ns
from qts.broker.sim.config import SimConfig
from qts.broker.sim.instrument_book import InstrumentBook, SimOrder
from qts.broker.sim.matcher import Admits, Fills
from qts.clock import to_ns
from qts.market.contracts import Bar
from qts.market.last_values import LastValues
from qts.money import decimal_fraction, minus


class BarMatcher:
    """Executes the orders of a book against one bar, within a share of the bar's volume for all of them together.

    ``fill`` must reduce the order before it returns; ``base_of`` is what the day's band lies around.
    """

    __slots__ = ("_admit", "_base_of", "_fill", "_last_values", "_share", "_slippage_ticks")

    def __init__(
        self,
        *,
        last_values: LastValues,
        config: SimConfig,
        fill: Fills,
        admit: Admits,
        base_of: Callable[[str, date], Decimal | None],
    ) -> None:
        self._last_values = last_values
        self._share = decimal_fraction(repr(config.snapshot_participation))
        self._slippage_ticks = config.slippage_ticks
        self._fill = fill
        self._admit = admit
        self._base_of = base_of

    def on_bar(self, book: InstrumentBook, bar: Bar, before: LastBar) -> int | None:
        """Match against ``bar``; ``before`` is the symbol's bar before it. Return when the bar began, in ns.

        None when the bar executes nothing, because its beginning is not known or because a quote, a trade or a
        finer bar was seen during it. Nothing executes either in a bar without volume, and in one whose prices
        contradict each other.
        """
        start_ns = began_ns(bar, book.times, before)
        if start_ns is None or self._is_finer_seen(book, start_ns):
            return None
        if bar.volume > 0 and is_sound(bar):
            self._match(book, bar, start_ns)
        return start_ns

    def _match(self, book: InstrumentBook, bar: Bar, start_ns: int) -> None:
        budget = matching.participation(bar.volume, self._share, book.instrument.lot)
        day = bar_day(bar, book.times)
        ts_ns = _executed_ns(bar, book, day, start_ns)
        for stage, order, price in self._executions(book, bar, start_ns):
            order.stop = None  # what does not fill here goes on as a market order, or as a limit
            qty = min(order.remaining, budget)
            if price is None or qty <= 0:
                continue
            if stage is not Stage.LIMIT:
                price = self._slipped(price, order, book, day)
            before_fill = order.remaining
            self._fill(order, book, qty, price, ts_ns)
            budget = minus(budget, minus(before_fill, order.remaining))

    def _executions(
        self, book: InstrumentBook, bar: Bar, start_ns: int
    ) -> list[tuple[Stage, SimOrder, Decimal | None]]:
        """List what executes in ``bar``: by stage, in a stage by price and time of entry."""
        found: list[tuple[Stage, SimOrder, Decimal | None]] = []
        for order in tuple(book.orders):
            if order.entered_ns > start_ns or not self._is_live(order, book, bar.ts_ns):
                continue
            execution: Execution | None = execution_in(bar, order.is_buy, order.limit, order.stop)
            if execution is not None:
                found.append((execution.stage, order, execution.price))
        found.sort(key=lambda one: one[0])
        return found

    def _slipped(self, price: Decimal, order: SimOrder, book: InstrumentBook, day: date) -> Decimal:
        if not self._slippage_ticks:
            return price
        ticks, base = book.instrument.ticks, self._base_of(order.symbol, day)
        band = None if base is None else ticks.band(base, day)
        return slipped(price, order.is_buy, self._slippage_ticks, order.limit, ticks, day, band)

    def _is_live(self, order: SimOrder, book: InstrumentBook, ts_ns: int) -> bool:
        """Return whether the order has arrived by the bar's end; on its first bar the exchange checks it again."""
        if not order.live and ts_ns >= order.arrival_ns:
            order.live = self._admit(order, book, ts_ns)
        return order.live

    def _is_finer_seen(self, book: InstrumentBook, start_ns: int) -> bool:
        symbol = book.instrument.symbol
        finer = (self._last_values.quotes.get(symbol), self._last_values.ticks.get(symbol))
        return book.depth is not None or any(value is not None and value.ts_ns >= start_ns for value in finer)


def _executed_ns(bar: Bar, book: InstrumentBook, day: date, start_ns: int) -> int:
    """Return the time of an execution in ``bar``: when the bar is known, but on the bar's own day.

    Where a market never closes, a bar of a whole day ends on the next date, at midnight or, for days of another
    time zone, later; then it is the last moment of its own date, which lies in the bar.
    """
    times, ts_ns = book.times, bar.ts_ns
    if times.day(ts_ns) == day or not times.never_closes(ts_ns):
        return ts_ns
    last_ns = to_ns(times.calendar.at(day + timedelta(days=1), 0)) - 1
    return max(min(last_ns, ts_ns), start_ns)
