"""Opening balances: what the book stood at when a day was closed, as rows that are stored and never changed.

A later fact of a closed day is booked today, like any other; the rows of the close stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from qts.capital.contracts import Pool
from qts.money import minus, plus


class BookMarks(NamedTuple):
    """The numbers of the last stored rows that a close covers; rows of a kind are numbered from 1."""

    fills: int = 0
    actions: int = 0
    transfers: int = 0
    bookings: int = 0


class DayCloseRow(msgspec.Struct, frozen=True):
    """The book of an account at the close of one day; append-only, unique by account and ``day``.

    ``day`` is the market's own date (ISO), ``ts_ns`` the moment of the close. ``fills``, ``actions``, ``transfers``
    and ``bookings`` are the numbers of the last rows that are part of it. ``newest_trade_date`` is the latest date
    of any fill among them, "" for none: a fill of a later date cannot be one of them.

    Amounts are totals of the whole run until then, as the account keeps them; ``equity`` is valued at the prices of
    the close. ``orders`` and ``causes`` are the numbers of approvals and of rows of the safety history so far.
    """

    account: str
    day: str
    ts_ns: int
    fills: int
    actions: int
    transfers: int
    bookings: int
    orders: int
    causes: int
    newest_trade_date: str
    equity: Decimal
    scalp_cash: Decimal
    scalp_realized: Decimal
    scalp_ns: int
    swing_cash: Decimal
    swing_realized: Decimal
    swing_ns: int
    portfolio_cash: Decimal
    portfolio_realized: Decimal
    portfolio_ns: int
    fees: Decimal
    taxes: Decimal
    dividends: Decimal
    dividend_taxes: Decimal
    fractions: Decimal
    deposits: Decimal
    withdrawals: Decimal
    adjustments: Decimal
    contributions: Decimal
    contributed_value: Decimal
    external_cash: Decimal
    external_realized: Decimal

    @property
    def marks(self) -> BookMarks:
        """Return the numbers of the last rows that are part of the close."""
        return BookMarks(self.fills, self.actions, self.transfers, self.bookings)

    @property
    def cash(self) -> Mapping[Pool, Decimal]:
        """Return the cash by pool, reserved or not."""
        return {Pool.SCALP: self.scalp_cash, Pool.SWING: self.swing_cash, Pool.PORTFOLIO: self.portfolio_cash}

    @property
    def realized(self) -> Mapping[Pool, Decimal]:
        """Return the realised result by pool, fees and taxes in."""
        return {
            Pool.SCALP: self.scalp_realized,
            Pool.SWING: self.swing_realized,
            Pool.PORTFOLIO: self.portfolio_realized,
        }

    @property
    def pool_ns(self) -> Mapping[Pool, int]:
        """Return the time of the newest fact of each pool."""
        return {Pool.SCALP: self.scalp_ns, Pool.SWING: self.swing_ns, Pool.PORTFOLIO: self.portfolio_ns}

    def paid_in(self, opening: Decimal) -> Decimal:
        """Return the capital that the pools had received, shares at cost, of which ``opening`` is the first."""
        return minus(plus(plus(opening, self.deposits), self.contributions), self.withdrawals)


class HoldingCloseRow(msgspec.Struct, frozen=True):
    """A holding at the close of a day on which anything of it was booked; append-only.

    Unique by account, ``day``, ``strategy`` and ``symbol``. ``pool`` None, with the strategy "": EXTERNAL.
    ``basis`` is the cost before it is rounded to whole quanta, ``realized`` the result of its trades before fees
    and taxes. ``ts_ns``, ``broker``, ``execution_id`` and ``order_id`` are the place of its newest fact in time; 0
    and "" for none.
    """

    account: str
    day: str
    pool: Pool | None
    strategy: str
    symbol: str
    qty: Decimal
    cost: Decimal
    basis: Decimal
    realized: Decimal
    ts_ns: int
    broker: str
    execution_id: str
    order_id: str


class OpeningBalances(NamedTuple):
    """The beginning of a day: the close before it, and every holding as it stood then, in the order of the first
    fact of each."""

    close: DayCloseRow
    holdings: Sequence[HoldingCloseRow]
