"""The values of an account's holdings at the last prices, kept between questions.

The account's own questions value every holding each time. With hundreds of holdings, and several questions for each
order, that would be most of the work of a session; here a holding is valued when its price or its quantity has
changed.
"""

from __future__ import annotations

from decimal import Decimal

from qts.capital.contracts import Pool
from qts.ledger.account import Account
from qts.ledger.contracts import Valuation
from qts.market.last_values import LastValues
from qts.money import ZERO, magnitude, minus, plus, sum_of


class KeptValues:
    """The values of ``account`` at the prices in ``last``; every answer is that of the account, to the digit.

    It has to be told of prices by the ``changed`` of ``last``, but for those of a symbol that is alone in ``nets``.
    Not thread-safe.
    """

    __slots__ = (
        "_invested",
        "_news",
        "_positions",
        "_short",
        "_totals",
        "_values",
        "account",
        "last",
        "marks",
        "nets",
    )

    def __init__(self, account: Account, last: LastValues) -> None:
        self.account = account
        self.last = last
        self.nets: dict[str, Decimal] = {}
        """Signed quantity over all strategies by symbol; 0 where those of two strategies offset each other."""
        self.marks: dict[str, Decimal | None] = {}
        """The price at which each symbol of ``nets`` is valued; None: at cost."""
        self._positions: set[str] = set()
        self._values: dict[Pool, dict[tuple[str, str], Decimal]] = {pool: {} for pool in Pool}
        self._totals: dict[Pool, Decimal | None] = dict.fromkeys(Pool)
        self._invested: Decimal | None = None
        self._short: set[tuple[str, str]] = set()
        self._news: set[str] = set()
        account.changed.update(account.symbols())

    @property
    def is_short(self) -> bool:
        """Return whether any holding is below 0."""
        self._settle()
        return bool(self._short)

    def has_positions(self) -> bool:
        """Return whether :meth:`~qts.ledger.account.Account.positions` has any."""
        self._settle()
        return bool(self._positions)

    def equity(self) -> Decimal:
        """Return cash plus holdings valued."""
        return plus(self.account.cash, self._whole())

    def exposure(self) -> Decimal:
        """Return the marked value of all holdings, each by its size."""
        invested = self._whole()
        if not self._short:
            return invested
        return sum_of(magnitude(value) for values in self._values.values() for value in values.values())

    def pool_totals(self) -> dict[Pool, Decimal]:
        """Return cash plus holdings valued, by pool."""
        self._settle()
        return {pool: plus(self.account.pool_cash(pool), self._total(pool)) for pool in Pool}

    def valued(self, symbol: str) -> Valuation:
        """Return equity, exposure, that of ``symbol``, and the symbols held."""
        exposure = self.exposure()
        return Valuation(
            plus(self.account.cash, self._whole()),
            exposure,
            self.account.symbol_exposure(symbol, self.last.mark),
            self._positions,
        )

    def take_news(self) -> set[str]:
        """Return the symbols whose price or quantity has changed since the last call; for one caller."""
        self._settle()
        news, self._news = self._news, set()
        return news

    def _whole(self) -> Decimal:
        """Return the value of all holdings."""
        self._settle()
        if self._invested is None:
            self._invested = sum_of(map(self._total, Pool))
        return self._invested

    def _total(self, pool: Pool) -> Decimal:
        total = self._totals[pool]
        if total is None:
            total = self._totals[pool] = sum_of(self._values[pool].values())
        return total

    def _settle(self) -> None:
        """Value the holdings again whose price or quantity has changed."""
        touched, changed, nets = self.account.changed, self.last.changed, self.nets
        if len(nets) == 1:
            changed.update(symbol for symbol, mark in self.marks.items() if self.last.mark(symbol) is not mark)
        if not touched and not changed:
            return
        for symbol in touched | changed:
            if symbol in nets or symbol in touched:
                self._value(symbol)
        touched.clear()
        changed.clear()

    def _value(self, symbol: str) -> None:
        mark, net, is_held = self.last.mark(symbol), ZERO, False
        self._invested = None
        for strategy, pool, held in self.account.holders(symbol):
            key, qty = (strategy, symbol), held.qty
            if not qty:
                self._put(pool, key, None)
                self._short.discard(key)
                continue
            is_held = True
            net = plus(net, qty)
            value = held.value(mark)
            self._put(pool, key, value)
            if qty < 0 or value < 0:
                self._short.add(key)
            else:
                self._short.discard(key)
        if is_held:
            self.nets[symbol], self.marks[symbol] = net, mark
        elif symbol in self.nets:
            del self.nets[symbol], self.marks[symbol]
        if net:
            self._positions.add(symbol)
        else:
            self._positions.discard(symbol)
        self._news.add(symbol)

    def _put(self, pool: Pool, key: tuple[str, str], value: Decimal | None) -> None:
        """Put a value in place of the one before; None: nothing is held any more.

        The total of the pool follows by the difference where that gives the digits of a new sum.
        """
        values, total = self._values[pool], self._totals[pool]
        before = values.pop(key, None)
        if value is not None:
            values[key] = value
        if total is None or (before is None and value is None):
            return
        self._totals[pool] = None
        if value is not None and before is None:
            self._totals[pool] = plus(total, value)
        elif value is not None and before is not None and value.same_quantum(before):
            self._totals[pool] = plus(minus(total, before), value)
