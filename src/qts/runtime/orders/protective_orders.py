"""Carries out exits that a rule or a person requires, not a strategy: the one way by which holdings are forced out.

Escapes, operators' stops and flattenings, halted strategies, inactive engines, reached stops, takes and trails of
positions: each puts its request here, and :mod:`qts.execution.protective` says what comes next. An exit takes the
same decision path as every order, as reduce-only, and goes on until nothing is left: a rejection (closed market,
halted symbol) does not end it. Of a holding one order of the exits is open at a time. Shares that other orders of
the strategy reserve are sold once the broker has confirmed their cancel, never before, so that nothing is sold
twice.

A holding that is short, because more was sold than was held or a sale was told before its purchase, is bought back
at the market in the same way: never more than is missing and not being bought yet.

A sale that a real broker rejects may be one of shares that are gone without our being told: its books are compared
with ours before the next attempt, so that no sale is rejected twice for the same reason. An escape cancels
everything first, and asks the books before each order that follows one, and before it is over.

Where a level was reached inside a bar, the first order executes in that bar.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

from qts.broker.sending import OrderSender
from qts.clock import NS_PER_S
from qts.execution.contracts import Order, OrderState
from qts.execution.protective.contracts import ExitRequest, Origin, Standing, Step, Waits
from qts.execution.protective.decision import blocks, next_step
from qts.execution.protective.requests import Key, ProtectiveRequests
from qts.execution.working import FINAL_STATES, WorkingOrders
from qts.ledger.account import Account
from qts.ledger.contracts import BookingRow
from qts.pipeline.contracts import Outcome
from qts.pipeline.left_there import left_there
from qts.risk.contracts import OrderRequest, Refusal, Refused
from qts.runtime.orders.order_endings import OrderEndings, is_open
from qts.strategy.contracts import Intent, Side, Signal

MakeSignal = Callable[[str, Intent, int | None], Signal]
RunSignal = Callable[[Signal], Awaitable[Outcome]]

_NEVER = (1 << 63) - 1


class InBar(NamedTuple):
    """The first order of an exit, executed inside a bar: the level reached, and since when it was watched.

    ``is_take``: at the level or better; else at the level or, where the bar opened beyond it, worse. ``armed_ns``
    as in :class:`~qts.risk.contracts.OrderRequest`.
    """

    level: Decimal
    is_take: bool
    armed_ns: int


class ProtectiveOrders:
    """The orders of all exits, and the moment of the next attempt.

    ``requests`` holds what is required; the risk gate reads it, only this class changes it. ``compare`` requests a
    comparison with the broker's books for a reason in words, and of the positions too where that of the books
    explained nothing; ``is_compared`` says whether it was made. ``on_code`` takes a code and its particulars,
    ``warn`` what a person has to know. ``call_soon`` runs a call on the session's thread. ``limits_retry_s``:
    seconds until an exit that the gateway has refused at once, by a limit, is tried again. ``due_ns`` is the moment
    of the next attempt, ns of the session's clock. Used on the loop's thread only, but for :meth:`request_soon`.
    """

    def __init__(
        self,
        *,
        account: Account,
        orders: WorkingOrders,
        sender: OrderSender,
        endings: OrderEndings,
        make_signal: MakeSignal,
        run: RunSignal,
        compare: Callable[[str, bool], None],
        is_compared: Callable[[], bool],
        on_code: Callable[[str, str], object],
        warn: Callable[[str], object],
        call_soon: Callable[[Callable[[], None]], None],
        requests: ProtectiveRequests,
        retry_s: int,
        limits_retry_s: int,
    ) -> None:
        self._account = account
        self._orders = orders
        self._sender = sender
        self._endings = endings
        self._make_signal = make_signal
        self._run = run
        self._compare = compare
        self._is_compared = is_compared
        self._on_code = on_code
        self._warn = warn
        self._call_soon = call_soon
        self._retry_ns = retry_s * NS_PER_S
        self._limits_retry_ns = min(retry_s, limits_retry_s) * NS_PER_S
        self._requests = requests
        self._rejected: dict[Key, int] = {}  # orders in a row that the broker has rejected
        self._told: dict[Key, str] = {}  # what was told last of an escape that cannot go on
        self._attempting: Key | None = None
        """The exit of which an order is being decided and sent."""
        self._in_the_way: set[str] = set()
        """Orders that are being cancelled so that an exit can go on; it does when they have ended."""
        self._unmeasured: set[Key] = set()
        """Holdings of escapes of which an order has ended since the books were compared, or the session began."""
        self._asked: set[Key] = set()
        """Those of them for which the comparison was requested."""
        self._in_bar: dict[Key, InBar] = {}  # first orders of exits inside a bar, not made yet
        self._waits_for_fate = False
        """Whether the last attempts met an order whose fate is unknown."""
        self.due_ns = _NEVER
        self.on_request: Callable[[str, str, str, int], None] = _ignore
        """Called with strategy, symbol, reason and moment of each request for a whole holding."""

    # -- requests ----------------------------------------------------------------------------------------------

    def request(
        self,
        strategy: str,
        symbol: str,
        origin: Origin,
        reason: str,
        now_ns: int,
        *,
        in_bar: InBar | None = None,
    ) -> None:
        """Request at ``now_ns`` that the whole holding be ended; the first reason of an origin is kept.

        ``in_bar``: the first order executes in the bar that has just ended; None: each is sent at the market. A new
        escape raises FS092.
        """
        key = strategy, symbol
        if in_bar is not None and key not in self._requests:
            self._in_bar[key] = in_bar
        is_new = self._requests.put(key, ExitRequest(origin, reason))
        if origin is Origin.ESCAPE and (self._orders.of(*key) or not self._is_compared()):
            self._unmeasured.add(key)
            self._asked.discard(key)
        if is_new and origin is Origin.ESCAPE:
            self._on_code("FS092", f"{strategy} leaves {symbol}: {reason}")
        self.due_ns = min(self.due_ns, now_ns)
        self.on_request(strategy, symbol, reason, now_ns)

    def request_soon(self, strategy: str, symbol: str, origin: Origin, reason: str, now_ns: int) -> None:
        """Make a :meth:`request` between two handlers of the session's thread. From any thread; never waits."""
        self._call_soon(partial(self.request, strategy, symbol, origin, reason, now_ns))

    def request_part(self, strategy: str, symbol: str, origin: Origin, qty: Decimal, reason: str) -> None:
        """Request that ``qty`` of a holding be ended once :meth:`begin_parts` is called; below 0 it is short.

        A part of the same origin that is open is replaced.
        """
        self._requests.put((strategy, symbol), ExitRequest(origin, reason, qty, is_begun=False))

    def begin_parts(self, keys: Iterable[Key], now_ns: int) -> None:
        """Let :meth:`request_part` of ``keys`` be carried out from ``now_ns`` on: what is requested is on disk."""
        for key in keys:
            self._requests.begin(key)
        self.due_ns = min(self.due_ns, now_ns)

    def withdraw_requests(self, covers: Callable[[str, str], bool]) -> None:
        """End the exits that operators have requested where ``covers(strategy, symbol)``; all others go on."""
        self._requests.withdraw(Origin.OPERATOR, covers)
        for key in [key for key in self._in_bar if key not in self._requests]:
            del self._in_bar[key]

    def on_sent_before(self, request: OrderRequest, now_ns: int) -> None:
        """Continue the exit of which ``request`` was sent before a restart, and that no checkpoint has."""
        key = request.strategy, request.symbol
        if not any(one.reason == request.reason for one in self._requests.of(key)):
            self.request(*key, Origin.SENT_BEFORE, request.reason, now_ns)

    def is_requested(self, strategy: str, symbol: str) -> bool:
        """Return whether an exit of the whole holding of the strategy in the symbol is open."""
        return (strategy, symbol) in self._requests

    def on_entry(self, strategy: str, symbol: str) -> None:
        """Forget an ended exit, since the rules accepted an entry: late fills of older buys no longer reopen it."""
        self._requests.on_entry((strategy, symbol))

    # -- orders of others --------------------------------------------------------------------------------------

    def cancel(self, order: Order, now_ns: int, reason: str) -> None:
        """Cancel ``order``; a cancel that the broker does not accept is retried while the order is open.

        The cancel of an order that is being sent waits until the broker has answered that order.
        """
        if not self._endings.end(order, now_ns, reason):
            self._endings.keep_trying(order, reason)
            self.due_ns = min(self.due_ns, now_ns + self._retry_ns)

    def wait_for(self, client_order_id: str) -> None:
        """Let the open exits go on as soon as that order, which is being cancelled, has ended."""
        self._in_the_way.add(client_order_id)

    # -- what happens ------------------------------------------------------------------------------------------

    def on_taken_back(self, row: BookingRow) -> None:
        """End the shares of a sale that the broker has taken back: an exit goes on with them, or begins again.

        It does not begin again where the rules have accepted an entry since, nor one of a part that has ended.
        """
        key = row.strategy, row.symbol
        self._requests.on_taken_back(key, row.qty)
        if self._requests.of(key):
            self.due_ns = min(self.due_ns, row.ts_ns)

    def on_fill(self, order: Order, side: Side, qty: Decimal) -> None:
        """Take ``qty`` that ``order`` has sold or bought off what is left of parts."""
        self._requests.on_fill((order.strategy, order.symbol), side, qty)

    def on_order_update(self, order: Order) -> bool:
        """Take a fill or the end of ``order``; return whether :meth:`retry_due` has to run now.

        Shares that the order bought or released are sold at once if an exit is requested. An order of an exit that
        was cancelled (at the close) or rejected waits for its retry, as a refused one does; the rest of one that
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
        if order.state is OrderState.FILLED_LATE:
            self._requests.reopen(key, order.ts_intent_ns)
        if not self._requests.of(key) or order.state not in FINAL_STATES:
            return False
        if self._requests.is_measured(key):
            self._unmeasured.add(key)
            self._asked.discard(key)
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
        key = order.strategy, order.symbol
        if order.state is OrderState.NOT_SENT and order.forced:
            self._note_why(key, order.note)
            if self._attempting == key:  # refused at once: it would be again
                self.due_ns = min(self.due_ns, now_ns + self._limits_retry_ns)
                return False
            self.due_ns = min(self.due_ns, now_ns)  # it has waited in the gateway: it is sold again at once
            return True
        self._note_rejection(order)
        if not is_open(order):
            return False
        if not (self._endings.on_answer(order, now_ns) or self._blocks(order)):
            return False
        self.due_ns = min(self.due_ns, now_ns)
        return True

    def on_books_compared(self, now_ns: int) -> bool:
        """Let escapes go on that waited for the broker's books, if those were compared; return whether one does.

        One whose order was rejected waits for its retry, so that no rejection follows the other.
        """
        if not self._asked or not self._is_compared():
            return False
        goes_on = bool(self._asked - self._rejected.keys())
        if goes_on:
            self.due_ns = min(self.due_ns, now_ns)
        self._unmeasured -= self._asked
        self._asked.clear()
        return goes_on

    # -- attempts ----------------------------------------------------------------------------------------------

    async def retry_due(self, now_ns: int) -> None:
        """Make one attempt at every open exit if one is due: cancel what blocks it, end what is free."""
        if now_ns < self.due_ns:
            return
        self.due_ns = now_ns + self._retry_ns  # a request made while an intent is written is due at once
        self._endings.retry(now_ns)
        self._waits_for_fate = False
        for strategy, symbol in self._requests.begun():
            await self.attempt(strategy, symbol, now_ns)
        self._sender.let_exits_wait(self._waits_for_fate)
        if not self._requests.begun():
            self._in_the_way.clear()
            if not self._endings:
                self.due_ns = _NEVER

    async def attempt(self, strategy: str, symbol: str, now_ns: int) -> bool:
        """Make one attempt at the exits of a holding, if any is open; return whether an order was sent."""
        key = strategy, symbol
        step = self._next(key)
        if step is None:  # also one withdrawn while an earlier order was written
            return False
        self._take_out(step, now_ns)
        step = self._next(key)  # what was withdrawn has ended
        if step is not None and step.asks:
            step = self._measured(key, step)
        if step is None:
            return False
        if step.is_over:
            self._finish(key, now_ns)
            return False
        if not step.qty:
            self._note_why(key, self._text(symbol, step))
            return False
        self._note_why(key, "")
        outcome = await self._send(key, step)
        if not isinstance(outcome, Refused):
            return True
        self._note_why(key, outcome.detail)
        self._tell_failure(key, outcome.reason.value, outcome.detail)
        self._waits_for_fate |= outcome.reason is Refusal.UNRESOLVED_ORDER
        return False

    def end_blocking_orders(self, strategy: str, symbol: str, now_ns: int, *, all_own: bool = False) -> None:
        """Cancel the strategy's orders that keep an open exit from selling: its buys, its sells that wait.

        ``all_own``: also its sells at the market, so that one order sells the whole holding.
        """
        if (strategy, symbol) in self._requests:
            step = self._next((strategy, symbol), one_order=all_own)
            assert step is not None  # one for the whole has begun
            self._take_out(step, now_ns)

    def _next(self, key: Key, *, one_order: bool = False) -> Step | None:
        """Return what comes next for a holding; None where nothing is requested."""
        requests = self._requests.of(key)
        if not requests:
            return None
        orders = tuple(self._orders.of(*key))
        standing = Standing(
            self._account.holding(*key),
            orders,
            left_there(self._account, self._orders, key[1]),
            must_compare=key in self._rejected and not self._is_compared(),
            is_measured=key not in self._unmeasured,
        )
        return next_step(requests, standing, one_order=one_order)

    def _take_out(self, step: Step, now_ns: int) -> None:
        for order in step.cancels:
            if order.forced:
                self._in_the_way.add(order.client_order_id)
            self._endings.end(order, now_ns, step.request.reason)

    def _measured(self, key: Key, step: Step) -> Step | None:
        """Request a comparison with the broker's books; return what comes next: at a real broker, to wait."""
        if key not in self._asked:
            self._asked.add(key)
            is_flat = not self._account.holding(*key)
            self._compare(f"{key[0]} leaves {key[1]}: {step.request.reason}", is_flat)
        if not self._is_compared():
            return step
        self._asked.discard(key)
        self._unmeasured.discard(key)
        return self._next(key)

    def _finish(self, key: Key, now_ns: int) -> None:
        self._requests.finish(key, now_ns)
        self._rejected.pop(key, None)
        self._in_bar.pop(key, None)
        self._told.pop(key, None)
        self._unmeasured.discard(key)

    async def _send(self, key: Key, step: Step) -> Outcome:
        """Decide and send the order of ``step``."""
        self._attempting = key
        try:
            return await self._run(self._signal(key, step))
        finally:
            self._attempting = None

    def _signal(self, key: Key, step: Step) -> Signal:
        """Return the signal of the next order of an exit; only the first may be one inside a bar."""
        in_bar = self._in_bar.pop(key, None)
        if step.side is Side.BUY or step.request.origin is not Origin.LEVEL:
            in_bar = None  # a level of the shares that were held is none of those that are missing
        intent = Intent(
            symbol=key[1],
            side=step.side,
            confidence=1.0,
            qty=None if step.is_all else step.qty,
            reason=step.request.reason,
            limit=in_bar.level if in_bar is not None and in_bar.is_take else None,
            trigger=in_bar.level if in_bar is not None and not in_bar.is_take else None,
        )
        return self._make_signal(key[0], intent, None if in_bar is None else in_bar.armed_ns)

    def _text(self, symbol: str, step: Step) -> str:
        """Return why ``step`` sends no order, in words."""
        if step.waits is not Waits.THERE:
            return str(step.waits.value)
        missing, held = self._account.sold_by_others(symbol), self._account.position(symbol)
        if not missing:
            short = self._account.short_of(symbol)
            return f"other strategies have sold {short:f} {symbol} too much, all together hold {held:f}"
        return f"others have sold {missing:f} of the {held:f} that strategies hold of {symbol}"

    def _tell_failure(self, key: Key, what: str, detail: str) -> None:
        """Raise GR074 where an order of an escape failed; once for each ``what`` in a row."""
        if self._requests.is_measured(key) and self._told.get(key) != what:
            self._told[key] = what
            text = f"{key[0]} cannot leave {key[1]}: {detail}"
            self._warn(f"{text}; it is tried again")
            self._on_code("GR074", text)

    def _note_why(self, key: Key, why: str) -> None:
        """Note what keeps the exits of a holding from sending an order, in words."""
        for one in self._requests.of(key):
            one.why = why

    def _note_rejection(self, order: Order) -> None:
        """Request a comparison of the books before the next attempt, where the broker has rejected an order."""
        key = order.strategy, order.symbol
        if not order.forced or not self._requests.of(key):
            return
        if order.filled:
            self._rejected.pop(key, None)
        if order.state is OrderState.REJECTED:
            times = self._rejected[key] = self._rejected.get(key, 0) + 1
            self._tell_failure(key, OrderState.REJECTED.value, f"the broker rejected {order.client_order_id}")
            what = "sale" if order.side is Side.SELL else "purchase"
            self._compare(f"the broker rejected the {what} {order.client_order_id} of {order.symbol}", times > 1)

    def _blocks(self, order: Order) -> bool:
        """Return whether ``order`` keeps an open exit of its holding from going on."""
        key = order.strategy, order.symbol
        if not self._requests.of(key):
            return False
        return blocks(order, self._account.holding(*key), is_whole=key in self._requests)

    # -- checkpoints -------------------------------------------------------------------------------------------

    def export_state(self) -> dict[str, Any]:
        """Return the exits as plain data, for a checkpoint."""
        in_bars = [[*key, *one] for key, one in self._in_bar.items()]
        return {
            **self._requests.export_state(),
            **({"in_bars": in_bars} if in_bars else {}),
            **({"in_the_way": sorted(self._in_the_way)} if self._in_the_way else {}),
            "cancels": self._endings.export_state(),
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
        self._requests.import_state(saved)
        self._in_bar = {
            (strategy, symbol): InBar(Decimal(level), is_take, armed_ns)
            for strategy, symbol, level, is_take, armed_ns in saved.get("in_bars", ())
        }
        self._in_the_way = set(saved.get("in_the_way", ()))
        self._unmeasured = {key for key in self._requests if self._requests.is_measured(key)}
        self._endings.import_state(saved["cancels"])
        self.due_ns = saved["due_ns"]
        if any(not one.is_whole or one.is_measured for key in self._requests for one in self._requests.of(key)):
            self.due_ns = 0


def _ignore(strategy: str, symbol: str, reason: str, now_ns: int) -> None:
    """Do nothing: no one has to know."""
