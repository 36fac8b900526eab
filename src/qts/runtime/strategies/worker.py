"""The worker's half of a strategy in a process of its own: makes it, shows it values, collects its output.

It does what :class:`~qts.runtime.strategies.strategy_host.StrategyHost` does with a strategy on the loop, with the
batch's context in the place of the account. The process is ended without notice when the session is over.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, cast

import msgspec

from qts.errors import ContractError, InputError
from qts.event.contracts import Event
from qts.event.worker import resolve
from qts.market.contracts import Bar, Quote, Tick
from qts.money import ZERO
from qts.runtime.drivers.standard_output import redirected_output
from qts.runtime.strategies.abstract_context import MAX_LINES, AbstractContext, no_on_timer
from qts.runtime.strategies.intents import in_row_after, intents_of
from qts.runtime.strategies.plots import PlotPoint
from qts.runtime.strategies.process_protocol import (
    ERRORS_BEFORE_HALT,
    BatchContext,
    Fault,
    Start,
    Started,
    StrategySource,
    fault_text,
    trace_of,
)
from qts.runtime.strategies.strategy_bars import TRACK, StrategyBars, timer_calls
from qts.state.contracts import OperatingState
from qts.strategy.base_class import has_hook
from qts.strategy.contracts import AnyIntent, FillView, Strategy
from qts.strategy.declared import declared_bars
from qts.strategy.loading import RAISED_IN_CALL, fingerprint_of, load_strategy, make_strategy
from qts.strategy.moment import Moment
from qts.strategy.order_news import OrderNews
from qts.strategy.snapshot import restore, save_bytes
from qts.strategy.timer import MAX_TIMERS, Timer
from qts.strategy.user_code import runner_for

_NOTHING = (ZERO, None)


class View(AbstractContext):
    """The strategy's :class:`~qts.strategy.contracts.Context`: the account as it stood when the batch was sent.

    What the strategy plots, sets and logs is collected until :meth:`take`. ``has_timers``: it has an ``on_timer``.
    """

    __slots__ = ("batch", "has_timers", "lines", "points", "timers")

    def __init__(self, batch: BatchContext, *, has_timers: bool = False, bars: StrategyBars | None = None) -> None:
        super().__init__(bars)
        self.batch = batch
        self.has_timers = has_timers
        self.points: list[PlotPoint] = []
        self.timers: list[Timer] = []
        self.lines: list[str] = []

    def take(self) -> dict[str, Any]:
        """Return what was collected, by the names of :class:`BatchResult`, and collect from none again."""
        taken = {"points": self.points, "timers": self.timers, "lines": self.lines}
        self.points, self.timers, self.lines = [], [], []
        return taken

    @property
    def state(self) -> OperatingState:
        return self.batch.state

    @property
    def budget(self) -> Decimal:
        return self.batch.budget

    def holding(self, symbol: str) -> Decimal:
        return self.batch.holdings.get(symbol, _NOTHING)[0]

    def average_cost(self, symbol: str) -> Decimal | None:
        return self.batch.holdings.get(symbol, _NOTHING)[1]

    def working(self, symbol: str) -> bool:
        return symbol in self.batch.working

    def add_point(self, point: PlotPoint) -> None:
        self.points.append(point)

    @property
    def holdings(self) -> Mapping[str, Decimal]:
        return {symbol: qty for symbol, (qty, _) in self.batch.holdings.items()}

    def set_timer(self, timer: Timer) -> None:
        if not self.has_timers:
            raise no_on_timer(timer)
        if len(self.timers) <= MAX_TIMERS:  # one too many is refused by the session
            self.timers.append(timer)

    def add_line(self, text: str) -> None:
        if len(self.lines) < MAX_LINES:
            self.lines.append(text)

    def _present_ns(self) -> int:
        return self.batch.now_ns


class StrategyWorker:
    """One strategy in its process (a :class:`~qts.event.remote.RemoteWork`).

    What it prints goes to standard error: standard output is the session's.
    Raises InputError or ContractError for a strategy that cannot be made.
    """

    def __init__(self, arguments: Any) -> None:
        start = msgspec.convert(arguments, Start)
        with redirected_output(drains=False):
            self._begin(start)

    def _begin(self, start: Start) -> None:
        self.strategy = strategy_from(start.source)
        self._run = runner_for(self.strategy)
        wanted = declared_bars(self.strategy)
        self._bars = StrategyBars(self.strategy.name, wanted, self._add_point) if wanted else None
        if self._bars is not None:
            tracked = {} if start.tracked is None else msgspec.msgpack.decode(start.tracked)
            self._bars.add_all(start.bars)
            self._bars.import_tracked(tracked)
        self.view = View(start.context, has_timers=has_hook(self.strategy, "on_timer"), bars=self._bars)
        self._output: list[msgspec.Raw] = []
        self._errors = start.context.errors
        self._most_intents = start.most_intents
        self._fault = self._trace = ""
        self._traced: set[str] = set()
        self._dropped = 0
        for memory in (start.made, start.memory):
            self._restore(memory)
        self.view.is_starting = True
        try:
            self._run(self.strategy.on_start, self.view)
        except RAISED_IN_CALL as error:
            self._fault, self._trace = fault_text(error), trace_of(error)
        self.view.is_starting = False
        self._restore(start.memory)
        self._failures = [] if self._fault else self._warm_up(start.warm_up)

    def _warm_up(self, moments: Sequence[Moment]) -> list[Fault]:
        """Show moments from before the session; count what is wanted, and return the failures."""
        for moment in moments:
            self.view.warming_ns = moment.ts_ns
            for callback, value in self._calls(moment):
                if not self._halted:
                    self._guarded(callback, partial(self._show, callback, value))
        self.view.warming_ns = None
        said = [msgspec.msgpack.decode(one, type=AnyIntent | Fault) for one in self._output]
        failures = [one for one in said if isinstance(one, Fault)]
        self._dropped = len(said) - len(failures)
        return failures

    def started(self) -> Started:
        memory, unsaved = self._memory()
        return Started(
            os.getpid(),
            tuple(self.strategy.symbols),
            memory,
            self._fault,
            unsaved,
            self._trace,
            tracked=self._tracked(),
            dropped=self._dropped,
            failures=self._failures,
            **self.view.take(),
        )

    def work(self, events: Sequence[Event], brief: Any) -> dict[str, Any]:
        """Show the fills of the batch, then its values; a strategy that is halted on the way is called no more."""
        view = self.view.batch = msgspec.convert(brief, BatchContext)
        self._output, self._errors = [], view.errors
        fills_seen = 0
        with redirected_output(drains=False):
            for fill in view.fills:
                if not self._halted:
                    fills_seen += 1
                    self._tell(fill)
            for event in events:
                for callback, value in self._calls(event.body):
                    if not self._halted:
                        self._guarded(callback, partial(self._show, callback, value))
            memory, unsaved = self._memory()
        return {
            "output": self._output,
            "fills_seen": fills_seen,
            "errors": self._errors,
            "memory": memory,
            "unsaved": unsaved,
            "tracked": self._tracked(),
            **self.view.take(),
        }

    def _calls(self, value: Any) -> Iterable[tuple[str, object]]:
        """Yield the callbacks of a value, each with its argument."""
        kind = value.__class__
        if kind is Moment:
            name = self.strategy.name
            yield from timer_calls(value, name) if self._bars is None else self._bars.calls_of(value)
        else:
            yield "on_quote" if kind is Quote else "on_trade" if kind is Tick else "on_bar", value

    def _tell(self, told: FillView | OrderNews) -> None:
        hook = "on_fill" if isinstance(told, FillView) else "on_order"
        self._guarded(hook, partial(self._run, getattr(self.strategy, hook), self.view, told))

    @property
    def _halted(self) -> bool:
        return self._errors >= ERRORS_BEFORE_HALT

    def _show(self, callback: str, value: object) -> None:
        if callback == TRACK:
            assert self._bars is not None  # it alone yields this call
            self._bars.feed(cast("list[Bar]", value))
            return
        if not has_hook(self.strategy, callback):
            return  # what is not called does not end a row of failures
        self._collect(self._run(getattr(self.strategy, callback), self.view, value))
        self._errors = 0

    def _collect(self, intents: Iterable[AnyIntent] | None) -> None:
        """Encode the intents one by one: those before a failure stand; one that cannot be encoded is a failure."""
        for intent in intents_of(self._run, intents, self._most_intents):
            self._output.append(_encoded(intent))

    def _guarded(self, callback: str, call: Callable[[], None]) -> None:
        try:
            call()
        except RAISED_IN_CALL as error:
            self._errors = in_row_after(error, self._errors)
            trace = "" if callback in self._traced else trace_of(error)
            self._traced.add(callback)
            self._output.append(_encoded(Fault(fault_text(error), self._errors, callback, trace)))

    def _add_point(self, point: PlotPoint) -> None:
        self.view.points.append(point)

    def _tracked(self) -> bytes | None:
        """Return the memories of the tracked indicators. Raises ContractError for what cannot be kept."""
        return None if self._bars is None else msgspec.msgpack.encode(self._bars.export_tracked())

    def _memory(self) -> tuple[bytes | None, str]:
        """Return the strategy's memory and "", or None and the reason why it cannot be saved."""
        try:
            return save_bytes(self.strategy, self._run), ""
        except ContractError as error:
            return None, fault_text(error)

    def _restore(self, memory: bytes | None) -> None:
        if memory is not None:
            restore(self.strategy, msgspec.msgpack.decode(memory), self._run)


def strategy_from(source: StrategySource) -> Strategy:
    """Make the strategy at ``source``. Raises InputError for files other than those the session began with."""
    if not source.fingerprint:
        return make_strategy(resolve(source.place), source.place)
    if fingerprint_of(source.spec) != source.fingerprint:
        raise InputError(f"{source.place} is not what it was when the session began; begin a new one to trade it")
    return load_strategy(source.spec, source.params)


def _encoded(item: AnyIntent | Fault) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(item))
