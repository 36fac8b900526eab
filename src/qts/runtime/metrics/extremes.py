"""How far the account ever went: highest and lowest equity, deepest fall, worst day, highest exposure.

A sample every few minutes misses what lies between two of them, so every price of a held symbol and every fill is
looked at. Equity is kept by difference, and where one symbol is held only prices outside two bounds are looked at
more closely: within them nothing can be further out than before. A flat account costs nothing.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import msgspec

from qts.ledger.account import Account
from qts.market.last_values import LastValues
from qts.money import ONE, ZERO, minus, plus, ratio, times

_A_LITTLE_LESS: Final = Decimal("0.999999999999")
"""A quotient that was rounded up is made less by more than that."""


class Held(msgspec.Struct, gc=False):
    """What is held of one symbol over all strategies, and the price by which equity was reckoned last.

    ``mark`` None: it is valued at cost, no price is known. Prices from ``low`` to ``high`` tell nothing new.
    """

    net: Decimal
    mark: Decimal | None
    low: Decimal = ONE
    high: Decimal = ZERO


class Point(msgspec.Struct, frozen=True, gc=False):
    """An amount in the account's currency and the moment (ns) at which it was seen."""

    amount: Decimal
    ts_ns: int


class Fall(msgspec.Struct, frozen=True, gc=False):
    """From one point down to another; ``top`` is above 0."""

    top: Point
    low: Point

    @property
    def amount(self) -> Decimal:
        return minus(self.top.amount, self.low.amount)

    @property
    def share(self) -> Decimal:
        """Of the top, 0.05 = 5 %."""
        return ratio(self.amount, self.top.amount) if self.top.amount > 0 else ZERO

    def is_less_than(self, top: Decimal, low: Decimal) -> bool:
        """Whether the fall from ``top`` to ``low`` is a larger share; without a division, so exactly."""
        return top > 0 and times(minus(top, low), self.top.amount) > times(self.amount, top)


class SinceLook(msgspec.Struct, frozen=True, gc=False):
    """What happened between two looks of the guards: the lowest equity, and exposure with the equity of the moment
    at which it was the largest share of it."""

    lowest_equity: Decimal
    exposure: Decimal
    equity: Decimal


class Noted(msgspec.Struct, gc=False):
    """What a checkpoint keeps.

    ``trough`` is the lowest point since ``highest``; ``deepest`` the deepest fall from a peak, ``worst_day`` from a
    day's opening; ``looked_ns`` is the newest value's time at the last look.
    """

    highest: Point
    lowest: Point
    trough: Point
    deepest: Fall
    day_open: Point
    day_low: Point
    worst_day: Fall
    highest_exposure: Point
    look: SinceLook
    looked_ns: int = 0
    book_changed: bool = False


class Extremes:
    """Follows the account: :meth:`on_mark` per price of a symbol in ``held``, :meth:`book_changed` per fill.

    ``held`` is read by whoever sees the prices: a symbol that is not in it, or a price between its bounds, needs no
    call. Amounts in the account's currency. Not thread-safe.
    """

    __slots__ = ("_account", "_beside", "_ceiling", "_equity", "_floor", "_last", "held", "noted")

    def __init__(self, account: Account, last: LastValues, now_ns: int) -> None:
        self._account = account
        self._last = last
        self._floor, self._ceiling, self._equity = ONE, ZERO, ZERO
        self._beside: Decimal | None = None
        self.held: dict[str, Held] = {}
        self._value()
        here = Point(self._equity, now_ns)
        flat = Fall(here, here)
        look = SinceLook(self._equity, ZERO, self._equity)
        self.noted = Noted(here, here, here, flat, here, here, flat, Point(ZERO, now_ns), look)
        self._bound()

    @property
    def moved(self) -> bool:
        """Whether a fill, or any value while something is held, came since the last look."""
        noted = self.noted
        return noted.book_changed or (bool(self.held) and self._last.feed_ts_ns != noted.looked_ns)

    def on_mark(self, symbol: str, mark: Decimal | None, ts_ns: int) -> None:
        """A value of a held symbol came; ``mark`` values it from now on (None: nothing does)."""
        held = self.held[symbol]
        old = held.mark
        if mark is old or mark == old:
            return
        if mark is None or old is None:
            self._value()
            self._note(ts_ns)
            return
        held.mark = mark
        self._equity = equity = plus(self._equity, times(held.net, minus(mark, old)))
        if not self._floor <= equity <= self._ceiling:
            self._note(ts_ns)

    def book_changed(self, ts_ns: int) -> None:
        """Cash or holdings changed: value everything anew."""
        self._value()
        self.noted.book_changed = True
        self._note(ts_ns)

    def start_day(self, now_ns: int) -> None:
        """Let a day begin with the equity of this moment."""
        self._value()
        self.noted.day_open = self.noted.day_low = Point(self._equity, now_ns)
        self._bound()

    def take_worst(self) -> SinceLook:
        """What happened since the last call, this moment included; what follows belongs to the next one."""
        noted = self.noted
        seen = noted.look
        self._value()
        noted.look = SinceLook(self._equity, self._exposure(), self._equity)
        noted.looked_ns, noted.book_changed = self._last.feed_ts_ns, False
        self._bound()
        return seen

    def export_state(self) -> Noted:
        return self.noted

    def import_state(self, saved: dict[str, Any]) -> None:
        """Continue from ``saved``; the account and the last values must have been restored before."""
        self.noted = msgspec.convert(saved, Noted, strict=False)
        self._value()
        self._bound()

    def _exposure(self) -> Decimal:
        return (
            self._account.exposure(self._last.mark) if self._beside is None else minus(self._equity, self._beside)
        )

    def _value(self) -> None:
        """Value the whole account. ``_beside`` is the equity that is not exposed; None while anything is short."""
        mark = self._last.mark
        self.held.clear()  # the intake holds on to it
        long_only = True
        for row in self._account.position_rows():
            if row.qty:
                held = self.held.setdefault(row.symbol, Held(ZERO, mark(row.symbol)))
                held.net = plus(held.net, row.qty)
                long_only &= row.qty > 0
        self._equity = self._account.equity(mark)
        self._beside = minus(self._equity, self._account.exposure(mark)) if long_only else None

    def _bound(self) -> None:
        """Between these amounts of equity, and these prices of the only symbol held, nothing lies further out.

        Where nothing is short and cash is not below zero, exposure and its share of equity rise with equity alone.
        A bound may lie too near, which costs a look at what is noted, never too far.
        """
        noted, beside = self.noted, self._beside
        look, equity = noted.look, self._equity
        self._floor = max(noted.trough.amount, noted.day_low.amount, look.lowest_equity)
        if beside is None or beside < 0 or look.equity <= look.exposure:
            self._ceiling = minus(self._floor, ONE)  # every value is looked at
        else:
            exposed = _not_above(times(look.exposure, beside), minus(look.equity, look.exposure))
            self._ceiling = min(noted.highest.amount, plus(beside, min(exposed, noted.highest_exposure.amount)))
        if len(self.held) != 1:
            return
        (held,) = self.held.values()
        if held.mark is None or held.net <= 0 or not self._floor <= equity <= self._ceiling:
            held.low, held.high = ONE, ZERO
            return
        held.low = minus(held.mark, _not_above(minus(equity, self._floor), held.net))
        held.high = plus(held.mark, _not_above(minus(self._ceiling, equity), held.net))

    def _note(self, ts_ns: int) -> None:
        equity, exposure, noted = self._equity, self._exposure(), self.noted
        if equity > noted.highest.amount:
            noted.highest = noted.trough = Point(equity, ts_ns)
        elif equity < noted.trough.amount:
            noted.trough = low = Point(equity, ts_ns)
            if noted.deepest.is_less_than(noted.highest.amount, equity):
                noted.deepest = Fall(noted.highest, low)
        if equity < noted.day_low.amount:
            noted.day_low = low = Point(equity, ts_ns)
            if noted.worst_day.is_less_than(noted.day_open.amount, equity):
                noted.worst_day = Fall(noted.day_open, low)
            if equity < noted.lowest.amount:
                noted.lowest = low
        if exposure > noted.highest_exposure.amount:
            noted.highest_exposure = Point(exposure, ts_ns)
        look = noted.look
        lowest = min(equity, look.lowest_equity)
        # As a share of equity, without a division; equity of 0 or less is a fail-safe of its own.
        if equity > 0 and times(exposure, look.equity) > times(look.exposure, equity):
            noted.look = SinceLook(lowest, exposure, equity)
        elif lowest < look.lowest_equity:
            noted.look = SinceLook(lowest, look.exposure, look.equity)
        self._bound()


def _not_above(amount: Decimal, by: Decimal) -> Decimal:
    """A quotient that was not rounded up; both are 0 or above."""
    quotient = ratio(amount, by)
    return quotient if times(quotient, by) <= amount else times(quotient, _A_LITTLE_LESS)
