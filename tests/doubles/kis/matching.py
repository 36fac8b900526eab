"""Matching of customers' orders against the scripted market: its book, its tape, and its auctions."""

from __future__ import annotations

from collections.abc import Sequence

from tests.doubles.kis.books import BUYING, Books, Order
from tests.doubles.kis.clock import DoubleClock
from tests.doubles.kis.days import AFTER, CONTINUOUS, PRE, Days
from tests.doubles.kis.market import AUCTION, BUY, KRX, NXT, SELL, Listing, Market, Print
from tests.doubles.kis.rules import (
    BEST_KINDS,
    FILL_OR_KILL,
    IMMEDIATE,
    MARKET_KINDS,
    MID_KINDS,
    OWN_SIDE_KINDS,
    STOP_KIND,
)
from tests.doubles.kis.settings import Settings

REGULAR = {"00", "01", "02", "03", "04", "21", "22"}
"""Kinds that wait in the regular session, and so in its auctions."""


class Matching:
    """Fills orders, price first and then time; it moves no price by itself."""

    def __init__(self, books: Books, market: Market, days: Days, clock: DoubleClock, settings: Settings) -> None:
        self._books, self._market, self._days, self._clock, self._settings = books, market, days, clock, settings
        market.on_prints.append(self.on_prints)
        market.on_book.append(self.on_book)

    def is_continuous(self, listing: Listing, venue: str) -> bool:
        """Return whether trades of a name happen one by one now."""
        day, hms = self._clock.day, self._clock.hms
        phase = self._days.nxt(day, hms) if venue == NXT else self._days.krx(day, hms)
        interrupted = listing.halted or listing.vi != "N" or listing.single_price
        return phase in (CONTINUOUS, AFTER, PRE) and not interrupted

    # -- an order comes ----------------------------------------------------------------------------------------

    def arrive(self, order: Order) -> None:
        """Fill what a new order meets in the book; end what IOC and FOK leave."""
        listing = self._market[order.code]
        quotes = listing.at(order.routed)
        self._give_price(order, listing)
        if self._settings.matching == "market" and self.is_continuous(listing, order.routed):
            if order.kind == STOP_KIND:
                self._trigger(order, quotes.last or listing.base)
            if order.kind != STOP_KIND or order.triggered:
                self._take(order, listing)
        if order.kind in IMMEDIATE and order.is_open:
            self._books.end_rest(order)

    def _give_price(self, order: Order, listing: Listing) -> None:
        """Give a price to the kinds that take it from the book."""
        quotes = listing.at(order.routed)
        other, own = (quotes.asks, quotes.bids) if order.side == BUYING else (quotes.bids, quotes.asks)
        if order.kind in BEST_KINDS and other:
            order.price = other[0][0]
        elif order.kind in OWN_SIDE_KINDS and own:
            order.price = own[0][0]
        elif order.kind in MID_KINDS and other and own:
            order.price = (other[0][0] + own[0][0]) // 2
        elif order.kind == "05":
            order.price = listing.base
        elif order.kind == "06":
            order.price = listing.price

    def _take(self, order: Order, listing: Listing) -> None:
        quotes = listing.at(order.routed)
        levels = quotes.asks if order.side == BUYING else quotes.bids
        reach = [level for level in levels if self._meets(order, level[0])]
        if order.kind in FILL_OR_KILL and sum(qty for _, qty in reach) < order.rest:
            return
        prints = []
        for price, qty in reach:
            taken = min(qty, order.rest)
            if not taken:
                break
            level = levels[0]
            levels[:1] = [(level[0], level[1] - taken)] if level[1] > taken else []
            side = BUY if order.side == BUYING else SELL
            prints.append(quotes.add(self._clock.hms, price, taken, side))
            self._books.fill(order, taken, price)
        if prints:
            self._market.show(listing, order.routed, prints)

    def _meets(self, order: Order, price: int) -> bool:
        if not order.price:
            return True
        return price <= order.price if order.side == BUYING else price >= order.price

    def _trigger(self, order: Order, last: int) -> None:
        order.triggered |= last >= order.trigger if order.side == BUYING else last <= order.trigger

    # -- the market moves --------------------------------------------------------------------------------------

    def _waiting(self, listing: Listing, venue: str) -> list[Order]:
        """Return open orders of a name at a venue: the best price first, then the oldest."""
        found = [one for one in self._books.open_orders() if one.code == listing.code and one.routed == venue]
        return sorted(found, key=lambda one: (one.price != 0, -one.price if one.side == BUYING else one.price))

    def on_prints(self, listing: Listing, venue: str, prints: Sequence[Print]) -> None:
        """Let trades of the tape meet waiting orders, up to their quantity."""
        if self._settings.matching != "market" or not self.is_continuous(listing, venue):
            return
        for printed in prints:
            left = printed.qty
            for order in self._waiting(listing, venue):
                if order.kind == STOP_KIND and not order.triggered:
                    self._trigger(order, printed.price)
                    continue
                taken = min(order.rest, left)
                if taken and self._meets(order, printed.price):
                    left -= taken
                    self._books.fill(order, taken, order.price or printed.price)

    def on_book(self, listing: Listing, venue: str) -> None:
        """Let a book that reaches waiting orders fill them at their own price."""
        if self._settings.matching != "market" or not self.is_continuous(listing, venue):
            return
        quotes = listing.at(venue)
        for side in (quotes.asks, quotes.bids):
            for price, qty in list(side):
                left = qty
                for order in self._waiting(listing, venue):
                    if (order.side == BUYING) != (side is quotes.asks):
                        continue
                    if order.kind == STOP_KIND and not order.triggered:
                        continue
                    taken = min(order.rest, left)
                    if taken and self._meets(order, price):
                        left -= taken
                        self._books.fill(order, taken, order.price or price)

    def auction(self, code: str, price: int, qty: int = 0, *, venue: str = KRX) -> None:
        """Let an auction end at a single price: waiting orders that reach it are filled at it.

        ``qty``: how much of others is traded with it; at most that much of our orders is filled, 0 without a limit.
        """
        listing = self._market[code]
        orders = [
            one
            for one in self._waiting(listing, venue)
            if one.kind in REGULAR | {"05", "06", "07"} and (one.kind in MARKET_KINDS or self._meets(one, price))
        ]
        left = qty or sum(one.rest for one in orders)
        printed = listing.at(venue).add(self._clock.hms, price, max(1, left), AUCTION)
        for order in orders:
            taken = min(order.rest, left)
            if taken and (order.kind != STOP_KIND or order.triggered):
                left -= taken
                self._books.fill(order, taken, price)
        listing.at(venue).expected = (0, 0)
        self._market.show(listing, venue, [printed])
