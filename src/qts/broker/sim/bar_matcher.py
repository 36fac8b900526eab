"""Execution of orders on bars, where a source shows nothing finer; the rules themselves are in ``bar_rules``.

A bar is known at its end. An order that was entered before the bar began fills in it as the bar arrives: at the
bar's prices, before any strategy sees the bar. An order that was entered later, such as one decided on another
symbol's bar of the same moment, waits for the next bar.

The exit of a position whose stop or take was watched outside since before the bar began is the exception: it comes
when the bar is known and executes in it all the same. So that it keeps its place among the other orders, between
stops and limits, the limits can be held back until then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import TypeAlias

from qts.broker.sim import matching
from qts.broker.sim.bar_rules import Execution, Stage, execution_in, slipped
from qts.broker.sim.bar_times import LastBar, bar_day, began_ns
from qts.broker.sim.config import SimConfig
from qts.broker.sim.instrument_book import InstrumentBook, SimOrder
from qts.broker.sim.matcher import Admits, Fills
from qts.clock import to_ns
from qts.market.bar_checks import is_sound
from qts.market.contracts import Bar
from qts.market.last_values import LastValues
from qts.money import decimal_fraction, minus

_Due: TypeAlias = tuple[Stage, SimOrder, Decimal | None]
"""An order that executes in a bar, in which stage, and its price; None: a stop whose limit lets nothing through."""


class BarMatcher:
    """Executes the orders of a book against one bar, within a share of the bar's volume for all of them together.

    ``fill`` must reduce the order, and count what the book took of the bar, before it returns; ``base_of`` is what
    the day's band lies around.
    """

    __slots__ = ("_admit", "_base_of", "_fill", "_held_back", "_last_values", "_share", "_slippage_ticks")

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
        self._held_back: dict[str, tuple[Bar, int, list[_Due]]] = {}

    def on_bar(self, book: InstrumentBook, bar: Bar, before: LastBar, *, holds_limits: bool = False) -> int | None:
        """Match against ``bar``; ``before`` is the symbol's bar before it. Return when the bar began, in ns.

        None when the bar executes nothing, because its beginning is not known or because a quote, a trade or a
        finer bar was seen during it. Nothing executes either in a bar without volume, and in one whose prices
        contradict each other. ``holds_limits``: what executes at a limit waits for :meth:`finish`.
        """
        start_ns = began_ns(bar, book.times, before)
        if start_ns is None or self._is_finer_seen(book, start_ns):
            return None
        if bar.volume > 0 and is_sound(bar):
            due = self._executions(book, bar, start_ns)
        else:
            due = []
        if holds_limits:
            held = [one for one in due if one[0] is Stage.LIMIT]
            self._held_back[book.instrument.symbol] = bar, start_ns, held
            due = [one for one in due if one[0] is not Stage.LIMIT]
        self._match(book, bar, start_ns, due)
        return start_ns

    def finish(self, book: InstrumentBook) -> int | None:
        """Execute what :meth:`on_bar` has held back of the newest bar, but for orders that have left since.

        Return what it returned.
        """
        held = self._held_back.pop(book.instrument.symbol, None)
        if held is None:
            return None
        bar, start_ns, due = held
        self._match(book, bar, start_ns, [one for one in due if one[1] in book.orders])
        return start_ns

    def exit_in(self, book: InstrumentBook, bar: Bar, start_ns: int, order: SimOrder) -> None:
        """Execute ``order`` in ``bar``, matched already and begun at ``start_ns``, as if it had waited there."""
        if bar.volume > 0 and is_sound(bar):
            execution = execution_in(bar, order.is_buy, order.limit, order.stop)
            if execution is not None:
                self._match(book, bar, start_ns, [(execution.stage, order, execution.price)])

    def _match(self, book: InstrumentBook, bar: Bar, start_ns: int, due: Iterable[_Due]) -> None:
        whole = matching.participation(bar.volume, self._share, book.instrument.lot)
        day = bar_day(bar, book.times)
        ts_ns = _executed_ns(bar, book, day, start_ns)
        for stage, order, price in due:
            order.stop = None  # what does not fill here goes on as a market order, or as a limit
            qty = order.fills_with(minus(whole, book.bar_taken))
            if price is None or qty <= 0:
                continue
            if stage is not Stage.LIMIT:
                price = self._slipped(price, order, book, day)
            self._fill(order, book, qty, price, ts_ns)

    def _executions(self, book: InstrumentBook, bar: Bar, start_ns: int) -> list[_Due]:
        """List what executes in ``bar``: by stage, in a stage by price and time of entry."""
        found: list[_Due] = []
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
