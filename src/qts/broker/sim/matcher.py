"""Execution of orders by each kind of market value; the rules themselves are in ``matching``.

What the source gives decides:

- quotes: displayed size at the touch is taken, then deeper levels of a fresh depth book; what we took is not
  offered again until the market states it again. A limit that cannot trade rests behind the size displayed at
  its price; trades at its price eat that queue, then fill it; a trade or quote beyond its price fills it at its
  limit.
- depth updates only: the same, the depth book's best level being the touch.
- snapshots (last price and cumulative volume): at the row's last price, at most a share of the volume's rise.
- trades only: at the trade's price, at most a share of its size.
- quotes that carry a trade (``last`` with ``last_size``): the trade first, then the sides. The table already shows
  the sides after the trade, so an order that this very value lets live or leaves taking has no place in the queue
  yet that the trade could eat, and gets nothing of it.
- bars only: see ``bar_matcher``; with ``fill_on: close`` at the close, at most a share of the bar's volume, for
  orders that arrived during the bar's day.

In the closing auction displayed prices are no offers: only prints and volume fill, as for sources without quotes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Protocol

from qts.broker.sim import matching
from qts.broker.sim.bar_rules import is_reached
from qts.broker.sim.bar_times import bar_day
from qts.broker.sim.config import SimConfig
from qts.broker.sim.instrument_book import InstrumentBook, SimOrder
from qts.market.contracts import Bar, Phase, Quote, Tick
from qts.market.depth import PriceLevel
from qts.market.depth_book import DepthBook
from qts.market.last_values import LastValues
from qts.money import ZERO, decimal_fraction, minus, plus, sum_of
from qts.strategy.order_terms import TimeInForce


class Fills(Protocol):
    """A callable that books one execution: order, book, quantity, price, time."""

    def __call__(self, order: SimOrder, book: InstrumentBook, qty: Decimal, price: Decimal, ts_ns: int) -> None:
        """Book the execution and reduce ``order`` before returning; ``ts_ns`` is when the exchange executed it."""
        ...


class Admits(Protocol):
    """A callable that checks an order which reaches the market; False when it was rejected and is gone."""

    def __call__(self, order: SimOrder, book: InstrumentBook, ts_ns: int) -> bool:
        """Return whether ``order``, which arrives at ``ts_ns``, may stay."""
        ...


class Ends(Protocol):
    """A callable that ends what is left of an order that takes what there is at once."""

    def __call__(self, order: SimOrder, ts_ns: int) -> None:
        """End ``order`` at ``ts_ns``; one that has left already is left alone."""
        ...


class Matcher:
    """Executes the orders of a book against one value. ``fill`` must reduce the order before it returns."""

    __slots__ = ("_admit", "_book_max_age_ms", "_end", "_fill", "_last_values", "_snapshot_share", "_trade_share")

    def __init__(
        self, *, last_values: LastValues, config: SimConfig, fill: Fills, admit: Admits, end: Ends
    ) -> None:
        self._last_values = last_values
        self._book_max_age_ms = config.book_max_age_ms
        self._snapshot_share = decimal_fraction(repr(config.snapshot_participation))
        self._trade_share = decimal_fraction(repr(config.trade_participation))
        self._fill = fill
        self._admit = admit
        self._end = end

    def on_quote(self, book: InstrumentBook, quote: Quote) -> None:
        """Match against a quote: its trade first, then its sides."""
        ts_ns = quote.ts_ns
        if quote.bid is None and quote.ask is None:
            phase = book.times.phase(ts_ns)
            if quote.volume is not None:
                self._match_snapshot(book, quote, phase)
            elif (trade := trade_of(quote)) is not None:
                self._match_trade(book, trade, phase, trades_only=not book.has_depth)
            if quote.last is not None:
                self._reach_stops(book, quote.last, quote.last, ts_ns, phase)
            return
        for order in book.orders:
            if order.live or ts_ns >= order.arrival_ns:
                break
        else:
            return  # all of them are still on their way: nothing is taken, so nothing has to be remembered
        if quote.bid is not None and quote.ask is not None and 0 < quote.ask < quote.bid:
            return  # crossed sides offer nothing that could be trusted, nor does its trade
        phase = book.times.phase(ts_ns)
        if (trade := trade_of(quote)) is not None:
            self._match_trade(book, trade, phase, trades_only=False, resting_only=True)
            self._reach_stops(book, trade.price, trade.price, ts_ns, phase)
        if phase is not Phase.CONTINUOUS:
            return
        self._reach_stops(book, quote.ask, quote.bid, ts_ns, phase)
        book.see(quote)
        self._match_offers(book, ts_ns, quote, book.fresh_depth(ts_ns, self._book_max_age_ms))

    def on_book(self, book: InstrumentBook, ts_ns: int) -> None:
        """Match against the depth book, where there are no quotes."""
        if not self._quoted(book) and book.times.phase(ts_ns) is Phase.CONTINUOUS:
            depth = book.depth
            if depth is not None:
                self._reach_stops(book, depth.best(True), depth.best(False), ts_ns, Phase.CONTINUOUS)
            self._match_offers(book, ts_ns, None, depth)

    def _match_offers(self, book: InstrumentBook, ts_ns: int, quote: Quote | None, depth: DepthBook | None) -> None:
        for order in tuple(book.orders):
            if not self._is_live(order, book, ts_ns):
                continue
            limit, is_buy = order.limit, order.is_buy
            touch = book.touch(is_buy, quote, depth)
            if touch is None or not matching.allows(is_buy, limit, touch):
                if order.is_immediate:
                    self._end(order, ts_ns)
                elif limit is not None:
                    self._queue_up(order, limit, book, quote, depth)
                continue
            offers: Iterable[PriceLevel]
            if depth is None and quote is not None:
                offers = ((touch, book.offered(is_buy, quote)),)  # what book.offers yields without a depth book
            else:
                offers = book.offers(is_buy, quote, depth)
            taken = matching.take(is_buy, limit, order.remaining, offers, order.lot)
            if order.is_immediate and not order.fills_with(sum_of(qty for _, qty in taken)):
                taken = []
            for price, qty in taken:
                book.took(is_buy, price, qty, quote)
                self._fill(order, book, qty, price if order.taking or limit is None else limit, ts_ns)
            if order.is_immediate and order.remaining:
                self._end(order, ts_ns)

    def _queue_up(
        self, order: SimOrder, limit: Decimal, book: InstrumentBook, quote: Quote | None, depth: DepthBook | None
    ) -> None:
        """Let a limit rest that no displayed price allows, or look at its queue again."""
        order.taking = False
        order.ahead = matching.shorter_queue(order.ahead, book.displayed(order.is_buy, limit, quote, depth))

    def on_tick(self, book: InstrumentBook, tick: Tick) -> None:
        """Match against one trade."""
        phase = book.times.phase(tick.ts_ns)
        self._match_trade(book, tick, phase, trades_only=self._trades_only(book))
        self._reach_stops(book, tick.price, tick.price, tick.ts_ns, phase)

    def _reach_stops(
        self, book: InstrumentBook, for_buys: Decimal | None, for_sells: Decimal | None, ts_ns: int, phase: Phase
    ) -> None:
        """Let stops go on as market or limit orders whose trigger the market has reached.

        ``for_buys`` and ``for_sells`` are what either side sees, None where it sees nothing. A stop that a trade
        reached has no part in that trade.
        """
        if phase is not Phase.CONTINUOUS and phase is not Phase.CLOSING_AUCTION:
            return
        for order in tuple(book.orders):
            price = for_buys if order.is_buy else for_sells
            if order.stop is None or price is None or price <= 0:
                continue
            self._is_live(order, book, ts_ns)
            if order.live and is_reached(order.is_buy, order.stop, price):
                order.stop = None

    def _match_trade(
        self, book: InstrumentBook, tick: Tick, phase: Phase, *, trades_only: bool, resting_only: bool = False
    ) -> None:
        if phase is Phase.CLOSING_AUCTION or (phase is Phase.CONTINUOUS and trades_only):
            lot = book.instrument.lot
            self._match_print(
                book, tick.price, matching.participation(tick.size, self._trade_share, lot), tick.ts_ns
            )
        elif phase is Phase.CONTINUOUS:
            self._match_queues(book, tick, resting_only=resting_only)

    def _match_queues(self, book: InstrumentBook, tick: Tick, *, resting_only: bool) -> None:
        """Match a trade beside quotes: it fills what rests beyond its price, and eats the queue at its price.

        ``resting_only``: orders that have no place in the queue yet are left alone.
        """
        given = ZERO
        for order in tuple(book.orders):
            if order.is_immediate or (resting_only and (order.taking or not order.live)):
                continue
            if not self._is_live(order, book, tick.ts_ns):
                continue
            limit = order.limit
            if limit is None or self._still_taking(order, limit, book, tick.ts_ns):
                continue
            qty = ZERO
            if matching.through(order.is_buy, limit, tick.price):
                qty = matching.from_queue(ZERO, tick.size, given, order.remaining, order.lot)
                order.ahead = ZERO
            elif limit == tick.price and matching.hits_side(order.is_buy, tick.buyer_is_maker):
                if order.ahead is None:
                    continue
                qty = matching.from_queue(order.ahead, tick.size, given, order.remaining, order.lot)
                order.ahead = max(ZERO, minus(order.ahead, tick.size))
            if qty > 0:
                given = plus(given, qty)
                self._fill(order, book, qty, limit, tick.ts_ns)

    def _still_taking(self, order: SimOrder, limit: Decimal, book: InstrumentBook, ts_ns: int) -> bool:
        """Let an order that went live at a trade join the queue by the standing quote; return whether it waits
        instead.

        A quote of an earlier day does not describe today: the order waits for today's first.
        """
        if order.taking:
            quote = self._last_values.quotes.get(order.symbol)
            if quote is not None and quote.bid is None and quote.ask is None:
                quote = None
            if quote is not None and book.times.day(quote.ts_ns) != book.times.day(ts_ns):
                return True
            depth = book.fresh_depth(ts_ns, self._book_max_age_ms)
            touch = book.touch(order.is_buy, quote, depth)
            if touch is None or not matching.allows(order.is_buy, limit, touch):
                self._queue_up(order, limit, book, quote, depth)
        return order.taking

    def _match_snapshot(self, book: InstrumentBook, row: Quote, phase: Phase) -> None:
        if row.volume is None or row.last is None or book.has_depth:
            return
        rise = book.rise(row.volume, book.times.day(row.ts_ns))
        if phase is Phase.CONTINUOUS or phase is Phase.CLOSING_AUCTION:
            budget = matching.participation(rise, self._snapshot_share, book.instrument.lot)
            self._match_print(book, row.last, budget, row.ts_ns)

    def on_bar(self, book: InstrumentBook, bar: Bar) -> None:
        """Match at the close of a finished bar, where nothing finer was seen of its day."""
        day = bar_day(bar, book.times)
        if self._seen_on(book, day):
            return
        budget = matching.participation(bar.volume, self._snapshot_share, book.instrument.lot)
        self._match_print(book, bar.close, budget, bar.ts_ns, day)
        self._reach_stops(book, bar.close, bar.close, bar.ts_ns, Phase.CONTINUOUS)

    def _match_print(
        self, book: InstrumentBook, price: Decimal, budget: Decimal, ts_ns: int, day: date | None = None
    ) -> None:
        """Fill at the price of one print within ``budget``; ``day``: only orders of that session day."""
        if price <= 0:
            return
        for order in tuple(book.orders):
            if day is not None and order.day != day and order.tif is not TimeInForce.GTC:
                continue
            if not self._is_live(order, book, ts_ns):
                continue
            qty = order.fills_with(budget) if matching.allows(order.is_buy, order.limit, price) else ZERO
            if qty > 0:
                budget = minus(budget, qty)
                self._fill(order, book, qty, price, ts_ns)
            if order.is_immediate and order.remaining:
                self._end(order, ts_ns)

    def _is_live(self, order: SimOrder, book: InstrumentBook, ts_ns: int) -> bool:
        """Return whether the order has reached the market; on its first value the exchange checks it again.

        A stop that still waits is not there for anything but its trigger, and for bars.
        """
        if not order.live and ts_ns >= order.arrival_ns:
            order.live = self._admit(order, book, ts_ns)
        return order.live and order.stop is None

    def _quoted(self, book: InstrumentBook) -> bool:
        quote = self._last_values.quotes.get(book.instrument.symbol)
        return quote is not None and (quote.bid is not None or quote.ask is not None)

    def _trades_only(self, book: InstrumentBook) -> bool:
        return not book.has_depth and self._last_values.quotes.get(book.instrument.symbol) is None

    def _seen_on(self, book: InstrumentBook, day: date) -> bool:
        """Return whether finer values than bars were seen for the symbol on ``day``."""
        symbol = book.instrument.symbol
        finer = (self._last_values.quotes.get(symbol), self._last_values.ticks.get(symbol))
        return book.has_depth or any(value and book.times.day(value.ts_ns) == day for value in finer)


def trade_of(quote: Quote) -> Tick | None:
    """Return the trade that a quote reports beside its sides; None when it reports none (no size, or size zero)."""
    if quote.last is None or not quote.last_size:
        return None
    return Tick(quote.symbol, quote.ts_ns, quote.last, quote.last_size)
