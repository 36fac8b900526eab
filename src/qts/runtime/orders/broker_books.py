"""Reads what an account at a broker holds as of one moment: the same answers twice, so that none is in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from qts.broker.contracts import Balance, BrokerOrder, BrokerPosition, BrokerQueries
from qts.errors import BrokerUnavailable
from qts.execution.contracts import Fill
from qts.ledger.account import Account
from qts.money import is_bounded
from qts.runtime.orders.broker_queries import answered

_MOST_READINGS: Final = 5


class BrokerBooks(NamedTuple):
    """The books of an account at a broker: its orders and executions of the day, what it holds, and its money."""

    orders: Sequence[BrokerOrder]
    fills: Sequence[Fill]
    positions: Mapping[str, BrokerPosition]
    balance: Balance | None

    def are_in(self, account: Account) -> bool:
        """Return whether every execution is booked in ``account``, and all shares are those that it knows."""
        held = {symbol: position.qty for symbol, position in self.positions.items()}
        return held == account.broker_positions() and all(account.has_booked(fill) for fill in self.fills)


async def read_books(broker: BrokerQueries, listed: Callable[[Fill], Fill]) -> BrokerBooks:
    """Ask for everything until two readings are the same, at most five times.

    ``listed`` gives an execution of the broker's list the id under which it is booked.
    Raises BrokerUnavailable when one is not answered, or when the books change all the time.
    """
    before = await _read(broker, listed)
    for _ in range(_MOST_READINGS - 1):
        books = await _read(broker, listed)
        if books == before:
            return books
        before = books
    raise BrokerUnavailable(f"the books of broker {broker.name} change while they are read: ask again later")


async def _read(broker: BrokerQueries, listed: Callable[[Fill], Fill]) -> BrokerBooks:
    orders = list(await answered(broker.orders()))
    fills = [listed(fill) for fill in await answered(broker.fills_since(0))]
    holdings = await answered(broker.holdings())
    return BrokerBooks(orders, fills, dict(holdings.positions), holdings.balance)


def settled_cash(broker: BrokerQueries, balance: Balance | None, currency: str) -> Decimal:
    """Return the settled cash of an account in ``currency``.

    Raises BrokerUnavailable where the broker does not say it, or says it in another currency.
    """
    return _said(broker, _money(broker, balance, currency).cash, "settled")


async def orderable_cash(broker: BrokerQueries, currency: str) -> Decimal:
    """Ask for the cash that can be ordered with in ``currency``.

    Raises BrokerUnavailable like :func:`settled_cash`.
    """
    return _said(broker, _money(broker, await answered(broker.balance()), currency).orderable, "orderable")


def _money(broker: BrokerQueries, balance: Balance | None, currency: str) -> Balance:
    if balance is None:
        raise BrokerUnavailable(f"broker {broker.name} does not say what money the account has")
    if balance.currency != currency:
        raise BrokerUnavailable(
            f"broker {broker.name} keeps the account in {balance.currency}, the session in {currency}"
        )
    return balance


def _said(broker: BrokerQueries, amount: Decimal | None, what: str) -> Decimal:
    if amount is None or not is_bounded(amount):
        said = "nothing" if amount is None else amount
        raise BrokerUnavailable(f"broker {broker.name} says {said} of its {what} cash; allowed: an amount")
    return amount
