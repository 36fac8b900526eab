"""The books of accounts: orders by number, holdings, cash until its settlement; they know no rules."""

from __future__ import annotations

import random
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from qts.clock import NS_PER_S
from tests.doubles.kis.clock import DoubleClock
from tests.doubles.kis.settings import Settings

SELLING, BUYING = "01", "02"
NEW, REVISE, CANCEL = "0", "1", "2"


@dataclass
class Order:
    """What has a number of its own: a new order, a revise, or a cancel. Prices and amounts in won.

    ``original``: the number that a revise or cancel is about ("" of a new order). ``venue`` is what was asked for,
    ``routed`` where it is. ``price`` 0: at the market.
    """

    number: str
    branch: str
    day: str
    time: str
    ns: int
    account: str
    side: str
    code: str
    kind: str
    venue: str
    routed: str
    qty: int
    price: int
    action: str = NEW
    original: str = ""
    trigger: int = 0
    filled: int = 0
    amount: int = 0
    moved: int = 0
    """Quantity that a revise has taken over into a number of its own."""
    cancelled: int = 0
    rejected: int = 0
    expired: int = 0
    """What was left at the end of the day."""
    triggered: bool = False
    visible_ns: int = 0
    """When lists begin to show it."""

    @property
    def rest(self) -> int:
        """What can still be filled."""
        if self.action == CANCEL:
            return 0
        return self.qty - self.filled - self.moved - self.cancelled - self.rejected - self.expired

    @property
    def is_open(self) -> bool:
        return self.rest > 0


class Fill(NamedTuple):
    """One execution, which KIS does not number."""

    order: Order
    qty: int
    price: int
    time: str
    ns: int


@dataclass
class Holding:
    """Shares of one name, and what they have cost; the trades of today and of the day before by side."""

    code: str
    qty: int = 0
    cost: int = 0
    bought: dict[str, int] = field(default_factory=dict)
    """Shares bought by day (YYYYMMDD)."""
    sold: dict[str, int] = field(default_factory=dict)
    last_day: str = ""
    """The day of its last trade."""

    @property
    def average(self) -> float:
        return self.cost / self.qty if self.qty else 0.0


class Charge(NamedTuple):
    """Money of one execution: what it moves with its fee and tax, and the day on which it is paid."""

    day: str
    side: str
    amount: int
    cost: int
    settles: str


@dataclass
class Account:
    """One account: ``cash`` is what has settled, ``charges`` what has not."""

    number: str
    cash: int
    holdings: dict[str, Holding] = field(default_factory=dict)
    charges: list[Charge] = field(default_factory=list)
    settled: list[Charge] = field(default_factory=list)
    before: list[tuple[int, Account]] = field(default_factory=list)
    """Copies of it from before its last fills, where the balance lags."""

    def hold(self, code: str, qty: int, price: int) -> None:
        """Put shares that were bought long ago into the account."""
        holding = self.holdings.setdefault(code, Holding(code))
        holding.qty += qty
        holding.cost += qty * price

    @property
    def cash_after_settlement(self) -> int:
        """The cash of D+2."""
        return self.cash + sum(flow(charge) for charge in self.charges)


def flow(charge: Charge) -> int:
    """Return what a trade moves of the money, with its costs."""
    return (charge.amount if charge.side == SELLING else -charge.amount) - charge.cost


class Books:
    """Orders and accounts of this host. ``on_event`` is told of each acceptance, fill and end, in order."""

    def __init__(
        self, clock: DoubleClock, chance: random.Random, settles: Callable[[str], str], settings: Settings
    ) -> None:
        self.accounts: dict[str, Account] = {}
        self.orders: dict[tuple[str, str], Order] = {}
        """By day and number: numbers begin again each day."""
        self.by_day: dict[str, list[Order]] = {}
        self.fills: list[Fill] = []
        self.on_event: list[Callable[[str, Order, Fill | None], None]] = []
        self._clock, self._chance, self._settles, self._settings = clock, chance, settles, settings
        self._last: dict[str, int] = {}
        self._open: dict[tuple[str, str], Order] = {}

    # -- reading -----------------------------------------------------------------------------------------------

    def order(self, number: str, day: str = "") -> Order:
        """Return an order by its number; of today where no day is given."""
        return self.orders[day or self._clock.day, number.zfill(10)]

    def today(self, account: str = "") -> list[Order]:
        """Return what was numbered today, oldest first."""
        return [one for one in self.by_day.get(self._clock.day, []) if account in ("", one.account)]

    def open_orders(self, account: str = "") -> list[Order]:
        """Return the orders that can still be filled, oldest first."""
        ended = [key for key, one in self._open.items() if not one.is_open]
        for key in ended:
            del self._open[key]
        return [one for one in self._open.values() if account in ("", one.account)]

    def shown(self, order: Order) -> tuple[int, int]:
        """Return quantity and amount that lists show as filled: fills come into them after a while."""
        lag = round(self._settings.fill_lag_s * NS_PER_S)
        if not lag:
            return order.filled, order.amount
        young = [one for one in self.fills if one.order is order and one.ns > self._clock.time_ns() - lag]
        amount = sum(one.qty * one.price for one in young)
        return order.filled - sum(one.qty for one in young), order.amount - amount

    def shown_account(self, number: str) -> Account:
        """Return an account as the balance shows it, which may be that of a while ago."""
        account = self.accounts[number]
        since = self._clock.time_ns() - round(self._settings.holdings_lag_s * NS_PER_S)
        account.before = [one for one in account.before if one[0] > since]
        return account.before[0][1] if account.before else account

    # -- numbers -----------------------------------------------------------------------------------------------

    def next_number(self) -> str:
        """Return the next order number of the day: ten digits, rising, with gaps of other customers."""
        day = self._clock.day if self._settings.numbers_restart else ""
        last = self._last.get(day, 100_000) + self._chance.randrange(1, 9)
        self._last[day] = last
        return f"{last:010}"

    # -- what happens ------------------------------------------------------------------------------------------

    def add(self, order: Order) -> Order:
        """Take in a new order, revise or cancel."""
        lag = self._chance.uniform(*self._settings.list_lag_s)
        order.visible_ns = order.ns + round(lag * NS_PER_S)
        self.orders[order.day, order.number] = order
        self.by_day.setdefault(order.day, []).append(order)
        if order.is_open:
            self._open[order.day, order.number] = order
        return order

    def tell(self, kind: str, order: Order, fill: Fill | None = None) -> None:
        for told in self.on_event:
            told(kind, order, fill)

    def fill(self, order: Order, qty: int, price: int) -> Fill:
        """Execute ``qty`` of an order. It may be more than is left, as a test wishes."""
        order.filled += qty
        order.amount += qty * price
        fill = Fill(order, qty, price, self._clock.hms, self._clock.time_ns())
        self.fills.append(fill)
        self._book(fill)
        self.tell("fill", order, fill)
        return fill

    def _book(self, fill: Fill) -> None:
        order = fill.order
        account = self.accounts[order.account]
        if self._settings.holdings_lag_s:
            account.before.append((fill.ns, replace(deepcopy(account), before=[])))
        holding = account.holdings.setdefault(order.code, Holding(order.code))
        day, amount = self._clock.day, fill.qty * fill.price
        if order.side == BUYING:
            holding.qty += fill.qty
            holding.cost += amount
            holding.bought[day] = holding.bought.get(day, 0) + fill.qty
        else:
            holding.cost -= round(holding.average * fill.qty)
            holding.qty -= fill.qty
            holding.sold[day] = holding.sold.get(day, 0) + fill.qty
        holding.last_day = day
        account.charges.append(Charge(day, order.side, amount, cost_of(order.side, amount), self._settles(day)))

    def bust(self, fill: Fill) -> None:
        """Take a fill back, as the exchange does with an obvious error. No notice tells of it."""
        order = fill.order
        self.fills.remove(fill)
        order.filled -= fill.qty
        order.amount -= fill.qty * fill.price
        other = replace(order, side=SELLING if order.side == BUYING else BUYING)
        self._book(Fill(other, fill.qty, fill.price, self._clock.hms, self._clock.time_ns()))
        account, day = self.accounts[order.account], self._clock.day
        del account.charges[-1]
        done = next(one for one in account.charges if (one.side, one.amount) == (order.side, fill.qty * fill.price))
        account.charges.remove(done)
        holding = account.holdings[order.code]
        for by_day in (holding.bought, holding.sold):
            by_day[day] = by_day.get(day, 0) - fill.qty
        if order.is_open:
            self._open[order.day, order.number] = order

    def end_rest(self, order: Order) -> None:
        """Take out what IOC and FOK have left."""
        order.cancelled += order.rest
        self.tell("ended", order)

    def expire(self, order: Order) -> None:
        """End an order with its day."""
        order.expired += order.rest
        if self._settings.expiry_is_told:
            self.tell("expired", order)

    def settle(self) -> None:
        """Pay what is due by today, and forget holdings that have been empty since before that."""
        day = self._clock.day
        for account in self.accounts.values():
            due = [charge for charge in account.charges if charge.settles <= day]
            account.charges = [charge for charge in account.charges if charge.settles > day]
            account.settled += due
            account.cash += sum(flow(charge) for charge in due)
            gone = [
                code
                for code, one in account.holdings.items()
                if not one.qty and one.last_day and self._settles(one.last_day) <= day
            ]
            for code in gone:
                del account.holdings[code]


FEE_PER_MILLION = 140
SELL_TAX_PER_MILLION = 2_000


def fee_of(amount: int) -> int:
    """Return the fee in whole won, cut."""
    return amount * FEE_PER_MILLION // 1_000_000


def tax_of(side: str, amount: int) -> int:
    """Return the tax of a sale in whole won, cut; 0 for a purchase."""
    return amount * SELL_TAX_PER_MILLION // 1_000_000 if side == SELLING else 0


def cost_of(side: str, amount: int) -> int:
    """Return fee and tax in whole won."""
    return fee_of(amount) + tax_of(side, amount)
