"""The numbers of the round trips, by which rows of the table and marks of the charts name each other."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from qts.ledger.contracts import LedgerRow
from qts.money import ratio, times
from qts.performance import RoundTrip
from qts.strategy.contracts import Side


class TripMarks:
    """The round trips by number, from 1 in the order of their ends, and by the fills that began and ended them."""

    def __init__(self, trips: Sequence[RoundTrip]) -> None:
        self._by_symbol: dict[str, list[tuple[int, RoundTrip]]] = {}
        self._entered: dict[tuple[str, str, int], list[int]] = {}
        self._left: dict[tuple[str, str, int], list[int]] = {}
        for place, trip in enumerate(trips, 1):
            self._by_symbol.setdefault(trip.symbol, []).append((place, trip))
            self._entered.setdefault((trip.strategy, trip.symbol, trip.begun_ns), []).append(place)
            self._left.setdefault((trip.strategy, trip.symbol, trip.ended_ns), []).append(place)

    def of(self, symbol: str) -> list[tuple[int, RoundTrip]]:
        """Return the round trips of ``symbol`` with their numbers."""
        return self._by_symbol.get(symbol, [])

    def entered_at(self, row: LedgerRow) -> list[int]:
        """Return the numbers of the round trips that the moment of this purchase began; none for a sale."""
        return [] if row.side is Side.SELL else self._entered.get((row.strategy, row.symbol, row.ts_ns), [])

    def left_at(self, row: LedgerRow) -> list[int]:
        """Return the numbers of the round trips that the moment of this sale ended; none for a purchase."""
        return [] if row.side is Side.BUY else self._left.get((row.strategy, row.symbol, row.ts_ns), [])

    @staticmethod
    def mark_id(trip: int) -> str:
        """Return the id of the mark of the entry of round trip ``trip``."""
        return f"m{trip}"

    @staticmethod
    def row_id(trip: int) -> str:
        """Return the id of the row of round trip ``trip``."""
        return f"t{trip}"

    @staticmethod
    def exit_price(trip: RoundTrip) -> Decimal:
        """Return the average price at which ``trip`` was sold, for each share as it was counted at the end."""
        return times(ratio(trip.sold, trip.bought), trip.entry_price)
