"""Calls the strategies: shows them market values, takes their intents, keeps their mistakes to themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import msgspec

from qts.errors import ContractError
from qts.event.contracts import Event
from qts.market.contracts import Bar, IndexLevel, MarketValue, Quote, VolatilityLevel
from qts.runtime.strategies.context import LOADING, ON_START, SAVE, OnFault, OnIntent, StrategyContext
from qts.runtime.strategies.intents import in_row_after, intents_of
from qts.runtime.strategies.process_handler import StrategyProcessHandler
from qts.runtime.strategies.process_protocol import fault_text, trace_of
from qts.strategy.contracts import FillView, Intent
from qts.strategy.loading import RAISED_IN_CALL
from qts.strategy.snapshot import restore, save, save_bytes
from qts.strategy.unavailable import UnavailableStrategy

OnOther = Callable[[MarketValue], None]


class StrategyHost:
    """Calls every strategy that subscribed to a symbol; a fault of one is not felt by the others.

    Strategies that work in a process of their own (``away``) are called there; the host only passes on their fills
    and keeps their memory with that of the others.
    """

    def __init__(
        self,
        seats: Sequence[StrategyContext],
        *,
        away: Sequence[StrategyProcessHandler] = (),
        on_intent: OnIntent,
        on_other: OnOther,
        on_fault: OnFault,
    ) -> None:
        self.away = {one.seat.strategy.name: one for one in away}
        self.seats = list(seats)
        self._here = {seat.strategy.name: seat for seat in seats if seat.strategy.name not in self.away}
        self._on_intent = on_intent
        self._on_other = on_other
        self._on_fault = on_fault
        self._listeners: dict[str, list[StrategyContext]] = {}
        self.hung: Sequence[str] = ()
        """Strategies that stopped the session before: halted by :meth:`import_state`."""
        self._memories: dict[str, bytes] = {}
        self._lost: list[tuple[StrategyContext, str, str]] = []
        """Who could not be made or given its memory again: in which step, and why."""

    def start(self) -> None:
        """Let every strategy prepare; one whose start fails is never asked anything."""
        for seat in self._here.values():
            self._start(seat)

    def resume(self) -> None:
        """After a restore: let strategies rebuild what a checkpoint does not carry, but for halted ones."""
        for seat, step, why in self._lost:
            if not seat.halted:
                seat.unsaved = True
                self._told(seat, step, why, in_row=seat.errors + 1, final=True)
        self._lost.clear()
        for seat in self._here.values():
            if seat.halted:
                continue
            try:
                attributes = save(seat.strategy, seat.run)
            except ContractError as error:
                seat.unsaved = True
                self._faulted(seat, SAVE, error, final=True)
                continue
            self._start(seat)
            restore(seat.strategy, attributes, seat.run)

    def _start(self, seat: StrategyContext) -> None:
        try:
            seat.run(seat.strategy.on_start, seat)
        except RAISED_IN_CALL as error:
            self._faulted(seat, ON_START, error, final=True)

    def on_market_event(self, event: Event) -> None:
        """The P1 handler. No strategy hears of single trades or of changes deep in the book."""
        value = event.body
        kind = value.__class__
        if kind is Quote:
            for seat in self._listeners.get(value.symbol) or self._listening(value.symbol):
                try:
                    on_quote = seat.on_quote  # looked up apart: as a method call CPython searches the class first
                    intents = on_quote(seat, value)
                    if intents:
                        self._pass_on(seat, intents)
                    if seat.errors:
                        seat.errors = 0
                except RAISED_IN_CALL as error:
                    self._faulted(seat, "on_quote", error)
        elif kind is Bar:
            for seat in self._listeners.get(value.symbol) or self._listening(value.symbol):
                try:
                    self._pass_on(seat, seat.on_bar(seat, value))
                    seat.errors = 0
                except RAISED_IN_CALL as error:
                    self._faulted(seat, "on_bar", error)
        elif kind is IndexLevel or kind is VolatilityLevel:
            self._on_other(value)

    def on_fill(self, name: str, fill: FillView) -> None:
        seat = self._here.get(name)
        if name in self.away:
            self.away[name].tell(fill)
        elif seat is not None and not seat.halted:
            self._guarded(seat, "on_fill", partial(seat.run, seat.strategy.on_fill, seat, fill))

    def keep_memories(self) -> None:
        """Write down what the strategies remember, before a checkpoint is made of anything.

        One whose memory cannot be kept is halted, which changes what other parts of the checkpoint say; of such a
        one the last memory that could be kept stays, and it is not tried again.
        """
        for name, seat in self._here.items():
            if seat.unsaved:
                continue
            try:
                self._memories[name] = save_bytes(seat.strategy, seat.run)
            except ContractError as error:
                seat.unsaved = True
                self._faulted(seat, SAVE, error, final=True)

    def export_state(self) -> dict[str, Any]:
        """Return the memories as they were kept last, and what the strategies have failed with."""
        return {
            seat.strategy.name: {"pool": seat.strategy.pool.value, **seat.export_faults(), **self._memory_of(seat)}
            for seat in self.seats
        }

    def import_state(self, saved: dict[str, Any]) -> None:
        for seat in self.seats:
            name = seat.strategy.name
            mine = saved[name]
            seat.import_faults(mine)
            if name in self.hung:
                seat.why = seat.why or "it hung and stopped the session before"
                seat.set_halted(True)
            away = self.away.get(name)
            if away is not None:
                away.import_memory(mine)
            elif mine["attributes"] is not None:
                self._memories[name] = msgspec.msgpack.encode(mine["attributes"])
                self._give_back(seat, mine["attributes"])
            if isinstance(seat.strategy, UnavailableStrategy):
                seat.unsaved = True
                self._lost.append((seat, LOADING, seat.strategy.why))

    def _give_back(self, seat: StrategyContext, attributes: dict[str, Any]) -> None:
        """Let a strategy have its memory again; one that is halted has no use for it."""
        if seat.halted or isinstance(seat.strategy, UnavailableStrategy):
            seat.unsaved = True
            return
        try:
            restore(seat.strategy, attributes, seat.run)
        except ContractError:
            raise  # another class, or another version of it: the run is not this one's
        except RAISED_IN_CALL as error:
            self._lost.append((seat, "load_state", fault_text(error)))

    def _memory_of(self, seat: StrategyContext) -> dict[str, Any]:
        away = self.away.get(seat.strategy.name)
        if away is not None:
            return away.export_memory()
        memory = self._memories.get(seat.strategy.name)
        return {"attributes": None if memory is None else msgspec.Raw(memory)}

    def _listening(self, symbol: str) -> list[StrategyContext]:
        seats = [s for s in self._here.values() if not s.strategy.symbols or symbol in s.strategy.symbols]
        self._listeners[symbol] = seats
        return seats

    def _pass_on(self, seat: StrategyContext, intents: Iterable[Intent] | None) -> None:
        for intent in intents_of(seat.run, intents, seat.most_intents):
            self._on_intent(seat.strategy, intent)

    def _guarded(self, seat: StrategyContext, callback: str, call: Callable[[], None]) -> None:
        try:
            call()
        except RAISED_IN_CALL as error:
            self._faulted(seat, callback, error)

    def _faulted(self, seat: StrategyContext, callback: str, error: BaseException, *, final: bool = False) -> None:
        in_row = in_row_after(error, seat.errors)
        trace = "" if callback in seat.faults else trace_of(error)
        self._told(seat, callback, fault_text(error), in_row=in_row, final=final, trace=trace)

    def _told(
        self, seat: StrategyContext, callback: str, text: str, *, in_row: int, final: bool, trace: str = ""
    ) -> None:
        halted_before = seat.halted
        seat.fail(callback, text, in_row, final=final)
        self._on_fault(seat.strategy.name, callback, text, seat.halted and not halted_before, trace)
