"""A bar that has begun and is not over: its sums so far, exact to the last digit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from qts.clock import NEVER_NS
from qts.market.contracts import Bar, Tick
from qts.market.series.intervals import Interval, Unit
from qts.market.series.sessions import NO_CELL, Cell
from qts.money import ZERO, plus, times, volume_and_value

MOST_PENDING: Final = 256
"""So many trades wait at most before they are added up."""


class Part(NamedTuple):
    """The sums that trades, or a finer bar, add to a bar; ``value`` and ``trades`` are None where not known."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    value: Decimal | None
    trades: int | None


def part_of_trades(ticks: Sequence[Tick]) -> Part:
    """Return what trades add up to; there is at least one."""
    if len(ticks) == 1:
        price, size = ticks[0].price, ticks[0].size
        return Part(price, price, price, price, size, times(price, size), 1)
    prices, sizes = [tick.price for tick in ticks], [tick.size for tick in ticks]
    volume, value = volume_and_value(sizes, prices)
    return Part(prices[0], max(prices), min(prices), prices[-1], volume, value, len(prices))


def part_of_bar(bar: Bar) -> Part:
    """Return what a finer bar adds."""
    return Part(bar.open, bar.high, bar.low, bar.close, bar.volume, bar.value, bar.trades)


class RunningBar:
    """The running bar of one symbol and interval, if one has begun, and what is known of the ones before it.

    ``told_ns`` is the end of the newest one that is over, ``due_ns`` when the running one is over by the clock
    alone (NEVER_NS: it waits for something else), ``fed_ns`` the length of the feed's bars from which it is built
    (0: of none yet, or from trades).
    """

    __slots__ = ("cell", "due_ns", "fed_ns", "interval", "part", "told_ns")

    def __init__(self, interval: Interval) -> None:
        self.interval = interval
        self.cell: Cell = NO_CELL
        self.part: Part | None = None
        self.due_ns = NEVER_NS
        self.told_ns = -NEVER_NS
        self.fed_ns = 0

    @property
    def has_begun(self) -> bool:
        """Return whether a bar is running."""
        return self.cell is not NO_CELL

    def begin(self, cell: Cell, due_ns: int) -> None:
        """Begin a bar over ``cell``."""
        self.cell, self.part, self.due_ns = cell, None, due_ns

    def add(self, more: Part) -> None:
        """Add what came."""
        part = self.part
        if part is None:
            self.part = more
            return
        self.part = Part(
            part.open,
            more.high if more.high > part.high else part.high,
            more.low if more.low < part.low else part.low,
            more.close,
            plus(part.volume, more.volume),
            None if part.value is None or more.value is None else plus(part.value, more.value),
            None if part.trades is None or more.trades is None else part.trades + more.trades,
        )

    def drop(self) -> None:
        """Forget the running bar."""
        self.cell, self.part, self.due_ns = NO_CELL, None, NEVER_NS

    def end(self, symbol: str) -> Bar:
        """Return the bar, which is over and has at least one part; the next one has not begun."""
        cell, part = self.cell, self.part
        assert part is not None, "a bar begins with what is added to it"
        self.told_ns = max(self.told_ns, cell.end_ns)
        self.drop()
        return Bar(
            symbol,
            cell.end_ns,
            part.open,
            part.high,
            part.low,
            part.close,
            part.volume,
            self.interval.name,
            cell.day,
            cell.start_ns,
            part.value,
            part.trades,
            cell.is_cut,
        )

    def export_state(self) -> dict[str, Any]:
        """Return the running bar for a checkpoint."""
        return {"cell": self.cell, "part": self.part, "due": self.due_ns, "told": self.told_ns, "fed": self.fed_ns}

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Continue from :meth:`export_state`, which has been through JSON or MessagePack."""
        self.part = None if saved["part"] is None else _part(saved["part"])
        self.cell = NO_CELL if self.part is None else Cell(*saved["cell"])
        self.due_ns, self.told_ns, self.fed_ns = saved["due"], saved["told"], saved["fed"]


class CountedBar:
    """The running bar of an interval of trades, volume or value; no trade is divided between two bars."""

    __slots__ = ("_counted", "_first_ns", "_last_ns", "_pending", "_size", "_sum", "_unit", "interval")

    def __init__(self, interval: Interval) -> None:
        self.interval = interval
        self._unit, self._size = interval.unit, interval.size
        self._counted = ZERO
        self._pending: list[Tick] = []
        self._sum = RunningBar(interval)
        self._first_ns = self._last_ns = 0

    def on_tick(self, tick: Tick) -> bool:
        """Add a trade; return whether the bar is over with it."""
        pending = self._pending
        pending.append(tick)
        if self._unit is Unit.VOLUME:
            self._counted = plus(self._counted, tick.size)
        elif self._unit is Unit.VALUE:
            self._counted = plus(self._counted, times(tick.price, tick.size))
        else:
            self._counted = plus(self._counted, _ONE_TRADE)
        if len(pending) >= MOST_PENDING:
            self._fold()
        return self._counted >= self._size

    @property
    def has_begun(self) -> bool:
        """Return whether a bar is running."""
        return bool(self._pending) or self._sum.part is not None

    def end(self, symbol: str, day: str, *, is_partial: bool) -> Bar:
        """Return the bar, which is over and has at least one trade. ``day`` is its session day, an ISO date."""
        self._fold()
        part = self._sum.part
        assert part is not None, "a bar begins with a trade"
        start_ns, end_ns = self._first_ns, self._last_ns
        self._sum.drop()
        self._counted = ZERO
        return Bar(
            symbol,
            end_ns,
            part.open,
            part.high,
            part.low,
            part.close,
            part.volume,
            self.interval.name,
            day,
            start_ns,
            part.value,
            part.trades,
            is_partial,
        )

    def export_state(self) -> dict[str, Any]:
        """Return the running bar for a checkpoint."""
        self._fold()
        return {"part": self._sum.part, "counted": self._counted, "first": self._first_ns, "last": self._last_ns}

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Continue from :meth:`export_state`."""
        self._pending.clear()
        self._sum.part = None if saved["part"] is None else _part(saved["part"])
        self._counted = Decimal(saved["counted"])
        self._first_ns, self._last_ns = saved["first"], saved["last"]

    def _fold(self) -> None:
        pending = self._pending
        if not pending:
            return
        if self._sum.part is None:
            self._first_ns = self._last_ns = pending[0].ts_ns
        self._last_ns = max(self._last_ns, pending[-1].ts_ns)
        self._sum.add(part_of_trades(pending))
        pending.clear()


_ONE_TRADE: Final = Decimal(1)


def _part(saved: Sequence[Any]) -> Part:
    *prices, value, trades = saved
    opening, high, low, close, volume = map(Decimal, prices)
    return Part(opening, high, low, close, volume, None if value is None else Decimal(value), trades)
