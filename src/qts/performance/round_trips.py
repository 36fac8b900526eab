"""Round trips from fills: a holding of one strategy in one symbol from its first purchase until it is flat."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal

import msgspec

from qts.clock import from_ns
from qts.errors import ContractError
from qts.money import ZERO, minus, plus, ratio, times
from qts.performance.contracts import RoundTrip


class TripFill(msgspec.Struct, frozen=True):
    """A purchase or a sale of ``qty`` shares (above 0) at ``ts_ns`` (ns since 1970 UTC); ``costs``: fee and tax.

    ``level``: that of the position which a sale had reached, "" for another sale.
    """

    ts_ns: int
    strategy: str
    symbol: str
    buys: bool
    qty: Decimal
    price: Decimal
    costs: Decimal
    level: str = ""


class TripAction(msgspec.Struct, frozen=True):
    """A split or a dividend of a holding: ``change`` in its shares, ``cash`` paid to it, the tax of that."""

    ts_ns: int
    strategy: str
    symbol: str
    change: Decimal
    cash: Decimal
    costs: Decimal


class OpenTrip(msgspec.Struct, frozen=True):
    """A holding that is not flat when the fills end."""

    strategy: str
    symbol: str
    begun_ns: int
    qty: Decimal


class RoundTrips(msgspec.Struct, frozen=True):
    """The trips in the order of their ends, and what is still held."""

    completed: list[RoundTrip]
    held: list[OpenTrip]


RangeOf = Callable[[str, int, int], tuple[Decimal, Decimal] | None]
"""The lowest and highest price of a symbol between two times (ns), as traded; None: not known."""


class _Open:
    """A holding that is not flat yet."""

    def __init__(self, begun_ns: int) -> None:
        self.begun_ns = begun_ns
        self.qty = self.shares = ZERO
        self.bought = self.sold = self.costs = self.paid = ZERO
        self.was_split = False
        self.ended_by = ""
        self.lowest: Decimal | None = None
        self.highest: Decimal | None = None

    def trade_at(self, price: Decimal) -> None:
        """Note the price of a fill."""
        self.lowest = price if self.lowest is None else min(self.lowest, price)
        self.highest = price if self.highest is None else max(self.highest, price)

    def buy(self, fill: TripFill) -> None:
        self.qty = plus(self.qty, fill.qty)
        self.shares = plus(self.shares, fill.qty)
        self.bought = plus(self.bought, times(fill.qty, fill.price))

    def sell(self, fill: TripFill) -> None:
        self.qty = minus(self.qty, fill.qty)
        self.sold = plus(self.sold, times(fill.qty, fill.price))
        self.ended_by = fill.level

    def apply(self, action: TripAction) -> None:
        """Change the shares; those bought so far count as what they became."""
        after = plus(self.qty, action.change)
        if action.change:
            self.was_split = True
            self.shares = ratio(times(self.shares, after), self.qty) if after > 0 else self.shares
        self.qty = after
        self.paid = plus(self.paid, action.cash)


def round_trips(events: Iterable[TripFill | TripAction], range_of: RangeOf | None = None) -> RoundTrips:
    """Return the round trips of ``events``, which are in the order of their booking.

    ``range_of`` gives each trip its extreme prices, and those of its own fills count too; without it, and where
    shares were split, they are unknown.
    Raises ContractError when more is sold than is held, or when an action meets no holding.
    """
    open_: dict[tuple[str, str], _Open] = {}
    completed = list[RoundTrip]()
    for event in events:
        key = (event.strategy, event.symbol)
        held = open_.get(key)
        if held is None:
            if not isinstance(event, TripFill) or not event.buys:
                raise ContractError(f"{event.strategy} holds no {event.symbol} {_when(event)}")
            held = open_[key] = _Open(event.ts_ns)
        _take(held, event)
        if held.qty < 0:
            raise ContractError(f"{event.strategy} sells more {event.symbol} than it holds {_when(event)}")
        if held.qty == 0:
            completed.append(_completed(key, open_.pop(key), event.ts_ns, range_of))
    return RoundTrips(
        completed,
        [OpenTrip(strategy, symbol, held.begun_ns, held.qty) for (strategy, symbol), held in open_.items()],
    )


def _when(event: TripFill | TripAction) -> str:
    what = "a corporate action" if isinstance(event, TripAction) else f"a fill of {event.qty:f}"
    return f"at {from_ns(event.ts_ns).isoformat()}, at {what}"


def _take(held: _Open, event: TripFill | TripAction) -> None:
    held.costs = plus(held.costs, event.costs)
    if isinstance(event, TripAction):
        held.apply(event)
        return
    held.trade_at(event.price)
    if event.buys:
        held.buy(event)
    else:
        held.sell(event)


def _completed(key: tuple[str, str], held: _Open, ended_ns: int, range_of: RangeOf | None) -> RoundTrip:
    strategy, symbol = key
    seen = None if range_of is None or held.was_split else range_of(symbol, held.begun_ns, ended_ns)
    low, high = None, None
    if seen is not None and held.lowest is not None and held.highest is not None:
        low, high = min(seen[0], held.lowest), max(seen[1], held.highest)
    return RoundTrip(
        strategy=strategy,
        symbol=symbol,
        begun_ns=held.begun_ns,
        ended_ns=ended_ns,
        bought=held.bought,
        sold=held.sold,
        costs=held.costs,
        entry_price=ratio(held.bought, held.shares),
        result=minus(plus(held.sold, held.paid), plus(held.bought, held.costs)),
        paid=held.paid,
        low=low,
        high=high,
        ended_by=held.ended_by,
    )
