"""Takes in the rows of a replay that nothing waits for, one after the other in one loop.

Most rows of a replay change the clock and the last-value table, are shown to strategies that want nothing, and that
is all. Such a row is *straight*: no order is open in its symbol, its price lies in the day's band, no scheduled
task or other work came due, nothing is queued, and the strategies' handler is the only one. For these rows this
loop does what :meth:`qts.runtime.intake.Intake.accept`, the scheduler and the strategies' handler do together,
without making an event of each. The first row that is not straight is given back and takes the general path; a row
for which a strategy wants something or fails does so with the outcome of that call. So what is published or stored
comes from the same code, in the same order, with the same numbers, whichever path the rows before it took.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from qts.clock import ManualClock, stopwatch_ns
from qts.event.contracts import EventType
from qts.market.contracts import Bar, BookUpdate, MarketValue, Quote, Tick
from qts.market.series.running import MOST_PENDING
from qts.market.series.symbol_bars import SymbolBars
from qts.runtime.checks.price_bands import CHECK_EVERY_VALUE, Band, bar_fits, quote_fits, tick_fits
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.kernel import Kernel
from qts.runtime.strategies.context import StrategyContext, not_called
from qts.runtime.strategies.strategy_host import EarlyAnswer
from qts.strategy.contracts import AnyIntent


class StraightRows:
    """The loop over straight rows of one session on the virtual clock.

    ``taken`` is how many values the last call of :meth:`take` has accepted. A value that it returned is among them
    only when ``is_accepted``.
    """

    def __init__(self, kernel: Kernel, stop: StopFlag) -> None:
        shared = kernel.shared
        clock = shared.clock
        self._clock = clock if isinstance(clock, ManualClock) else None
        self._intake, self._host, self._due = kernel.intake, kernel.host, kernel.due
        self._last, self._extremes, self._price_bands = shared.last, shared.extremes, shared.price_bands
        self._moments = kernel.moments
        self._takes_trades = kernel.host.takes_trades
        self._venue, self._triggers = kernel.venue, kernel.triggers
        self._path = kernel.dispatcher.straight
        self._stop = stop
        self._ways: dict[str, tuple[Band | None, Sequence[StrategyContext]]] = {}
        self._band_changes = self._price_bands.changes
        self.taken = 0
        self.is_accepted = False
        """Whether the value that was returned is accepted already: a strategy has answered it, or it ended bars."""

    def take(
        self, values: Iterator[MarketValue], most: int, first: MarketValue | None = None
    ) -> MarketValue | None:
        """Take in straight rows from ``values`` until one is not straight, which is returned.

        ``first`` is a value that has left ``values`` already and comes before the others; None: there is none.
        Returns None after ``most`` rows, at the end of ``values``, and as soon as a stop is requested, work is due
        or a P0 event waits: this is looked at after every row. ``first`` is returned when none can be taken. Raises
        what ``values`` raises; what was taken in before is settled then, too.
        """
        self.taken, self.is_accepted = 0, False
        path, clock, due, stop = self._path, self._clock, self._due, self._stop
        if clock is None or due.pending or stop.requested:
            return first
        takes_ticks = path.is_open(EventType.PRICE_TICK, self._host.on_market_event if self._takes_trades else None)
        takes_quotes = path.is_open(EventType.ORDERBOOK_UPDATE, self._host.on_market_event)
        takes_bars = path.is_open(EventType.VOLUME_UPDATE, self._host.on_market_event)
        if not (takes_quotes or takes_ticks or takes_bars):
            return first
        if self._band_changes != self._price_bands.changes:
            self._band_changes = self._price_bands.changes
            self._ways.clear()
        ways, last, extremes, venue, urgent = self._ways, self._last, self._extremes, self._venue, path.urgent
        quotes, ticks, bars, held, waiting = last.quotes, last.ticks, last.bars, extremes.held, venue.active
        triggers = self._triggers
        watched = triggers.bounds or None
        host, takes_trades = self._host, self._takes_trades
        moments, now_ns, wake_ns = self._moments, clock.ns, due.wake_ns
        measured_at, accepted_ns, started_ns = path.unmeasured + 1, 0, 0
        rows = passed = 0
        present, band, is_held, bounds = "", None, False, None
        running: SymbolBars | None = None
        contexts: Sequence[StrategyContext] = ()
        called: Sequence[StrategyContext] = ()
        try:
            for value in islice(values if first is None else chain((first,), values), most):
                ts_ns, symbol, kind = value.ts_ns, value.symbol, value.__class__
                if not now_ns <= ts_ns < wake_ns:
                    return value
                if symbol is not present:  # which symbols have orders or holdings does not change in this loop
                    way = None if symbol in waiting else ways.get(symbol) or self._way(value)
                    if way is None:
                        return value
                    band, contexts = way
                    is_held, present = symbol in held, symbol
                    running = None if moments is None else moments.by_time(symbol)
                    bounds = None if watched is None else watched.get(symbol)
                if bounds is not None and triggers.is_touched(bounds, value):
                    return value
                if kind is Quote:
                    if not takes_quotes or (band is not None and not quote_fits(band, value)):  # type: ignore[arg-type]
                        return value
                    clock.ns = now_ns = ts_ns
                    rows += 1
                    quotes[symbol] = value  # type: ignore[assignment]
                    if is_held:
                        extremes.on_quote(value)  # type: ignore[arg-type]
                    if moments is not None:
                        moments.on_quote(value)  # type: ignore[arg-type]
                        if moments.ended:
                            self.is_accepted = True
                            return value
                        wake_ns = due.wake_ns
                    called = contexts
                elif kind is Tick:
                    if not takes_ticks or (band is not None and not tick_fits(band, value)):  # type: ignore[arg-type]
                        return value
                    clock.ns = now_ns = ts_ns
                    rows += 1
                    ticks[symbol] = value  # type: ignore[assignment]
                    if is_held:
                        extremes.on_mark(symbol, last.mark(symbol), ts_ns)
                    if moments is not None:
                        if (
                            running is not None
                            and running.begin_ns <= ts_ns < running.until_ns
                            and len(running.pending) < MOST_PENDING
                        ):
                            running.pending.append(value)  # type: ignore[arg-type]
                        else:
                            moments.on_tick(value)  # type: ignore[arg-type]
                            if moments.ended:
                                self.is_accepted = True
                                return value
                            wake_ns, running = due.wake_ns, moments.by_time(symbol)
                    called = host.traders(symbol) if takes_trades else ()
                elif kind is Bar:
                    if (
                        not takes_bars or ts_ns >= venue.due_ns or (band is not None and not bar_fits(band, value))  # type: ignore[arg-type]
                    ):
                        return value
                    clock.ns = now_ns = ts_ns
                    rows += 1
                    bars[symbol] = value  # type: ignore[assignment]
                    if is_held:
                        extremes.on_mark(symbol, last.mark(symbol), ts_ns)
                    venue.on_market(value)  # it remembers each bar, also where nothing waits
                    if moments is not None:
                        moments.on_bar(value)  # type: ignore[arg-type]
                        if moments.ended:
                            self.is_accepted = True
                            return value
                        wake_ns = due.wake_ns
                    called = contexts
                elif kind is BookUpdate and takes_quotes and band is None and ts_ns < venue.due_ns:
                    clock.ns = now_ns = ts_ns
                    rows += 1
                    venue.on_market(value)
                    called = ()
                else:
                    return value
                if rows == measured_at:
                    accepted_ns = stopwatch_ns()
                    started_ns = stopwatch_ns()
                try:
                    for context in called:
                        # Apart from the call: CPython would search the class first.
                        if kind is Quote:
                            callback = context.on_quote
                        else:
                            callback = context.on_bar if kind is Bar else context.on_trade
                        intents = callback(context, value)
                        if intents:
                            self._keep(value, called, context, intents, None)
                            return value
                        if context.errors and callback is not not_called:
                            context.errors = 0
                except BaseException as error:  # noqa: BLE001 - the handler treats it, whatever the user's code raised
                    self._keep(value, called, context, None, error)
                    return value
                if started_ns:
                    path.measure(accepted_ns, started_ns, stopwatch_ns())
                    measured_at, started_ns = measured_at + path.sample_rows, 0
                passed = rows
                if urgent or due.pending or stop.requested:
                    break
        finally:
            self.taken = rows
            if rows:
                self._intake.rows += rows
                last.feed_ts_ns = now_ns
            if passed:
                path.pass_on(passed)
        return None

    def _way(self, value: MarketValue) -> tuple[Band | None, Sequence[StrategyContext]] | None:
        """Return the day's band and the strategies of a symbol; None while its values need the full check.

        The first bar of a symbol on a day, which may be its only one, does not need it where a band is known.
        """
        symbol, bands = value.symbol, self._price_bands
        band = bands.band_for(value) if value.__class__ is Bar else bands.bands.get(symbol, CHECK_EVERY_VALUE)
        if band is CHECK_EVERY_VALUE:
            return None
        way = self._ways[symbol] = (band, self._host.subscribers(symbol))
        return way

    def _keep(
        self,
        value: Any,
        contexts: Sequence[StrategyContext],
        context: StrategyContext,
        intents: Iterable[AnyIntent] | None,
        error: BaseException | None,
    ) -> None:
        """Keep the outcome of a call for the strategies' handler, which gets ``value`` next."""
        self.is_accepted = True
        self._host.answer_early(EarlyAnswer(value, contexts.index(context), intents, error))
