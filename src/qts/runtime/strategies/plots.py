"""Series that strategies plot, thinned as they grow: a bounded number of points, and every extreme among them.

Plotted numbers are floats: they are drawn and never booked.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import msgspec

from qts.errors import ContractError

MAX_POINTS: Final = 5_000
"""Points kept of a series."""
MAX_SERIES: Final = 40
"""Series of one strategy."""
MAX_LEFT_OUT: Final = 1_000
"""Series of tracked indicators that are remembered as left out."""
MAX_NAME: Final = 60
"""Characters of the name of a series or pane."""


class PlotPoint(msgspec.Struct, frozen=True, array_like=True):
    """A number that a strategy plots at a moment (ns since 1970, UTC).

    ``is_tracked``: of an indicator that it tracks.
    """

    name: str
    pane: str
    ts_ns: int
    value: float
    is_tracked: bool = False


def plot_point(name: object, value: object, pane: object, ts_ns: int) -> PlotPoint | None:
    """Return the point that a strategy has given, None for NaN: a gap, such as of an indicator not ready yet.

    Raises ContractError for a name or pane that is no text of 1 to 60 characters (the pane may be empty: the
    prices' own), and for a value that is no finite number.
    """
    for what, text, least in (("name", name, 1), ("pane", pane, 0)):
        if not isinstance(text, str) or not least <= len(text) <= MAX_NAME or not text.isprintable():
            raise ContractError(f"plot: {what} must be a printable text of at most {MAX_NAME} characters: {text!r}")
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ContractError(f"plot {name!r}: the value must be a number, got {value!r}")
    number = float(value)
    if math.isnan(number):
        return None
    if math.isinf(number):
        raise ContractError(f"plot {name!r}: the value must be finite, got {value!r}")
    return PlotPoint(str(name), str(pane), ts_ns, number)


class PlotSeries:
    """One series. Each pair of stored points stands for ``span`` points in a row: their lowest and highest.

    ``span`` doubles when the series is full; before the first time every point is stored as it is.
    """

    __slots__ = ("_high", "_low", "_pending", "span", "times", "values")

    def __init__(self) -> None:
        self.times, self.values = array("q"), array("d")
        self.span = 1
        self._pending = 0
        self._low: tuple[int, float] = (0, 0.0)
        self._high: tuple[int, float] = (0, 0.0)

    def add(self, ts_ns: int, value: float) -> None:
        """Add a point; a second one of the same moment replaces the first while no points are put together."""
        if self.span == 1:
            if self.times and self.times[-1] == ts_ns:
                self.values[-1] = value
                return
            self._store(ts_ns, value)
            return
        point = (ts_ns, value)
        if not self._pending:
            self._low = self._high = point
        elif value < self._low[1]:
            self._low = point
        elif value > self._high[1]:
            self._high = point
        self._pending += 1
        if self._pending == self.span:
            self._flush()

    def points(self) -> Iterator[tuple[int, float]]:
        """Return moment (ns) and value of every stored point, in order of time."""
        yield from zip(self.times, self.values, strict=True)
        if self._pending:
            yield from sorted({self._low, self._high})

    def export_state(self) -> list[Any]:
        """Return the series as plain data, for a checkpoint."""
        pending = [self._pending, *self._low, *self._high]
        return [self.span, self.times.tobytes(), self.values.tobytes(), pending]

    @classmethod
    def restored(cls, saved: list[Any]) -> PlotSeries:
        """Return the series that :meth:`export_state` described."""
        series = cls()
        series.span = saved[0]
        series.times.frombytes(saved[1])
        series.values.frombytes(saved[2])
        pending, low_ns, low, high_ns, high = saved[3]
        series._pending, series._low, series._high = pending, (low_ns, low), (high_ns, high)
        return series

    def _flush(self) -> None:
        for ts_ns, value in sorted({self._low, self._high}):
            self._store(ts_ns, value)
        self._pending = 0

    def _store(self, ts_ns: int, value: float) -> None:
        if len(self.times) >= MAX_POINTS:
            self._thin()
        self.times.append(ts_ns)
        self.values.append(value)

    def _thin(self) -> None:
        """Keep the lowest and the highest of every four points in a row."""
        points = list(zip(self.times, self.values, strict=True))
        self.times, self.values = array("q"), array("d")
        for start in range(0, len(points), 4):
            group = points[start : start + 4]
            low, high = min(group, key=lambda one: one[1]), max(group, key=lambda one: one[1])
            for ts_ns, value in sorted({low, high}):
                self.times.append(ts_ns)
                self.values.append(value)
        self.span *= 2 if self.span > 1 else 4


class Plots:
    """The series of one strategy, by pane and name; part of the checkpoint."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str], PlotSeries] = {}
        self._tracked: dict[tuple[str, str], None] = {}
        self.left_out: dict[tuple[str, str], None] = {}
        """Pane and name of tracked indicators that are not plotted, as an ordered set: there was no room."""

    def add(self, point: PlotPoint) -> None:
        """Add ``point`` to its series. Raises ContractError for one series too many.

        A series of a tracked indicator is left out where there is no room, and makes room for one of the strategy's
        own.
        """
        key = (point.pane, point.name)
        series = self._series.get(key)
        if series is None:
            if len(self._series) >= MAX_SERIES and (point.is_tracked or self._tracked):
                self._leave_out(key if point.is_tracked else next(reversed(self._tracked)))
                if point.is_tracked:
                    return
            if point.is_tracked:
                self._tracked[key] = None
            if len(self._series) >= MAX_SERIES:
                raise ContractError(f"plot {point.name!r}: a strategy may plot {MAX_SERIES} series")
            series = self._series[key] = PlotSeries()
        series.add(point.ts_ns, point.value)

    def _leave_out(self, key: tuple[str, str]) -> None:
        self._series.pop(key, None)
        self._tracked.pop(key, None)
        if len(self.left_out) < MAX_LEFT_OUT:
            self.left_out[key] = None

    def __iter__(self) -> Iterator[tuple[tuple[str, str], PlotSeries]]:
        """Return pane and name of every series with the series, in the order in which they began."""
        return iter(self._series.items())

    def export_state(self) -> list[list[Any]]:
        """Return every series as plain data; empty when nothing was plotted."""
        return [
            [*key, series.export_state(), *([True] if key in self._tracked else [])]
            for key, series in self._series.items()
        ]

    def import_state(self, saved: list[list[Any]]) -> None:
        """Continue from :meth:`export_state`."""
        self._series = {(one[0], one[1]): PlotSeries.restored(one[2]) for one in saved}
        self._tracked = {(one[0], one[1]): None for one in saved if len(one) > 3}
