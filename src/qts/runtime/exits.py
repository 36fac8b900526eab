"""Exits the rules order, not a strategy: a pool whose engine fell asleep, an emergency stop.

They go down the same decision path as every order, as reduce-only, and are tried again until the holding is
gone: a refusal (closed market, halted symbol) is never the end of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from qts.broker.contracts import Broker
from qts.clock import NS_PER_S
from qts.execution.working import WorkingOrders
from qts.ledger.account import Account
from qts.pipeline.contracts import Outcome
from qts.strategy.contracts import Intent, Side, Signal

MakeSignal = Callable[[str, Intent], Signal]
RunSignal = Callable[[Signal], Awaitable[Outcome]]

_NEVER = (1 << 63) - 1


class ForcedExits:
    """What must be sold, why, and when the next attempt is due."""

    def __init__(
        self,
        *,
        account: Account,
        orders: WorkingOrders,
        broker: Broker,
        make_signal: MakeSignal,
        run: RunSignal,
        retry_s: int,
    ) -> None:
        self._account = account
        self._orders = orders
        self._broker = broker
        self._make_signal = make_signal
        self._run = run
        self._retry_ns = retry_s * NS_PER_S
        self._wanted: dict[tuple[str, str], str] = {}
        self.due_ns = _NEVER

    def want(self, strategy: str, symbol: str, reason: str, now_ns: int) -> None:
        """Ask for the whole holding to be sold; the first reason is kept."""
        self._wanted.setdefault((strategy, symbol), reason)
        self.due_ns = min(self.due_ns, now_ns)

    def wants(self, strategy: str, symbol: str) -> bool:
        return (strategy, symbol) in self._wanted

    async def work(self, now_ns: int) -> None:
        """One attempt for everything still wanted: buys cancelled first, then what is really held is sold."""
        if now_ns < self.due_ns:
            return
        self.due_ns = now_ns + self._retry_ns  # what is asked for while an order's intent is written is due at once
        for (strategy, symbol), reason in list(self._wanted.items()):
            for order in self._orders.of(strategy, symbol):
                if order.side is Side.BUY:
                    await self._broker.cancel(order.client_order_id)
            if self._account.holding(strategy, symbol) <= 0:
                if not self._orders.of(strategy, symbol):
                    del self._wanted[strategy, symbol]
                continue
            if not self._orders.working_sells(strategy, symbol):
                intent = Intent(symbol=symbol, side=Side.SELL, confidence=1.0, reason=reason)
                await self._run(self._make_signal(strategy, intent))
        if not self._wanted:
            self.due_ns = _NEVER

    def export_state(self) -> dict[str, Any]:
        wanted = [[strategy, symbol, reason] for (strategy, symbol), reason in self._wanted.items()]
        return {"wanted": wanted, "due_ns": self.due_ns}

    def import_state(self, saved: dict[str, Any]) -> None:
        self._wanted = {(strategy, symbol): reason for strategy, symbol, reason in saved["wanted"]}
        self.due_ns = saved["due_ns"]
