"""Exits the rules order, not a strategy: a pool whose engine fell asleep, an emergency stop.

They go down the same decision path as every order, as reduce-only, and are tried again until the holding is
gone: a refusal (closed market, halted symbol) is never the end of it. The strategy's own orders in the symbol are
cancelled: a buy would add to the holding, a sell with a limit may keep its shares for ever. Those shares are sold
when the broker has confirmed the cancel, never before, so that nothing is sold twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeGuard

from qts.clock import NS_PER_S
from qts.execution.contracts import AckStatus, Order, OrderAck, OrderState
from qts.execution.working import FINAL_STATES, WorkingOrders
from qts.ledger.account import Account
from qts.pipeline.contracts import Outcome
from qts.pipeline.sending import OrderSender
from qts.strategy.contracts import Intent, Side, Signal

MakeSignal = Callable[[str, Intent], Signal]
RunSignal = Callable[[Signal], Awaitable[Outcome]]
Withdraw = Callable[[Order, int, str], None]

_NEVER = (1 << 63) - 1


class ForcedExits:
    """What must be sold, why, and when the next attempt is due.

    ``wanted`` is shared with those who have to know what the rules are selling; only this class changes it.
    ``withdraw`` ends an order whose intent is still being written.
    """

    def __init__(
        self,
        *,
        account: Account,
        orders: WorkingOrders,
        sender: OrderSender,
        make_signal: MakeSignal,
        run: RunSignal,
        withdraw: Withdraw,
        wanted: dict[tuple[str, str], str],
        retry_s: int,
    ) -> None:
        self._account = account
        self._orders = orders
        self._sender = sender
        self._make_signal = make_signal
        self._run = run
        self._withdraw = withdraw
        self._retry_ns = retry_s * NS_PER_S
        self._wanted = wanted
        self._done: dict[tuple[str, str], tuple[str, int]] = {}  # exits that ended: why, and when
        self._ordered: set[tuple[str, str]] = set()  # exits that an operator wants, under way or ended
        self._unwanted: dict[str, str] = {}  # orders whose cancel the broker has not taken yet, and why they end
        self.due_ns = _NEVER

    def want(self, strategy: str, symbol: str, reason: str, now_ns: int, *, ordered: bool = False) -> None:
        """Ask for the whole holding to be sold; the first reason is kept.

        ``ordered``: an operator wants it and no rule does, so an operator may also call it off.
        """
        key = strategy, symbol
        if not ordered:
            self._ordered.discard(key)
        elif key not in self._wanted:
            self._ordered.add(key)
        self._wanted.setdefault(key, reason)
        self.due_ns = min(self.due_ns, now_ns)

    def call_off(self, covers: Callable[[str, str], bool]) -> None:
        """End the exits that an operator has ordered where ``covers(strategy, symbol)``; those of rules go on."""
        for key in [key for key in self._ordered if covers(*key)]:
            self._ordered.discard(key)
            self._wanted.pop(key, None)
            self._done.pop(key, None)

    def wants(self, strategy: str, symbol: str) -> bool:
        return (strategy, symbol) in self._wanted

    def entered(self, strategy: str, symbol: str) -> None:
        """The rules have let the strategy in again: an exit that ended before is over for good."""
        self._done.pop((strategy, symbol), None)
        self._ordered.discard((strategy, symbol))

    def cancel(self, order: Order, now_ns: int, reason: str) -> None:
        """Take ``order`` out; a cancel that the broker did not take is asked for again while the order is open.

        One of an order that is on its way to the broker is remembered until that is answered.
        """
        if not self._take_out(order, now_ns, reason):
            self._unwanted[order.client_order_id] = reason
            self.due_ns = min(self.due_ns, now_ns + self._retry_ns)

    def heard_of(self, order: Order) -> bool:
        """``order`` was filled or has ended: what it has bought or gives back is sold at once, if it is wanted.

        A forced exit that was cancelled (at the close) or rejected waits for its retry, as a refused one does. A
        buy from before an exit that fills after it, although it had ended, opens the exit again (spec 09, BR-10),
        unless the rules have let the strategy in again since: then it joins what is held.
        """
        key = order.strategy, order.symbol
        if order.state is OrderState.FILLED_LATE and key in self._done:
            reason, ended_ns = self._done[key]
            if order.ts_intent_ns <= ended_ns:
                self._wanted[key] = reason
        if key not in self._wanted or order.state not in FINAL_STATES:
            return False
        if order.forced and order.state in (OrderState.CANCELLED, OrderState.REJECTED):
            return False
        self.due_ns = min(self.due_ns, order.ts_update_ns)
        return True

    def answered(self, order: Order, now_ns: int) -> bool:
        """Take the answer to ``order``, which can be cancelled from now on; whether :meth:`work` is due at once.

        What has to end is asked for here: the session may be about to end, and nobody works any more.
        """
        reason = self._unwanted.get(order.client_order_id)
        if not _is_open(order):
            return False
        if reason is not None and self._take_out(order, now_ns, reason):
            self._unwanted.pop(order.client_order_id, None)
        if reason is None and not ((order.strategy, order.symbol) in self._wanted and _is_in_the_way(order)):
            return False
        self.due_ns = min(self.due_ns, now_ns)
        return True

    async def work(self, now_ns: int) -> None:
        """One attempt at everything: what must end or is in the way is cancelled, what is free is sold."""
        if now_ns < self.due_ns:
            return
        self.due_ns = now_ns + self._retry_ns  # what is asked for while an order's intent is written is due at once
        for key, reason in list(self._unwanted.items()):
            unwanted = self._orders.get(key)
            if not _is_open(unwanted) or self._take_out(unwanted, now_ns, reason):
                self._unwanted.pop(key, None)
        for (strategy, symbol), reason in list(self._wanted.items()):
            if (strategy, symbol) not in self._wanted:
                continue  # called off while an order before it was written down
            for order in self._orders.of(strategy, symbol):
                if _is_in_the_way(order):
                    self._take_out(order, now_ns, reason)
            holding = self._account.holding(strategy, symbol)
            if holding > self._orders.working_sells(strategy, symbol):
                intent = Intent(symbol=symbol, side=Side.SELL, confidence=1.0, reason=reason)
                await self._run(self._make_signal(strategy, intent))
            elif holding <= 0 and not self._orders.of(strategy, symbol):
                del self._wanted[strategy, symbol]
                self._done[strategy, symbol] = reason, now_ns
        if not self._wanted and not self._unwanted:
            self.due_ns = _NEVER

    def _take_out(self, order: Order, now_ns: int, reason: str) -> bool:
        """Whether it is certain by now that the order ends: it never left, or the broker has taken the cancel.

        One that is on its way to the broker can be neither withdrawn nor cancelled before it is answered.
        """
        if order.state is OrderState.INTENT:  # still on its way to the disk: it does not leave at all
            self._withdraw(order, now_ns, reason)
            return True
        if order.state is OrderState.PENDING_NEW:
            return False
        ticket = self._sender.cancel(order.client_order_id)
        if ticket.ack is None:
            ticket.when_answered(partial(self._on_cancel_answered, order.client_order_id))
            return False
        return ticket.ack.status is AckStatus.ACCEPTED

    def _on_cancel_answered(self, client_order_id: str, ack: OrderAck) -> None:
        if ack.status is AckStatus.ACCEPTED:
            self._unwanted.pop(client_order_id, None)

    def export_state(self) -> dict[str, Any]:
        wanted = [[strategy, symbol, reason] for (strategy, symbol), reason in self._wanted.items()]
        done = [[*key, *ended] for key, ended in self._done.items()]
        ordered = sorted(map(list, self._ordered))
        return {
            "wanted": wanted,
            "ordered": ordered,
            "done": done,
            "unwanted": self._unwanted,
            "due_ns": self.due_ns,
        }

    def import_state(self, saved: dict[str, Any]) -> None:
        self._wanted.clear()
        self._wanted.update(((strategy, symbol), reason) for strategy, symbol, reason in saved["wanted"])
        self._ordered = {(strategy, symbol) for strategy, symbol in saved.get("ordered", ())}
        self._done = {(strategy, symbol): (reason, ns) for strategy, symbol, reason, ns in saved["done"]}
        self._unwanted = dict(saved["unwanted"])
        self.due_ns = saved["due_ns"]


def _is_in_the_way(order: Order) -> bool:
    return order.side is Side.BUY or order.limit is not None


def _is_open(order: Order | None) -> TypeGuard[Order]:
    return order is not None and order.state not in FINAL_STATES
