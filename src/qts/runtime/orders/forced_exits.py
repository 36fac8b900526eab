"""Ends holdings because a rule or an operator requires it, not a strategy: an inactive engine, an emergency stop.

These exits take the same decision path as every order, as reduce-only, and are retried until the holding is gone: a
rejection (closed market, halted symbol) does not end them. The strategy's own orders in the symbol are cancelled: a
buy would add to the holding, a sell with a limit or a trigger may reserve its shares indefinitely. Those shares are
sold once the broker has confirmed the cancel, never before, so that nothing is sold twice.

A holding that is short, because more was sold than was held or a sale was told before its purchase, is bought back
at the market in the same way: never more than is missing and not being bought yet. Its sells are cancelled.

An operator's flattening (:mod:`qts.runtime.orders.flattenings`) is an exit of a quantity: it takes out the
strategy's sells that wait, never its buys, and ends when so much is sold. An exit of the whole takes its place.

A sale that a real broker rejects may be one of shares that are gone without our being told: its books are compared
with ours before the next attempt, so that no sale is rejected twice for the same reason.

A stop or take of a position that was reached (:mod:`qts.runtime.orders.position_triggers`) is such an exit as well.
Where it was reached inside a bar, its first order executes in that bar.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple, TypeGuard

from qts.broker.sending import OrderSender
from qts.clock import NS_PER_S
from qts.execution.contracts import AckStatus, Order, OrderAck, OrderState
from qts.execution.working import FINAL_STATES, WorkingOrders
from qts.ledger.account import Account
from qts.ledger.contracts import BookingRow
from qts.money import ZERO, minus, negated
from qts.pipeline.contracts import Outcome
from qts.pipeline.left_there import left_there
from qts.risk.contracts import OrderRequest, Refusal, Refused
from qts.runtime.orders.flattenings import Flattenings
from qts.strategy.contracts import Intent, Side, Signal

MakeSignal = Callable[[str, Intent, int | None], Signal]
RunSignal = Callable[[Signal], Awaitable[Outcome]]
Withdraw = Callable[[Order, int, str], None]

_NEVER = (1 << 63) - 1


class InBar(NamedTuple):
    """The first order of an exit, executed inside a bar: the level reached, and since when it was watched.

    ``is_take``: at the level or better; else at the level or, where the bar opened beyond it, worse. ``armed_ns``
    as in :class:`~qts.risk.contracts.OrderRequest`.
    """

    level: Decimal
    is_take: bool
    armed_ns: int


class ForcedExits:
    """The holdings that must be sold, the reasons, and the moment of the next attempt.

    ``requested`` maps (strategy, symbol) to the reason; the risk gate reads it, only this class changes it, and
    ``flattenings`` as well: what is left to sell of holdings that are not sold as a whole.
    ``withdraw`` ends an order whose intent is still being written. ``compare`` requests a comparison with the
    broker's books for a reason in words, and of the positions too where that of the books explained nothing;
    ``is_compared`` says whether it was made. ``limits_retry_s``: seconds until an exit that the gateway has refused
    at once, by a limit, is tried again. ``due_ns`` is the moment of the next attempt, ns of the session's clock.
    Used on the loop's thread only.
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
        compare: Callable[[str, bool], None],
        is_compared: Callable[[], bool],
        requested: dict[tuple[str, str], str],
        flattenings: Flattenings,
        retry_s: int,
        limits_retry_s: int,
    ) -> None:
        self._account = account
        self._orders = orders
        self._sender = sender
        self._make_signal = make_signal
        self._run = run
        self._withdraw = withdraw
        self._compare = compare
        self._is_compared = is_compared
        self._retry_ns = retry_s * NS_PER_S
        self._rejected: dict[tuple[str, str], int] = {}  # sales in a row that the broker has rejected
        self._limits_retry_ns = min(retry_s, limits_retry_s) * NS_PER_S
        self._attempting: tuple[str, str] | None = None
        """The exit of which an order is being decided and sent."""
        self._in_the_way: set[str] = set()
        """Entries that an exit would meet; it goes on when they have ended."""
        self._requested = requested
        self._flattenings = flattenings
        self._ended: dict[tuple[str, str], tuple[str, int]] = {}  # ended exits: reason, and when
        self._by_operator: set[tuple[str, str]] = set()  # exits requested by an operator, open or ended
        self._pending_cancels: dict[str, str] = {}  # orders whose cancel is not accepted yet: reason
        self._in_bar: dict[tuple[str, str], InBar] = {}  # first orders of exits inside a bar, not made yet
        self._waits_for_fate = False
        """Whether the last attempts met an order whose fate is unknown."""
        self.due_ns = _NEVER

    def request(
        self,
        strategy: str,
        symbol: str,
        reason: str,
        now_ns: int,
        *,
        by_operator: bool = False,
        in_bar: InBar | None = None,
    ) -> None:
        """Request that the whole holding be sold at ``now_ns``; the first reason is kept.

        ``by_operator``: an operator requests it and no rule does, so an operator may also withdraw the request.
        ``in_bar``: the first order executes in the bar that has just ended; None: each is sold at the market.
        """
        key = strategy, symbol
        if in_bar is not None and key not in self._requested:
            self._in_bar[key] = in_bar
        if not by_operator:
            self._by_operator.discard(key)
        elif key not in self._requested:
            self._by_operator.add(key)
        self._requested.setdefault(key, reason)
        self._flattenings.end(strategy, symbol)
        self.due_ns = min(self.due_ns, now_ns)

    def flatten(self, strategy: str, symbol: str, qty: Decimal, reason: str) -> None:
        """Request that ``qty``, all that is held now, be sold once :meth:`begin_flattening` is called.

        Below 0 it is short, and is bought back.

        Does nothing where an exit of the whole holding is open.
        """
        if (strategy, symbol) not in self._requested:
            self._flattenings.put(strategy, symbol, qty, reason)

    def begin_flattening(self, keys: Iterable[tuple[str, str]], now_ns: int) -> None:
        """Let what :meth:`flatten` has requested for ``keys`` be sold from ``now_ns`` on: it is on disk."""
        self._flattenings.begin(keys)
        self.due_ns = min(self.due_ns, now_ns)

    def withdraw_requests(self, covers: Callable[[str, str], bool]) -> None:
        """End the exits requested by an operator where ``covers(strategy, symbol)``; those of rules go on."""
        for key in [key for key in self._by_operator if covers(*key)]:
            self._by_operator.discard(key)
            self._requested.pop(key, None)
            self._in_bar.pop(key, None)
            self._ended.pop(key, None)
        self._flattenings.withdraw(covers)

    def on_sent_before(self, request: OrderRequest, now_ns: int) -> None:
        """Continue the exit of which ``request`` was sent before a restart, and that no checkpoint has."""
        one = self._flattenings.get(request.strategy, request.symbol)
        if one is None or one.reason != request.reason:
            self.request(request.strategy, request.symbol, request.reason, now_ns)

    def is_requested(self, strategy: str, symbol: str) -> bool:
        """Return whether an exit of the strategy in the symbol is open."""
        return (strategy, symbol) in self._requested

    def on_entry(self, strategy: str, symbol: str) -> None:
        """Forget an ended exit, since the rules accepted an entry: late fills of older buys no longer reopen it."""
        self._ended.pop((strategy, symbol), None)
        self._by_operator.discard((strategy, symbol))

    def on_taken_back(self, row: BookingRow) -> None:
        """Sell the shares of a sale that the broker has taken back: an exit goes on with them, or begins again.

        It does not begin again where the rules have accepted an entry since, nor a flattening that has ended.
        """
        key = row.strategy, row.symbol
        self._flattenings.on_taken_back(row)
        if key in self._ended:
            self._requested.setdefault(key, self._ended[key][0])
        if self._is_leaving(key):
            self.due_ns = min(self.due_ns, row.ts_ns)

    def cancel(self, order: Order, now_ns: int, reason: str) -> None:
        """Cancel ``order``; a cancel that the broker does not accept is retried while the order is open.

        The cancel of an order that is being sent waits until the broker has answered that order.
        """
        if not self._end_order(order, now_ns, reason):
            self._pending_cancels[order.client_order_id] = reason
            self.due_ns = min(self.due_ns, now_ns + self._retry_ns)

    def wait_for(self, client_order_id: str) -> None:
        """Let the open exits go on as soon as that order, which is being cancelled, has ended."""
        self._in_the_way.add(client_order_id)

    def on_order_update(self, order: Order) -> bool:
        """Take a fill or the end of ``order``; return whether :meth:`retry_due` has to run now.

        Shares that the order bought or released are sold at once if an exit is requested. A forced exit that was
        cancelled (at the close) or rejected waits for its retry, as a refused one does; the rest of one that
        executed inside a bar does not, because that bar is over. A buy from before an exit
        that fills after the exit has ended reopens it, unless the rules have accepted an entry since: then the fill
        joins the holding.
        """
        is_out_of_the_way = order.state in FINAL_STATES and order.client_order_id in self._in_the_way
        if is_out_of_the_way:
            self._in_the_way.discard(order.client_order_id)
            self.due_ns = min(self.due_ns, order.ts_update_ns)
        return self._continues_its_own(order) or is_out_of_the_way

    def _continues_its_own(self, order: Order) -> bool:
        """Take an update of ``order``; return whether an exit of its own strategy goes on now."""
        key = order.strategy, order.symbol
        if order.state is OrderState.FILLED_LATE and key in self._ended:
            reason, ended_ns = self._ended[key]
            if order.ts_intent_ns <= ended_ns:
                self._requested[key] = reason
        if not self._is_leaving(key) or order.state not in FINAL_STATES:
            return False
        self._note_rejection(order)
        if (
            order.forced
            and order.state in (OrderState.CANCELLED, OrderState.REJECTED)
            and order.request.armed_ns is None
        ):
            return False
        self.due_ns = min(self.due_ns, order.ts_update_ns)
        return True

    def on_answer(self, order: Order, now_ns: int) -> bool:
        """Take the broker's answer to ``order``; return whether :meth:`retry_due` has to run now.

        The order can be cancelled from now on. A cancel that waited for the answer is sent here, because a session
        that is ending makes no further attempts.
        """
        reason = self._pending_cancels.get(order.client_order_id)
        if order.state is OrderState.NOT_SENT and order.forced:
            self._flattenings.on_unsent(order)
            if self._attempting == (order.strategy, order.symbol):  # refused at once: it would be again
                self.due_ns = min(self.due_ns, now_ns + self._limits_retry_ns)
                return False
            self.due_ns = min(self.due_ns, now_ns)  # it has waited in the gateway: it is sold again at once
            return True
        self._note_rejection(order)
        if not _is_open(order):
            return False
        if reason is not None and self._end_order(order, now_ns, reason):
            self._pending_cancels.pop(order.client_order_id, None)
        if reason is None and not (self._is_leaving((order.strategy, order.symbol)) and self._blocks(order)):
            return False
        self.due_ns = min(self.due_ns, now_ns)
        return True

    async def retry_due(self, now_ns: int) -> None:
        """Make one attempt at every open exit if one is due: cancel what blocks it, sell what is free."""
        if now_ns < self.due_ns:
            return
        self.due_ns = now_ns + self._retry_ns  # a request made while an intent is written is due at once
        for key, reason in list(self._pending_cancels.items()):
            order = self._orders.get(key)
            if not _is_open(order) or self._end_order(order, now_ns, reason):
                self._pending_cancels.pop(key, None)
        self._waits_for_fate = False
        for strategy, symbol in list(self._requested):
            await self.attempt(strategy, symbol, now_ns)
        for strategy, symbol in self._flattenings.begun():
            await self._attempt_flattening(strategy, symbol, now_ns)
        self._sender.let_exits_wait(self._waits_for_fate)
        if not self._requested and not self._flattenings.begun():
            self._in_the_way.clear()
            if not self._pending_cancels:
                self.due_ns = _NEVER

    async def attempt(self, strategy: str, symbol: str, now_ns: int) -> bool:
        """Make one attempt at the exit of a holding, if it is open; return whether an order was sent."""
        reason = self._requested.get((strategy, symbol))
        if reason is None:  # also one withdrawn while an earlier order was written
            return False
        self.end_blocking_orders(strategy, symbol, now_ns)
        holding = self._account.holding(strategy, symbol)
        if self._is_to_be_compared(strategy, symbol):
            return False
        if self._free(strategy, symbol, holding) > 0:
            outcome = await self._send(strategy, symbol, reason)
            if not isinstance(outcome, Refused):
                return True
            self._waits_for_fate |= outcome.reason is Refusal.UNRESOLVED_ORDER
            return False
        if not holding and not self._orders.of(strategy, symbol):
            del self._requested[strategy, symbol]
            self._rejected.pop((strategy, symbol), None)
            self._in_bar.pop((strategy, symbol), None)
            self._ended[strategy, symbol] = reason, now_ns
        return False

    async def _send(self, strategy: str, symbol: str, reason: str, qty: Decimal | None = None) -> Outcome:
        """Decide and send the next order of an exit, for ``qty`` (None: all that is free)."""
        self._attempting = strategy, symbol
        try:
            return await self._run(self._signal(strategy, symbol, reason, qty))
        finally:
            self._attempting = None

    async def _attempt_flattening(self, strategy: str, symbol: str, now_ns: int) -> None:
        """Make one attempt at a flattening, if it is open: take out what reserves its shares, sell what is free."""
        one = self._flattenings.get(strategy, symbol)
        if one is None:  # withdrawn while an earlier order was written
            return
        for order in self._orders.of(strategy, symbol):
            if self._blocks(order):
                self._end_order(order, now_ns, one.reason)
        held = self._account.holding(strategy, symbol)
        left = max(min(one.left, held), ZERO) if one.left > 0 else min(max(one.left, held), ZERO)
        free = self._free(strategy, symbol, left)
        if free > 0 and self._is_to_be_compared(strategy, symbol):
            one.why = "the broker's books have to show the shares first"
        elif free > 0:
            one.why = ""
            outcome = await self._send(strategy, symbol, one.reason, free)
            if isinstance(outcome, Refused):
                one.why = outcome.detail
                self._waits_for_fate |= outcome.reason is Refusal.UNRESOLVED_ORDER
        elif not left:
            self._flattenings.end(strategy, symbol)
        elif missing := self._account.sold_by_others(symbol):
            held = self._account.position(symbol)
            one.why = f"others have sold {missing:f} of the {held:f} that strategies hold of {symbol}"

    def _note_rejection(self, order: Order) -> None:
        """Request a comparison of the books before the next attempt, where the broker has rejected a sale."""
        key = order.strategy, order.symbol
        if not order.forced or not self._is_leaving(key):
            return
        if order.filled:
            self._rejected.pop(key, None)
        if order.state is OrderState.REJECTED:
            times = self._rejected[key] = self._rejected.get(key, 0) + 1
            what = "sale" if order.side is Side.SELL else "purchase"
            self._compare(f"the broker rejected the {what} {order.client_order_id} of {order.symbol}", times > 1)

    def _is_to_be_compared(self, strategy: str, symbol: str) -> bool:
        """Return whether nothing may be there to sell: the broker rejected the last sale, its books say why."""
        return (strategy, symbol) in self._rejected and not self._is_compared()

    def _free(self, strategy: str, symbol: str, wanted: Decimal) -> Decimal:
        """Return how much of ``wanted`` of a holding no order sells yet, and is at the broker.

        Below 0, ``wanted`` is short: how much of it no order buys back yet.
        """
        if wanted < 0:
            return minus(negated(wanted), self._orders.working_buys(strategy, symbol))
        free = minus(wanted, self._orders.working_sells(strategy, symbol))
        left = left_there(self._account, self._orders, symbol)
        return free if left is None else min(free, left)

    def end_blocking_orders(self, strategy: str, symbol: str, now_ns: int, *, all_own: bool = False) -> None:
        """Cancel the strategy's orders that keep an open exit from selling: its buys, its sells that wait.

        ``all_own``: also its sells at the market, so that one order sells the whole holding.
        """
        reason = self._requested.get((strategy, symbol))
        if reason is None:
            return
        for order in self._orders.of(strategy, symbol):
            if self._blocks(order) or (all_own and not order.forced):
                self._end_order(order, now_ns, reason)

    def _is_leaving(self, key: tuple[str, str]) -> bool:
        return key in self._requested or self._flattenings.get(*key) is not None

    def _blocks(self, order: Order) -> bool:
        """Return whether an order keeps the open exit of its holding from going on.

        A buy is no matter of a flattening that sells.
        """
        side, is_whole = (
            self._exit_side(order.strategy, order.symbol),
            self.is_requested(order.strategy, order.symbol),
        )
        if not is_whole and side is Side.SELL and order.side is Side.BUY:
            return False
        if order.side is not side or (side is Side.BUY and not order.reduce_only):
            return True
        return order.limit is not None or order.request.stop_price is not None  # at a price that may never come

    def _exit_side(self, strategy: str, symbol: str) -> Side:
        """Return the side that ends a holding: a buy where it is short."""
        return Side.BUY if self._account.holding(strategy, symbol) < 0 else Side.SELL

    def _signal(self, strategy: str, symbol: str, reason: str, qty: Decimal | None = None) -> Signal:
        """Return the signal of the next order of an exit, for ``qty``; only the first may be one inside a bar.

        ``qty`` None: for all that is free.
        """
        side = self._exit_side(strategy, symbol)
        in_bar = self._in_bar.pop((strategy, symbol), None)
        if side is Side.BUY:
            in_bar = None  # a level of the shares that were held is none of those that are missing
        intent = Intent(
            symbol=symbol,
            side=side,
            confidence=1.0,
            qty=qty,
            reason=reason,
            limit=in_bar.level if in_bar is not None and in_bar.is_take else None,
            trigger=in_bar.level if in_bar is not None and not in_bar.is_take else None,
        )
        return self._make_signal(strategy, intent, None if in_bar is None else in_bar.armed_ns)

    def _end_order(self, order: Order, now_ns: int, reason: str) -> bool:
        """Withdraw or cancel ``order``; return whether it is certain that the order ends.

        It is when the order never left or the broker has accepted the cancel. An order that may be at the broker
        can be neither withdrawn nor cancelled before it is answered.
        """
        if order.state is OrderState.INTENT:  # not on disk yet: it is not sent at all
            self._withdraw(order, now_ns, reason)
            return True
        if order.state is OrderState.PENDING_NEW:
            return self._sender.take_back(order.client_order_id, reason)
        ticket = self._sender.cancel(order.client_order_id)
        if ticket.ack is None:
            ticket.when_answered(partial(self._on_cancel_answered, order.client_order_id))
            return False
        return ticket.ack.status is AckStatus.ACCEPTED

    def _on_cancel_answered(self, client_order_id: str, ack: OrderAck) -> None:
        if ack.status is AckStatus.ACCEPTED:
            self._pending_cancels.pop(client_order_id, None)

    def export_state(self) -> dict[str, Any]:
        """Return the exits as plain data, for a checkpoint."""
        requested = [[strategy, symbol, reason] for (strategy, symbol), reason in self._requested.items()]
        done = [[*key, *ended] for key, ended in self._ended.items()]
        ordered = sorted(map(list, self._by_operator))
        in_bars = [[*key, *one] for key, one in self._in_bar.items()]
        return {
            **({"in_bars": in_bars} if in_bars else {}),
            **({"in_the_way": sorted(self._in_the_way)} if self._in_the_way else {}),
            **({"flattenings": self._flattenings.export_state()} if len(self._flattenings) else {}),
            "wanted": requested,
            "ordered": ordered,
            "done": done,
            "unwanted": self._pending_cancels,
            "due_ns": self.due_ns,
        }

    def go_on_at(self, now_ns: int) -> None:
        """Note that a resumed session goes on at ``now_ns``: its clock may have been set back before.

        No attempt then waits longer than one that was made now.
        """
        if self.due_ns != _NEVER:
            self.due_ns = min(self.due_ns, now_ns + self._retry_ns)

    def import_state(self, saved: dict[str, Any]) -> None:
        """Restore what :meth:`export_state` returned."""
        self._requested.clear()
        self._requested.update(((strategy, symbol), reason) for strategy, symbol, reason in saved["wanted"])
        self._by_operator = {(strategy, symbol) for strategy, symbol in saved.get("ordered", ())}
        self._ended = {(strategy, symbol): (reason, ns) for strategy, symbol, reason, ns in saved["done"]}
        self._in_bar = {
            (strategy, symbol): InBar(Decimal(level), is_take, armed_ns)
            for strategy, symbol, level, is_take, armed_ns in saved.get("in_bars", ())
        }
        self._in_the_way = set(saved.get("in_the_way", ()))
        self._pending_cancels = dict(saved["unwanted"])
        self._flattenings.import_state(saved.get("flattenings", ()))
        self.due_ns = 0 if len(self._flattenings) else saved["due_ns"]


def _is_open(order: Order | None) -> TypeGuard[Order]:
    return order is not None and order.state not in FINAL_STATES
