"""Calls the strategies: shows them market values, takes their intents, keeps their mistakes to themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, cast

import msgspec

from qts.errors import ContractError
from qts.event.contracts import Event
from qts.market.contracts import Bar, IndexLevel, MarketValue, Quote, Tick, VolatilityLevel
from qts.runtime.strategies.bar_rows import BarRows, SavedWindow
from qts.runtime.strategies.context import (
    LIMIT,
    LOADING,
    ON_START,
    SAVE,
    OnFault,
    OnIntent,
    StrategyContext,
    not_called,
)
from qts.runtime.strategies.intents import in_row_after, intents_of
from qts.runtime.strategies.price_view import PriceView
from qts.runtime.strategies.process_handler import StrategyProcessHandler
from qts.runtime.strategies.process_protocol import fault_text, trace_of
from qts.runtime.strategies.strategy_bars import TRACK, StrategyBars
from qts.strategy.contracts import AnyIntent, FillView
from qts.strategy.loading import RAISED_IN_CALL
from qts.strategy.moment import Moment
from qts.strategy.order_news import OrderHook, OrderNews
from qts.strategy.snapshot import restore, save, save_bytes
from qts.strategy.unavailable import UnavailableStrategy

OnOther = Callable[[MarketValue], None]


class EarlyAnswer(msgspec.Struct, frozen=True):
    """The outcome of a strategy's call for ``value`` that was made before the value became an event.

    ``place`` counts the strategies called before it, which wanted nothing. ``error`` is what the call raised.
    """

    value: Quote | Bar | Tick
    place: int
    intents: Iterable[AnyIntent] | None
    error: BaseException | None


class StrategyHost:
    """Calls every strategy that subscribes to a symbol; a failure of one does not affect the others.

    Strategies that run in a process of their own (``remote``) are called there; the host only passes on their fills
    and keeps their memory with that of the others. ``prices`` converts the prices of fills; None: as traded.
    """

    def __init__(
        self,
        contexts: Sequence[StrategyContext],
        *,
        remote: Sequence[StrategyProcessHandler] = (),
        on_intent: OnIntent,
        on_other: OnOther,
        on_fault: OnFault,
        prices: PriceView | None = None,
    ) -> None:
        self.remote = {one.context.strategy.name: one for one in remote}
        self.contexts = list(contexts)
        self._on_loop = {
            context.strategy.name: context for context in contexts if context.strategy.name not in self.remote
        }
        self._by_name = {context.strategy.name: context for context in contexts}
        self._on_intent = on_intent
        self._on_other = on_other
        self._on_fault = on_fault
        self._prices = prices
        self._subscribers: dict[str, list[StrategyContext]] = {}
        self._traders: dict[str, list[StrategyContext]] = {}
        self.takes_trades = any(context.wants_trades for context in self._on_loop.values())
        """Whether a strategy on the loop asks for single trades."""
        self._answer: EarlyAnswer | None = None
        bars = [context.bars for context in contexts if context.bars is not None]
        self.bar_rows = BarRows(bars) if bars else None
        """The finished bars of the windows as rows of the store; None: no strategy declares bars."""
        self.hung: Sequence[str] = ()
        """Names of strategies that hung and ended the session before; :meth:`import_state` halts them."""
        self._memories: dict[str, bytes] = {}
        self._tracked: dict[str, bytes] = {}
        """Memories of the indicators that strategies track, as last saved, beside their own."""
        self._not_restored: list[tuple[StrategyContext, str, str]] = []
        """Strategies that could not be made or restored, in which step, and why."""

    def start(self) -> None:
        """Call ``on_start`` of every strategy on the loop; one whose start fails is halted."""
        for context in self._on_loop.values():
            self._start(context)

    def resume(self) -> None:
        """Start the strategies that are not halted after a restore, to rebuild what a checkpoint does not carry."""
        for context, step, why in self._not_restored:
            if not context.halted:
                context.unsaved = True
                self._record_failure(context, step, why, in_row=context.errors + 1, final=True)
        self._not_restored.clear()
        for context in self._on_loop.values():
            if context.halted:
                continue
            try:
                attributes = save(context.strategy, context.run)
            except ContractError as error:
                context.unsaved = True
                self._on_failure(context, SAVE, error, final=True)
                continue
            context.is_resuming = True
            self._start(context)
            context.is_resuming = False
            restore(context.strategy, attributes, context.run)

    def warm_up(self, moments: Sequence[Moment]) -> None:
        """Show bars from before the session, after :meth:`start`; what is wanted then is dropped and counted.

        Strategies in processes of their own are shown them there, before their first value.
        """
        for context in self._on_loop.values():
            if context.bars is not None:
                for moment in moments:
                    context.warming_ns = moment.ts_ns
                    self._show(context, moment, self._drop)
                context.warming_ns = None
        for remote in self.remote.values():
            remote.warm_up(moments)

    def finished_bars(self, symbol: str, interval: str, n: int) -> Sequence[Bar]:
        """Return the last ``n`` finished bars that a strategy has of ``symbol``, as they are shown to it.

        Fewer where no strategy has so many, of several the newest.
        """
        windows = [
            window.last(n)
            for context in self.contexts
            if context.bars is not None and (window := context.bars.windows().get((symbol, interval))) is not None
        ]
        if not windows:  # mostly: it is asked for each order
            return ()
        return max(windows, key=lambda bars: (len(bars), bars[-1].ts_ns if bars else 0))

    def lacking(self, strategy: str, symbol: str) -> str:
        """Return the bars that a strategy declares of ``symbol`` and does not have yet, in words; "" for none."""
        context = self._by_name.get(strategy)
        return "" if context is None or context.bars is None else context.bars.lacking(symbol)

    def _start(self, context: StrategyContext) -> None:
        context.is_starting = True
        try:
            context.run(context.strategy.on_start, context)
        except RAISED_IN_CALL as error:
            self._on_failure(context, ON_START, error, final=True)
        finally:
            context.is_starting = False

    def on_market_event(self, event: Event) -> None:
        """Handle a P1 event: show a value to those that subscribe to it, or a moment to those it is for.

        Trades go to those that ask for them alone; no strategy gets depth.
        """
        value = event.body
        kind = value.__class__
        if kind is Quote:
            contexts = self.subscribers(value.symbol)
            if self._answer is not None:
                contexts = self._apply_answer(value, contexts, "on_quote")
            for context in contexts:
                try:
                    # Looked up apart: as a method call CPython searches the class first.
                    on_quote = context.on_quote
                    intents = on_quote(context, value)
                    if intents:
                        self._publish(context, intents)
                    if context.errors and on_quote is not not_called:
                        context.errors = 0
                except RAISED_IN_CALL as error:
                    self._on_failure(context, "on_quote", error)
        elif kind is Bar:
            contexts = self.subscribers(value.symbol)
            if self._answer is not None:
                contexts = self._apply_answer(value, contexts, "on_bar")
            for context in contexts:
                try:
                    self._publish(context, context.on_bar(context, value))
                    if context.on_bar is not not_called:
                        context.errors = 0
                except RAISED_IN_CALL as error:
                    self._on_failure(context, "on_bar", error)
        elif kind is Tick:
            contexts = self.traders(value.symbol)
            if self._answer is not None:
                contexts = self._apply_answer(value, contexts, "on_trade")
            for context in contexts:
                try:
                    self._publish(context, context.on_trade(context, value))
                    context.errors = 0
                except RAISED_IN_CALL as error:
                    self._on_failure(context, "on_trade", error)
        elif kind is Moment:
            self._show_moment(value)
        elif kind is IndexLevel or kind is VolatilityLevel:
            self._on_other(value)

    def _show_moment(self, moment: Moment) -> None:
        """Show each strategy what came due for it."""
        for context in self._on_loop.values():
            self._show(context, moment, self._publish)

    def _show(
        self,
        context: StrategyContext,
        moment: Moment,
        take: Callable[[StrategyContext, Iterable[AnyIntent] | None], None],
    ) -> None:
        """Make the calls of a moment; ``take`` gets what the strategy wants in each."""
        for hook, argument in context.calls_of(moment):
            if hook != TRACK and not context.has(hook):
                continue  # what is not called does not end a row of failures
            try:
                take(context, context.call(hook, argument))
                if hook != TRACK:
                    context.errors = 0
            except RAISED_IN_CALL as error:
                self._on_failure(context, hook, error)

    def _drop(self, context: StrategyContext, intents: Iterable[AnyIntent] | None) -> None:
        for _ in intents_of(context.run, intents, context.most_intents):
            context.dropped += 1

    def subscribers(self, symbol: str) -> Sequence[StrategyContext]:
        """Return the strategies on the loop that want the values of ``symbol``, in the order of their calls.

        The same object for the whole session. Who calls them before a value becomes an event does so in this order
        and passes the first outcome that is not plain to :meth:`answer_early`.
        """
        return self._subscribers.get(symbol) or self._subscribe(symbol)

    def traders(self, symbol: str) -> Sequence[StrategyContext]:
        """Return those of :meth:`subscribers` that want the trades of ``symbol``; as there."""
        found = self._traders.get(symbol)
        if found is None:
            found = self._traders[symbol] = [one for one in self.subscribers(symbol) if one.wants_trades]
        return found

    def answer_early(self, answer: EarlyAnswer) -> None:
        """Keep the outcome of a call made before ``answer.value`` became an event.

        :meth:`on_market_event` applies it when it gets that value, and calls the strategies that follow.
        """
        self._answer = answer

    def _apply_answer(
        self, value: Quote | Bar | Tick, contexts: Sequence[StrategyContext], callback: str
    ) -> Sequence[StrategyContext]:
        """Apply the outcome that is kept; return the strategies that are still to be called."""
        answer, self._answer = self._answer, None
        if answer is None or answer.value is not value:
            return contexts
        context = contexts[answer.place]
        if answer.error is None:
            try:
                self._publish(context, answer.intents)
                context.errors = 0
            except RAISED_IN_CALL as error:
                self._on_failure(context, callback, error)
        elif isinstance(answer.error, RAISED_IN_CALL):
            self._on_failure(context, callback, answer.error)
        else:
            raise answer.error
        return contexts[answer.place + 1 :]

    def on_shown_event(self, event: Event) -> None:
        """Handle a P1 event as :meth:`on_market_event` does, with prices as they are shown."""
        self.on_market_event(event if self._prices is None else self._prices.event(event))

    def on_fill(self, name: str, fill: FillView) -> None:
        """Show ``fill`` to the strategy ``name``, unless it is halted; a name that is no strategy is ignored."""
        context = self._on_loop.get(name)
        if self._prices is not None:
            fill = self._prices.fill(fill)
        if name in self.remote:
            self.remote[name].add_fill(fill)
        elif context is not None and not context.halted:
            self._guarded(context, "on_fill", partial(context.run, context.strategy.on_fill, context, fill))

    def hears_of_orders(self, name: str) -> bool:
        """Return whether the strategy ``name`` has ``on_order`` and is not halted; False for an unknown name."""
        context = self._by_name.get(name)
        return context is not None and context.hears_of_orders and not context.halted

    def on_order(self, name: str, news: OrderNews) -> None:
        """Show ``news`` to the strategy ``name``, unless it is halted; a name that is no strategy is ignored."""
        if name in self.remote:
            self.remote[name].add_news(news)
            return
        context = self._on_loop.get(name)
        if context is not None and context.hears_of_orders and not context.halted:
            strategy = cast(OrderHook, context.strategy)  # it has the hook
            self._guarded(context, "on_order", partial(context.run, strategy.on_order, context, news))

    def halt(self, name: str, why: str) -> None:
        """Halt the strategy ``name``, as after a failure; nothing when it is halted already."""
        context = self._by_name[name]
        if context.halted:
            return
        if name in self.remote:
            self.remote[name].halt(why)
        else:
            self._record_failure(context, LIMIT, why, in_row=context.errors + 1, final=True)

    def keep_memories(self) -> None:
        """Save the memories of the strategies on the loop, before any component is exported to a checkpoint.

        A strategy whose memory cannot be saved is halted, which changes other shares of the checkpoint; its last
        memory that could be saved stays, and no further attempt is made.
        """
        for name, context in self._on_loop.items():
            if context.unsaved:
                continue
            try:
                if context.bars is not None:
                    self._tracked[name] = msgspec.msgpack.encode(context.bars.export_tracked())
                self._memories[name] = save_bytes(context.strategy, context.run)
            except ContractError as error:
                context.unsaved = True
                self._on_failure(context, SAVE, error, final=True)

    def export_state(self) -> dict[str, Any]:
        """Return the memories as last saved, and the failures, by strategy."""
        return {
            context.strategy.name: {
                "pool": context.pool.value,
                **context.export_faults(),
                **self._memory_of(context),
                **({"plots": plots} if (plots := context.plots.export_state()) else {}),
                **({} if context.bars is None else {"series": self._series_of(context)}),
            }
            for context in self.contexts
        }

    def import_state(self, saved: dict[str, Any]) -> None:
        """Restore memories and failures, and halt what hung; :meth:`resume` reports what cannot be restored."""
        for context in self.contexts:
            name = context.strategy.name
            mine = saved[name]
            context.import_faults(mine)
            context.plots.import_state(mine.get("plots", []))
            if context.bars is not None:
                series = mine["series"]
                context.dropped = series["dropped"]
                self._restore_windows(context.bars, series["windows"])
                context.bars.import_tracked(series[TRACK])
                self._tracked[name] = msgspec.msgpack.encode(series[TRACK])
            if name in self.hung:
                context.why = context.why or "it hung and stopped the session before"
                context.set_halted(True)
            remote = self.remote.get(name)
            if remote is not None:
                remote.import_memory(mine)
            elif mine["attributes"] is not None:
                self._memories[name] = msgspec.msgpack.encode(mine["attributes"])
                self._give_back(context, mine["attributes"])
            if isinstance(context.strategy, UnavailableStrategy):
                context.unsaved = True
                self._not_restored.append((context, LOADING, context.strategy.why))
        if self.bar_rows is not None:
            self.bar_rows.forget()

    def _restore_windows(self, bars: StrategyBars, saved: Any) -> None:
        assert self.bar_rows is not None  # it is there with the first strategy that has bars
        for one in msgspec.convert(saved, list[SavedWindow], strict=False):
            bars.restore_window(one.symbol, one.interval, self.bar_rows.bars_of(one), one.added)

    def _give_back(self, context: StrategyContext, attributes: dict[str, Any]) -> None:
        """Let a strategy have its memory again; one that is halted has no use for it."""
        if context.halted or isinstance(context.strategy, UnavailableStrategy):
            context.unsaved = True
            return
        try:
            restore(context.strategy, attributes, context.run)
        except ContractError:
            raise  # another class, or another version of it: the run is not this one's
        except RAISED_IN_CALL as error:
            self._not_restored.append((context, "load_state", fault_text(error)))

    def _series_of(self, context: StrategyContext) -> dict[str, Any]:
        """Return what finds the windows again, and the indicators, which are as old as the strategy's memory."""
        assert context.bars is not None
        assert self.bar_rows is not None
        remote = self.remote.get(context.strategy.name)
        is_over = remote is not None and context.halted  # no call looks at its windows again
        tracked = self._tracked.get(context.strategy.name) if remote is None else remote.tracked
        return {
            "windows": [] if is_over else self.bar_rows.saved_windows(context.bars),
            TRACK: {} if tracked is None else msgspec.Raw(tracked),
            "dropped": context.dropped,
        }

    def _memory_of(self, context: StrategyContext) -> dict[str, Any]:
        remote = self.remote.get(context.strategy.name)
        if remote is not None:
            return remote.export_memory()
        memory = self._memories.get(context.strategy.name)
        return {"attributes": None if memory is None else msgspec.Raw(memory)}

    def _subscribe(self, symbol: str) -> list[StrategyContext]:
        contexts = [s for s in self._on_loop.values() if not s.strategy.symbols or symbol in s.strategy.symbols]
        self._subscribers[symbol] = contexts
        return contexts

    def _publish(self, context: StrategyContext, intents: Iterable[AnyIntent] | None) -> None:
        for intent in intents_of(context.run, intents, context.most_intents):
            self._on_intent(context.strategy, intent)

    def _guarded(self, context: StrategyContext, callback: str, call: Callable[[], None]) -> None:
        try:
            call()
        except RAISED_IN_CALL as error:
            self._on_failure(context, callback, error)

    def _on_failure(
        self, context: StrategyContext, callback: str, error: BaseException, *, final: bool = False
    ) -> None:
        in_row = in_row_after(error, context.errors)
        trace = "" if callback in context.faults else trace_of(error)
        self._record_failure(context, callback, fault_text(error), in_row=in_row, final=final, trace=trace)

    def _record_failure(
        self, context: StrategyContext, callback: str, text: str, *, in_row: int, final: bool, trace: str = ""
    ) -> None:
        halted_before = context.halted
        context.fail(callback, text, in_row, final=final)
        self._on_fault(context.strategy.name, callback, text, context.halted and not halted_before, trace)
