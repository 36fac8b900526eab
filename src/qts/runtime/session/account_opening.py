"""Adopts an account at a broker at the first start on it: what is there beside our capital becomes EXTERNAL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from qts.broker.contracts import BrokerOrder, BrokerPosition, BrokerQueries, MarketDriven
from qts.errors import BrokerUnavailable, InputError
from qts.execution.contracts import Fill
from qts.ledger.bookings import BookingNote
from qts.ledger.contracts import BookingRow
from qts.money import floor_to, is_bounded, is_multiple, multiple_of, times
from qts.runtime.orders.broker_books import BrokerBooks, orderable_cash, read_books, settled_cash
from qts.runtime.session_events import Log
from qts.runtime.shared_components import SharedComponents

REFERENCE: Final = "opening"


class AccountOpening:
    """The opening of a session's books from those of its broker. For the session's thread, before its first value.

    ``listed`` as in :func:`~qts.runtime.orders.broker_books.read_books`. ``on_orders`` is
    called with the orders of the day there, ``on_booking`` with every row that is booked.
    """

    def __init__(
        self,
        shared: SharedComponents,
        broker: BrokerQueries,
        venue: MarketDriven,
        *,
        listed: Callable[[Fill], Fill],
        on_orders: Callable[[Sequence[BrokerOrder]], None],
        on_booking: Callable[[BookingRow], None],
        log: Log,
    ) -> None:
        self._shared = shared
        self._broker = broker
        self._venue = venue
        self._listed = listed
        self._on_orders = on_orders
        self._on_booking = on_booking
        self._log = log

    async def adopt(self) -> None:
        """Book the broker's settled cash beside the pools' and its holdings as EXTERNAL, with the next checkpoint.

        Called once in a session that has no checkpoint yet, before anything else is booked: a process that is
        killed before that checkpoint has booked nothing, and the next one asks again. A simulated venue has
        nothing of others. Raises BrokerUnavailable when the broker does not answer or does not know one of the
        amounts, InputError when the pools are allotted more than it has, or part of a quantum.
        """
        if self._venue.is_simulated:
            return
        p, name = self._shared, self._broker.name
        try:
            books = await read_books(self._broker, self._listed)
            cash = settled_cash(self._broker, books.balance, p.config.runtime.currency)
            orderable = await orderable_cash(self._broker, p.config.runtime.currency)
            holdings = {symbol: (held.qty, self._cost(symbol, held)) for symbol, held in books.positions.items()}
        except BrokerUnavailable as error:
            raise BrokerUnavailable(f"{error}: the session does not begin") from None
        most = min(cash, orderable)
        if p.account.opening > most:
            raise InputError(
                f"runtime.equity_start: {p.account.opening:f} are allotted to the session; broker {name} has "
                f"{cash:f} of settled cash, of which {orderable:f} can be ordered with; allowed: at most {most:f}"
            )
        if not is_multiple(p.account.opening, p.account.quantum):
            raise InputError(
                f"runtime.equity_start: {p.account.opening:f}; allowed at broker {name}: whole units of "
                f"{p.account.quantum:f}"
            )
        note = BookingNote(REFERENCE, p.clock.time_ns(), "rule", f"what {name} had at the first start")
        whole = floor_to(cash, p.account.quantum)
        for effect in p.account.adopt(whole, holdings, note, books.fills):
            p.record.write_later(effect.booking)
            self._on_booking(effect.booking)
        self._on_orders(books.orders)
        self._tell(books, holdings)

    def _cost(self, symbol: str, held: BrokerPosition) -> Decimal:
        """Return what is held at the average price, in whole quanta."""
        price = held.average_price
        if not is_bounded(held.qty):
            raise BrokerUnavailable(f"broker {self._broker.name} says that it holds {held.qty} {symbol}")
        if price is None or not (is_bounded(price) and price >= 0):
            said = "does not say what" if price is None else f"says {price} for what"
            raise BrokerUnavailable(f"broker {self._broker.name} {said} its {held.qty:f} {symbol} have cost each")
        return multiple_of(times(held.qty, price), self._shared.account.quantum, ROUND_HALF_EVEN)

    def _tell(self, books: BrokerBooks, holdings: Mapping[str, tuple[Decimal, Decimal]]) -> None:
        account, name = self._shared.account, self._broker.name
        held = ", ".join(f"{qty:f} {symbol} for {cost:f}" for symbol, (qty, cost) in holdings.items())
        text = f"cash {account.external.cash:f}; held: {held or 'nothing'}"
        self._log("INFO", f"{account.opening:f} of the cash at {name} are ours; EXTERNAL, which is not: {text}")
        for order in books.orders:
            if order.is_open:
                what = f"{order.side.value} {order.remaining:f} {order.symbol}"
                self._log("WARNING", f"order {order.ref.number} at {name} is not ours: {what}")
