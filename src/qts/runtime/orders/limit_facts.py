"""Reads for the limits of orders what they have to know of the session."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Final

from qts.broker.gateway.limits.contracts import VOLUME_DAYS
from qts.broker.gateway.limits.volumes import average_volume
from qts.clock import from_ns
from qts.execution.contracts import Order
from qts.market.contracts import Bar, Phase
from qts.market.session_info import SessionInfo, TradingStatus
from qts.money import plus, sum_of, times
from qts.runtime.shared_components import SharedComponents
from qts.strategy.contracts import Side

_AUCTIONS: Final = frozenset({Phase.ORDER_ENTRY, Phase.CLOSING_AUCTION})
_CONTINUOUS: Final = frozenset({TradingStatus.NORMAL, None})


class SessionFacts:
    """Reads of the session's memory for :class:`~qts.broker.gateway.limits.contracts.LimitFacts`.

    ``daily_bars`` returns the last finished daily bars of a symbol, at most so many, with volumes as they are
    traded today; fewer or none where they are not known.
    """

    def __init__(
        self,
        shared: SharedComponents,
        daily_bars: Callable[[str, int], Sequence[Bar]],
        *,
        is_simulated: bool,
    ) -> None:
        self.is_simulated: Final = is_simulated
        self.tells_session_info: Final = shared.session_infos.is_told
        """Whether the feed declares session info."""
        self._shared = shared
        self._infos = shared.session_infos
        self._last = shared.last
        self._daily_bars = daily_bars

    @property
    def currency(self) -> str:
        """Return the currency of the account."""
        return self._shared.config.runtime.currency

    def session_info(self, symbol: str) -> SessionInfo | None:
        """Return what the broker says of ``symbol`` today."""
        return self._infos.of(symbol, self._day(symbol)) if self._infos.are_known else None

    def price(self, symbol: str) -> Decimal | None:
        """Return the last trade, else the middle of the sides, else the base price."""
        last = self._last
        price = last.last_trade(symbol)
        if price is None and (quote := last.quotes.get(symbol)) is not None:
            price = quote.mid
        return self._base(symbol) if price is None else price

    def price_met(self, symbol: str, side: Side) -> Decimal | None:
        """Return the best price of the other side; without a book the last one, on an empty side the band's."""
        quote = self._last.quotes.get(symbol)
        if quote is None or (quote.bid is None and quote.ask is None):
            return self.price(symbol)
        best = quote.ask if side is Side.BUY else quote.bid
        return self._worst_of_day(symbol, side) if best is None else best

    def average_volume(self, symbol: str) -> Decimal | None:
        """Return the average volume of the bars that strategies have, else the one that is told today."""
        bars = self._daily_bars(symbol, VOLUME_DAYS)
        average = average_volume(bars, self._shared.clock.time_ns()) if bars else None
        if average is None and (info := self.session_info(symbol)) is not None:
            return info.average_volume
        return average

    def open_notional(self, besides: str) -> Decimal | None:
        """Return the value of all holdings and open entries but the order ``besides``."""
        p = self._shared
        value = p.worth.exposure()
        entries = [one for one in p.orders if one.side is Side.BUY and one.client_order_id != besides]
        if entries:
            value = plus(value, sum_of(times(one.remaining, one.limit or one.decision_price) for one in entries))
        return value if value.is_finite() else None

    def open_orders(self, symbol: str) -> Iterable[Order]:
        """Return the open orders of all strategies in ``symbol``."""
        return [order for order in self._shared.orders if order.symbol == symbol]

    def is_auction(self, symbol: str) -> bool:
        """Return whether orders in ``symbol`` wait for a call auction."""
        instrument, info = self._shared.feed.instruments.get(symbol), self.session_info(symbol)
        if info is not None and info.status not in _CONTINUOUS:
            return True
        return instrument is not None and instrument.calendar.phase(self._shared.clock.now()) in _AUCTIONS

    def _day(self, symbol: str) -> date:
        instrument = self._shared.feed.instruments.get(symbol)
        calendar = self._shared.calendar if instrument is None else instrument.calendar
        return calendar.local_date(from_ns(self._shared.clock.time_ns()))

    def _base(self, symbol: str) -> Decimal | None:
        info = self.session_info(symbol)
        if info is not None and info.base_price is not None:
            return info.base_price
        return self._shared.base_prices.get(symbol)

    def _worst_of_day(self, symbol: str, side: Side) -> Decimal | None:
        """Return the worst price of the day's band for an order of ``side``; None where it has or tells none."""
        info, instrument, base = self.session_info(symbol), self._shared.feed.instruments.get(symbol), None
        told = None if info is None else info.high if side is Side.BUY else info.low
        if told is not None or instrument is None or (base := self._base(symbol)) is None:
            return told
        band = instrument.ticks.band(base, self._day(symbol))
        return None if band is None else band[side is Side.BUY]
