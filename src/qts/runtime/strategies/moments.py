"""Makes the moments of a session: what came due for strategies at one time, beside the values of the feed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from qts.clock import NEVER_NS
from qts.market.contracts import Bar, Quote, Tick
from qts.market.series.builder import BarBuilder, EndedBars
from qts.market.series.symbol_bars import SymbolBars
from qts.notes import Note
from qts.runtime.due_work import DueWork
from qts.runtime.strategies.price_view import PriceView
from qts.runtime.strategies.timers import StrategyTimers
from qts.strategy.moment import Moment


class Moments:
    """The source of moments. For the session's thread alone; part of the checkpoint.

    A session has one only when a strategy declares bars or has an ``on_timer``. ``builder`` None: none declares
    bars. ``prices`` converts what the bars are built from to prices as strategies see them; None: they see those
    that were traded. ``due`` is told when something is due earlier than the drivers know.
    """

    __slots__ = ("_builder", "_due", "_prices", "ended", "notes", "timers")

    def __init__(
        self,
        timers: StrategyTimers,
        builder: BarBuilder | None,
        due: DueWork,
        prices: PriceView | None,
        notes: Iterable[Note] = (),
    ) -> None:
        self.timers = timers
        self.notes = tuple(notes)
        """Notes on where the bars from before the session came from."""
        self._builder = builder
        self._due = due
        self._prices = prices
        self.ended: deque[EndedBars] = deque()
        """Bars that are over and not shown yet, by moment."""

    @property
    def due_ns(self) -> int:
        """Return when the next moment is due, in ns of the session's clock; NEVER_NS when none is known."""
        due_ns = self.timers.due_ns
        if self._builder is not None:
            due_ns = min(due_ns, self._builder.due_ns)
        return min(due_ns, self.ended[0].ts_ns) if self.ended else due_ns

    def next_ns(self, now_ns: int) -> int:
        """Return the time of the next moment that is due by ``now_ns``; NEVER_NS: none is.

        It may be before its :attr:`due_ns`: bars of the feed are over when a later value comes.
        """
        builder = self._builder
        if not self.ended and builder is not None and builder.due_ns <= now_ns:
            self.ended.extend(builder.take_ended(builder.due_ns))
        first_ns = min(self.timers.due_ns, self.ended[0].ts_ns if self.ended else NEVER_NS)
        return first_ns if first_ns <= now_ns else NEVER_NS

    def take(self, at_ns: int) -> Moment:
        """Return the moment at ``at_ns``, which :meth:`next_ns` has returned."""
        timers = self.timers.take(at_ns) if self.timers.due_ns <= at_ns else ()
        bars: tuple[Bar, ...] = ()
        while self.ended and self.ended[0].ts_ns <= at_ns:
            bars += self.ended.popleft().bars
        return Moment(at_ns, timers, bars)

    def take_ended(self) -> Iterable[Moment]:
        """Yield a moment for the bars that the value just taken in has ended, one after the other."""
        while self.ended:
            ended = self.ended.popleft()
            yield Moment(ended.ts_ns, (), ended.bars)

    def on_tick(self, tick: Tick) -> None:
        """Add a trade that was taken in; :attr:`ended` then holds what it has ended."""
        builder = self._builder
        if builder is None:
            return
        if self._prices is not None:
            tick = self._prices.value(tick)  # type: ignore[assignment]
        if builder.on_tick(tick):
            self.ended.extend(builder.take_ended(tick.ts_ns))
        if builder.due_ns < self._due.wake_ns:
            self._due.wake_ns = builder.due_ns

    def on_quote(self, quote: Quote) -> None:
        """Add the trade that a quote reports, if it does; prices without one build no bar."""
        if quote.last is not None and quote.last_size:
            self.on_tick(Tick(quote.symbol, quote.ts_ns, quote.last, quote.last_size))

    def by_time(self, symbol: str) -> SymbolBars | None:
        """Return :meth:`BarBuilder.by_time` of ``symbol``; None where prices are converted as well."""
        return None if self._builder is None or self._prices is not None else self._builder.by_time(symbol)

    def on_bar(self, bar: Bar) -> None:
        """Add a bar of the feed that was taken in; as :meth:`on_tick`."""
        builder = self._builder
        if builder is None:
            return
        if self._prices is not None:
            bar = self._prices.value(bar)  # type: ignore[assignment]
        if builder.on_bar(bar):
            self.ended.extend(builder.take_ended(bar.ts_ns))
        if builder.due_ns < self._due.wake_ns:
            self._due.wake_ns = builder.due_ns

    def end_session(self, now_ns: int) -> None:
        """End the last bars of every session that has closed by ``now_ns``."""
        if self._builder is not None:
            self._builder.end_session(now_ns)
            self.ended.extend(self._builder.take_ended(now_ns))

    def finish(self) -> None:
        """End what is over because the input has ended: bars of the feed that were its last."""
        if self._builder is not None:
            self.ended.extend(self._builder.finish())

    def export_state(self) -> dict[str, Any]:
        """Return timers and running bars for a checkpoint."""
        return {
            "timers": self.timers.export_state(),
            "ended": [[one.ts_ns, one.bars] for one in self.ended],
            "notes": self.notes,
            "running": None if self._builder is None else self._builder.export_state(),
        }

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Continue from :meth:`export_state`."""
        self.timers.import_state(saved["timers"])
        self.notes = msgspec.convert(saved["notes"], tuple[Note, ...])
        ended = msgspec.convert(saved["ended"], list[tuple[int, tuple[Bar, ...]]], strict=False)
        self.ended = deque(EndedBars(*one) for one in ended)
        if self._builder is not None:
            self._builder.import_state(saved["running"])
