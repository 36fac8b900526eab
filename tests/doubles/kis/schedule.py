"""What happens by the clock: auctions, the close, the end of orders, new days."""

from __future__ import annotations

from datetime import timedelta

from qts.clock import NS_PER_S, to_ns
from tests.doubles.kis.books import Books
from tests.doubles.kis.charts import Charts
from tests.doubles.kis.clock import DoubleClock
from tests.doubles.kis.days import Days
from tests.doubles.kis.market import KRX, NXT, Market
from tests.doubles.kis.matching import REGULAR, Matching
from tests.doubles.kis.settings import Settings

NEW_DAY, OPENING, OPEN, CLOSING, CLOSE, FIXED_ENDS, END = (
    "000000", "083000", "090000", "152000", "153000", "160000", "200000",
)  # fmt: skip
MOMENTS = (NEW_DAY, OPENING, OPEN, CLOSING, CLOSE, FIXED_ENDS, END)
ANNOUNCED = {OPENING: "110", OPEN: "112", CLOSING: "121", CLOSE: "129"}
LATE_S = 60
"""Age from which on a moment that was jumped over is not announced any more."""
CONDITIONAL = "02"


class Schedule:
    """The course of days. :meth:`catch_up` does all that is due; the double calls it before each call as well."""

    def __init__(
        self,
        books: Books,
        market: Market,
        matching: Matching,
        charts: Charts,
        days: Days,
        clock: DoubleClock,
        settings: Settings,
    ) -> None:
        self._books, self._market, self._matching, self._charts = books, market, matching, charts
        self._days, self._clock, self._settings = days, clock, settings
        self._last_day = clock.day
        self._due = self._moments_after(clock.time_ns())

    def _moments_after(self, ns: int) -> list[tuple[int, str]]:
        """Return the next moments: the rest of today's, or those of the next day."""
        midnight = self._clock.kst.replace(hour=0, minute=0, second=0, microsecond=0)
        for number in range(3):
            day = midnight + timedelta(days=number)
            found = [one for one in self._moments_of(to_ns(day), f"{day:%Y%m%d}") if one[0] > ns]
            if found:
                return found
        raise AssertionError("a day follows")

    def _moments_of(self, midnight_ns: int, day: str) -> list[tuple[int, str]]:
        is_open = self._days.is_business(day) and not self._settings.always_open
        names = MOMENTS if is_open else (NEW_DAY,)
        late = 3_600 if day in self._days.late else 0
        found = []
        for name in names:
            seconds = int(name[:2]) * 3_600 + int(name[2:4]) * 60
            if name not in (NEW_DAY, END):
                seconds += late
            found.append((midnight_ns + seconds * NS_PER_S, name))
        return found

    async def run(self) -> None:
        """Do what is due whenever it is."""
        while True:
            self.catch_up()
            await self._clock.sleep_until_ns(self._due[0][0])

    def catch_up(self) -> None:
        """Do all that is due, each as of its own moment."""
        while self._due[0][0] <= (now := self._clock.time_ns()):
            ns, name = self._due.pop(0)
            with self._clock.held(ns):
                self._do(name, is_late=now - ns > LATE_S * NS_PER_S)
                if not self._due:
                    self._due = self._moments_after(ns)

    def _do(self, name: str, *, is_late: bool) -> None:
        if name == NEW_DAY:
            self._begin_day()
        if name == CLOSING:
            for order in self._books.open_orders():
                if order.kind == CONDITIONAL:
                    order.price = 0  # a conditional limit goes to the closing auction at the market
        if name in (OPEN, CLOSE) and self._settings.auctions:
            self._auction()
        if name == CLOSE:
            self._expire(REGULAR, KRX)
        if name == FIXED_ENDS:
            self._expire({"05", "06"}, KRX)
        if name == END:
            self._expire(None, KRX)
            self._expire(None, NXT)
        if name in ANNOUNCED and not is_late:
            self._market.announce(ANNOUNCED[name])

    def _auction(self) -> None:
        """End the auction of each name that has one of our orders or was given an expectation, at its price."""
        waiting = {order.code for order in self._books.open_orders() if order.routed == KRX}
        for listing in self._market.listings.values():
            price, qty = listing.krx.expected
            if listing.code in waiting or price:
                self._matching.auction(listing.code, price or listing.price, qty)

    def _expire(self, kinds: set[str] | None, venue: str) -> None:
        for order in self._books.open_orders():
            if order.routed == venue and (kinds is None or order.kind in kinds):
                self._books.expire(order)

    def _begin_day(self) -> None:
        """Begin a day: bars are kept, prices become bases, what is due is paid."""
        day = self._clock.day
        for order in self._books.open_orders():
            if order.day < day:
                self._books.expire(order)
        if self._days.is_business(self._last_day):
            for listing in self._market.listings.values():
                self._charts.end_day(listing.code, self._last_day)
                listing.begin_day()
        self._last_day = day
        if self._days.is_business(day):
            self._books.settle()
