"""Seats the strategies: shows them market values, takes their intents, keeps their mistakes to themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from qts.clock import Clock
from qts.event.contracts import Event
from qts.execution.working import WorkingOrders
from qts.ledger.account import Account
from qts.market.contracts import Bar, IndexLevel, MarketValue, Quote, VolatilityLevel
from qts.state.contracts import OperatingState
from qts.state.operating_state import OperatingStateManager
from qts.strategy.contracts import FillView, Intent, Strategy
from qts.strategy.snapshot import restore, save

ERRORS_BEFORE_HALT = 3
"""A strategy that raises this often in a row is halted: its exits are then the runtime's."""

OnIntent = Callable[[Strategy, Intent], None]
OnOther = Callable[[MarketValue], None]
OnFault = Callable[[str, str, bool], None]


class Seat:
    """One strategy's view of the account (its :class:`~qts.strategy.contracts.Context`)."""

    __slots__ = ("_account", "_clock", "_orders", "_state", "errors", "halted", "on_bar", "on_quote", "strategy")

    def __init__(
        self,
        strategy: Strategy,
        *,
        clock: Clock,
        account: Account,
        orders: WorkingOrders,
        state: OperatingStateManager,
    ) -> None:
        self.strategy = strategy
        self.errors = 0
        self.set_halted(False)
        self._clock = clock
        self._account = account
        self._orders = orders
        self._state = state

    def set_halted(self, halted: bool) -> None:
        """Stop asking the strategy, or ask it again."""
        self.halted = halted
        self.on_quote = _nothing if halted else self.strategy.on_quote
        self.on_bar = _nothing if halted else self.strategy.on_bar

    @property
    def now(self) -> datetime:
        return self._clock.now()

    @property
    def state(self) -> OperatingState:
        return self._state.current_state

    @property
    def budget(self) -> Decimal:
        return self._account.available(self.strategy.pool)

    def holding(self, symbol: str) -> Decimal:
        return self._account.holding(self.strategy.name, symbol)

    def average_cost(self, symbol: str) -> Decimal | None:
        return self._account.average_cost(self.strategy.name, symbol)

    def working(self, symbol: str) -> bool:
        return bool(self._orders.of(self.strategy.name, symbol))


class StrategyHost:
    """Calls every strategy that subscribed to a symbol; a fault of one is not felt by the others."""

    def __init__(self, seats: Sequence[Seat], *, on_intent: OnIntent, on_other: OnOther, on_fault: OnFault) -> None:
        self.seats = list(seats)
        self._by_name = {seat.strategy.name: seat for seat in seats}
        self._on_intent = on_intent
        self._on_other = on_other
        self._on_fault = on_fault
        self._listeners: dict[str, list[Seat]] = {}

    def start(self) -> None:
        for seat in self.seats:
            self._guarded(seat, partial(seat.strategy.on_start, seat))

    def resume(self) -> None:
        """After a restore: let strategies rebuild what a checkpoint does not carry."""
        for seat in self.seats:
            attributes = save(seat.strategy)
            self._guarded(seat, partial(seat.strategy.on_start, seat))
            restore(seat.strategy, attributes)

    def on_market_event(self, event: Event) -> None:
        """The P1 handler. No strategy hears of single trades or of changes deep in the book."""
        value = event.body
        kind = value.__class__
        if kind is Quote:
            for seat in self._listeners.get(value.symbol) or self._listening(value.symbol):
                try:
                    intents = seat.on_quote(seat, value)
                    if intents:
                        self._pass_on(seat, intents)
                    if seat.errors:
                        seat.errors = 0
                except Exception as error:  # noqa: BLE001 - edge: a user's strategy may raise anything
                    self._faulted(seat, error)
        elif kind is Bar:
            for seat in self._listeners.get(value.symbol) or self._listening(value.symbol):
                try:
                    self._pass_on(seat, seat.on_bar(seat, value))
                    seat.errors = 0
                except Exception as error:  # noqa: BLE001 - edge: a user's strategy may raise anything
                    self._faulted(seat, error)
        elif kind is IndexLevel or kind is VolatilityLevel:
            self._on_other(value)

    def on_fill(self, name: str, fill: FillView) -> None:
        seat = self._by_name.get(name)
        if seat is not None and not seat.halted:
            self._guarded(seat, partial(seat.strategy.on_fill, seat, fill))

    def export_state(self) -> dict[str, Any]:
        return {
            seat.strategy.name: {
                "errors": seat.errors,
                "halted": seat.halted,
                "attributes": save(seat.strategy),
            }
            for seat in self.seats
        }

    def import_state(self, saved: dict[str, Any]) -> None:
        for seat in self.seats:
            mine = saved[seat.strategy.name]
            seat.errors = mine["errors"]
            seat.set_halted(mine["halted"])
            restore(seat.strategy, mine["attributes"])

    def _listening(self, symbol: str) -> list[Seat]:
        seats = [s for s in self.seats if not s.strategy.symbols or symbol in s.strategy.symbols]
        self._listeners[symbol] = seats
        return seats

    def _pass_on(self, seat: Seat, intents: Iterable[Intent]) -> None:
        for intent in intents:
            self._on_intent(seat.strategy, intent)

    def _guarded(self, seat: Seat, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - edge: a user's strategy may raise anything
            self._faulted(seat, error)

    def _faulted(self, seat: Seat, error: Exception) -> None:
        seat.errors += 1
        seat.set_halted(seat.errors >= ERRORS_BEFORE_HALT)
        self._on_fault(seat.strategy.name, f"{type(error).__name__}: {error}", seat.halted)


def _nothing(seat: object, value: object) -> tuple[Intent, ...]:
    """What a halted strategy says."""
    return ()
