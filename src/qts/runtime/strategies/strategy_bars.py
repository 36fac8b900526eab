"""The finished bars of one strategy: windows over the last of them, and the indicators that they feed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

from qts.errors import ContractError
from qts.indicators import Indicator, candle_of
from qts.market.contracts import Bar
from qts.market.series.book import BarSeries, SeriesBook, Window
from qts.market.series.wanted import WantedBars
from qts.runtime.strategies.plots import MAX_NAME, PlotPoint
from qts.strategy.moment import Moment
from qts.strategy.tracked import Tracked

TRACK: Final = "track"
"""Not a callback: an indicator that a strategy tracks could not take a bar."""
MAX_TRACKED: Final = 100
"""Indicators of one strategy, each of which is there for every symbol."""
OnPoint = Callable[[PlotPoint], object]
"""Called with a point of a tracked indicator."""


class StrategyBars:
    """The bars that a strategy declares: what it is shown, what it may look back on, what it tracks.

    For one thread. ``wanted`` is at least one interval; ``on_point`` takes what tracked indicators plot.
    """

    def __init__(self, name: str, wanted: Sequence[WantedBars], on_point: OnPoint = lambda point: None) -> None:
        self._name = name
        self._wanted = tuple(wanted)  # all of the same symbols: those that the strategy trades
        self._book = SeriesBook(wanted)
        self._on_point = on_point
        self._tracked: dict[str, Tracked] = {}
        self._saved: Mapping[str, Any] = {}
        """Memories of indicators from a checkpoint that were not asked for again."""

    def history(self, symbol: str, interval: str, n: int) -> BarSeries:
        """Return the last ``n`` finished bars, or as many as there are.

        Raises ContractError for an interval that is not declared, and for more bars than are declared.
        """
        return self._book.last(symbol, interval, n)

    def is_ready(self, symbol: str) -> bool:
        """Return whether of every interval that is declared for ``symbol`` as many bars are there as it wants."""
        count = self._book.count
        return all(count(symbol, one.interval.name) >= one.n for one in self._wanted if one.wants(symbol))

    def lacking(self, symbol: str) -> str:
        """Return the bars that are declared for ``symbol`` and not there yet, in words; "" for none."""
        found = [
            f"{have} of {one.n} bars {one.interval.name}"
            for one in self._wanted
            if one.wants(symbol) and (have := self._book.count(symbol, one.interval.name)) < one.n
        ]
        return f"it has {' and '.join(found)} of {symbol}" if found else ""

    def track(self, indicator: object, interval: str) -> Tracked:
        """Return the indicators made from ``indicator``, to be fed with the bars of ``interval``.

        The same one again gives the same. Raises ContractError for what is no indicator, an interval that is not
        declared, another class of the same name and settings, and one too many.
        """
        if not isinstance(indicator, Indicator):
            raise ContractError(f"track: give an indicator such as Sma(20), got {indicator!r:.80}")
        if interval not in {one.interval.name for one in self._wanted}:
            declared = ", ".join(one.interval.name for one in self._wanted)
            raise ContractError(f"track: {interval!r:.40} is not declared in `bars`; declared are: {declared}")
        made = Tracked(indicator, interval, self._wanted[0].symbols)
        known = self._tracked.get(made.key)
        if known is not None:
            if type(known.template) is not type(indicator):
                raise ContractError(f"track {made.key}: another class of this name is tracked; rename one of them")
            return known
        if len(self._tracked) >= MAX_TRACKED:
            raise ContractError(f"track {made.key}: a strategy may track {MAX_TRACKED} indicators")
        if made.key in self._saved:
            made.import_state(self._saved[made.key])
        self._tracked[made.key] = made
        return made

    def calls_of(self, moment: Moment) -> Iterator[tuple[str, Any]]:
        """Yield the calls of a moment with their arguments, in their order; each is to be made before the next.

        Timers, then :data:`TRACK` with all bars, ``on_bar`` for each, ``on_bars`` for each interval. A bar that was
        there before, or is not declared, is left out.
        """
        yield from timer_calls(moment, self._name)
        bars = [bar for bar in moment.bars if self._book.add(bar)]
        if not bars:
            return
        if self._tracked:
            yield TRACK, bars
        for bar in bars:
            yield "on_bar", bar
        for _, same in groupby(bars, key=attrgetter("interval")):
            yield "on_bars", {bar.symbol: bar for bar in same}

    def feed(self, bars: Iterable[Bar]) -> None:
        """Update the tracked indicators with ``bars``, and plot them. Raises what an indicator raises."""
        for bar in bars:
            candle = candle_of(bar)  # once for all of them: a Decimal takes its time to become a float
            for tracked in self._tracked.values():
                if tracked.interval != bar.interval:
                    continue
                indicator = tracked.feed(bar.symbol, candle)
                for name, value in indicator.values():
                    if value == value:  # not NaN: it is ready
                        label = f"{name} {bar.interval} {bar.symbol}"[:MAX_NAME]
                        self._on_point(PlotPoint(label, indicator.pane, bar.ts_ns, value, is_tracked=True))

    def has_for(self, moment: Moment) -> bool:
        """Return whether the moment has a timer of this strategy, or a bar that it declares."""
        return any(timer.strategy == self._name for timer in moment.timers) or any(
            self._book.length(bar.symbol, bar.interval) for bar in moment.bars
        )

    def part_of(self, moment: Moment) -> Moment:
        """Return what of the moment is for this strategy."""
        bars = tuple(bar for bar in moment.bars if self._book.length(bar.symbol, bar.interval))
        return Moment(moment.ts_ns, tuple(timer for timer in moment.timers if timer.strategy == self._name), bars)

    def intervals_without_bars(self) -> list[str]:
        """Return the declared intervals of which no symbol has a bar."""
        with_bars = {bar.interval for window in self._book.windows().values() for bar in window.bars[-1:]}
        return [one.interval.name for one in self._wanted if one.interval.name not in with_bars]

    def shown(self) -> list[Bar]:
        """Return every bar that is kept, an interval and symbol after the other, the oldest first."""
        return [bar for window in self._book.windows().values() for bar in window.kept()]

    def windows(self) -> Mapping[tuple[str, str], Window]:
        """Return the windows by symbol and interval."""
        return self._book.windows()

    def lengths(self) -> Iterator[tuple[str, int]]:
        """Yield each interval that is declared, with how many bars of it are kept."""
        for one in self._wanted:
            yield one.interval.name, one.n

    def restore_window(self, symbol: str, interval: str, bars: Sequence[Bar], added: int) -> None:
        """Continue with ``bars`` that were shown before, the last of which was the ``added``-th of its series."""
        self._book.restore(symbol, interval, bars, added)

    def export_tracked(self) -> dict[str, Any]:
        """Return the memories of the tracked indicators. Raises ContractError for what cannot be kept."""
        return {key: tracked.export_state() for key, tracked in self._tracked.items()}

    def import_tracked(self, tracked: Mapping[str, Any]) -> None:
        """Continue with memories of indicators, which :meth:`track` takes."""
        self._saved = tracked

    def add_all(self, bars: Iterable[Bar]) -> None:
        """Add bars that were shown, without a call."""
        for bar in bars:
            self._book.add(bar)


def timer_calls(moment: Moment, strategy: str) -> Iterator[tuple[str, str]]:
    """Yield the call of each timer of ``strategy``."""
    for timer in moment.timers:
        if timer.strategy == strategy:
            yield "on_timer", timer.name
