"""Requests forced exits for everything that a strategy, or the whole account, holds or is buying."""

from __future__ import annotations

from collections.abc import Sequence

from qts.execution.protective.contracts import Origin
from qts.risk.rules import engine_active
from qts.runtime.orders.protective_orders import ProtectiveOrders
from qts.runtime.shared_components import SharedComponents
from qts.strategy.contracts import Strategy


class ExitRequests:
    """Makes one forced exit for each symbol that a strategy holds or is buying."""

    def __init__(self, shared: SharedComponents, exits: ProtectiveOrders, strategies: Sequence[Strategy]) -> None:
        self._shared = shared
        self._exits = exits
        self._strategies = strategies

    def liquidate_strategy(self, strategy: str, reason: str, now_ns: int, origin: Origin = Origin.HALTED) -> None:
        """Request exits from everything a strategy holds or is buying."""
        held = {row.symbol for row in self._shared.account.position_rows() if row.strategy == strategy and row.qty}
        bought = {order.symbol for order in self._shared.orders if order.strategy == strategy}
        bought |= {symbol for name, symbol in self._shared.orders.executing if name == strategy}
        for symbol in sorted(held | bought):
            self._exits.request(strategy, symbol, origin, reason, now_ns)

    def liquidate_all(self, reason: str, now_ns: int) -> None:
        """Request exits from everything the account holds or is buying, as an operator wants it."""
        for strategy in self._strategies:
            self.liquidate_strategy(strategy.name, reason, now_ns, Origin.OPERATOR)

    def on_state_changed(self, now_ns: int) -> None:
        """Request exits for strategies whose engine is inactive in the new operating state."""
        state = self._shared.state.current_state
        for strategy in self._strategies:
            pool = self._shared.config.capital.paying_pool(strategy.pool)
            if not engine_active(pool, self._shared.config.state.table[state]):
                reason = f"the {pool.value} engine sleeps in {state.value}"
                self.liquidate_strategy(strategy.name, reason, now_ns, Origin.POOL)
