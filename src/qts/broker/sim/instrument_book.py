"""The orders of ours in one symbol at the exchange, its depth book, and the size that we already took.

:class:`SimOrder` is the exchange's own record of an order, independent of the runtime's book on purpose: the two
are compared (``three-way-count``).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any, TypeAlias

from qts.broker.sim.bar_times import NO_BAR, LastBar
from qts.broker.sim.session_times import SessionTimes
from qts.broker.sim.unread_depth import UnreadDepth
from qts.clock import NS_PER_MS
from qts.execution.splits import Rescaled
from qts.market.contracts import BookUpdate, Instrument, Quote
from qts.market.depth import PriceLevel
from qts.market.depth_book import DepthBook
from qts.money import ZERO, minus, negated, plus
from qts.strategy.contracts import Side
from qts.strategy.order_terms import TimeInForce

_Seen: TypeAlias = tuple[int, Decimal | None, Decimal | None, Decimal | None, Decimal | None]


class SimOrder:
    """One order at the exchange.

    ``live`` from the first value at or after ``arrival_ns``. ``taking``: it still meets displayed offers as the
    aggressor; afterwards it rests with ``ahead`` shares queued before it (None: not known, only a price beyond
    the limit fills it). ``cancel_ns`` is when a requested cancel takes effect. ``late_reject`` is an injected late
    rejection's reason.

    ``entered_ns`` is when it was placed; the time on its way does not count where bars fill. ``stop``: the trigger
    it still waits for, None without one. ``money``: what a buy may still cost with its fees, None without a cap.
    ``ends_ns``: its end by itself where bars fill, None elsewhere. ``tif``: the time that it works.
    """

    __slots__ = (
        "ahead",
        "arrival_ns",
        "cancel_ns",
        "client_order_id",
        "day",
        "ends_ns",
        "entered_ns",
        "is_buy",
        "late_reject",
        "limit",
        "live",
        "lot",
        "money",
        "qty",
        "rank",
        "remaining",
        "seq",
        "stop",
        "symbol",
        "taking",
        "tif",
    )

    def __init__(
        self,
        seq: int,
        client_order_id: str,
        symbol: str,
        is_buy: bool,
        qty: Decimal,
        limit: Decimal | None,
        arrival_ns: int,
        day: date,
        lot: Decimal,
        *,
        entered_ns: int,
        stop: Decimal | None = None,
        money: Decimal | None = None,
        ends_ns: int | None = None,
        tif: TimeInForce = TimeInForce.DAY,
    ) -> None:
        self.seq = seq
        self.client_order_id = client_order_id
        self.symbol = symbol
        self.is_buy = is_buy
        self.qty = qty
        self.limit = limit
        self.arrival_ns = arrival_ns
        self.day = day
        self.lot = lot
        self.entered_ns = entered_ns
        self.stop = stop
        self.money = money
        self.ends_ns = ends_ns
        self.tif = tif
        self.remaining = qty
        self.live = False
        self.taking = True
        self.ahead: Decimal | None = None
        self.cancel_ns: int | None = None
        self.late_reject = ""
        self.rank = self._rank()

    def rescale(self, new: Rescaled) -> None:
        """Replace quantity and prices by what is left after a split; the order queues again at its new price."""
        self.qty = plus(minus(self.qty, self.remaining), new.left)
        self.remaining, self.limit, self.stop = new.left, new.limit, new.stop
        self.taking, self.ahead = True, None
        self.rank = self._rank()

    def _rank(self) -> tuple[bool, Decimal, int]:
        """Return its place: price first, then time; market orders, the most willing limit, the earlier one."""
        limit = self.limit
        return (limit is not None, ZERO if limit is None else (negated(limit) if self.is_buy else limit), self.seq)

    @property
    def is_immediate(self) -> bool:
        """Return whether it ends with the first chance to trade; one that waits for its trigger does not yet."""
        return self.stop is None and (self.tif is TimeInForce.IOC or self.tif is TimeInForce.FOK)

    def fills_with(self, qty: Decimal) -> Decimal:
        """Return how much of ``qty``, the most that there is for it now, it takes: all or nothing of a FOK."""
        taken = min(self.remaining, qty)
        return ZERO if self.tif is TimeInForce.FOK and taken < self.remaining else taken

    @property
    def side(self) -> Side:
        """Return the side as the runtime names it."""
        return Side.BUY if self.is_buy else Side.SELL

    def export_state(self) -> list[Any]:
        """Return the order as plain data, Decimals as text."""
        return [
            self.seq,
            self.client_order_id,
            self.symbol,
            self.is_buy,
            str(self.qty),
            None if self.limit is None else str(self.limit),
            self.arrival_ns,
            self.day.isoformat(),
            str(self.remaining),
            self.live,
            self.taking,
            None if self.ahead is None else str(self.ahead),
            self.cancel_ns,
            self.late_reject,
            self.entered_ns,
            None if self.stop is None else str(self.stop),
            None if self.money is None else str(self.money),
            self.ends_ns,
            *(() if self.tif is TimeInForce.DAY else (self.tif.value,)),
        ]

    @classmethod
    def from_state(cls, state: list[Any], lot: Decimal) -> SimOrder:
        """Return the order that :meth:`export_state` was called on. ``lot`` is its instrument's."""
        seq, client_order_id, symbol, is_buy, qty, limit, arrival_ns, day, *rest = state
        order = cls(
            seq,
            client_order_id,
            symbol,
            is_buy,
            Decimal(qty),
            _decimal(limit),
            arrival_ns,
            date.fromisoformat(day),
            lot,
            entered_ns=arrival_ns,
        )
        remaining, order.live, order.taking, ahead, order.cancel_ns, order.late_reject, *on_bars = rest
        order.remaining = Decimal(remaining)
        order.ahead = _decimal(ahead)
        if on_bars:  # an earlier version knew none of it
            order.entered_ns, stop, money, order.ends_ns, *tif = on_bars
            order.stop, order.money = _decimal(stop), _decimal(money)
            order.tif = TimeInForce(tif[0]) if tif else TimeInForce.DAY
        return order


class InstrumentBook:
    """Orders and market memory of one symbol. ``orders`` are sorted by price, then time of entry.

    ``last_bar`` is the newest bar, ``bar_before`` the one before it, ``bar_taken`` how much of the newest bar's
    volume orders of ours have taken. The last two are of the moment of a bar and in no checkpoint.
    """

    __slots__ = (
        "_depth",
        "bar_before",
        "bar_taken",
        "instrument",
        "last_bar",
        "last_ts",
        "orders",
        "seen",
        "taken",
        "times",
        "volume",
        "volume_day",
    )

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.times = SessionTimes(instrument.calendar)
        self.orders: list[SimOrder] = []
        self._depth: UnreadDepth | None = None
        self.last_bar = self.bar_before = NO_BAR
        self.bar_taken = ZERO
        self.last_ts = 0
        self.seen: _Seen = (-1, None, None, None, None)
        self.taken = {True: ZERO, False: ZERO}  # from the touch of ``seen``: asks by buyers, bids by sellers
        self.volume: Decimal | None = None
        self.volume_day = date.min

    def add(self, order: SimOrder) -> None:
        """Insert an order at its rank."""
        insort(self.orders, order, key=_rank)

    def rescale(self, orders: Iterable[tuple[SimOrder, Rescaled]]) -> None:
        """Let orders become what is left of them after a split, and forget what the market showed before it."""
        for order, new in orders:
            order.rescale(new)
        self.orders.sort(key=_rank)
        self.seen = (-1, None, None, None, None)
        self.taken = {True: ZERO, False: ZERO}
        if self._depth is not None:
            self._depth.forget(BookUpdate(self.instrument.symbol, self.last_ts, (), (), after_gap=True))

    def book_update(self, update: BookUpdate, levels: int) -> None:
        """Apply a depth update; the first one makes the depth book, of ``levels`` per side."""
        if self._depth is None:
            self._depth = UnreadDepth(levels)
        self._depth.add(update)

    @property
    def has_depth(self) -> bool:
        """Return whether the market has shown its depth."""
        return self._depth is not None

    @property
    def depth(self) -> DepthBook | None:
        """Return the depth book after all updates; None without one."""
        return None if self._depth is None else self._depth.book

    def see(self, quote: Quote) -> None:
        """Offer the touch of ``quote`` whole again if it is a new statement; a repeated one changes nothing."""
        seen = (quote.ts_ns, quote.bid, quote.bid_size, quote.ask, quote.ask_size)
        if seen != self.seen:
            self.seen = seen
            self.taken = {True: ZERO, False: ZERO}

    def fresh_depth(self, ts_ns: int, max_age_ms: int) -> DepthBook | None:
        """Return the depth book; None without one, or when it is broken or older than ``max_age_ms``."""
        depth = self.depth
        if depth is None or depth.broken:
            return None
        return depth if ts_ns - depth.ts_ns <= max_age_ms * NS_PER_MS else None

    def touch(self, is_buy: bool, quote: Quote | None, depth: DepthBook | None) -> Decimal | None:
        """Return the best price shown to a buyer (or a seller); None when nothing is shown."""
        if quote is None:
            return None if depth is None else depth.best(is_buy)
        price = quote.ask if is_buy else quote.bid
        return price if price is not None and price > 0 else None

    def offers(self, is_buy: bool, quote: Quote | None, depth: DepthBook | None) -> Iterator[PriceLevel]:
        """Yield what can be taken now, best first: the quote's touch, then deeper levels of a fresh depth book.

        A touch without a size stands for one lot, the least that can be shown. Without a quote only the depth book
        counts.
        """
        if quote is None:
            if depth is not None:
                yield from depth.offers(is_buy)
            return
        price = self.touch(is_buy, quote, depth)
        if price is None:
            return
        yield price, self.offered(is_buy, quote)
        if depth is not None:
            for level in depth.offers(is_buy):
                if level[0] > price if is_buy else level[0] < price:
                    yield level

    def offered(self, is_buy: bool, quote: Quote) -> Decimal:
        """Return what is left of the size at the quote's touch."""
        size = quote.ask_size if is_buy else quote.bid_size
        return minus(self.instrument.lot if size is None else size, self.taken[is_buy])

    def took(self, is_buy: bool, price: Decimal, qty: Decimal, quote: Quote | None) -> None:
        """Remember what we consumed, so that it is not offered again before the market shows it again."""
        if quote is not None and price == (quote.ask if is_buy else quote.bid):
            self.taken[is_buy] = plus(self.taken[is_buy], qty)
        if self._depth is not None:
            self._depth.take(is_buy, price, qty)

    def displayed(
        self, is_buy: bool, price: Decimal, quote: Quote | None, depth: DepthBook | None
    ) -> Decimal | None:
        """Return the size on an order's own side at ``price``; zero inside the spread, None when unknown."""
        if quote is None:
            return None if depth is None else depth.displayed(is_buy, price)
        touch, size = (quote.bid, quote.bid_size) if is_buy else (quote.ask, quote.ask_size)
        if touch is None:
            return None
        if price == touch:
            return size
        if price > touch if is_buy else price < touch:
            return ZERO
        return None if depth is None else depth.displayed(is_buy, price)

    def rise(self, volume: Decimal, day: date) -> Decimal:
        """Return the growth of the cumulative volume since the last row; on a day's first row all of it."""
        before = self.volume if self.volume is not None and self.volume_day == day else ZERO
        self.volume_day = day
        self.volume = max(volume, before)  # a correction downward must not be counted as growth later
        return minus(self.volume, before)

    def export_state(self) -> list[Any]:
        """Return everything but the orders as plain data."""
        ts, *prices = self.seen
        return [
            self.instrument.symbol,
            self.last_ts,
            ts,
            [None if price is None else str(price) for price in prices],
            str(self.taken[True]),
            str(self.taken[False]),
            None if self.volume is None else str(self.volume),
            self.volume_day.isoformat(),
            None if self._depth is None else self._depth.export_state(),
            list(self.last_bar),
        ]

    def import_state(self, state: list[Any], levels: int) -> None:
        """Restore what :meth:`export_state` returned."""
        _, self.last_ts, ts, prices, bought, sold, volume, volume_day, depth, *last_bar = state
        if last_bar:  # an earlier version kept none
            self.last_bar = LastBar(*last_bar[0])
        bid, bid_size, ask, ask_size = (_decimal(price) for price in prices)
        self.seen = (ts, bid, bid_size, ask, ask_size)
        self.taken = {True: Decimal(bought), False: Decimal(sold)}
        self.volume = _decimal(volume)
        self.volume_day = date.fromisoformat(volume_day)
        if depth is not None:
            self._depth = UnreadDepth(levels)
            self._depth.import_state(depth)


def _rank(order: SimOrder) -> tuple[bool, Decimal, int]:
    return order.rank


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
