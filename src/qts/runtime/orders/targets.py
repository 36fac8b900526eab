"""Carries out the targets and cancels of strategies: one order at a time, whatever works against it ended before.

A target that waits for the end of an order is kept here, the newest of a strategy in a symbol alone. It is
published as a signal again when nothing of the strategy works there any more, so it is resolved with what has been
filled by then, and a session that is resumed goes on waiting for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Iterable
from typing import Any, Protocol

import msgspec

from qts.execution.contracts import Fill, Order
from qts.execution.executions import Execution
from qts.execution.working import FINAL_STATES
from qts.ledger.contracts import FillEffect
from qts.market.actions import CorporateAction, Split
from qts.pipeline.resolve import Reached, Resolution, Waits
from qts.risk.contracts import OrderRequest, Refused
from qts.runtime.session.session_counters import SessionCounters
from qts.runtime.shared_components import SharedComponents
from qts.strategy.contracts import Signal
from qts.strategy.levels import Away, Levels
from qts.strategy.targets import Cancel, Target


class PositionLevels(Protocol):
    """Sells holdings at the levels bound to them. Called on the session's thread; never raises."""

    def bind(self, strategy: str, symbol: str, levels: Levels, now_ns: int) -> None:
        """Bind ``levels`` to the position; None leaves what is there. Before the order is decided."""
        ...

    def drop_unneeded(self, strategy: str, symbol: str) -> None:
        """Drop levels that wait for a holding which no open order buys. Called after the decision."""
        ...


class Targets:
    """The targets that wait for an order to end. For the session's thread alone.

    ``resolve`` finds what a target asks for now, ``run`` decides an intent, ``on_refused`` takes a target that
    cannot be resolved. ``publish`` makes a waiting target a signal again. ``cancel`` takes out an order, at the
    given time and for the given reason, and goes on trying while the broker does not accept it.
    ``give_up`` gives up the execution of a strategy in a symbol, for a reason.
    """

    def __init__(
        self,
        shared: SharedComponents,
        *,
        levels: PositionLevels | None,
        resolve: Callable[[Signal, Target], Resolution],
        run: Callable[[Signal], Awaitable[None]],
        on_refused: Callable[[Refused], None],
        publish: Callable[[Signal], None],
        cancel: Callable[[Order, int, str], None],
        give_up: Callable[[str, str, str], object],
        counters: SessionCounters,
    ) -> None:
        self._shared = shared
        self._levels = levels
        self._resolve = resolve
        self._run = run
        self._on_refused = on_refused
        self._publish = publish
        self._cancel = cancel
        self._give_up = give_up
        self._counters = counters
        self._waiting: dict[tuple[str, str], Signal] = {}

    async def decide(self, signal: Signal) -> None:
        """Decide the target or the cancel of ``signal``. Raises HalfDoneError for a half-done effect."""
        wanted = signal.intent
        if isinstance(wanted, Target):
            await self._decide(signal, wanted)
        elif isinstance(wanted, Cancel):
            self.cancel(signal.strategy, wanted)

    async def _decide(self, signal: Signal, target: Target) -> None:
        key = signal.strategy, target.symbol
        self._waiting.pop(key, None)
        resolution = self._resolve(signal, target)
        if isinstance(resolution, Refused):
            self._on_refused(resolution)
            return
        levels = None if target.is_flat else self._levels
        if levels is not None:
            levels.bind(*key, target.levels, self._shared.clock.time_ns())
        if isinstance(resolution, Waits):
            self._waiting[key] = signal
            self._end(resolution.against, f"{signal.strategy} wants another holding")
            if resolution.is_executing:
                self._give_up(*key, f"{signal.strategy} wants another holding")
        elif isinstance(resolution, Reached):
            self._counters.targets_reached += 1
        else:
            bound = None if levels is None or target.levels.is_empty else target.levels
            await self._run(msgspec.structs.replace(signal, intent=resolution, levels=bound))
        if levels is not None:
            levels.drop_unneeded(*key)

    def cancel(self, strategy: str, cancel: Cancel) -> None:
        """Take out the orders of ``strategy`` that ``cancel`` names, and targets that wait; count it if there is
        none.

        Orders by which the rules sell a holding stay.
        """
        orders = [order for order in self._shared.orders if _is_meant(order, strategy, cancel)]
        waiting = [key for key, signal in self._waiting.items() if _is_waiting_for(signal, strategy, cancel)]
        for key in waiting:
            del self._waiting[key]
        executing = [key for key, one in self._shared.orders.executing.items() if _is_of(one, strategy, cancel)]
        for key in executing:
            self._give_up(*key, f"cancelled by {strategy}")
        self._end(orders, f"cancelled by {strategy}")
        self._counters.cancels_of_nothing += not (orders or waiting or executing)

    def _end(self, orders: Iterable[Order], reason: str) -> None:
        now_ns = self._shared.clock.time_ns()
        for order in orders:
            self._cancel(order, now_ns, reason)

    # -- listeners ---------------------------------------------------------------------------------------------

    def on_fill(self, fill: Fill, order: Order, effect: FillEffect) -> None:
        """Continue with a target that waited for ``order``, if this was its last fill."""
        self.on_ended(order)

    def on_sent(self, request: OrderRequest) -> None:
        """Do nothing: targets wait for ends."""

    def on_ended(self, order: Order) -> None:
        """Continue with a target that waited for ``order``, if it has ended."""
        if self._waiting and order.state in FINAL_STATES:
            self._go_on(order.strategy, order.symbol)

    def on_action(self, action: CorporateAction, now_ns: int) -> None:
        """Drop the targets in a symbol that is split whose quantities or prices are those from before.

        One that sells everything at the market, or asks for a weight, holds as well after the split.
        """
        if isinstance(action, Split):
            for key, signal in list(self._waiting.items()):
                if key[1] == action.symbol and _has_old_numbers(signal.intent):
                    del self._waiting[key]

    def check(self) -> None:
        """Continue with the targets whose order has ended unnoticed: found in the broker's books, or never sent.

        Called once a minute.
        """
        for key in list(self._waiting):
            self._go_on(*key)

    def forget(self, decision_ids: Container[str]) -> None:
        """Drop the targets that wait and were decided after the checkpoint that they come from."""
        for key, signal in list(self._waiting.items()):
            if signal.decision_id in decision_ids:
                del self._waiting[key]

    def on_executed(self, strategy: str, symbol: str) -> None:
        """Continue with a target that waited for the end of an execution in parts."""
        self._go_on(strategy, symbol)

    def _go_on(self, strategy: str, symbol: str) -> None:
        signal = self._waiting.get((strategy, symbol))
        orders, key = self._shared.orders, (strategy, symbol)
        if signal is not None and not orders.of(*key) and key not in orders.executing:
            del self._waiting[strategy, symbol]
            self._publish(signal)

    # -- checkpoints -------------------------------------------------------------------------------------------

    def export_state(self) -> list[Any]:
        """Return the targets that wait as plain data, for a checkpoint."""
        return [msgspec.to_builtins(signal) for signal in self._waiting.values()]

    def import_state(self, saved: list[Any]) -> None:
        """Restore what :meth:`export_state` returned."""
        signals = msgspec.convert(saved, list[Signal], strict=False)
        self._waiting = {(signal.strategy, signal.symbol): signal for signal in signals}


def _is_meant(order: Order, strategy: str, cancel: Cancel) -> bool:
    if order.strategy != strategy or order.forced:
        return False
    return order.request.tag == cancel.tag if cancel.tag else order.symbol == cancel.symbol


def _is_of(execution: Execution, strategy: str, cancel: Cancel) -> bool:
    if execution.strategy != strategy:
        return False
    return execution.intent.tag == cancel.tag if cancel.tag else execution.symbol == cancel.symbol


def _has_old_numbers(wanted: object) -> bool:
    """Return whether a target names a quantity above 0, a price or a distance in money."""
    if not isinstance(wanted, Target):
        return True
    levels = (wanted.stop, wanted.take, wanted.trail)
    priced = any(one is not None and not (isinstance(one, Away) and one.share is not None) for one in levels)
    return bool(wanted.qty) or wanted.limit is not None or priced


def _is_waiting_for(signal: Signal, strategy: str, cancel: Cancel) -> bool:
    wanted = signal.intent
    if signal.strategy != strategy or not isinstance(wanted, Target):
        return False
    return wanted.tag == cancel.tag if cancel.tag else wanted.symbol == cancel.symbol
