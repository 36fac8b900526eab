"""Decodes the data frames of the KIS websocket into market values.

A frame is ``0|ID|NNN|field^field^…``: the id of what was subscribed to, the number of records, and their fields one
after the other, with nothing between two records. How many fields a record has follows from the two numbers, and
decides how it is read (:mod:`qts.broker.kis.layouts`).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from decimal import Decimal
from typing import Any, Final

from qts.broker.kis import layouts as at
from qts.broker.kis.layouts import ASK, ASK_SIZE, DAY, LAYOUTS, MARKET_CLASS, SIZE, TAKER, Kind, Layout
from qts.broker.kis.levels import BookText, Levels, plain_book
from qts.broker.kis.moments import Moments
from qts.broker.kis.records import MarketStatus, base_price_of, records_fit
from qts.market.contracts import BookUpdate, MarketValue, Quote, Tick
from qts.market.files.numbers import PriceTable, SizeTable, number_of
from qts.market.files.refusals import (
    CROSSED_BOOK,
    DUPLICATE,
    LATE,
    MALFORMED,
    NEGATIVE_SIZE,
    OVERLONG,
    TIME_BACKWARDS,
    UNKNOWN_STREAM,
    UNKNOWN_SYMBOL,
    RowRefused,
)

MOST_CHARACTERS: Final = 65_536
"""Characters of a frame; the longest that was seen, with 20 trades, has a tenth of it."""
MOST_RECORDS: Final = 999
_SHORT: Final = 15
_TRADES, _BOOKS = Kind.TRADES, Kind.BOOK
_NOTHING: Final = frozenset({"", "0"})
"""The texts by which an empty side of the book is shown."""
_BUYER_IS_MAKER: Final = {"1": False, "5": True}


class _Newest:
    """The newest trade of a symbol, by which repeated and older ones are recognised."""

    __slots__ = ("base", "day", "market_class", "price", "time", "volume")

    def __init__(self) -> None:
        self.day = self.time = self.market_class = ""
        self.volume: Decimal | None = None
        self.price: Decimal | None = None
        self.base: Decimal | None = None


class FrameDecoder:
    """A decoder of data frames for the symbols of one feed. For one thread; nothing it does raises or waits.

    ``symbols`` are those that may appear; what names another is refused. Values that are older than ``late_ns`` by
    the exchange's own clock when they arrive are refused, so that no old price looks new; 0: none is. ``tell`` is
    called with one sentence when a frame has another number of fields than any that is known, once for each number.
    ``on_status`` is called with what the exchange says of a symbol's trading, ``on_class`` with a symbol, the class
    of the market at its trade and when that was received, where it is another than at the trade before.
    """

    def __init__(
        self,
        symbols: Container[str],
        *,
        late_ns: int,
        tell: Callable[[str], object],
        on_status: Callable[[MarketStatus], object] = lambda status: None,
        on_class: Callable[[str, str, int], object] = lambda symbol, code, ts_ns: None,
    ) -> None:
        self.refused: dict[str, int] = {}
        """How many frames, or records of one, could not be used, by reason."""
        self.unknown_widths: dict[str, int] = {}
        """How many frames had a number of fields that is not known, by the id of the frame and that number."""
        self.newest_lag_ns = 0
        """How long after the exchange's time, which has whole seconds, the newest frame arrived, in ns."""
        self._symbols = symbols
        self._late_ns = late_ns
        self._tell = tell
        self._on_status = on_status
        self._on_class = on_class
        self._prices = PriceTable()
        self._sizes = SizeTable()
        self._moments = Moments()
        self._newest: dict[str, _Newest] = {}

    def base_price(self, symbol: str) -> Decimal | None:
        """Return the price from which the exchange counts the day's change of ``symbol``; None while unknown."""
        newest = self._newest.get(symbol)
        return None if newest is None else newest.base

    def decode(self, text: str, ts_ns: int) -> list[MarketValue]:
        """Return the values in a frame that was received at ``ts_ns``; what cannot be used is counted.

        A frame of trades gives a ``Tick`` for each, and a ``Quote`` with the sides behind the last; one of the book
        a ``BookUpdate`` of all its levels and a ``Quote``; one of the market's status gives none.
        """
        values: list[MarketValue] = []
        try:
            if len(text) > MOST_CHARACTERS:
                raise RowRefused(OVERLONG)
            try:
                _, name, count_text, body = text.split("|", 3)
            except ValueError:
                raise RowRefused(MALFORMED, text[:40]) from None
            layout = LAYOUTS.get(name)
            if layout is None:
                raise RowRefused(UNKNOWN_STREAM, name)
            kind, count = layout.kind, 1 if count_text == "001" else _count(count_text)
            if kind is _BOOKS and count == 1 and body.count("^") + 1 in layout.known:
                plain = plain_book(body)
                if plain is not None:
                    source = BookText(body, self._prices, self._sizes)
                    self._add_book(plain.groups(), source, ts_ns, values)
                    return values
            fields = body.split("^")
            width = len(fields)
            if count > 1:
                width, rest = divmod(width, count)
                if rest:
                    raise RowRefused(MALFORMED, f"{len(fields)} fields in {count} records")
            if width not in layout.known:
                self._on_unknown_width(name, layout, width, fields)
            if kind is _TRADES:
                if count == 1:
                    self._sides_of_trade(fields, 0, self._trade(fields, 0, ts_ns, values), ts_ns, values)
                else:
                    self._trades(fields, width, ts_ns, values)
            elif kind is _BOOKS:
                for start in range(0, len(fields), width):
                    try:
                        self._book(fields[start : start + width], ts_ns, values)
                    except RowRefused as refused:
                        self.refuse(refused.reason)
            else:
                for start in range(0, len(fields), width):
                    self._on_status(self._status(fields[start : start + width], ts_ns))
        except RowRefused as refused:
            self.refuse(refused.reason)
        return values

    def forget_classes(self) -> None:
        """Pass on the class of the market again at the next trade of each symbol."""
        for newest in self._newest.values():
            newest.market_class = ""

    def refuse(self, reason: str) -> None:
        """Count a frame, or a record of one, that could not be used."""
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def _trades(self, fields: list[str], width: int, ts_ns: int, values: list[MarketValue]) -> None:
        """Add what a frame of trades shows. One record that cannot be used leaves the others."""
        last: _Newest | None = None
        last_start = 0
        for start in range(0, len(fields), width):
            try:
                newest = self._trade(fields, start, ts_ns, values)
            except RowRefused as refused:
                self.refuse(refused.reason)
                continue
            if last is not None and last is not newest:
                self._sides_of_trade(fields, last_start, last, ts_ns, values)
            last, last_start = newest, start
        if last is not None:
            self._sides_of_trade(fields, last_start, last, ts_ns, values)

    def _trade(self, fields: list[str], start: int, ts_ns: int, values: list[MarketValue]) -> _Newest:
        """Add one trade, and return what is newest of its symbol now. Raises RowRefused, also for an older one."""
        symbol, time, price_text, sign, change = fields[start : start + 5]
        size_text, text = fields[start + SIZE : start + SIZE + 2]
        day = fields[start + DAY]
        newest = self._newest.get(symbol) or self._first_of(symbol)
        moments = self._moments
        moment_ns = moments.newest_ns if time == moments.time and day == moments.day else moments.ns(day, time)
        self.newest_lag_ns = ts_ns - moment_ns
        if self._late_ns and ts_ns - moment_ns > self._late_ns:
            raise RowRefused(LATE, time)
        volume = Decimal(text) if len(text) < _SHORT and text.isascii() and text.isdigit() else _size(text)
        if day == newest.day:
            if newest.volume is not None and volume <= newest.volume and time <= newest.time:
                raise RowRefused(DUPLICATE if volume == newest.volume and time == newest.time else TIME_BACKWARDS)
        elif day < newest.day:
            raise RowRefused(TIME_BACKWARDS, day)
        price, size = self._prices[price_text], self._sizes[size_text]
        if day != newest.day:
            newest.day, newest.base = day, base_price_of(price, sign, change)
        newest.time, newest.price, newest.volume = time, price, volume
        if fields[start + MARKET_CLASS] != newest.market_class:
            newest.market_class = fields[start + MARKET_CLASS]
            self._on_class(symbol, newest.market_class, ts_ns)
        if size:
            values.append(Tick(symbol, ts_ns, price, size, _BUYER_IS_MAKER.get(fields[start + TAKER])))
        return newest

    def _sides_of_trade(
        self, fields: list[str], start: int, newest: _Newest, ts_ns: int, values: list[MarketValue]
    ) -> None:
        """Add the best prices behind the last trade of a frame."""
        ask_text, bid_text = fields[start + ASK : start + ASK + 2]
        ask_size_text, bid_size_text = fields[start + ASK_SIZE : start + ASK_SIZE + 2]
        ask = ask_size = bid = bid_size = None
        if ask_text not in _NOTHING:
            ask = self._prices[ask_text]
            ask_size = self._sizes[ask_size_text] if ask_size_text else None
        if bid_text not in _NOTHING:
            bid = self._prices[bid_text]
            bid_size = self._sizes[bid_size_text] if bid_size_text else None
        symbol = fields[start]
        values.append(Quote(symbol, ts_ns, bid, ask, bid_size, ask_size, newest.price, None, newest.volume))

    def _book(self, fields: Sequence[str], ts_ns: int, values: list[MarketValue]) -> None:
        """Add a book that looks unusual, or comes with others; all of its levels are judged at once."""
        source = BookText("^".join(fields), self._prices, self._sizes)
        Levels(source, is_ask=False).read()
        Levels(source, is_ask=True).read()
        places = (0, at.BOOK_TIME, at.ASKS, at.BIDS, at.ASK_SIZES, at.BID_SIZES)
        self._add_book([fields[place] for place in places], source, ts_ns, values)

    def _add_book(
        self, record: Sequence[str | Any], source: BookText, ts_ns: int, values: list[MarketValue]
    ) -> None:
        """Add the levels and the best prices of a book; ``record`` is what :data:`plain_book` finds of it."""
        symbol, time, ask_text, bid_text, ask_size_text, bid_size_text = record
        newest = self._newest.get(symbol) or self._first_of(symbol)
        lag_ns = self.newest_lag_ns = ts_ns - self._moments.today_ns(time, ts_ns)
        if self._late_ns and lag_ns > self._late_ns:
            raise RowRefused(LATE, time)
        ask = ask_size = bid = bid_size = None
        if ask_text not in _NOTHING:
            ask = self._prices[ask_text]
            ask_size = self._sizes[ask_size_text] if ask_size_text else None
        if bid_text not in _NOTHING:
            bid = self._prices[bid_text]
            bid_size = self._sizes[bid_size_text] if bid_size_text else None
            if ask is not None and bid > ask:
                raise RowRefused(CROSSED_BOOK, f"{bid_text} > {ask_text}")
        values.append(
            BookUpdate(symbol, ts_ns, Levels(source, is_ask=False), Levels(source, is_ask=True), snapshot=True)
        )
        values.append(Quote(symbol, ts_ns, bid, ask, bid_size, ask_size, newest.price, None, newest.volume))

    def _status(self, fields: Sequence[str], ts_ns: int) -> MarketStatus:
        """Return what a record of the market's status says."""
        if fields[0] not in self._symbols:
            raise RowRefused(UNKNOWN_SYMBOL, fields[0])
        if fields[at.STATUS_PHASE] and (newest := self._newest.get(fields[0])) is not None:
            newest.market_class = ""  # what its next trade says holds again
        return MarketStatus(
            fields[0],
            ts_ns,
            {"Y": True, "N": False}.get(fields[at.STATUS_HALTED]),
            fields[at.STATUS_REASON],
            fields[at.STATUS_PHASE],
            fields[at.STATUS_STOCK],
            fields[at.STATUS_VI],
        )

    def _first_of(self, symbol: str) -> _Newest:
        if symbol not in self._symbols:
            raise RowRefused(UNKNOWN_SYMBOL, symbol)
        newest = self._newest[symbol] = _Newest()
        return newest

    def _on_unknown_width(self, name: str, layout: Layout, width: int, fields: Sequence[str]) -> None:
        """Report a number of fields that is not known. Raises RowRefused unless the known fields fit."""
        key = f"{name} {width}"
        count = self.unknown_widths.get(key, 0)
        fits = width >= layout.least and records_fit(layout.kind, fields, width, self._symbols)
        if not count and len(self.unknown_widths) < MOST_RECORDS:
            what = "the fields that are known fit each other and are used" if fits else "it is not used"
            known = ", ".join(map(str, sorted(layout.known)))
            self._tell(f"a frame {name} has {width} fields in a record (known: {known}); {what}")
        if count or len(self.unknown_widths) < MOST_RECORDS:
            self.unknown_widths[key] = count + 1
        if not fits:
            raise RowRefused(MALFORMED, key)


def _count(text: str) -> int:
    """Return the number of records. Raises RowRefused for what is none."""
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and (count := int(text))):
        raise RowRefused(MALFORMED, text)
    return count


def _size(text: str) -> Decimal:
    """Return a size of 0 or above. Raises RowRefused."""
    number = number_of(text)
    if number.is_signed():
        raise RowRefused(NEGATIVE_SIZE, text)
    return number
