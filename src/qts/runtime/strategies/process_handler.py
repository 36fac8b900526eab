"""The loop's half of a strategy that runs in a process of its own.

It holds everything the session has to keep: the strategy's memory after the last result, the fills it has not seen
yet, its failures in a row. So a worker may die at any moment: the next one starts with that memory, and every fill
and every value is in it exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from qts.errors import ContractError
from qts.event.contracts import Event
from qts.event.remote import RemoteHandler
from qts.event.worker import target_of
from qts.market.contracts import Bar, Quote, Tick
from qts.runtime.strategies.context import (
    LIMIT,
    ON_START,
    PLOT,
    SAVE,
    TIMER,
    WORKER,
    OnFault,
    OnIntent,
    StrategyContext,
)
from qts.runtime.strategies.plots import PlotPoint
from qts.runtime.strategies.price_view import PriceView
from qts.runtime.strategies.process_protocol import (
    BatchContext,
    BatchResult,
    Fault,
    Start,
    Started,
    StrategySource,
    fault_text,
)
from qts.runtime.strategies.strategy_bars import TRACK, timer_calls
from qts.strategy.contracts import AnyIntent, FillView, Strategy
from qts.strategy.loading import StrategySpec, check_made_without_arguments
from qts.strategy.moment import Moment
from qts.strategy.order_news import OrderNews
from qts.strategy.snapshot import save
from qts.strategy.timer import Timer

OnRunning = Callable[[str, int], None]
_SHOWN: Final = (Quote, Bar)


class StrategyProcessHandler(RemoteHandler):
    """The P1 handler of one strategy in a process of its own.

    ``on_running`` is called with the strategy's name and the process id of every worker that is ready. Raises
    InputError or ContractError for a strategy that another process cannot make.
    """

    target = "qts.runtime.strategies.worker:StrategyWorker"

    def __init__(
        self,
        context: StrategyContext,
        spec: StrategySpec | None,
        *,
        on_intent: OnIntent,
        on_fault: OnFault,
        on_running: OnRunning,
        prices: PriceView | None = None,
    ) -> None:
        self.context = context
        self.name = f"strategy {context.strategy.name}"
        self._source = source_of(context.strategy, spec)
        self._made = None if spec is not None else msgspec.msgpack.encode(save(context.strategy, context.run))
        self._memory: bytes | None = None
        self._symbols: tuple[str, ...] = ()
        self.tracked: bytes | None = None
        """The memories of the strategy's indicators after the last result; None: it has none."""
        self._sent: list[Moment] = []
        self._warm_up: list[Moment] = []
        """Moments from before the session that the strategy has not been shown yet."""
        self._untold: list[FillView | OrderNews] = []  # few: without a result there are no new orders
        self._on_intent = on_intent
        self._on_fault = on_fault
        self._on_running = on_running
        self._prices = prices

    def add_fill(self, fill: FillView) -> None:
        """Keep ``fill`` for the next batch: the strategy sees it before the next value."""
        if not self.context.halted:
            self._untold.append(fill)

    def add_news(self, news: OrderNews) -> None:
        """Keep ``news`` for the next batch, in its place among the fills."""
        if self.context.hears_of_orders and not self.context.halted:
            self._untold.append(news)

    def warm_up(self, moments: Sequence[Moment]) -> None:
        """Keep ``moments`` from before the session for the first worker, which shows them before any value."""
        if self.context.bars is not None:
            self._warm_up = [self.context.bars.part_of(one) for one in moments if self.context.bars.has_for(one)]

    # -- called by the lane --------------------------------------------------------------------------------------

    @property
    def is_needed(self) -> bool:
        return not self.context.halted

    def arguments(self) -> Start:
        bars = self.context.bars
        return Start(
            self._source,
            self.context.batch_context(()),
            self._made,
            self._memory,
            self.context.most_intents,
            [] if bars is None else bars.shown(),
            self.tracked,
            self._warm_up,
        )

    def wants(self, event: Event) -> bool:
        value = event.body
        bars = self.context.bars
        if value.__class__ is Moment:
            if bars is not None:
                return bars.has_for(value)
            return any(True for _ in timer_calls(value, self.context.strategy.name))
        if bars is not None and value.__class__ is Bar:
            return False
        shown = value.__class__ in _SHOWN or (value.__class__ is Tick and self.context.wants_trades)
        return shown and (not self._symbols or value.symbol in self._symbols)

    def to_send(self, event: Event) -> Event:
        if event.body.__class__ is Moment:
            moment = self._mine(event.body)
            self._sent.append(moment)
            return msgspec.structs.replace(event, payload=moment)
        return event if self._prices is None else self._prices.event(event)

    def _mine(self, moment: Moment) -> Moment:
        """Return what came due for this strategy."""
        if self.context.bars is not None:
            return self.context.bars.part_of(moment)
        name = self.context.strategy.name
        return Moment(moment.ts_ns, tuple(timer for timer in moment.timers if timer.strategy == name))

    def batch_context(self) -> BatchContext:
        return self.context.batch_context(self._untold)

    def on_started(self, greeting: Any) -> None:
        started = msgspec.convert(greeting, Started)
        self._symbols = started.symbols
        self._on_running(self.context.strategy.name, started.pid)
        self._keep(started.memory, started.unsaved)
        self.tracked = started.tracked
        if self.context.bars is not None:
            for moment in self._warm_up:
                self.context.bars.add_all(moment.bars)
        self._warm_up = []
        self.context.dropped += started.dropped
        self._plot(ON_START, started.points)
        self.context.is_resuming = True  # of another process before it
        self._take(started.timers, started.lines)
        self.context.is_resuming = False
        if started.fault:
            self._on_failure(ON_START, started.fault, self.context.errors + 1, final=True, trace=started.trace)
        for one in started.failures:
            self._on_failure(one.callback, one.text, one.in_row, trace=one.trace)

    def on_batch_result(self, result: Any) -> None:
        done = msgspec.convert(result, BatchResult)
        if self.context.bars is not None:
            for moment in self._sent:
                self.context.bars.add_all(moment.bars)
        self._sent.clear()
        self.tracked = done.tracked
        del self._untold[: done.fills_seen]
        all_taken = True
        for item in done.output:
            if isinstance(item, Fault):
                self._on_failure(item.callback, item.text, item.in_row, trace=item.trace)
            else:
                all_taken &= self._publish(item)
        self._keep(done.memory, done.unsaved)
        self._plot(PLOT, done.points)
        self._take(done.timers, done.lines)
        if all_taken and not self.context.halted:
            self.context.errors = done.errors  # what came after the last failure has gone well

    def on_failure(self, problem: str) -> None:
        self._sent.clear()
        self._on_failure(WORKER, problem, self.context.errors + 1)

    def halt(self, why: str) -> None:
        """Halt the strategy, as after a failure."""
        self._on_failure(LIMIT, why, self.context.errors + 1, final=True)

    def _keep(self, memory: bytes | None, unsaved: str) -> None:
        """Keep the memory of a result; None halts the strategy for the reason ``unsaved``; the last one stays."""
        if memory is not None:
            self._memory = memory
            return
        self.context.unsaved = True
        self._on_failure(SAVE, unsaved, self.context.errors + 1, final=True)

    def _plot(self, callback: str, points: Sequence[PlotPoint]) -> None:
        """Take what the strategy has plotted; a series too many is its failure, as on the loop."""
        for point in points:
            try:
                self.context.plots.add(point)
            except ContractError as error:
                self._on_failure(callback, fault_text(error), self.context.errors + 1)
                return

    def _take(self, timers: Sequence[Timer], lines: Sequence[str]) -> None:
        """Set the strategy's timers and log its lines; a timer too many is its failure, as on the loop."""
        for line in lines:
            self.context.add_line(line)
        for timer in timers:
            try:
                self.context.set_timer(timer)
            except ContractError as error:
                self._on_failure(TIMER, fault_text(error), self.context.errors + 1)
                return

    def _publish(self, intent: AnyIntent) -> bool:
        try:
            self._on_intent(self.context.strategy, intent)
            return True
        except Exception as error:  # noqa: BLE001 - edge: an intent of the user's may fail anywhere, as on the loop
            self._on_failure("intent", fault_text(error), self.context.errors + 1)
            return False

    def _on_failure(self, callback: str, text: str, in_row: int, *, final: bool = False, trace: str = "") -> None:
        halted_before = self.context.halted
        self.context.fail(callback, text, in_row, final=final)
        if self.context.halted:
            self._untold.clear()
        self._on_fault(self.context.strategy.name, callback, text, self.context.halted and not halted_before, trace)

    # -- checkpoints -------------------------------------------------------------------------------------------

    def export_memory(self) -> dict[str, Any]:
        """Return the attributes, None before the first start, and the fills and news it has not seen."""
        attributes = None if self._memory is None else msgspec.Raw(self._memory)
        warm_up = {"warm_up": self._warm_up} if self._warm_up else {}
        return {"attributes": attributes, "untold": list(self._untold), **warm_up}

    def import_memory(self, saved: dict[str, Any]) -> None:
        """Restore what :meth:`export_memory` returned."""
        attributes = saved["attributes"]
        self._memory = None if attributes is None else msgspec.msgpack.encode(attributes)
        self._untold = msgspec.convert(saved["untold"], list[FillView | OrderNews])
        self._warm_up = msgspec.convert(saved.get("warm_up", []), list[Moment], strict=False)
        series = saved.get("series")
        self.tracked = None if series is None else msgspec.msgpack.encode(series[TRACK])


def source_of(strategy: Strategy, spec: StrategySpec | None) -> StrategySource:
    """Return where a worker finds the class: the file the user has named, else (None) an importable module.

    Raises InputError for a file that is gone or a class that wants arguments, ContractError for one that no other
    process can import.
    """
    if spec is not None:
        return StrategySource.of_file(spec)
    place = target_of(type(strategy))
    check_made_without_arguments(type(strategy), place)
    return StrategySource(place)
