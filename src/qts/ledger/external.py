"""EXTERNAL: cash and holdings at the broker that are not ours. They back no order and are never sold by us."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from qts.ledger.bookings import cash_change, key_of_booking
from qts.ledger.contracts import BookingKind, BookingRow
from qts.ledger.holding import FillKey, Holding, fill_key
from qts.money import ZERO, plus


class External:
    """The sums of the account's bookings without a pool; only :class:`~qts.ledger.account.Account` changes them.

    Holdings are kept at cost: nothing of EXTERNAL is valued, and none of it is part of our equity.
    """

    def __init__(self, quantum: Decimal) -> None:
        self._quantum = quantum
        self._holdings: dict[str, Holding] = {}
        self.touched: set[str] = set()
        """Symbols of the holdings that have changed since the last close."""
        self.cash = ZERO
        self.realized = ZERO

    def qty(self, symbol: str) -> Decimal:
        """Return the signed quantity held of ``symbol``."""
        held = self._holdings.get(symbol)
        return held.qty if held is not None else ZERO

    def cost(self, symbol: str) -> Decimal:
        """Return the cost of what is held of ``symbol``, signed like the quantity."""
        held = self._holdings.get(symbol)
        return held.cost if held is not None else ZERO

    def positions(self) -> dict[str, Decimal]:
        """Return the signed quantity by symbol, flat symbols left out."""
        return {symbol: held.qty for symbol, held in self._holdings.items() if held.qty}

    def costs(self) -> dict[str, Decimal]:
        """Return the cost by symbol of everything that was ever held."""
        return {symbol: held.cost for symbol, held in self._holdings.items()}

    @property
    def holdings(self) -> Mapping[str, Holding]:
        """Return the holdings by symbol, flat ones too, in the order of their first facts."""
        return self._holdings

    def holding(self, symbol: str) -> Holding:
        """Return the holding of ``symbol``, which begins flat."""
        held = self._holdings.get(symbol)
        if held is None:
            held = self._holdings[symbol] = Holding(self._quantum)
        return held

    def change_shares(self, row: BookingRow) -> None:
        """Change the holding by ``row``: an opening, a split, an execution, or shares taken over from it."""
        self.touched.add(row.symbol)
        change_at_broker(self.holding(row.symbol), row)

    def add_money(self, row: BookingRow) -> None:
        """Add what ``row`` changes in cash and result."""
        self.cash = plus(self.cash, cash_change(row))
        self.realized = plus(self.realized, row.realized_pnl)


def place_at_broker(row: BookingRow) -> FillKey:
    """Return the place of a booking of EXTERNAL among the facts of its holding."""
    if row.kind is BookingKind.EXTERNAL_FILL:
        return fill_key(row.ts_ns, row.broker, row.reference, row.order_id)
    return key_of_booking(row)


def change_at_broker(holding: Holding, row: BookingRow) -> None:
    """Change a holding of EXTERNAL by ``row``: an opening, a split, an execution, or shares taken over from it."""
    if row.kind is BookingKind.EXTERNAL_FILL:
        holding.apply(place_at_broker(row), row.qty, row.price, row.fee, row.tax)
    else:
        is_split = row.kind is BookingKind.ADJUSTMENT
        holding.add_at_cost(place_at_broker(row), row.qty, row.cost, is_split=is_split)
