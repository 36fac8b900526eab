"""Asserts that our ledger, the books of a broker of the tests and a recount of what it did say the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from qts.db.sqlite import SqliteStore
from qts.ledger.account import Account
from qts.runtime.drivers.sync import run_to_completion
from qts.runtime.shared_components import SharedComponents
from tests.broker.books import Books
from tests.sim.broker_recount import Recount


def assert_agreed(
    shared: SharedComponents,
    store: SqliteStore,
    books: Books,
    sent: Sequence[str],
    recount: Recount,
    where: object,
) -> None:
    """``sent``: ids of the orders that the broker was called with, one for each call."""
    account: Account = shared.account
    assert len(set(sent)) == len(sent), where
    assert recount.calls == Counter(sent), where
    assert recount.held == sum(books.held.values()), where
    held = {symbol: qty for symbol, qty in books.held.items() if qty}
    assert held == account.broker_positions(), where
    assert recount.cash == books.cash == account.cash + account.external.cash, where
    run_to_completion(shared.record.checkpoint())
    orders = {order.client_order_id: order for order in store.orders()}
    assert set(recount.ordered) <= set(orders), where
    for key, order in orders.items():
        assert order.filled == recount.filled[key], (where, order)
        assert order.state.value in recount.fates(key), (where, order)
    bought = sum((row.side.sign * row.qty for row in store.ledger()), Decimal(0))
    assert bought + sum(row.qty for row in store.bookings()) == recount.held, where
    assert not account.open_reservations, where
