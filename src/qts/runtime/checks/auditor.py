"""Checks the numbered invariants while a session runs (docs/reference/invariants.md).

After each event it checks what that event changed. At every day's close it audits what is new, at the end of a
month and after a fail-safe everything since the last closed day (on the virtual clock the whole book), and at the
end the whole book, recomputed from the stored rows by code that shares nothing with the account.
Independent counters of quantities are compared with the ledger and the broker's own book (``three-way-count``). The
text of a breach is composed only when there is one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Any, TypeVar

from qts.broker.contracts import BrokerOrder, BrokerQueries
from qts.capital.contracts import Pool
from qts.clock import NS_PER_S
from qts.db.chain import HistoryAltered
from qts.db.session import SessionStore
from qts.errors import BrokerUnavailable
from qts.event.contracts import EventPriority
from qts.event.dispatcher import EventDispatcher
from qts.execution.contracts import Fill, Order, OrderState
from qts.ledger.audit import AuditResult, Claims, ExternalClaims
from qts.ledger.close_check import differing_closes
from qts.ledger.closes import DayCloseRow, HoldingCloseRow
from qts.ledger.contracts import ActionRow, BookingRow, FillEffect
from qts.money import ZERO, minus, negated, plus, times
from qts.risk.contracts import OrderRequest
from qts.runtime.checks.invariants import Invariants
from qts.runtime.checks.proven_book import NO_ROWS, ProvenBook, StoredRows
from qts.runtime.orders.broker_queries import answered
from qts.runtime.orders.order_matching import is_known, is_same
from qts.runtime.shared_components import SharedComponents
from qts.runtime.steps.contracts import GO_ON, NOT_SETTLED
from qts.safety.contracts import SafetyChange, SafetyState
from qts.state.contracts import TransitionKind, TransitionRecord
from qts.strategy.contracts import Side
from qts.threads import off_loop

_POOLS = tuple(Pool)
_T = TypeVar("_T")


class _Audited(Enum):
    """The outcome of one audit."""

    YES = "YES"
    MOVED = "MOVED"
    DOES_NOT_FIT = "DOES_NOT_FIT"


class Auditor:
    """An auditor that reports every check to :class:`~qts.runtime.checks.invariants.Invariants`; it decides
    nothing.

    A listener of fills, orders and states. ``order_prefix``: what the ids of this run's orders begin with, up to
    the last "-". ``looks_twice``: the broker's positions may be ahead of what it has told, as a real one's are;
    ``found_within_ns``: the time after which its books have told all of it. For the session's thread alone.
    """

    def __init__(
        self,
        shared: SharedComponents,
        broker: BrokerQueries,
        dispatcher: EventDispatcher,
        invariants: Invariants,
        store: SessionStore,
        targets: Callable[[], Any],
        on_code: Callable[[str, str], object],
        *,
        order_prefix: str,
        looks_twice: bool,
        found_within_ns: int = 0,
    ) -> None:
        self._shared = shared
        self._order_prefix = order_prefix
        self._looks_twice = looks_twice
        self._found_within_ns = found_within_ns
        self._differed: tuple[int, dict[str, Decimal]] = 0, {}
        """Since when (ns) the broker holds so much more than we, by symbol; {}: it held the same when asked."""
        self._broker = broker
        self._dispatcher = dispatcher
        self._inv = invariants
        self._store = store
        self._one_at_a_time = asyncio.Lock()
        """Held during an audit: two at a time would each forget what the other one adds up."""
        record = shared.record
        self._proven = ProvenBook(
            store, lambda: shared.account.initial, shared.account.quantum, lambda: record.is_concurrent
        )
        self._targets = targets
        self._on_code = on_code
        self._counters: dict[str, Decimal] = {}
        self._external_counters: dict[str, Decimal] = {}
        self._approved_at = -1
        self._with_closes = False
        self._starts_seen = 0

    # -- after one event ---------------------------------------------------------------------------------------

    def on_sent(self, request: OrderRequest) -> None:
        """Check an order that is about to leave: approval, unknown orders, reduce-only, price, order rate."""
        p, check, now_ns, key = self._shared, self._inv.check, request.ts_ns, request.client_order_id
        order = p.orders.get(key)
        self._proven.note_order(now_ns)
        holds = order is not None and order.approval_id != ""
        check(7, holds, now_ns, "" if holds else f"{key} has no approval", part=True)
        unknown = [o for o in p.orders if o.state is OrderState.UNKNOWN and _same_symbol_and_side(o, request)]
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
        """Check nothing: the next audit compares ended orders with stored rows and the broker's books."""
        self._proven.note_order(order.ts_update_ns)

    def on_fill(self, fill: Fill, order: Order, effect: FillEffect) -> None:
        """Check pools, position and order after a booked fill, and add it to the independent counters."""
        check, now_ns, symbol, account = self._inv.check, fill.ts_ns, fill.symbol, self._shared.account
        self._proven.note_order(order.ts_update_ns)
        counters = plus(self._counters.get(symbol, ZERO), times(fill.qty, fill.side.sign))
        self._counters[symbol] = counters
        ours = account.position(symbol)
        holds = ours == counters
        check(4, holds, now_ns, "" if holds else f"{symbol}: {ours} held, fills add up to {counters}", part=True)
        holds = not account.is_overfilled(order)
        detail = "" if holds else f"{fill.client_order_id} filled {order.filled} of {order.qty}"
        check(6, holds, now_ns, detail, part=True)
        pools, cash = ZERO, account.cash
        for pool in _POOLS:
            pools = plus(pools, account.pool_cash(pool))
        holds = pools == cash
        check(1, holds, now_ns, "" if holds else f"pools hold {pools}, the account {cash}", part=True)

    def note_stored(self, order: Order, fill: Fill | None = None) -> None:
        """Count a stored fill of ``order`` that the counters do not know, and let its row be read again.

        None: the order has no fill to count. Nothing is checked: the account is ahead of it already.
        """
        self._proven.note_order(order.ts_update_ns)
        if fill is not None:
            change = times(fill.qty, fill.side.sign)
            self._counters[fill.symbol] = plus(self._counters.get(fill.symbol, ZERO), change)

    def on_action(self, row: ActionRow) -> None:
        """Add the shares that a split brings to the independent counters."""
        self._counters[row.symbol] = plus(self._counters.get(row.symbol, ZERO), row.change)

    def on_booking(self, row: BookingRow) -> None:
        """Add the shares of a booking to the independent counters: ours, or those of EXTERNAL."""
        counters = self._counters if row.pool is not None else self._external_counters
        if row.symbol:
            counters[row.symbol] = plus(counters.get(row.symbol, ZERO), row.qty)

    def on_safety(self, change: SafetyChange) -> None:
        """Check a change of the safety state: safety-falls-by-rule and every-change-named."""
        report = self._shared.safety.audit()
        self._inv.check(13, report.ok, change.ts_ns, report.problem)
        explained = bool(change.actor and change.reason)
        self._inv.check(23, explained, change.ts_ns, f"safety change {change.seq} lacks actor or reason")

    def on_state(self, record: TransitionRecord) -> None:
        """Check a record of the operating state: safety-first and every-change-named."""
        check, now_ns = self._inv.check, record.ts_ns
        if record.is_transition:
            bolder = record.to_state.boldness > record.from_state.boldness
            calm = self._shared.safety.current_state is SafetyState.NORMAL
            by_rule = record.kind in (TransitionKind.RULE, TransitionKind.SAFETY)
            check(14, calm or not bolder or not by_rule, now_ns, f"{record.to_state.value} in an alarm")
        check(23, bool(record.actor and record.reason), now_ns, f"state record {record.seq} lacks actor or reason")

    # -- the whole book ----------------------------------------------------------------------------------------

    @property
    def has_proven_all(self) -> bool:
        """Return whether everything that is booked now was found sound."""
        end = self._proven.up_to
        return end is not None and end.book == self._shared.record.book_revision

    @property
    def is_overtaken(self) -> bool:
        """Return whether the books were found sound, and something was booked since."""
        end = self._proven.up_to
        return end is not None and end.book != self._shared.record.book_revision

    def close(self) -> None:
        """Let later audits begin with the books as they are now, which were found sound.

        On the virtual clock those of a whole book still begin with its first row.
        """
        if self._shared.record.is_concurrent:
            self._proven.close()

    async def run_whole_audit(self, now_ns: int) -> bool:
        """Recompute everything from the first stored row and compare it with the account and the broker's book.

        Return False, with nothing checked, when the book changed while its rows were read off the loop: the audit
        has to be requested again. While the broker is unavailable, comparisons with it stay unchecked: unknown
        neither holds nor breaks an invariant. One audit at a time: it waits for the end of another one. Raises
        StorageError when the store has failed.
        """
        async with self._one_at_a_time:
            return await self._whole_audit(now_ns)

    async def run_final_audit(self, now_ns: int) -> bool:
        """Run a :meth:`run_whole_audit` that also compares every close of a day with the rows that it covers."""
        async with self._one_at_a_time:
            self._with_closes = True
            try:
                return await self._whole_audit(now_ns)
            finally:
                self._with_closes = False

    async def run_full_audit(self, now_ns: int) -> bool:
        """Recompute everything since the last closed day and compare it; everything where no day is closed.

        Rows that do not fit what was closed, as news of a closed day does not, lead to a :meth:`run_whole_audit`.
        Returns and raises like that.
        """
        async with self._one_at_a_time:
            return await self._full_audit(now_ns)

    async def run_daily_audit(self, now_ns: int) -> bool:
        """Check what is new since the last audit: its rows are added to the sums that held then.

        Where neither the book nor a price of what is held has changed, only the broker's book is compared. Rows
        that do not fit lead to a :meth:`run_full_audit`, which judges them. Returns and raises like that.
        """
        async with self._one_at_a_time:
            return await self._daily_audit(now_ns)

    async def _whole_audit(self, now_ns: int) -> bool:
        self._proven.forget_all()
        return await self._audit(now_ns) is _Audited.YES

    async def _full_audit(self, now_ns: int) -> bool:
        self._proven.forget()
        audited = await self._audit(now_ns)
        if audited is _Audited.DOES_NOT_FIT:
            return await self._whole_audit(now_ns)
        return audited is _Audited.YES

    async def _daily_audit(self, now_ns: int) -> bool:
        record, end = self._shared.record, self._proven.up_to
        if end is None or (record.is_concurrent and not self._proven.has_sums):
            return await self._full_audit(now_ns)
        if end.book == record.book_revision and end.prices_ns == self._prices_ns():
            theirs, working = await self._broker_book(), await self._broker_orders()
            self._compare_with_broker(self._confirmed(theirs, now_ns), working, now_ns)
            return True
        audited = await self._audit(now_ns)
        if audited is _Audited.DOES_NOT_FIT:
            return await self._full_audit(now_ns)
        return audited is _Audited.YES

    async def _audit(self, now_ns: int) -> _Audited:
        """Check the rows behind what was found sound before.

        Nothing is checked when the book changed meanwhile, or when the rows do not fit what was sound.
        """
        p, proven = self._shared, self._proven
        is_whole = proven.up_to is None
        has_rows = proven.up_to is None or proven.up_to.book != p.record.book_revision
        if has_rows:
            await self._shared.record.checkpoint()  # rows that wait to be written belong to this moment
            await self._verify_history(only_new=True)
        rows, prices_ns = p.record.book_revision, self._prices_ns()
        if self._is_book_moving(rows):
            return _Audited.MOVED
        sums = await self._shared.record.on_store(proven.sums)  # after a restart they are read
        stored = await self._shared.record.on_store(proven.rows_behind) if has_rows else NO_ROWS
        closes = await self._shared.record.on_store(self._stored_closes) if self._with_closes else ((), ())
        theirs, working = await self._broker_book(), await self._broker_orders()
        if self._is_book_moving(rows):
            return _Audited.MOVED
        theirs = self._confirmed(theirs, now_ns)
        if not sums.follow(stored.ledger, stored.actions, stored.bookings):
            return _Audited.DOES_NOT_FIT
        claims = self._claims(theirs)
        marks = {row.symbol: p.last.mark(row.symbol) for row in claims.holdings}  # at the same moment
        recompute = partial(
            sums.audit,
            ledger=stored.ledger,
            transfers=stored.transfers,
            orders=stored.orders,
            claims=claims,
            mark=marks.get,
            actions=stored.actions,
            bookings=stored.bookings,
        )
        # It takes about 5 µs per stored fill; off the loop it delays no event.
        if p.record.is_concurrent:
            result = await off_loop(recompute)
            await p.steps.turn(GO_ON, "recomputed")
        else:
            result = recompute()
        unapproved = proven.unapproved(stored)
        is_sound = result.ok and not unapproved
        if not is_sound and not is_whole:
            return _Audited.DOES_NOT_FIT
        self._record(rows, unapproved, len(stored.orders), result, now_ns)
        self._check_closes(*closes, stored, now_ns)
        if not self._is_book_moving(rows):  # nothing is awaited from here on
            self._compare_with_broker(theirs, working, now_ns)
        self._check_p0_first(now_ns)
        if is_sound:
            proven.extend(stored, book=rows, prices_ns=prices_ns)
        else:
            proven.forget_all()
        return _Audited.YES

    def _record(self, rows: int, unapproved: list[str], orders: int, result: AuditResult, now_ns: int) -> None:
        """Record the checks that were made at revision ``rows`` of the book."""
        if self._approved_at != rows:
            self._approved_at = rows
            detail = f"orders without their own approval: {unapproved[:3]}"
            self._inv.check(7, not unapproved, now_ns, detail, orders or 1)
        for number, count in result.checks.items():
            if count:
                broken = [finding for finding in result.findings if finding.invariant == number]
                detail = "; ".join(f"{finding.subject}: {finding.detail}" for finding in broken[:3])
                self._inv.check(number, not broken, now_ns, detail, count)

    def _stored_closes(self) -> tuple[Sequence[DayCloseRow], Sequence[HoldingCloseRow]]:
        return self._store.day_closes(), self._store.holding_closes()

    def _check_closes(
        self,
        closes: Sequence[DayCloseRow],
        holdings: Sequence[HoldingCloseRow],
        stored: StoredRows,
        now_ns: int,
    ) -> None:
        """Check that the opening balances of every day are what the rows before it add up to."""
        if closes:
            facts = (stored.ledger, stored.actions, stored.transfers, stored.bookings)
            one = next(differing_closes(self._shared.account.initial, closes, holdings, *facts), None)
            detail = "" if one is None else f"{one.subject}: {one.stored} is stored, the rows give {one.summed}"
            self._inv.check(1, one is None, now_ns, detail, 0)

    def _prices_ns(self) -> int:
        """Return the time of the newest price while anything is held; 0 for nothing, which no price values."""
        return self._shared.last.feed_ts_ns if self._shared.extremes.held else 0

    async def _verify_history(self, *, only_new: bool) -> None:
        """Verify that the stored history is as it was written; raise FS071 when it was altered."""
        try:
            await self._shared.record.on_store(partial(self._store.verify_history, only_new=only_new))
        except HistoryAltered as error:
            self._on_code("FS071", str(error))

    def _is_book_moving(self, rows: int) -> bool:
        """Return whether the account changed since revision ``rows``, is not fully stored, or has P0 waiting."""
        record = self._shared.record
        if not record.is_concurrent:  # the rest follows from the checkpoint before
            return record.book_revision != rows
        busy = self._dispatcher.stats.is_busy_with(EventPriority.P0_CRITICAL)
        waits: bool = self._shared.steps.take(NOT_SETTLED, "", not record.is_book_stored)
        return busy or waits or record.book_revision != rows

    def export_state(self) -> dict[str, Any]:
        """Return the independent counters and marks for a checkpoint."""
        return {
            "counters": {symbol: str(qty) for symbol, qty in self._counters.items()},
            "external_counters": {symbol: str(qty) for symbol, qty in self._external_counters.items()},
            "approved_at": self._approved_at,
            "starts_seen": self._starts_seen,
            "proven": self._proven.export_state(),
        }

    def import_state(self, saved: dict[str, Any]) -> None:
        """Continue from :meth:`export_state`."""
        self._counters = {symbol: Decimal(qty) for symbol, qty in saved["counters"].items()}
        external = saved.get("external_counters", {})  # an earlier version booked nothing to EXTERNAL
        self._external_counters = {symbol: Decimal(qty) for symbol, qty in external.items()}
        self._approved_at, self._starts_seen = saved["approved_at"], saved["starts_seen"]
        if "proven" in saved:  # an earlier version audited every row each time
            self._proven.import_state(saved["proven"])

    async def _broker_book(self) -> dict[str, Decimal] | None:
        """Return the broker's positions by symbol; None while it is unavailable."""
        try:
            held = await self._answered(self._broker.positions())
        except BrokerUnavailable:
            return None
        return {symbol: position.qty for symbol, position in held.items()}

    async def _broker_orders(self) -> Sequence[BrokerOrder] | None:
        """Return the broker's orders of its day; None while it is unavailable."""
        try:
            return await self._answered(self._broker.orders())
        except BrokerUnavailable:
            return None

    async def _answered(self, query: Awaitable[_T]) -> _T:
        """Return the answer, which has a limit in real time; on the virtual clock none can wait."""
        return await (answered(query) if self._shared.record.is_concurrent else query)

    def _compare_with_broker(
        self, theirs: dict[str, Decimal] | None, working: Sequence[BrokerOrder] | None, now_ns: int
    ) -> None:
        """Compare the broker's positions and orders with ours; None: it is unavailable, nothing is compared."""
        if working is not None:
            self._check_nothing_left_working(working, now_ns)
        if theirs is not None:
            self._check_three_way_count(theirs, now_ns)

    def _reduces(self, request: OrderRequest) -> bool:
        held = self._shared.account.holding(request.strategy, request.symbol)
        orders, of = self._shared.orders, (request.strategy, request.symbol)
        if request.side is Side.SELL:
            return request.reduce_only and orders.working_sells(*of) <= held
        return request.reduce_only and orders.working_buys(*of) <= negated(held)

    def _check_nothing_left_working(self, theirs: Sequence[BrokerOrder], now_ns: int) -> None:
        """Check that each order of ours that the broker can still fill is open here (``nothing-left-working``).

        Orders of others at the broker are theirs.
        """
        ours = tuple(self._shared.orders)
        stray = [
            o.client_order_id or o.ref.number
            for o in theirs
            if o.is_open and self._is_ours(o) and not any(is_same(o, order) for order in ours)
        ]
        self._inv.check(12, not stray, now_ns, f"the broker works orders that are final here: {stray[:3]}")

    def _is_ours(self, theirs: BrokerOrder) -> bool:
        key = theirs.client_order_id or ""
        return key.rpartition("-")[0] == self._order_prefix or is_known(theirs, self._shared.orders)

    def _confirmed(self, theirs: dict[str, Decimal] | None, now_ns: int) -> dict[str, Decimal] | None:
        """Return the broker's positions to compare with; None when there is nothing to compare yet.

        A fill of which the broker has not told us is in its positions already. So what differs counts when a later
        audit sees the same difference, and its books had the time to tell of it.
        """
        if theirs is None or not self._looks_twice:
            return theirs
        ours = self._shared.account.broker_positions()
        more = {key: minus(theirs.get(key, ZERO), ours.get(key, ZERO)) for key in (theirs | ours)}
        difference = {symbol: qty for symbol, qty in more.items() if qty}
        since_ns, before = self._differed
        if difference != before:
            since_ns = now_ns
        self._differed = since_ns, difference
        may_be_told = now_ns - since_ns <= self._found_within_ns
        return None if difference and may_be_told else theirs

    def _check_three_way_count(self, theirs: dict[str, Decimal], now_ns: int) -> None:
        """Check that the broker's book, the ledger and the independent counters agree (``three-way-count``).

        All three count what is ours and what is EXTERNAL.
        """
        ours = self._shared.account.broker_positions()
        total = dict(self._counters)
        for symbol, qty in self._external_counters.items():
            total[symbol] = plus(total.get(symbol, ZERO), qty)
        counters = {symbol: qty for symbol, qty in total.items() if qty}
        self._inv.check(
            25, ours == counters == theirs, now_ns, f"ledger {ours}, counters {counters}, broker {theirs}"
        )

    def _check_p0_first(self, now_ns: int) -> None:
        """Check ``p0-first``: nothing lower starts before P0, no P0 is lost, every event is accounted for."""
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
        external = account.external
        return Claims(
            equity=account.equity(mark),
            cash=account.cash,
            positions=account.positions(),
            holdings=account.position_rows(),
            pools=account.pools(mark, self._targets()),
            reservations=account.open_reservations,
            fills_applied=account.fills_applied,
            actions_applied=account.actions_applied,
            broker_positions=theirs,
            bookings_applied=account.bookings_applied,
            external=ExternalClaims(external.cash, external.positions(), external.costs()),
        )


def balance_of(row: dict[str, Any]) -> int:
    """Return the accepted events that are neither handled nor counted as lost nor queued; 0 in a sound queue."""
    losses = sum(int(row[name]) for name in ("dropped", "collapsed", "sampled", "dead_lettered"))
    return int(row["accepted"]) - int(row["handled"]) - losses - int(row["size"])


def _same_symbol_and_side(order: Order, request: OrderRequest) -> bool:
    return order.symbol == request.symbol and order.side is request.side
