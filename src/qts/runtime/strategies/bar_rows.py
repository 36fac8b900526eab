"""The finished bars of windows as rows of the store, so that a checkpoint need not hold the windows.

The rows of a checkpoint are written in its transaction. So what stands in the store when a session is resumed is
what stood in the windows when the checkpoint was made, whether the store is rewound or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from qts.errors import StorageError
from qts.market.contracts import Bar
from qts.market.series.book import Window
from qts.runtime.strategies.strategy_bars import StrategyBars

Series: TypeAlias = tuple[str, str]
"""A symbol and an interval."""


class SavedWindow(msgspec.Struct, frozen=True, array_like=True):
    """A window in a checkpoint: ``length`` bars, the last of which was its ``added``-th and ended at ``last_ns``.

    ``bars`` None: they are the newest rows of their symbol and interval.
    """

    symbol: str
    interval: str
    added: int
    length: int
    last_ns: int
    bars: list[Bar] | None = None


class _Written(NamedTuple):
    """The newest row of a series is its ``last``-th bar; so many rows as ``run`` before and with it have no gap."""

    last: int
    run: int


_NONE: Final = _Written(0, 0)


class BarRows:
    """The rows written of the windows of all strategies, one for a bar however many windows it is in.

    For the session's thread alone; part of the checkpoint. Every strategy is shown the bars of a series from the
    same one on and in the same order, so its n-th bar is the same in all windows. ``strategies`` is at least one.
    """

    def __init__(self, strategies: Sequence[StrategyBars]) -> None:
        self._strategies = tuple(strategies)
        self._written: dict[Series, _Written] = {}
        self._stored: dict[Series, list[Bar]] = {}
        """Rows that were read for windows to be restored from."""

    @property
    def kept(self) -> dict[str, int]:
        """Return how many bars of each interval the longest window has."""
        kept: dict[str, int] = {}
        for strategy in self._strategies:
            for interval, n in strategy.lengths():
                kept[interval] = max(n, kept.get(interval, 0))
        return kept

    def take_new(self) -> list[Bar]:
        """Return the bars that came into windows since the last call and are in one still, to be written now."""
        new: list[Bar] = []
        for series, window in self._furthest().items():
            last, run = self._written.get(series, _NONE)
            count = window.added - last
            if count > 0:
                bars = window.kept()[-count:]
                new += bars
                self._written[series] = _Written(window.added, len(bars) + (run if len(bars) == count else 0))
        return new

    def saved_windows(self, strategy: StrategyBars) -> list[SavedWindow]:
        """Return what a checkpoint keeps of a strategy's windows, after :meth:`take_new`.

        The bars themselves only of a window that does not end with the newest row, such as that of a strategy which
        runs in a process of its own and has been shown less than another.
        """
        saved = []
        for (symbol, interval), window in strategy.windows().items():
            bars = window.kept()
            if bars:
                last, run = self._written.get((symbol, interval), _NONE)
                is_stored = last == window.added and len(bars) <= run
                whole = None if is_stored else bars
                saved.append(SavedWindow(symbol, interval, window.added, len(bars), bars[-1].ts_ns, whole))
        return saved

    def read(self, rows: Iterable[Bar]) -> None:
        """Keep the stored ``rows``, in the order of writing, for :meth:`bars_of`, until :meth:`forget`."""
        for bar in rows:
            self._stored.setdefault((bar.symbol, bar.interval), []).append(bar)

    def bars_of(self, saved: SavedWindow) -> Sequence[Bar]:
        """Return the bars of a saved window. Raises StorageError when the rows are not those of its checkpoint."""
        if saved.bars is not None:
            return saved.bars
        bars = self._stored.get((saved.symbol, saved.interval), [])[-saved.length :]
        if len(bars) < saved.length or bars[-1].ts_ns != saved.last_ns:
            last = f", the last of {bars[-1].ts_ns}" if bars else ""
            raise StorageError(
                f"table bars: {saved.symbol} {saved.interval} has {len(bars)} rows{last}, the checkpoint knows of "
                f"{saved.length}, the last of {saved.last_ns}; the store is damaged: restore it from a backup"
            )
        return bars

    def forget(self) -> None:
        """Drop the rows that were read: every window is restored."""
        self._stored.clear()

    def export_state(self) -> list[list[Any]]:
        """Return the newest row of each series by its number."""
        return [[*series, *written] for series, written in self._written.items()]

    def import_state(self, saved: Iterable[Sequence[Any]]) -> None:
        """Continue from :meth:`export_state`."""
        self._written = {(symbol, interval): _Written(last, run) for symbol, interval, last, run in saved}

    def _furthest(self) -> Mapping[Series, Window]:
        """Return the window of each series that was shown most, and of several that were the longest."""
        furthest: dict[Series, Window] = {}
        for strategy in self._strategies:
            for series, window in strategy.windows().items():
                known = furthest.get(series)
                if known is None or (window.added, window.n) > (known.added, known.n):
                    furthest[series] = window
        return furthest
