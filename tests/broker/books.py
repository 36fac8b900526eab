"""What a broker of the tests has written down: it outlives its line, its answers and the session.

Keyed by the id that we gave an order, which a broker need not tell. No answers, no notices and no faults: those are
of :mod:`tests.broker.scripted`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import msgspec
from msgspec.structs import replace

from qts.broker.contracts import BrokerOrder, BrokerOrderState
from qts.execution.contracts import Fill, VenueRef
from qts.money import ZERO, minus, plus, ratio, times
from qts.risk.contracts import OrderRequest
from qts.strategy.contracts import Side

DAY = date(2026, 1, 22)


class Books(msgspec.Struct):
    """Orders, executions, holdings and money of one account at the broker ``name``.

    ``paid``: average price by symbol of what is held; a symbol that is missing has none that the broker says.
    ``cash``: money with all trades settled, None where the broker does not say. ``busts``: the numbers of
    executions that were taken back. ``since``: when an order or an execution was written down, for brokers that
    show it later. ``numbers``: of ``day``, which starts them again.
    """

    name: str
    day: date = DAY
    orders: dict[str, BrokerOrder] = {}
    fills: list[Fill] = []
    held: dict[str, Decimal] = {}
    paid: dict[str, Decimal | None] = {}
    cash: Decimal | None = Decimal(100_000_000)
    busts: list[str] = []
    since: dict[str, int] = {}
    numbers: int = 0
    executions: int = 0

    def number(self, venue: str) -> VenueRef:
        """Give the next number of the day; each order, replacement and cancel gets one of its own."""
        self.numbers += 1
        return VenueRef(self.day, f"{self.name}-o{self.numbers}", venue)

    def begin_day(self, day: date) -> None:
        """Start the numbers of orders and executions again: those of another day are others."""
        self.day, self.numbers, self.executions = day, 0, 0
        self.orders = {key: order for key, order in self.orders.items() if order.is_open}

    def enter(self, request: OrderRequest, venue: str, *, now_ns: int = 0) -> BrokerOrder:
        """Write an order down."""
        key = request.client_order_id
        self.orders[key] = BrokerOrder(
            key,
            self.number(venue),
            request.symbol,
            request.side,
            request.qty,
            ZERO,
            BrokerOrderState.OPEN,
            limit=request.limit,
            amount=ZERO,
            ts_ns=request.ts_ns,
        )
        self.since[key] = now_ns or request.ts_ns
        return self.orders[key]

    def fill(
        self,
        key: str,
        qty: Decimal,
        price: Decimal,
        ts_ns: int,
        *,
        fee: Decimal = ZERO,
        tax: Decimal = ZERO,
        number: str = "",
    ) -> Fill:
        """Execute ``qty`` of an order, also more than is left of it, or after its end."""
        order = self.orders[key]
        filled = plus(order.filled, qty)
        last = filled >= order.qty
        self.orders[key] = replace(
            order,
            filled=filled,
            state=BrokerOrderState.FILLED if last else order.state,
            amount=plus(order.amount or ZERO, times(qty, price)),
        )
        self.executions += 1
        number = number or f"{self.name}-{self.executions}"
        fill = Fill(
            self.name, number, key, order.symbol, order.side, qty, price, fee, tax, ts_ns, last, ref=order.ref
        )
        self.since[f"{key} {number}"] = ts_ns
        self.book(fill)
        return fill

    def book(self, fill: Fill) -> None:
        """Write an execution down."""
        self.fills.append(fill)
        self._hold(fill, 1)

    def take_back(self, fill: Fill) -> None:
        """Take an execution back (a bust)."""
        self.busts.append(fill.execution_id)
        self._hold(fill, -1)

    def end(self, key: str, state: BrokerOrderState) -> None:
        """Let what is left of an order end as ``state``."""
        self.orders[key] = replace(self.orders[key], state=state)

    def renumber(self, key: str, qty: Decimal | None = None, limit: Decimal | None = None) -> VenueRef:
        """Give an open order the number of its newest message; its earlier ones stay known."""
        order = self.orders[key]
        ref = self.number(order.ref.venue)
        self.orders[key] = replace(
            order,
            ref=ref,
            earlier=(*order.earlier, order.ref),
            qty=order.qty if qty is None else qty,
            limit=order.limit if limit is None else limit,
        )
        return ref

    def valid_fills(self) -> Sequence[Fill]:
        """Return what was executed and not taken back."""
        return [fill for fill in self.fills if fill.execution_id not in self.busts]

    def _hold(self, fill: Fill, sign: int) -> None:
        change = times(fill.qty, Decimal(sign * fill.side.sign))
        before, paid = self.held.get(fill.symbol, ZERO), self.paid.get(fill.symbol)
        after = self.held[fill.symbol] = plus(before, change)
        if not before:
            self.paid[fill.symbol] = fill.price
        elif change > 0 and paid is not None and after:
            self.paid[fill.symbol] = ratio(plus(times(before, paid), times(change, fill.price)), after)
        if self.cash is not None:
            cost = plus(times(change, fill.price), times(plus(fill.fee, fill.tax), Decimal(sign)))
            self.cash = minus(self.cash, cost)


def hand_order(books: Books, symbol: str, side: Side, qty: Decimal, venue: str, ts_ns: int) -> str:
    """Write down an order that a person placed in the broker's own application; return its key."""
    key = f"app{sum(one.startswith('app') for one in books.orders) + 1}"
    ref = books.number(venue)
    books.orders[key] = BrokerOrder(
        None, ref, symbol, side, qty, ZERO, BrokerOrderState.OPEN, amount=ZERO, ts_ns=ts_ns
    )
    books.since[key] = ts_ns
    return key
