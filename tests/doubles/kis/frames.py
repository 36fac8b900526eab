"""Data frames of the websocket: the fields of each kind in their order, packed records, widths."""

from __future__ import annotations

from collections.abc import Sequence

from tests.doubles.kis.clock import DoubleClock
from tests.doubles.kis.market import BUY, LEVELS, NXT, SELL, Listing, Print

UP_LIMIT, UP, FLAT, DOWN_LIMIT, DOWN = "1", "2", "3", "4", "5"
MOST_PACKED = 20


def data(tr_id: str, records: Sequence[Sequence[str]], *, encrypted: str = "") -> str:
    """Return a frame of plain records, or of one text that is encrypted already."""
    if encrypted:
        return f"1|{tr_id}|{len(records):03}|{encrypted}"
    return f"0|{tr_id}|{len(records):03}|" + "^".join("^".join(record) for record in records)


def sign_of(listing: Listing, price: int) -> str:
    """Return the sign of a price against the base, with those of the limits."""
    low, high = listing.band
    if price == high:
        return UP_LIMIT
    if price == low:
        return DOWN_LIMIT
    return UP if price > listing.base else DOWN if price < listing.base else FLAT


def session_code(hms: str) -> tuple[str, str]:
    """Return NEW_MKOP_CLS_CODE and MARKET_CLS_CODE at a time (HHMMSS)."""
    if hms < "090000":
        return "10", "1"
    if hms < "153000":
        return "20", "2"
    return "30", "3"


def trade(listing: Listing, venue: str, printed: Print, clock: DoubleClock) -> list[str]:
    """Return the 47 fields of one trade; the class of the market at the end came in September 2026."""
    quotes = listing.at(venue)
    price, base = printed.price, listing.base
    new_code, market_code = session_code(printed.time)
    sells, buys = quotes.volumes[SELL], quotes.volumes[BUY]
    return [
        listing.code,
        printed.time,
        str(price),
        sign_of(listing, price),
        str(price - base),
        f"{(price - base) * 100 / base:.2f}",
        f"{quotes.amount / max(1, quotes.volume):.2f}",
        str(quotes.open),
        str(quotes.high),
        str(quotes.low),
        str(quotes.asks[0][0] if quotes.asks else 0),
        str(quotes.bids[0][0] if quotes.bids else 0),
        str(printed.qty),
        str(printed.volume),
        str(quotes.amount),
        str(quotes.counts[SELL]),
        str(quotes.counts[BUY]),
        str(quotes.counts[BUY] - quotes.counts[SELL]),
        f"{buys * 100 / sells:.2f}" if sells else "0.00",
        str(sells),
        str(buys),
        printed.side,
        f"{buys / max(1, quotes.volume):.2f}",
        "50.00",
        *(
            field
            for time, other in (
                (quotes.open_time, quotes.open),
                (quotes.high_time, quotes.high),
                (quotes.low_time, quotes.low),
            )
            for field in (time, UP if price > other else DOWN if price < other else FLAT, str(price - other))
        ),
        clock.day,
        new_code,
        "Y" if listing.halted else "N",
        str(quotes.asks[0][1] if quotes.asks else 0),
        str(quotes.bids[0][1] if quotes.bids else 0),
        str(sum(qty for _, qty in quotes.asks)),
        str(sum(qty for _, qty in quotes.bids)),
        "0.15",
        str(quotes.volume // 2),
        "180.61",
        "0",
        "",
        str(quotes.open or base),
        market_code,
    ]


def book(listing: Listing, venue: str, clock: DoubleClock, width: int) -> list[str]:
    """Return the fields of a book of ten levels of the exchange: 59, 62 with the midpoint, 63 with the class."""
    common = _levels(listing, venue, clock)
    return [*common, *_middle(listing, venue), session_code(clock.hms)[1]][:width]


def wide_book(listing: Listing, venue: str, clock: DoubleClock) -> list[str]:
    """Return the 65 fields of a book of the other venue or of both: with the midpoints of each."""
    return [*_levels(listing, venue, clock), *_middle(listing, "KRX"), *_middle(listing, NXT)]


def _middle(listing: Listing, venue: str) -> list[str]:
    quotes = listing.at(venue)
    middle = (quotes.asks[0][0] + quotes.bids[0][0]) // 2 if quotes.asks and quotes.bids else 0
    return [str(middle), "0", "0"]


def _levels(listing: Listing, venue: str, clock: DoubleClock) -> list[str]:
    quotes = listing.at(venue)
    asks = [*quotes.asks[:LEVELS], *[(0, 0)] * (LEVELS - len(quotes.asks))]
    bids = [*quotes.bids[:LEVELS], *[(0, 0)] * (LEVELS - len(quotes.bids))]
    expected, expected_qty = quotes.expected
    gap = expected - listing.base
    return [
        listing.code,
        clock.hms,
        "0",
        *(str(price) for price, _ in asks),
        *(str(price) for price, _ in bids),
        *(str(qty) for _, qty in asks),
        *(str(qty) for _, qty in bids),
        str(sum(qty for _, qty in asks)),
        str(sum(qty for _, qty in bids)),
        "0",
        "0",
        str(expected),
        str(expected_qty),
        str(expected_qty),
        str(gap),
        sign_of(listing, expected),
        f"{gap * 100 / listing.base:.2f}",
        str(quotes.volume),
        *["0"] * 5,
    ]


def expected_match(listing: Listing, venue: str, clock: DoubleClock) -> list[str]:
    """Return the 45 fields of what an auction would give."""
    price, qty = listing.at(venue).expected
    shown = Print(clock.hms, price, qty, "3", listing.at(venue).volume)
    return trade(listing, venue, shown, clock)[:45]


def status(listing: Listing, operation: str, venue: str) -> list[str]:
    """Return the 11 fields of the state of a name; ``operation``: that of the market, or empty."""
    return [
        listing.code,
        "Y" if listing.halted else "N",
        listing.halt_reason,
        operation,
        "",
        "",
        "",
        "58" if listing.halted else listing.status,
        listing.vi,
        "N",
        "2" if venue == NXT else "1",
    ]
