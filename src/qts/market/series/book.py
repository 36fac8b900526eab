"""The last finished bars of every symbol and interval, and the read-only view of them that a strategy gets."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, overload

from qts.errors import ContractError
from qts.market.contracts import Bar
from qts.market.series.intervals import Interval, Unit
from qts.market.series.wanted import WantedBars

_SLACK: Final = 16
"""A window is cut to its length when it has so many bars more, and an eighth of its length: seldom."""


class BarSeries(Sequence[Bar]):
    """Finished bars of one symbol and interval as they were when it was asked for, the oldest first.

    A read-only sequence of :class:`~qts.market.contracts.Bar`; a slice is a list. ``opens``, ``highs``, ``lows``,
    ``closes`` and ``volumes`` are new arrays of floats, for indicators: a price is taken from a bar.
    """

    __slots__ = ("_bars", "_first", "_window")

    def __init__(self, bars: list[Bar], window: Window | None = None, first: int = 0) -> None:
        self._bars = bars
        self._window = window
        self._first = first

    @property
    def opens(self) -> array[float]:
        """Return the opens."""
        return self._column("open")

    @property
    def highs(self) -> array[float]:
        """Return the highs."""
        return self._column("high")

    @property
    def lows(self) -> array[float]:
        """Return the lows."""
        return self._column("low")

    @property
    def closes(self) -> array[float]:
        """Return the closes."""
        return self._column("close")

    @property
    def volumes(self) -> array[float]:
        """Return the volumes."""
        return self._column("volume")

    def __len__(self) -> int:
        return len(self._bars)

    @overload
    def __getitem__(self, place: int) -> Bar: ...

    @overload
    def __getitem__(self, place: slice) -> list[Bar]: ...

    def __getitem__(self, place: int | slice) -> Bar | list[Bar]:
        return self._bars[place]

    def __iter__(self) -> Iterator[Bar]:
        return iter(self._bars)

    def __repr__(self) -> str:
        if not self._bars:
            return "BarSeries of no bars"
        last = self._bars[-1]
        return f"BarSeries of {len(self._bars)} bars {last.interval} of {last.symbol}"

    def _column(self, name: str) -> array[float]:
        kept = None if self._window is None else self._window.column(name, self._first, len(self._bars))
        return array("d", [float(getattr(bar, name)) for bar in self._bars]) if kept is None else kept


class Window:
    """The last ``n`` bars of one symbol and interval; at most an eighth of ``n`` and 16 more are held."""

    __slots__ = ("_columns", "_dropped", "_limit", "_unit", "bars", "n")

    def __init__(self, interval: Interval, n: int) -> None:
        self.n = n
        self.bars: list[Bar] = []
        self._unit = interval.unit
        self._limit = n + n // 8 + _SLACK
        self._dropped = 0
        self._columns: dict[str, array[float]] = {}
        """Columns that were asked for, in step with ``bars``."""

    def add(self, bar: Bar) -> bool:
        """Add a finished bar; return False when it, or a later one, is in already, so that each is shown once."""
        bars = self.bars
        if bars and not self._follows(bars[-1], bar):
            return False
        bars.append(bar)
        for name, column in self._columns.items():
            column.append(float(getattr(bar, name)))
        if len(bars) >= self._limit:
            self._cut()
        return True

    @property
    def added(self) -> int:
        """Return how many bars were added, those that are not held any more too."""
        return self._dropped + len(self.bars)

    def kept(self) -> list[Bar]:
        """Return the bars that are looked back on: the last ``n``, or as many as there are, the oldest first."""
        return self.bars[-self.n :]

    def restore(self, bars: Sequence[Bar], added: int) -> None:
        """Continue with ``bars``, the last of which was the ``added``-th; on an empty window."""
        self.bars = list(bars)
        self._dropped = added - len(self.bars)

    def last(self, n: int) -> BarSeries:
        """Return the last ``n`` bars, or as many as there are."""
        bars = self.bars[-min(n, self.n) :]
        return BarSeries(bars, self, self._dropped + len(self.bars) - len(bars))

    def column(self, name: str, first: int, length: int) -> array[float] | None:
        """Return a column of ``length`` bars from number ``first`` on; None when they are not all held any more."""
        start = first - self._dropped
        if start < 0:
            return None
        column = self._columns.get(name)
        if column is None:
            column = self._columns[name] = array("d", [float(getattr(bar, name)) for bar in self.bars])
        return column[start : start + length]

    def _follows(self, last: Bar, bar: Bar) -> bool:
        if not (bar.start_ns and last.start_ns):
            return bar.ts_ns > last.ts_ns
        if self._unit is Unit.TIME:
            return bar.start_ns > last.start_ns
        return bar.start_ns >= last.ts_ns  # several may begin and end at one nanosecond

    def _cut(self) -> None:
        excess = len(self.bars) - self.n
        del self.bars[:excess]
        for column in self._columns.values():
            del column[:excess]
        self._dropped += excess


class SeriesBook:
    """The windows of every wanted interval, one for each symbol that had a bar of it.

    Where several strategies want an interval the longest window serves all. Everything is called on one thread.
    """

    def __init__(self, wanted: Iterable[WantedBars]) -> None:
        self._wanted = tuple(wanted)
        self._windows: dict[tuple[str, str], Window] = {}

    def add(self, bar: Bar) -> bool:
        """Add a finished bar. Return False when it was there before or is not wanted: it is not to be shown."""
        window = self._windows.get((bar.symbol, bar.interval))
        if window is None:
            window = self._first(bar.symbol, bar.interval)
            if window is None:
                return False
        return window.add(bar)

    def last(self, symbol: str, interval: str, n: int) -> BarSeries:
        """Return the last ``n`` bars of a symbol, or as many as there are; an empty series when there is none.

        Raises ContractError when the interval is not wanted for the symbol, or fewer than ``n`` bars are kept.
        """
        window = self._windows.get((symbol, interval))
        if window is not None and 0 < n <= window.n:
            return window.last(n)
        most = self.length(symbol, interval)
        if not 0 < n <= most:
            raise ContractError(self._unfit(symbol, interval, n, most))
        return BarSeries([])

    def length(self, symbol: str, interval: str) -> int:
        """Return how many bars of a symbol and interval are kept; 0: it is not wanted."""
        return max(
            (one.n for one in self._wanted if one.interval.name == interval and one.wants(symbol)), default=0
        )

    def windows(self) -> Mapping[tuple[str, str], Window]:
        """Return the windows by symbol and interval, in the order of their first bars."""
        return self._windows

    def restore(self, symbol: str, interval: str, bars: Sequence[Bar], added: int) -> None:
        """Continue a window with ``bars``, the last of which was its ``added``-th; nothing if it is not wanted."""
        window = self._first(symbol, interval)
        if window is not None:
            window.restore(bars, added)

    def count(self, symbol: str, interval: str) -> int:
        """Return how many bars there are, at most :meth:`length`."""
        window = self._windows.get((symbol, interval))
        return 0 if window is None else min(len(window.bars), window.n)

    def _first(self, symbol: str, interval: str) -> Window | None:
        n = self.length(symbol, interval)
        if not n:
            return None
        kind = next(one.interval for one in self._wanted if one.interval.name == interval)
        window = self._windows[symbol, interval] = Window(kind, n)
        return window

    def _unfit(self, symbol: str, interval: str, n: int, most: int) -> str:
        if most:
            return f"history of {symbol} {interval}: n must be from 1 to {most}, as `bars` declares, got {n}"
        declared = sorted({one.interval for one in self._wanted if one.wants(symbol)}, key=lambda one: one.rank)
        names = ", ".join(one.name for one in declared) or "none"
        return f"no bars {interval!r} of {symbol} are declared in `bars`; declared are: {names}"
