"""Asks for everything that a strategy, or the whole account, holds to be sold."""

from __future__ import annotations

from collections.abc import Sequence

from qts.risk.rules import engine_active
from qts.runtime.orders.forced_exits import ForcedExits
from qts.runtime.parts import Parts
from qts.strategy.contracts import Strategy


class ExitRequests:
    """Turns "this strategy has to be out" into one forced exit for each symbol it holds or is buying."""

    def __init__(self, parts: Parts, exits: ForcedExits, strategies: Sequence[Strategy]) -> None:
        self._p = parts
        self._exits = exits
        self._strategies = strategies

    def want_out(self, strategy: str, reason: str, now_ns: int, *, ordered: bool = False) -> None:
        """Ask for everything a strategy holds or is buying to go; ``ordered``: an operator wants it, not a rule."""
        held = {row.symbol for row in self._p.account.position_rows() if row.strategy == strategy and row.qty > 0}
        bought = {order.symbol for order in self._p.orders if order.strategy == strategy}
        for symbol in sorted(held | bought):
            self._exits.want(strategy, symbol, reason, now_ns, ordered=ordered)

    def want_all_out(self, reason: str, now_ns: int, *, ordered: bool = False) -> None:
        """Ask for the whole account to go flat."""
        for strategy in self._strategies:
            self.want_out(strategy.name, reason, now_ns, ordered=ordered)

    def on_state_changed(self, now_ns: int) -> None:
        """Ask for the exits of those whose engine sleeps now: they may not keep a position."""
        state = self._p.state.current_state
        for strategy in self._strategies:
            if not engine_active(strategy.pool, self._p.config.state.table[state]):
                reason = f"the {strategy.pool.value} engine sleeps in {state.value}"
                self.want_out(strategy.name, reason, now_ns)
