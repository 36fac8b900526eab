"""Tracks the extremes of the account: highest and lowest equity, maximum drawdown, worst day, highest exposure.

Samples every few minutes miss what happens between them, so every price of a held symbol and every fill counts.
Equity is updated by differences, and while one symbol is held only prices outside two bounds are evaluated: within
them no extreme can change. A flat account costs nothing.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import msgspec

from qts.ledger.kept_values import KeptValues
from qts.market.contracts import Quote
from qts.money import ONE, ZERO, minus, plus, ratio, times
from qts.runtime.metrics.capital_move import CapitalMove

_ROUND_DOWN: Final = Decimal("0.999999999999")
"""A factor that lowers a quotient by more than any rounding can have raised it."""


class HeldSymbol(msgspec.Struct, gc=False):
    """The holding of one symbol over all strategies, and the price at which it is valued.

    ``mark`` None: no price is known, and it is valued at cost. Prices from ``low`` to ``high`` change no extreme.
    """

    net: Decimal
    mark: Decimal | None
    low: Decimal = ONE
    high: Decimal = ZERO


class Point(msgspec.Struct, frozen=True, gc=False):
    """An amount in the account's currency and the moment (ns) at which it was seen."""

    amount: Decimal
    ts_ns: int


class Drawdown(msgspec.Struct, frozen=True, gc=False):
    """A drawdown from one point of equity to a lower one; ``top`` is above 0."""

    top: Point
    low: Point

    @property
    def amount(self) -> Decimal:
        """Return the size of the drawdown, in the account's currency."""
        return minus(self.top.amount, self.low.amount)

    @property
    def share(self) -> Decimal:
        """Return the drawdown as a fraction of the top (0.05 is 5 %)."""
        return ratio(self.amount, self.top.amount) if self.top.amount > 0 else ZERO

    def is_smaller_than(self, top: Decimal, low: Decimal) -> bool:
        """Return whether the drawdown from ``top`` to ``low`` is the larger fraction; exact, without a division."""
        return top > 0 and times(minus(top, low), self.top.amount) > times(self.amount, top)


class WorstSinceCheck(msgspec.Struct, frozen=True, gc=False):
    """The worst moments between two checks of the account's limits.

    The lowest equity, and the exposure and equity of the moment at which exposure was the largest share of equity.
    """

    lowest_equity: Decimal
    exposure: Decimal
    equity: Decimal


class ExtremesRecord(msgspec.Struct, gc=False):
    """The extremes of the session and the day, as a checkpoint keeps them.

    ``trough`` is the lowest point since ``highest``; ``deepest`` is the maximum drawdown from a peak, ``worst_day``
    from a day's opening; ``look`` is what happened since the last check of the limits, ``looked_ns`` the newest
    value's time then.
    """

    highest: Point
    lowest: Point
    trough: Point
    deepest: Drawdown
    day_open: Point
    day_low: Point
    worst_day: Drawdown
    highest_exposure: Point
    look: WorstSinceCheck
    looked_ns: int = 0
    book_changed: bool = False


class Extremes:
    """The extremes of an account: :meth:`on_quote` or :meth:`on_mark` per price of a held symbol,
    :meth:`book_changed` per fill.

    The intake reads ``held``: a symbol that is not in it needs no call. Amounts are
    in the account's currency. Not thread-safe.
    """

    __slots__ = (
        "_are_bounds_due",
        "_bounded",
        "_ceiling",
        "_changed",
        "_equity",
        "_floor",
        "_last",
        "_unexposed",
        "_worth",
        "held",
        "values",
    )

    def __init__(self, worth: KeptValues, now_ns: int) -> None:
        self._worth = worth
        self._last = worth.last
        self._changed = worth.last.changed
        self._floor, self._ceiling, self._equity = ONE, ZERO, ZERO
        self._are_bounds_due = False
        self._bounded: HeldSymbol | None = None
        self._unexposed: Decimal | None = None
        self.held: dict[str, HeldSymbol] = {}
        self._revalue()
        here = Point(self._equity, now_ns)
        flat = Drawdown(here, here)
        look = WorstSinceCheck(self._equity, ZERO, self._equity)
        self.values = ExtremesRecord(here, here, here, flat, here, here, flat, Point(ZERO, now_ns), look)
        self._update_bounds()

    @property
    def has_moved(self) -> bool:
        """Return whether a fill, or any value while something is held, came since the last :meth:`take_worst`."""
        record = self.values
        return record.book_changed or (bool(self.held) and self._last.feed_ts_ns != record.looked_ns)

    def on_quote(self, quote: Quote) -> None:
        """Value a held symbol by ``quote``, which is in the last-value table already."""
        bid, held = quote.bid, self.held[quote.symbol]
        if bid is None:
            self.on_mark(quote.symbol, self._last.mark(quote.symbol), quote.ts_ns)
        elif not held.low <= bid <= held.high:
            if self._are_bounds_due:
                self._compute_bounds()
                if held.low <= bid <= held.high:
                    return
            self.on_mark(quote.symbol, bid, quote.ts_ns)

    def on_mark(self, symbol: str, mark: Decimal | None, ts_ns: int) -> None:
        """Value a held symbol at ``mark`` from now on; None: no price is known."""
        held = self.held[symbol]
        old = held.mark
        if mark is old:
            return
        self._changed.add(symbol)
        if mark == old:
            return
        if mark is None or old is None:
            self._revalue()
            self._record(ts_ns)
            return
        if self._are_bounds_due:
            self._compute_bounds()
        held.mark = mark
        self._equity = equity = plus(self._equity, times(held.net, minus(mark, old)))
        if not self._floor <= equity <= self._ceiling:
            self._record(ts_ns)

    def book_changed(self, ts_ns: int) -> None:
        """Value the whole account again, because cash or holdings changed."""
        self._revalue()
        self.values.book_changed = True
        self._record(ts_ns)

    def on_capital_moved(self, move: CapitalMove, ts_ns: int) -> None:
        """Compare with what equity was before in the proportion in which capital came or went.

        Called when it has come or gone, before anything else values the account. Points that have become records
        stay as they were.
        """
        record = self.values
        for name in ("highest", "trough", "day_open", "day_low"):
            point = getattr(record, name)
            setattr(record, name, Point(move.carried(point.amount), point.ts_ns))
        look = record.look
        record.look = WorstSinceCheck(move.carried(look.lowest_equity), look.exposure, look.equity)
        self.book_changed(ts_ns)

    def on_split(self) -> None:
        """Value what is held again after a split: no extreme changes, because the account is worth the same."""
        self._revalue()
        self._update_bounds()

    def start_day(self, now_ns: int) -> None:
        """Start a trading day with the present equity."""
        self._revalue()
        self.values.day_open = self.values.day_low = Point(self._equity, now_ns)
        self._update_bounds()

    def take_worst(self) -> WorstSinceCheck:
        """Return the worst since the last call, this moment included, and start the next period."""
        record = self.values
        seen = record.look
        self._revalue()
        record.look = WorstSinceCheck(self._equity, self._exposure(), self._equity)
        record.looked_ns, record.book_changed = self._last.feed_ts_ns, False
        self._drop_bounds()
        self._floor, self._ceiling, self._are_bounds_due = ONE, ZERO, False  # any other price is a new extreme
        return seen

    def export_state(self) -> ExtremesRecord:
        """Return the record for a checkpoint."""
        return self.values

    def import_state(self, saved: dict[str, Any]) -> None:
        """Continue from ``saved``; the account and the last values must have been restored before."""
        self.values = msgspec.convert(saved, ExtremesRecord, strict=False)
        self._revalue()
        self._update_bounds()

    def _exposure(self) -> Decimal:
        return self._worth.exposure() if self._unexposed is None else minus(self._equity, self._unexposed)

    def _revalue(self) -> None:
        """Value the whole account; ``_unexposed`` becomes equity minus exposure, None while anything is short."""
        worth, held = self._worth, self.held  # changed in place: the intake refers to it
        for symbol in worth.take_news():
            net = worth.nets.get(symbol)
            if net is None:
                held.pop(symbol, None)
            elif symbol in held:
                held[symbol].net, held[symbol].mark = net, worth.marks[symbol]
            else:
                mark = self._last.mark(symbol)
                held[symbol] = HeldSymbol(net, mark)
                if mark is not worth.marks[symbol]:  # no price of it was told until now
                    self._changed.add(symbol)
        self._equity = worth.equity()
        self._unexposed = None if worth.is_short else minus(self._equity, worth.exposure())

    def _update_bounds(self) -> None:
        """Let the bounds be computed when the next price comes; checks that follow each other need none."""
        self._are_bounds_due = True
        self._drop_bounds()

    def _drop_bounds(self) -> None:
        """Let every price of the symbol that has bounds be evaluated."""
        if self._bounded is not None:
            self._bounded.low, self._bounded.high = ONE, ZERO
            self._bounded = None

    def _compute_bounds(self) -> None:
        """Compute the bounds of equity, and of the price of the only symbol held, within which no extreme changes.

        While nothing is short and cash is not below zero, exposure and its share of equity rise with equity alone.
        A bound may be too narrow, which costs an evaluation, never too wide.
        """
        self._are_bounds_due = False
        record, unexposed = self.values, self._unexposed
        look, equity = record.look, self._equity
        self._floor = max(record.trough.amount, record.day_low.amount, look.lowest_equity)
        if unexposed is None or unexposed < 0 or look.equity <= look.exposure:
            self._ceiling = minus(self._floor, ONE)  # every value is evaluated
        else:
            exposed = _ratio_rounded_down(times(look.exposure, unexposed), minus(look.equity, look.exposure))
            self._ceiling = min(
                record.highest.amount, plus(unexposed, min(exposed, record.highest_exposure.amount))
            )
        if len(self.held) != 1:
            return
        (held,) = self.held.values()
        if held.mark is None or held.net <= 0 or not self._floor <= equity <= self._ceiling:
            held.low, held.high = ONE, ZERO
            return
        self._bounded = held
        held.low = minus(held.mark, _ratio_rounded_down(minus(equity, self._floor), held.net))
        held.high = plus(held.mark, _ratio_rounded_down(minus(self._ceiling, equity), held.net))

    def _record(self, ts_ns: int) -> None:
        equity, exposure, record = self._equity, self._exposure(), self.values
        if equity > record.highest.amount:
            record.highest = record.trough = Point(equity, ts_ns)
        elif equity < record.trough.amount:
            record.trough = low = Point(equity, ts_ns)
            if record.deepest.is_smaller_than(record.highest.amount, equity):
                record.deepest = Drawdown(record.highest, low)
        if equity < record.day_low.amount:
            record.day_low = low = Point(equity, ts_ns)
            if record.worst_day.is_smaller_than(record.day_open.amount, equity):
                record.worst_day = Drawdown(record.day_open, low)
            if equity < record.lowest.amount:
                record.lowest = low
        if exposure > record.highest_exposure.amount:
            record.highest_exposure = Point(exposure, ts_ns)
        look = record.look
        lowest = min(equity, look.lowest_equity)
        # As a share of equity, without a division; equity of 0 or less is a fail-safe of its own.
        if equity > 0 and times(exposure, look.equity) > times(look.exposure, equity):
            record.look = WorstSinceCheck(lowest, exposure, equity)
        elif lowest < look.lowest_equity:
            record.look = WorstSinceCheck(lowest, look.exposure, look.equity)
        self._update_bounds()


def _ratio_rounded_down(amount: Decimal, by: Decimal) -> Decimal:
    """Return ``amount / by``, never rounded up; both are 0 or above."""
    quotient = ratio(amount, by)
    return quotient if times(quotient, by) <= amount else times(quotient, _ROUND_DOWN)
