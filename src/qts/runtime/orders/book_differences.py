"""Says what differs between an account's books at a broker and ours, in sentences. Pure reads."""

from __future__ import annotations

from collections.abc import Sequence

from qts.broker.contracts import BrokerQueries
from qts.errors import BrokerUnavailable
from qts.execution.contracts import Fill, Order, OrderState
from qts.execution.working import FINAL_STATES, WorkingOrders
from qts.ledger.account import Account
from qts.money import ZERO, minus, without_zeros
from qts.runtime.orders.broker_books import BrokerBooks, settled_cash
from qts.runtime.orders.order_matching import known
from qts.wording import counted


def compared(
    books: BrokerBooks, broker: BrokerQueries, account: Account, orders: WorkingOrders, currency: str
) -> list[str]:
    """Return what ``books`` and ours have, one sentence each for orders, executions, shares and cash."""
    by_ref = orders.by_ref()
    there = [one for one in books.orders if one.is_open]
    foreign = sum(known(one, orders, by_ref) is None for one in there)
    ours, external = account.positions(), account.external.positions()
    symbols = sorted({*ours, *external, *books.positions})
    lines = [
        f"orders: {len(orders):,} open here, {len(there):,} at {broker.name}, {foreign:,} of them not ours",
        f"executions of the day: {len(books.fills):,} listed at {broker.name}",
        f"shares: {counted(len(symbols), 'symbol')}, {len(ours):,} of ours, {len(external):,} of EXTERNAL",
    ]
    try:
        cash = settled_cash(broker, books.balance, currency)
    except BrokerUnavailable as error:
        return [*lines, f"cash: not compared: {error}"]
    rest = minus(cash, account.cash)
    return [
        *lines,
        f"cash: {cash:,f} {currency} settled at {broker.name}, {account.cash:,f} of it ours, {rest:,f} not",
    ]


def differences(
    books: BrokerBooks, broker: BrokerQueries, account: Account, orders: WorkingOrders, currency: str
) -> list[str]:
    """Return every difference that is a fault: shares, executions, orders, and cash that is missing there.

    More cash there than in the pools, and orders there that are not ours, are none.
    """
    return [
        *_of_shares(books, broker.name, account),
        *(_unbooked(fill, broker.name) for fill in books.fills if not account.has_booked(fill)),
        *_of_orders(books, broker, orders),
        *_of_cash(books, broker, account, currency),
    ]


def share_difference(books: BrokerBooks, broker: str, account: Account, symbol: str) -> str:
    """Return how the shares of ``symbol`` differ, in words; "" where they do not."""
    position = books.positions.get(symbol)
    there = ZERO if position is None else position.qty
    ours, external = account.position(symbol), account.external.qty(symbol)
    here = account.broker_positions().get(symbol, ZERO)
    if there == here:
        return ""
    held = f"{_text(here)} here: {_text(ours)} of the strategies, {_text(external)} of EXTERNAL"
    return f"{symbol}: {_text(there)} at {broker}, {held}"


def _text(qty: object) -> str:
    return f"{without_zeros(qty):f}"  # type: ignore[arg-type]


def _of_shares(books: BrokerBooks, broker: str, account: Account) -> Sequence[str]:
    symbols = sorted({*books.positions, *account.broker_positions()})
    return [said for symbol in symbols if (said := share_difference(books, broker, account, symbol))]


def _unbooked(fill: Fill, broker: str) -> str:
    what = f"{fill.execution_id} of order {fill.client_order_id}: {fill.side.value} {fill.qty:f} {fill.symbol}"
    return f"execution {what} at {fill.price:f} is at {broker} and not booked here"


def _of_orders(books: BrokerBooks, broker: BrokerQueries, orders: WorkingOrders) -> Sequence[str]:
    by_ref, rows = orders.by_ref(), {}
    for one in books.orders:
        if (order := known(one, orders, by_ref)) is not None:
            rows[order.client_order_id] = one
    said = []
    for order in orders.remembered():
        key, row = order.client_order_id, rows.get(order.client_order_id)
        if order.state is OrderState.UNKNOWN:
            said.append(f"{_named(order)}: its fate is unknown")
        elif order.state in (OrderState.INTENT, OrderState.PENDING_NEW):
            continue  # it is being sent
        elif order.state not in FINAL_STATES and (row is None or not row.is_open):
            state = "not listed" if row is None else row.state.value
            said.append(f"{_named(order)}: {order.state.value} here, {state} at {broker.name}")
        elif order.state in FINAL_STATES and row is not None and row.is_open:
            said.append(f"{_named(order)}: {order.state.value} here, open at {broker.name}")
        elif row is not None and row.filled != order.filled:
            said.append(f"{_named(order)}: {order.filled:f} executed here, {row.filled:f} at {broker.name}")
        elif row is not None and row.qty != order.qty:
            said.append(f"order {key}: {row.qty:f} ordered at {broker.name}, {order.qty:f} here")
    return said


def _named(order: Order) -> str:
    return f"order {order.client_order_id} ({order.side.value} {order.qty:f} {order.symbol})"


def _of_cash(books: BrokerBooks, broker: BrokerQueries, account: Account, currency: str) -> Sequence[str]:
    try:
        cash = settled_cash(broker, books.balance, currency)
    except BrokerUnavailable:
        return ()
    if cash >= account.cash:
        return ()
    return [f"cash: {cash:,f} {currency} settled at {broker.name}, the pools have {account.cash:,f}"]
