"""Checks the invariants of spec 09 while the session runs.

After each event only what that event touched; at every day's close, at the end, and every five seconds of a paper
session the whole book, recomputed from the store's rows by code that shares nothing with the account. Independent
counters of quantities stand between our ledger and the broker's own book (invariant 25). A breach's text is made
only when there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

from qts.broker.contracts import Broker
from qts.capital.contracts import Pool, Transfer
from qts.clock import NS_PER_S
from qts.db.chain import HistoryAltered
from qts.db.session import SessionStore
from qts.errors import BrokerUnavailable
from qts.event.contracts import EventPriority
from qts.event.dispatcher import EventDispatcher
from qts.execution.contracts import Fill, Order, OrderState
from qts.ledger.audit import Claims, audit
from qts.ledger.contracts import FillEffect, LedgerRow
from qts.money import ZERO, plus, times
from qts.risk.contracts import OrderRequest
from qts.runtime.checks.invariants import Invariants
from qts.runtime.orders.broker_queries import answered
from qts.runtime.orders.reconciliation import is_same
from qts.runtime.shared_components import SharedComponents
from qts.safety.contracts import SafetyChange, SafetyState
from qts.state.contracts import TransitionKind, TransitionRecord
from qts.strategy.contracts import Side
from qts.threads import beside_loop

_POOLS = tuple(Pool)


class Stored(NamedTuple):
    """The stored rows as they were read last; read again when the book was written since."""

    ledger: Sequence[LedgerRow]
    orders: Sequence[Order]
    transfers: Sequence[Transfer]


class Auditor:
    """Feeds :class:`~qts.runtime.checks.invariants.Invariants`; decides nothing itself."""

    def __init__(
        self,
        shared: SharedComponents,
        broker: Broker,
        dispatcher: EventDispatcher,
        invariants: Invariants,
        store: SessionStore,
        targets: Callable[[], Any],
        on_code: Callable[[str, str], object],
    ) -> None:
        self._shared = shared
        self._broker = broker
        self._dispatcher = dispatcher
        self._inv = invariants
        self._store = store
        self._targets = targets
        self._on_code = on_code
        self._counters: dict[str, Decimal] = {}
        self._read_at = self._approved_at = -1
        self._starts_seen = 0
        self._stored = Stored((), (), ())

    # -- after one event ---------------------------------------------------------------------------------------

    def on_sent(self, request: OrderRequest) -> None:
        """An order is about to leave: 7, 8, 10, 15 and 16."""
        p, check, now_ns, key = self._shared, self._inv.check, request.ts_ns, request.client_order_id
        order = p.orders.get(key)
        holds = order is not None and order.approval_id != ""
        check(7, holds, now_ns, "" if holds else f"{key} has no approval", part=True)
        unknown = [o for o in p.orders if o.state is OrderState.UNKNOWN and _same_key(o, request)]
        holds = len(unknown) <= 1
        check(8, holds, now_ns, "" if holds else f"{len(unknown)} unknown orders for {request.symbol}")
        safety = p.safety.current_state
        if safety is SafetyState.FAIL or safety is SafetyState.LOCKDOWN:
            check(10, self._reduces(request), now_ns, f"{key} left in {safety.value}")
        price = request.decision_price
        holds = price.is_finite() and price > 0 and p.last.feed_ts_ns <= p.clock.time_ns()
        check(15, holds, now_ns, "" if holds else f"{key} was decided on the price {price}")
        rate, allowed = p.day.orders_within(NS_PER_S, now_ns), p.config.risk.order_rate_per_second
        holds = rate <= allowed or request.forced
        check(16, holds, now_ns, "" if holds else f"{rate} orders in a second, {allowed} allowed")

    def on_ended(self, order: Order) -> None:
        """Check nothing: what ended is compared with the broker's books by :meth:`full`."""

    def on_fill(self, fill: Fill, order: Order, effect: FillEffect) -> None:
        """A fill was booked: 1, 4 and 6 incrementally; the counters for 25."""
        check, now_ns, symbol, account = self._inv.check, fill.ts_ns, fill.symbol, self._shared.account
        counters = plus(self._counters.get(symbol, ZERO), times(fill.qty, fill.side.sign))
        self._counters[symbol] = counters
        ours = account.position(symbol)
        holds = ours == counters
        check(4, holds, now_ns, "" if holds else f"{symbol}: {ours} held, fills add up to {counters}", part=True)
        holds = order.filled <= order.qty
        detail = "" if holds else f"{fill.client_order_id} filled {order.filled} of {order.qty}"
        check(6, holds, now_ns, detail, part=True)
        pools, cash = ZERO, account.cash
        for pool in _POOLS:
            pools = plus(pools, account.pool_cash(pool))
        holds = pools == cash
        check(1, holds, now_ns, "" if holds else f"pools hold {pools}, the account {cash}", part=True)

    def on_safety(self, change: SafetyChange) -> None:
        """13: rises freely, falls by rule; 23: who, why, when."""
        report = self._shared.safety.audit()
        self._inv.check(13, report.ok, change.ts_ns, report.problem)
        explained = bool(change.actor and change.reason)
        self._inv.check(23, explained, change.ts_ns, f"safety change {change.seq} lacks actor or reason")

    def on_state(self, record: TransitionRecord) -> None:
        """14: safety outranks everybody; 23: who, why, when."""
        check, now_ns = self._inv.check, record.ts_ns
        if record.is_transition:
            bolder = record.to_state.boldness > record.from_state.boldness
            calm = self._shared.safety.current_state is SafetyState.NORMAL
            by_rule = record.kind in (TransitionKind.RULE, TransitionKind.SAFETY)
            check(14, calm or not bolder or not by_rule, now_ns, f"{record.to_state.value} in an alarm")
        check(23, bool(record.actor and record.reason), now_ns, f"state record {record.seq} lacks actor or reason")

    # -- the whole book ----------------------------------------------------------------------------------------

    async def full(self, now_ns: int) -> bool:
        """Recompute everything from the stored rows and ask the broker for its book.

        False, and nothing judged, when the book moved while its rows were read beside the loop: it has to be asked
        for again. While the broker cannot be asked, what compares with it stays unchecked: unknown is neither fine
        nor broken.
        """
        p = self._shared
        await p.record.checkpoint()  # what waits belongs to this moment
        await self._history(only_new=True)
        rows = p.record.book_revision
        if self._is_moving(rows):
            return False
        if self._read_at != rows:
            stored = await p.record.on_store(self._read)
            if self._is_moving(rows):
                return False
            self._stored, self._read_at = stored, rows
        if self._approved_at != rows:
            decisions = await p.record.on_store(self._store.decisions)
            if self._is_moving(rows):
                return False
            self._approved_at = rows
            self._approvals({row.approval_id: row.client_order_id for row in decisions}, now_ns)
        theirs = await self._broker_book()
        if self._is_moving(rows):
            return False
        ledger, orders, transfers = self._stored
        claims = self._claims(theirs)
        marks = {row.symbol: p.last.mark(row.symbol) for row in claims.holdings}  # of the same moment
        recompute = partial(
            audit,
            initial=p.account.initial,
            quantum=p.account.quantum,
            ledger=ledger,
            transfers=transfers,
            orders=orders,
            claims=claims,
            mark=marks.get,
        )
        # It takes some 5 µs a fill: off the loop no fill waits for it.
        result = await beside_loop(recompute) if p.record.is_concurrent else recompute()
        for number, count in result.checks.items():
            if count:
                broken = [finding for finding in result.findings if finding.invariant == number]
                detail = "; ".join(f"{finding.subject}: {finding.detail}" for finding in broken[:3])
                self._inv.check(number, not broken, now_ns, detail, count)
        if theirs is not None and not self._is_moving(rows):
            await self._terminal(now_ns)
            self._conservation(theirs, now_ns)
        self._priority(now_ns)
        return True

    async def _history(self, *, only_new: bool) -> None:
        """Look whether the stored history is what was written; a running session goes on closing what it holds."""
        try:
            await self._shared.record.on_store(partial(self._store.verify_history, only_new=only_new))
        except HistoryAltered as error:
            self._on_code("FS071", str(error))

    def _read(self) -> Stored:
        return Stored(self._store.ledger(), self._store.orders(), self._store.transfers())

    def _is_moving(self, rows: int) -> bool:
        """Whether the account changed since it had ``rows``, is not all on disk, or about to change by a report."""
        record = self._shared.record
        if not record.is_concurrent:
            return False
        busy = self._dispatcher.stats.is_busy_with(EventPriority.P0_CRITICAL)
        return busy or not record.is_settled or record.book_revision != rows

    def export_state(self) -> dict[str, Any]:
        return {
            "counters": {symbol: str(qty) for symbol, qty in self._counters.items()},
            "approved_at": self._approved_at,
            "starts_seen": self._starts_seen,
        }

    def import_state(self, saved: dict[str, Any]) -> None:
        self._counters = {symbol: Decimal(qty) for symbol, qty in saved["counters"].items()}
        self._approved_at, self._starts_seen = saved["approved_at"], saved["starts_seen"]

    async def _broker_book(self) -> dict[str, Decimal] | None:
        try:
            return dict(await answered(self._broker.positions()))
        except BrokerUnavailable:
            return None  # the line is down

    def _approvals(self, approvals: dict[str, str], now_ns: int) -> None:
        """7: every order names its own approval."""
        orders = self._stored.orders
        wrong = [o.client_order_id for o in orders if approvals.get(o.approval_id) != o.client_order_id]
        self._inv.check(7, not wrong, now_ns, f"orders without their own approval: {wrong[:3]}", len(orders) or 1)

    def _reduces(self, request: OrderRequest) -> bool:
        held = self._shared.account.holding(request.strategy, request.symbol)
        working = self._shared.orders.working_sells(request.strategy, request.symbol)
        return request.reduce_only and request.side is Side.SELL and working <= held

    async def _terminal(self, now_ns: int) -> None:
        """12: what the broker can still fill is open here too."""
        ours = tuple(self._shared.orders)
        try:
            theirs = await answered(self._broker.orders())
        except BrokerUnavailable:
            return  # the line went down in between
        stray = [
            o.client_order_id or o.ref.number
            for o in theirs
            if o.is_open and not any(is_same(o, order) for order in ours)
        ]
        self._inv.check(12, not stray, now_ns, f"the broker works orders that are final here: {stray[:3]}")

    def _conservation(self, theirs: dict[str, Decimal], now_ns: int) -> None:
        """25: broker's book, our ledger and the independent counters agree."""
        ours = self._shared.account.positions()
        counters = {symbol: qty for symbol, qty in self._counters.items() if qty}
        self._inv.check(
            25, ours == counters == theirs, now_ns, f"ledger {ours}, counters {counters}, broker {theirs}"
        )

    def _priority(self, now_ns: int) -> None:
        """19: nothing lower started while a P0 waited; P0 lost nothing; in = handled + counted losses."""
        violations = self._dispatcher.stats.priority_check()[1]
        stats = self._dispatcher.queue_stats()
        p0 = stats[EventPriority.P0_CRITICAL.name]
        lost = p0["dropped"] + p0["sampled"] + p0["collapsed"]
        balanced = all(balance_of(row) == 0 for row in stats.values())
        starts = sum(int(row["handled"]) for row in stats.values())
        new, self._starts_seen = starts - self._starts_seen, starts
        holds = violations == 0 and lost == 0 and balanced
        detail = f"{violations} starts too early, {lost} P0 lost, every event accounted for: {balanced}"
        self._inv.check(19, holds, now_ns, detail, max(new, 1))

    def _claims(self, theirs: dict[str, Decimal] | None) -> Claims:
        account, mark = self._shared.account, self._shared.last.mark
        return Claims(
            equity=account.equity(mark),
            cash=account.cash,
            positions=account.positions(),
            holdings=account.position_rows(),
            pools=account.pools(mark, self._targets()),
            reservations=account.open_reservations,
            fills_applied=account.fills_applied,
            broker_positions=theirs,
        )


def balance_of(row: dict[str, Any]) -> int:
    """Accepted events neither handled nor counted as lost nor still there; 0 when all are accounted for."""
    losses = sum(int(row[name]) for name in ("dropped", "collapsed", "sampled", "dead_lettered"))
    return int(row["accepted"]) - int(row["handled"]) - losses - int(row["size"])


def _same_key(order: Order, request: OrderRequest) -> bool:
    return order.symbol == request.symbol and order.side is request.side
