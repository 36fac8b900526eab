"""The base price of the daily band: each symbol's last price of an earlier local date.

Two closes are kept per symbol, so that a close of today, once known, does not hide yesterday's.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any, TypeAlias

from qts.broker.sim.session_times import SessionTimes
from qts.market.last_values import LastValues

_Close: TypeAlias = tuple[date, Decimal]


class BasePrices:
    """The closes from which base prices come, by symbol."""

    __slots__ = ("_closes", "_exported")

    def __init__(self) -> None:
        self._closes: dict[str, tuple[_Close, _Close | None]] = {}
        self._exported: list[Any] | None = None

    def note(self, symbol: str, day: date, price: Decimal) -> None:
        """Remember ``price`` as the newest known of ``day``; anything older than what is known is left out."""
        known = self._closes.get(symbol)
        if known is None or known[0][0] < day:
            self._closes[symbol] = ((day, price), known[0] if known else None)
        elif known[0][0] == day and known[0][1] != price:
            self._closes[symbol] = ((day, price), known[1])
        else:
            return
        self._exported = None

    def note_last(
        self, symbol: str, last_values: LastValues, times: SessionTimes, day: date, before: bool = False
    ) -> None:
        """Remember the newest traded price if it is of ``day`` or earlier (``before``: only of an earlier one)."""
        tick, quote = last_values.ticks.get(symbol), last_values.quotes.get(symbol)
        ts_ns, price = (-1, None) if tick is None else (tick.ts_ns, tick.price)
        if quote is not None and quote.last is not None and quote.ts_ns > ts_ns:
            ts_ns, price = quote.ts_ns, quote.last
        if price is None or price <= 0:
            return
        seen_on = times.day(ts_ns)
        if seen_on < day or (seen_on == day and not before):
            self.note(symbol, seen_on, price)

    def base(self, symbol: str, day: date) -> Decimal | None:
        """Return the last price before ``day``; None when none is known."""
        for close in self._closes.get(symbol, ()):
            if close is not None and close[0] < day:
                return close[1]
        return None

    def rescale(self, symbol: str, convert: Callable[[Decimal], Decimal]) -> None:
        """Convert the closes of a symbol whose shares were split."""
        known = self._closes.get(symbol)
        if known is not None:
            newest, before = known
            older = None if before is None else (before[0], convert(before[1]))
            self._closes[symbol] = ((newest[0], convert(newest[1])), older)
            self._exported = None

    def export_state(self) -> list[Any]:
        """Return the closes as plain data, cached: they change once a day and are exported at every fill."""
        if self._exported is None:
            self._exported = [
                [symbol, *([close[0].isoformat(), str(close[1])] for close in closes if close is not None)]
                for symbol, closes in self._closes.items()
            ]
        return self._exported

    def import_state(self, state: list[Any]) -> None:
        """Restore what :meth:`export_state` returned."""
        self._closes = {}
        for symbol, newest, *older in state:
            closes = [(date.fromisoformat(day), Decimal(price)) for day, price in (newest, *older)]
            self._closes[symbol] = (closes[0], closes[1] if len(closes) > 1 else None)
        self._exported = None
