"""Carries out an operator's stop, of everything or of one part, and tells how far it has come.

Of everything: safety goes to LOCKDOWN by the kill switch. Of a strategy, a symbol or a pool: that part takes no
entry until it is released, safety stays what it is, and the others go on. Either way orders are cancelled, and what
is held is sold or kept. Nothing here waits for a disk: the gate is shut and the cancels are sent whatever can be
written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import Any

from qts.capital.contracts import Pool
from qts.errors import InputError
from qts.event.contracts import Event, EventType
from qts.execution.contracts import EmergencyStop, Fill, Order, OrderState
from qts.ledger.contracts import FillEffect
from qts.money import ZERO, plus, without_zeros
from qts.runtime.control.commands import Answer, Release, Stop, StopReport
from qts.runtime.orders.forced_exits import ForcedExits
from qts.runtime.parts import Parts
from qts.safety.scoped_stops import Scope, ScopedStop, ScopeKind
from qts.strategy.contracts import Side

_FOLLOWED: int = 32
_CANCELLED = frozenset({OrderState.CANCELLED, OrderState.NOT_SENT})


class StopProgress:
    """How far one stop has come, from the moment at which it was asked for. Quantities are shares or contracts.

    ``ours`` are the strategies of the session: what nobody of them holds is not sold, and no stop waits for it.
    """

    def __init__(self, parts: Parts, scope: Scope | None, ours: Collection[str], *, liquidate: bool) -> None:
        self._parts = parts
        self._scope = scope
        self._ours = ours
        self._liquidate = liquidate
        self._orders = {order.client_order_id for order in parts.orders if _belongs(order, scope)}
        self._sold: dict[str, Decimal] = {}
        self.carried_out = False
        """Whether the gate is shut and the cancels are sent."""
        self.is_over = False
        """Whether it was released: what is bought and held from then on is no news of it."""

    def text(self) -> str:
        """Say what is in force, and how it is ended."""
        scope = self._scope
        what = "the emergency stop" if scope is None else f"the stop of {scope}"
        if not self.carried_out:
            return f"{what} is on its way"
        if scope is None:
            return "everything is stopped (LOCKDOWN): no entry leaves until 'qts safety release'"
        return f"{scope} is stopped: it takes no entry until 'qts safety release --{scope.kind.value} {scope.name}'"

    def is_of(self, stop: EmergencyStop) -> bool:
        """Tell whether ``stop``, which is carried out now, is the one that was asked for here."""
        asked = (self._scope, self._liquidate)
        return not self.carried_out and asked == (stop.scope, stop.liquidate)

    def on_release(self, scope: Scope | None) -> None:
        """End with the release of what was stopped."""
        self.is_over |= scope == self._scope

    def on_fill(self, fill: Fill, order: Order) -> None:
        """Count what a sale of this part has sold."""
        if fill.side is Side.SELL and _belongs(order, self._scope):
            self._sold[fill.symbol] = plus(self._sold.get(fill.symbol, ZERO), fill.qty)

    def report(self) -> StopReport:
        """Tell what was cancelled and sold, what still works and what is still held."""
        parts, scope = self._parts, self._scope
        ended = (parts.orders.get(key) for key in self._orders)
        held: dict[str, Decimal] = {}
        for row in parts.account.position_rows():
            if row.strategy not in self._ours:
                continue
            if row.qty and (scope is None or scope.covers(row.strategy, row.symbol, row.pool.value)):
                held[row.symbol] = plus(held.get(row.symbol, ZERO), row.qty)
        working = sum(1 for order in parts.orders if _belongs(order, scope))
        return StopReport(
            cancelled=sum(1 for order in ended if order is not None and order.state in _CANCELLED),
            working=working,
            sold=_texts(self._sold),
            held=_texts(held),
            complete=self.carried_out and not working and not (self._liquidate and held),
        )


class Stops:
    """Takes stops and their releases, and lets the P0 handler carry them out.

    ``publish`` puts the event into the queue ahead of all others. ``pools`` names every strategy of the session,
    ``symbols`` what the feed knows. ``on_carried_out`` asks for a checkpoint.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        exits: ForcedExits,
        pools: Mapping[str, Pool],
        symbols: Collection[str],
        on_code: Callable[[str, str], None],
        publish: Callable[[EventType, Any, str], object],
        want_all_out: Callable[[str, int], None],
        on_carried_out: Callable[[], None],
    ) -> None:
        self._p = parts
        self._exits = exits
        self._pools = pools
        self._symbols = symbols
        self._on_code = on_code
        self._publish = publish
        self._want_all_out = want_all_out
        self._on_carried_out = on_carried_out
        self._followed: deque[StopProgress] = deque(maxlen=_FOLLOWED)
        self.begun = 0
        """How many stops were sent on their way."""

    def begin(self, command: Stop) -> StopProgress:
        """Send a stop on its way as P0, ahead of all, and return what becomes of it; waits for nothing.

        Raises InputError, naming what there is, for a scope that this session does not have, and ContractError for
        more than one scope.
        """
        scope = command.scope
        if scope is not None:
            self._check(scope)
        progress = StopProgress(self._p, scope, self._pools, liquidate=command.liquidate)
        self._followed.append(progress)
        self.begun += 1
        self._p.kill.hold()
        stop = EmergencyStop(
            command.operator, command.reason, self._p.clock.time_ns(), liquidate=command.liquidate, scope=scope
        )
        self._publish(EventType.EMERGENCY_STOP, stop, command.operator)
        self._on_carried_out()
        return progress

    def release(self, command: Release) -> Answer:
        """End the stop of exactly the scope that is named; a refusal names those in force."""
        scope = command.scope
        assert scope is not None  # without one it is safety's
        released = self._p.stops.release(scope)
        after_rejects = scope.kind is ScopeKind.SYMBOL and self._p.rejects.release(scope.name)
        others = "; ".join(map(str, self._p.stops))
        if released is None and not after_rejects:
            return Answer(done=False, answer=f"no stop of {scope} is in force; in force: {others or 'none'}")
        self._on_carried_out()
        self._over(scope)
        still = f"; still in force: {others}" if others else ""
        return Answer(done=True, answer=f"{scope} may enter again{still}")

    def mentioned(self, answer: Answer) -> Answer:
        """Add to the answer to a release of safety which scoped stops are still in force."""
        if answer.done:
            self._over(None)
        if not len(self._p.stops):
            return answer
        text = f"{answer.answer}; still in force: {'; '.join(map(str, self._p.stops))}"
        return Answer(done=answer.done, answer=text)

    def _over(self, scope: Scope | None) -> None:
        for progress in self._followed:
            progress.on_release(scope)

    def on_fill(self, fill: Fill, order: Order, effect: FillEffect) -> None:
        """Let the stops that are under way know of a fill."""
        for progress in self._followed:
            progress.on_fill(fill, order)

    async def on_event(self, event: Event) -> None:
        """Carry out a stop: the gate first, then the cancels, then what is to be sold. The P0 handler."""
        stop: EmergencyStop = event.payload
        now_ns = self._p.clock.time_ns()
        if stop.scope is None:
            self._on_code("FS104", f"{stop.actor}: {stop.reason}")
            why = f"emergency stop by {stop.actor}"
        else:
            self._p.stops.put(ScopedStop(stop.scope, stop.liquidate, stop.actor, stop.reason, now_ns))
            why = f"stop of {stop.scope} by {stop.actor}"
        self._p.kill.let_go()
        if not stop.liquidate:
            self._exits.call_off(lambda strategy, symbol: self._covers(stop.scope, strategy, symbol))
        for order in self._p.orders:
            if _belongs(order, stop.scope) and (order.side is Side.BUY or not stop.liquidate):
                self._exits.cancel(order, now_ns, why)
        if stop.liquidate:
            self._want_out(stop.scope, f"{why}: {stop.reason}", now_ns)
        for progress in self._followed:
            if progress.is_of(stop):
                progress.carried_out = True
                break
        self._on_carried_out()

    def _want_out(self, scope: Scope | None, reason: str, now_ns: int) -> None:
        if scope is None:
            self._want_all_out(reason, now_ns)
            return
        held = {(row.strategy, row.symbol) for row in self._p.account.position_rows() if row.qty > 0}
        bought = {(order.strategy, order.symbol) for order in self._p.orders}
        for strategy, symbol in sorted(held | bought):
            if self._covers(scope, strategy, symbol):
                self._exits.want(strategy, symbol, reason, now_ns, ordered=True)

    def _covers(self, scope: Scope | None, strategy: str, symbol: str) -> bool:
        """Whether a strategy of this session belongs to ``scope``; what nobody here holds is nobody's to sell."""
        pool = self._pools.get(strategy)
        return pool is not None and (scope is None or scope.covers(strategy, symbol, pool.value))

    def _check(self, scope: Scope) -> None:
        there = {
            ScopeKind.STRATEGY: list(self._pools),
            ScopeKind.SYMBOL: sorted({*self._symbols, *(row.symbol for row in self._p.account.position_rows())}),
            ScopeKind.POOL: [pool.value for pool in Pool],
        }[scope.kind]
        if scope.name not in there:
            raise InputError(f"there is no {scope} in this run; nothing was stopped. There is: {', '.join(there)}")


def _belongs(order: Order, scope: Scope | None) -> bool:
    return scope is None or scope.covers(order.strategy, order.symbol, order.pool.value)


def _texts(quantities: Mapping[str, Decimal]) -> dict[str, str]:
    return {symbol: f"{without_zeros(qty):f}" for symbol, qty in sorted(quantities.items())}
