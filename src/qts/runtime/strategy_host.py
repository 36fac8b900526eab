"""Seats the strategies: shows them market values, takes their intents, keeps their mistakes to themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from qts.event.contracts import Event
from qts.market.contracts import Bar, IndexLevel, MarketValue, Quote, VolatilityLevel
from qts.runtime.intents import in_row_after, intents_of
from qts.runtime.seat import OnFault, OnIntent, Seat
from qts.runtime.worker_seat import WorkerSeat
from qts.strategy.contracts import FillView, Intent
from qts.strategy.loading import RAISED_IN_CALL
from qts.strategy.snapshot import restore, save

OnOther = Callable[[MarketValue], None]


class StrategyHost:
    """Calls every strategy that subscribed to a symbol; a fault of one is not felt by the others.

    Strategies that work in a process of their own (``away``) are called there; the host only passes on their fills
    and keeps their memory with that of the others.
    """

    def __init__(
        self,
        seats: Sequence[Seat],
        *,
        away: Sequence[WorkerSeat] = (),
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
        self._listeners: dict[str, list[Seat]] = {}
        self.hung: Sequence[str] = ()
        """Strategies that stopped the session before: halted by :meth:`import_state`."""

    def start(self) -> None:
        for seat in self._here.values():
            self._guarded(seat, partial(seat.run, seat.strategy.on_start, seat))

    def resume(self) -> None:
        """After a restore: let strategies rebuild what a checkpoint does not carry; not those that are halted."""
        for seat in (seat for seat in self._here.values() if not seat.halted):
            attributes = save(seat.strategy, seat.run)
            self._guarded(seat, partial(seat.run, seat.strategy.on_start, seat))
            restore(seat.strategy, attributes, seat.run)

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
                    self._faulted(seat, error)
        elif kind is Bar:
            for seat in self._listeners.get(value.symbol) or self._listening(value.symbol):
                try:
                    self._pass_on(seat, seat.on_bar(seat, value))
                    seat.errors = 0
                except RAISED_IN_CALL as error:
                    self._faulted(seat, error)
        elif kind is IndexLevel or kind is VolatilityLevel:
            self._on_other(value)

    def on_fill(self, name: str, fill: FillView) -> None:
        seat = self._here.get(name)
        if name in self.away:
            self.away[name].tell(fill)
        elif seat is not None and not seat.halted:
            self._guarded(seat, partial(seat.run, seat.strategy.on_fill, seat, fill))

    def export_state(self) -> dict[str, Any]:
        return {
            seat.strategy.name: {"errors": seat.errors, "halted": seat.halted, **self._memory_of(seat)}
            for seat in self.seats
        }

    def import_state(self, saved: dict[str, Any]) -> None:
        for seat in self.seats:
            mine = saved[seat.strategy.name]
            seat.errors = mine["errors"]
            seat.set_halted(mine["halted"] or seat.strategy.name in self.hung)
            away = self.away.get(seat.strategy.name)
            if away is not None:
                away.import_memory(mine)
            else:
                restore(seat.strategy, mine["attributes"], seat.run)

    def _memory_of(self, seat: Seat) -> dict[str, Any]:
        away = self.away.get(seat.strategy.name)
        return {"attributes": save(seat.strategy, seat.run)} if away is None else away.export_memory()

    def _listening(self, symbol: str) -> list[Seat]:
        seats = [s for s in self._here.values() if not s.strategy.symbols or symbol in s.strategy.symbols]
        self._listeners[symbol] = seats
        return seats

    def _pass_on(self, seat: Seat, intents: Iterable[Intent] | None) -> None:
        for intent in intents_of(seat.run, intents, seat.most_intents):
            self._on_intent(seat.strategy, intent)

    def _guarded(self, seat: Seat, call: Callable[[], None]) -> None:
        try:
            call()
        except RAISED_IN_CALL as error:
            self._faulted(seat, error)

    def _faulted(self, seat: Seat, error: BaseException) -> None:
        seat.fail(in_row_after(error, seat.errors))
        self._on_fault(seat.strategy.name, f"{type(error).__name__}: {error}", seat.halted)
