"""Carries out an operator's stop, of everything or of one part, and reports its progress.

A stop of everything raises FS104, which puts safety into LOCKDOWN. A stop of a strategy, a symbol or a pool refuses
entries of that part until it is released; safety keeps its state and the other parts continue. In both cases orders
are cancelled, and holdings are sold or kept. Nothing here waits for a disk: entries are refused and cancels are
sent even when nothing can be stored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import Any

from qts.capital.contracts import Pool
from qts.clock import from_ns
from qts.errors import InputError
from qts.event.contracts import Event, EventType
from qts.execution.contracts import EmergencyStop, Fill, Order, OrderState
from qts.execution.protective.contracts import Origin
from qts.ledger.contracts import BookingRow, FillEffect, is_sale_taken_back
from qts.money import ZERO, minus, plus, without_zeros
from qts.runtime.control.commands import Answer, Release, Stop, StopReport
from qts.runtime.orders.protective_orders import ProtectiveOrders
from qts.runtime.shared_components import SharedComponents
from qts.safety.scoped_stops import Scope, ScopedStop, ScopeKind
from qts.strategy.contracts import Side

_FOLLOWED: int = 32
_CANCELLED = frozenset({OrderState.CANCELLED, OrderState.NOT_SENT})


class StopProgress:
    """The progress of one stop since it was requested. Quantities are shares or contracts.

    ``strategies`` are those of the session: a holding of none of them is not sold, and no stop waits for it.
    """

    def __init__(
        self, shared: SharedComponents, scope: Scope | None, strategies: Collection[str], *, liquidate: bool
    ) -> None:
        self._shared = shared
        self._scope = scope
        self._strategies = strategies
        self._liquidate = liquidate
        self._orders = {order.client_order_id for order in shared.orders if _belongs(order, scope)}
        self._sold: dict[str, Decimal] = {}
        self.carried_out = False
        """Whether entries are refused and the cancels are sent."""
        self.is_over = False
        """Whether the stop was released; later fills and holdings do not belong to it."""

    def text(self) -> str:
        """Return a sentence on what is in force and how it is ended."""
        scope = self._scope
        what = "the emergency stop" if scope is None else f"the stop of {scope}"
        if not self.carried_out:
            return f"{what} is accepted; check 'qts safety show'"
        if scope is None:
            return "everything is stopped (LOCKDOWN): no entry leaves until 'qts safety release'"
        return f"{scope} is stopped: it takes no entry until 'qts safety release --{scope.kind.value} {scope.name}'"

    def matches(self, stop: EmergencyStop) -> bool:
        """Return whether ``stop``, which is carried out now, is the stop that was requested here."""
        asked = (self._scope, self._liquidate)
        return not self.carried_out and asked == (stop.scope, stop.liquidate)

    def on_release(self, scope: Scope | None) -> None:
        """End the progress when ``scope`` is the scope of this stop."""
        self.is_over |= scope == self._scope

    def on_fill(self, fill: Fill, order: Order) -> None:
        """Add a sale of this part to the quantities sold."""
        if fill.side is Side.SELL and _belongs(order, self._scope):
            self._sold[fill.symbol] = plus(self._sold.get(fill.symbol, ZERO), fill.qty)

    def on_taken_back(self, row: BookingRow) -> None:
        """Take a sale of this part off again that the broker has taken back."""
        pool = "" if row.pool is None else row.pool.value
        if self._scope is None or self._scope.covers(row.strategy, row.symbol, pool):
            self._sold[row.symbol] = max(minus(self._sold.get(row.symbol, ZERO), row.qty), ZERO)

    def report(self) -> StopReport:
        """Return the orders cancelled and still working, and the quantities sold and still held."""
        shared, scope = self._shared, self._scope
        ended = (shared.orders.get(key) for key in self._orders)
        held: dict[str, Decimal] = {}
        for row in shared.account.position_rows():
            if row.strategy not in self._strategies:
                continue
            if row.qty and (scope is None or scope.covers(row.strategy, row.symbol, row.pool.value)):
                held[row.symbol] = plus(held.get(row.symbol, ZERO), row.qty)
        working = sum(1 for order in shared.orders if _belongs(order, scope))
        return StopReport(
            cancelled=sum(1 for order in ended if order is not None and order.state in _CANCELLED),
            working=working,
            sold=_texts(self._sold),
            held=_texts(held),
            complete=self.carried_out and not working and not (self._liquidate and held),
        )


class Stops:
    """The stops of a session: they are accepted here and carried out by the P0 handler. For the session's thread.

    ``publish`` puts the event into the P0 queue, ahead of all others. ``pools`` is the pool of each strategy of the
    session, ``symbols`` are those of the feed. ``on_code`` gets a code, its particulars and who raised it.
    ``on_carried_out`` asks for a checkpoint, ``on_released`` is called with a scope that was released.
    """

    def __init__(
        self,
        shared: SharedComponents,
        *,
        exits: ProtectiveOrders,
        pools: Mapping[str, Pool],
        symbols: Collection[str],
        on_code: Callable[[str, str, str], None],
        publish: Callable[[EventType, Any, str], object],
        liquidate_all: Callable[[str, int], None],
        on_carried_out: Callable[[], None],
        on_released: Callable[[Scope], object],
    ) -> None:
        self._shared = shared
        self._exits = exits
        self._pools = pools
        self._symbols = symbols
        self._on_code = on_code
        self._publish = publish
        self._liquidate_all = liquidate_all
        self._on_carried_out = on_carried_out
        self._on_released = on_released
        self._followed: deque[StopProgress] = deque(maxlen=_FOLLOWED)
        self.begun_count = 0
        """Number of stops accepted so far."""

    def begin(self, command: Stop) -> StopProgress:
        """Publish a stop as a P0 event ahead of all others, without waiting, and return its progress.

        Raises InputError, which names the allowed values, for a scope that this session does not have, and
        ContractError for more than one scope.
        """
        scope = command.scope
        if scope is not None:
            self._check(scope)
        progress = StopProgress(self._shared, scope, self._pools, liquidate=command.liquidate)
        self._followed.append(progress)
        self.begun_count += 1
        self._shared.kill.on_stop_begun()
        stop = EmergencyStop(
            command.operator, command.reason, self._shared.clock.time_ns(), liquidate=command.liquidate, scope=scope
        )
        self._publish(EventType.EMERGENCY_STOP, stop, command.operator)
        self._on_carried_out()
        return progress

    def release(self, command: Release) -> Answer:
        """Release the stop of exactly the scope that ``command`` names; a refusal names the stops in force."""
        scope = command.scope
        assert scope is not None  # without a scope, safety is released
        released = self._shared.stops.release(scope)
        after_rejects = scope.kind is ScopeKind.SYMBOL and self._shared.rejects.release(scope.name)
        others = self._texts_in_force()
        if released is None and not after_rejects:
            return Answer(done=False, answer=f"no stop of {scope} is in force; in force: {others or 'none'}")
        self._on_released(scope)
        self._on_carried_out()
        self._end_progress(scope)
        still = f"; still in force: {others}" if others else ""
        return Answer(done=True, answer=f"{scope} may enter again{still}")

    def with_scoped_stops(self, answer: Answer) -> Answer:
        """Return the answer to a release of safety, extended by the scoped stops that are still in force."""
        if answer.done:
            self._end_progress(None)
        if not len(self._shared.stops):
            return answer
        return Answer(done=answer.done, answer=f"{answer.answer}; still in force: {self._texts_in_force()}")

    def _texts_in_force(self) -> str:
        """Return the scoped stops in force as one text, with the market's time."""
        calendar = self._shared.calendar
        return "; ".join(
            f"{stop.scope} is stopped since {calendar.local_time(from_ns(stop.ts_ns)):%Y-%m-%d %H:%M:%S %Z} "
            f"by {stop.operator}: {stop.reason}"
            for stop in self._shared.stops
        )

    def _end_progress(self, scope: Scope | None) -> None:
        for progress in self._followed:
            progress.on_release(scope)

    def on_fill(self, fill: Fill, order: Order, effect: FillEffect) -> None:
        """Add a fill to the progress of the newest stops."""
        for progress in self._followed:
            progress.on_fill(fill, order)

    def on_booking(self, row: BookingRow) -> None:
        """Correct the progress of the newest stops by a sale that the broker has taken back."""
        if is_sale_taken_back(row):
            for progress in self._followed:
                progress.on_taken_back(row)

    async def on_event(self, event: Event) -> None:
        """Handle the P0 event of a stop: refuse entries, then cancel orders, then request the sales."""
        stop: EmergencyStop = event.payload
        now_ns = self._shared.clock.time_ns()
        if stop.scope is None:
            self._on_code("FS104", f"{stop.actor}: {stop.reason}", stop.actor)
            why = f"emergency stop by {stop.actor}"
        else:
            self._shared.stops.put(ScopedStop(stop.scope, stop.liquidate, stop.actor, stop.reason, now_ns))
            why = f"stop of {stop.scope} by {stop.actor}"
        self._shared.kill.on_stop_in_force()
        if not stop.liquidate:
            self._exits.withdraw_requests(lambda strategy, symbol: self._covers(stop.scope, strategy, symbol))
        for order in self._shared.orders:
            is_entry = order.side is Side.BUY and not order.reduce_only
            if _belongs(order, stop.scope) and (is_entry or not stop.liquidate):
                self._exits.cancel(order, now_ns, why)
        if stop.liquidate:
            self._request_exits(stop.scope, f"{why}: {stop.reason}", now_ns)
        for progress in self._followed:
            if progress.matches(stop):
                progress.carried_out = True
                break
        self._on_carried_out()

    def _request_exits(self, scope: Scope | None, reason: str, now_ns: int) -> None:
        if scope is None:
            self._liquidate_all(reason, now_ns)
            return
        held = {(row.strategy, row.symbol) for row in self._shared.account.position_rows() if row.qty}
        bought = {(order.strategy, order.symbol) for order in self._shared.orders}
        bought.update(self._shared.orders.executing)
        for strategy, symbol in sorted(held | bought):
            if self._covers(scope, strategy, symbol):
                self._exits.request(strategy, symbol, Origin.OPERATOR, reason, now_ns)

    def _covers(self, scope: Scope | None, strategy: str, symbol: str) -> bool:
        """Return whether ``strategy`` is of this session and belongs to ``scope``; only its holdings are sold."""
        pool = self._pools.get(strategy)
        return pool is not None and (scope is None or scope.covers(strategy, symbol, pool.value))

    def _check(self, scope: Scope) -> None:
        there = {
            ScopeKind.STRATEGY: list(self._pools),
            ScopeKind.SYMBOL: sorted(
                {*self._symbols, *(row.symbol for row in self._shared.account.position_rows())}
            ),
            ScopeKind.POOL: [pool.value for pool in Pool],
        }[scope.kind]
        if scope.name not in there:
            raise InputError(f"there is no {scope} in this run; nothing was stopped. There is: {', '.join(there)}")


def _belongs(order: Order, scope: Scope | None) -> bool:
    return scope is None or scope.covers(order.strategy, order.symbol, order.pool.value)


def _texts(quantities: Mapping[str, Decimal]) -> dict[str, str]:
    return {symbol: f"{without_zeros(qty):f}" for symbol, qty in sorted(quantities.items())}
