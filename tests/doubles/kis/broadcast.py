"""Sends what happens in the market to the sessions that have registered for it."""

from __future__ import annotations

from collections.abc import Sequence

from tests.doubles.kis import frames
from tests.doubles.kis.clock import DoubleClock
from tests.doubles.kis.market import KRX, NXT, Listing, Market, Print
from tests.doubles.kis.settings import Settings
from tests.doubles.kis.sockets import Sockets

OWN = {KRX: "H0ST", NXT: "H0NX"}
BOTH = "H0UN"
REGULAR = ("20", "2")
"""NEW_MKOP_CLS_CODE and MARKET_CLS_CODE of the regular session."""


class Broadcast:
    """Frames of trades, books, expected matches and states, of each venue and of both."""

    def __init__(self, market: Market, sockets: Sockets, clock: DoubleClock, settings: Settings) -> None:
        self._sockets, self._clock, self._settings = sockets, clock, settings
        market.on_trades.append(self.trades)
        market.on_book.append(self.book)
        market.on_expected.append(self.expected)
        market.on_status.append(self.status)

    def trades(self, listing: Listing, venue: str, prints: Sequence[Print]) -> None:
        """Send trades, up to 20 in a frame."""
        for prefix in (OWN[venue], BOTH):
            tr_id = f"{prefix}CNT0"
            if not self._sockets.wants(tr_id, listing.code):
                continue
            records = [self._trade(listing, venue, one) for one in prints]
            for first in range(0, len(records), frames.MOST_PACKED):
                packed = records[first : first + frames.MOST_PACKED]
                self._sockets.push(tr_id, listing.code, frames.data(tr_id, packed))

    def _trade(self, listing: Listing, venue: str, printed: Print) -> list[str]:
        record = frames.trade(listing, venue, printed, self._clock)[: self._settings.trade_width]
        if self._settings.always_open:
            record[34:35], record[46:] = [REGULAR[0]], [REGULAR[1]] * len(record[46:])
        if not self._settings.signed_changes:
            record[4] = record[4].lstrip("-")
        return ["" if place in self._settings.empty_fields else text for place, text in enumerate(record)]

    def book(self, listing: Listing, venue: str) -> None:
        """Send the ten levels of a name."""
        if venue == KRX and self._sockets.wants("H0STASP0", listing.code):
            record = frames.book(listing, venue, self._clock, self._settings.book_width)
            if self._settings.always_open:
                record[62:] = [REGULAR[1]] * len(record[62:])
            self._sockets.push("H0STASP0", listing.code, frames.data("H0STASP0", [record]))
        for tr_id in (*(["H0NXASP0"] if venue == NXT else []), f"{BOTH}ASP0"):
            if self._sockets.wants(tr_id, listing.code):
                record = frames.wide_book(listing, venue, self._clock)
                self._sockets.push(tr_id, listing.code, frames.data(tr_id, [record]))

    def expected(self, listing: Listing, venue: str) -> None:
        """Send what an auction would give now."""
        record = frames.expected_match(listing, venue, self._clock)
        for prefix in (OWN[venue], BOTH):
            self._sockets.push(f"{prefix}ANC0", listing.code, frames.data(f"{prefix}ANC0", [record]))

    def status(self, listing: Listing, operation: str) -> None:
        """Send the state of a name, and of the market where ``operation`` is one."""
        for prefix, venue in (("H0ST", KRX), ("H0NX", NXT), (BOTH, KRX)):
            record = frames.status(listing, operation, venue)
            self._sockets.push(f"{prefix}MKO0", listing.code, frames.data(f"{prefix}MKO0", [record]))
