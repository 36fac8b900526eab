"""The P0 handler that applies fills, cancels and rejections from the broker exactly once."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Final

from qts.clock import NS_PER_S
from qts.db.contracts import Record
from qts.errors import StorageError
from qts.event.contracts import Event, EventType
from qts.execution.contracts import (
    BrokerDisconnect,
    ExecutionReport,
    Fill,
    FillReversed,
    Order,
    OrderCancelled,
    OrderRejected,
    OrderState,
    VenueRef,
)
from qts.execution.fit import misfit, unreadable, unreadable_reversal
from qts.execution.lifecycle import apply_cancelled, apply_fill, apply_rejected
from qts.execution.texts import unreadable_end, with_kept_reason
from qts.execution.working import FINAL_STATES
from qts.ledger.contracts import BookingEffect, BookingRow, FillEffect
from qts.money import plus
from qts.runtime.drivers.sync import run_to_completion
from qts.runtime.orders.cumulative_fills import CumulativeFills
from qts.runtime.orders.foreign_fills import ForeignFills
from qts.runtime.orders.numbered_reports import NO_QUESTION, NumberedReports, Question
from qts.runtime.orders.order_news import StrategyNews
from qts.runtime.orders.quarantine import MAX_LOGGED, Quarantine
from qts.runtime.shared_components import SharedComponents
from qts.runtime.strategies.strategy_host import StrategyHost
from qts.strategy.contracts import FillView

OnCode = Callable[[str, str], None]
_OF_AN_ORDER: Final = (Fill, FillReversed, OrderCancelled, OrderRejected)
_HALF_A_DAY_NS = 12 * 3_600 * NS_PER_S
"""A fill that is older may be of an earlier day, to whose band today's base price does not belong."""

EVENT_OF_REPORT = {
    OrderCancelled: EventType.ORDER_CANCELLED,
    OrderRejected: EventType.ORDER_REJECTED,
    FillReversed: EventType.POSITION_UPDATE,
    BrokerDisconnect: EventType.BROKER_DISCONNECT,
}


def event_type_of(report: ExecutionReport | BrokerDisconnect) -> EventType:
    """Return the event type of ``report``: FILL_CONFIRMED for the last fill of an order, else FILL_PARTIAL."""
    if isinstance(report, Fill):
        return EventType.FILL_CONFIRMED if report.last else EventType.FILL_PARTIAL
    return EVENT_OF_REPORT[type(report)]


class ExecutionReportHandler:
    """Applies reports in this order: book of record, order, strategy; then a transaction with a checkpoint.

    In a replay many reports share that transaction. "Exactly once" rests on the store's unique key; the account's
    set of booked keys makes a duplicate cheap. A fill that does not fit its order, its instrument or the session is
    quarantined and raises FS041, one of an order with an id of ours that is not known here FS070. A fill of any
    other order, such as one placed by hand, is booked to EXTERNAL; an execution that the broker takes back is
    booked back; both raise AN030, and FS070 where strategies hold more than the broker then. In each case the books
    are compared with the broker's. An exception while a report is applied ends the session: applied again, the
    report would meet its own half-done effect.

    ``deliver_answers`` is called before each report: an answer that came earlier is booked earlier.
    ``order_prefix``: what the ids of this run's orders begin with, up to the last "-". ``cumulative``: gives
    executions their ids; None where the broker numbers them. ``numbers``: finds the orders of reports that name
    them by the broker's number alone.
    ``on_disconnect``: called when the line to the broker was lost.
    """

    def __init__(
        self,
        shared: SharedComponents,
        *,
        host: StrategyHost,
        on_code: OnCode,
        on_kept: Callable[[], None],
        on_applied: Callable[[Fill, Order, FillEffect], None],
        on_booked: Callable[[BookingRow], None],
        on_ended: Callable[[Order], None],
        order_prefix: str,
        news: StrategyNews,
        deliver_answers: Callable[[], None],
        log: Callable[[str, str], None],
        numbers: NumberedReports,
        cumulative: CumulativeFills | None = None,
        foreign: ForeignFills | None = None,
        on_duplicate: Callable[[Fill], None] = lambda fill: None,
        on_disconnect: Callable[[BrokerDisconnect], object] = lambda report: None,
    ) -> None:
        self._shared = shared
        self._on_disconnect = on_disconnect
        self._cumulative = cumulative
        self._foreign = foreign
        self._on_duplicate = on_duplicate
        self.numbers = numbers
        self._account = shared.account
        self._orders = shared.orders
        self._host = host
        self._record = shared.record
        self._on_code = on_code
        self._on_kept = on_kept
        self._on_applied = on_applied
        self._on_booked = on_booked
        self._order_prefix = order_prefix
        self._on_ended = on_ended
        self._news = news
        self._deliver_answers = deliver_answers
        self._log = log
        self.quarantine = Quarantine(shared.record, on_code=on_code, on_kept=on_kept, log=log)
        self.duplicates = 0

    def readable(
        self, report: ExecutionReport | BrokerDisconnect, ask: Callable[[Callable[[], None]], None]
    ) -> ExecutionReport | BrokerDisconnect | None:
        """Return ``report`` as a journal can store it; None if unreadable, then it is quarantined. Any thread.

        ``ask`` runs a call between two handlers on the session's thread: the quarantine, or a line in the log.
        """
        why = _unreadable(report)
        if why:
            ask(lambda: self.keep(report, why))
            return None
        if isinstance(report, Fill):
            return report
        kept = with_kept_reason(report)
        if kept is not report:
            raw = ascii(report.reason[:MAX_LOGGED]) if isinstance(report.reason, str) else ascii(report.reason)
            ask(lambda: self._log("WARNING", f"a reason that cannot be kept as it came: {raw[:MAX_LOGGED]}"))
        return kept

    async def on_event(self, event: Event) -> None:
        """Apply one report. Raises HalfDoneError when it could not be applied wholly."""
        report = event.payload
        self._deliver_answers()
        with self._record.whole(f"{event.event_type.value} {event.event_id}"):
            self._record.applied(event.event_id)
            await self._apply(report)

    def look_again(self, answered: Question = NO_QUESTION, foreign: Container[VenueRef] = ()) -> bool:
        """Apply the reports whose order is known by now; return whether there were any.

        Arguments as in :meth:`NumberedReports.take`. On the session's thread, between two handlers or before one
        applies its report. Raises HalfDoneError like :meth:`on_event`.
        """
        if not self.numbers:
            return False
        found = 0
        with self._record.whole("a report that has waited for its order"):
            for report in self.numbers.take(answered, foreign):
                found += 1
                run_to_completion(self._apply(report))
        return found > 0

    async def _apply(self, report: object) -> None:
        if isinstance(report, _OF_AN_ORDER):
            named = self._named(report)
            if named is None:
                return
            report = named
        if isinstance(report, Fill):
            await self._on_fill(report)
        elif isinstance(report, FillReversed):
            await self._on_reversed(report)
        elif isinstance(report, OrderCancelled):
            await self._on_end(report, "cancelled")
        elif isinstance(report, OrderRejected):
            await self._on_end(report, "rejected")
        elif isinstance(report, BrokerDisconnect):
            self._on_code("AN050", f"{report.broker}: {report.reason}")
            self._on_disconnect(report)

    def _named(self, report: ExecutionReport) -> ExecutionReport | None:
        """Return a report with our id of its order; None: it waits, or is kept aside."""
        try:
            return self.numbers.named(report, self._shared.clock.time_ns())
        except StorageError as error:
            self._keep_unknown(report, error)
            return None

    async def _on_fill(self, fill: Fill) -> None:
        why = unreadable(fill)
        if not (why or fill.execution_id or self._cumulative is not None):
            why = "execution_id is missing"
        if why:
            self.keep(fill, why)
            return
        try:
            order = self._orders.recall(fill.client_order_id)
            booked = self._with_id(fill, order)
            if booked is None or self._account.has_booked(booked):
                self.duplicates += 1
                self._on_duplicate(fill)
                return
        except StorageError as error:
            self._keep_unknown(fill, error)
            return
        fill = booked
        if order is None:
            await self._on_unknown(fill)
            return
        why = self._misfit(fill, order)
        if why:
            self.keep(fill, f"fill {fill.execution_id}: {why}")
            return
        try:
            effect = self._account.apply_fill(fill, strategy=order.strategy, pool=order.pool)
        except StorageError as error:  # raised before anything has changed
            self._keep_unknown(fill, error)
            return
        assert effect is not None  # checked above
        updated = apply_fill(order, fill)
        self._orders.put(updated)
        if updated.state in FINAL_STATES:
            self._account.release(fill.client_order_id)
        self._warn_about(order, updated, effect.oversold)
        self.show(fill, updated)
        if effect.reversal is not None:
            self._tell_of_reversal(effect.reversal)
        self._on_applied(fill, updated, effect)
        records: tuple[Record, ...] = (*effect.records, updated)
        await self._record.book(records)

    def _with_id(self, fill: Fill, order: Order | None) -> Fill | None:
        """Return ``fill`` with the id under which it is booked; None where a part of it is booked already."""
        if self._cumulative is None:
            return fill
        if order is not None:
            return self._cumulative.told(fill, order)
        return fill if self._foreign is None else self._foreign.told(fill)

    async def _on_unknown(self, fill: Fill) -> None:
        """Book a fill of an order that is not ours to EXTERNAL; quarantine one with an id of ours."""
        key = fill.client_order_id
        if self._is_id_of_ours(key):
            self.keep(fill, f"fill {fill.execution_id} names the unknown order {key}", "FS070")
            return
        if not (fill.qty > 0 and fill.price > 0):
            self.keep(fill, f"fill {fill.execution_id}: it has qty {fill.qty} and price {fill.price}")
            return
        try:
            effects = self._account.book_external(fill, actor="rule", reason=f"order {key} is not ours")
        except StorageError as error:  # raised before anything has changed
            self._keep_unknown(fill, error)
            return
        for effect in effects:
            self._on_booked(effect.booking)
        what = f"{fill.side.value} {fill.qty} {fill.symbol} at {fill.price}"
        told = ", which no notice told," if fill.inferred else ""
        self._on_code("AN030", f"order {key} is not ours: its fill {fill.execution_id}{told} {what}, is EXTERNAL")
        self._warn_of_missing(fill.symbol)
        self._on_kept()
        await self._record.book([row for effect in effects for row in effect.records])

    async def _on_reversed(self, report: FillReversed) -> None:
        why = unreadable_reversal(report)
        if why:
            self.keep(report, why)
            return
        try:
            if self._account.has_reversed(report):
                self.duplicates += 1
                return
            why = self._account.why_irreversible(report)
            effect = None if why else self._account.reverse(report)
        except StorageError as error:  # raised before anything has changed
            self._keep_unknown(report, error)
            return
        if why:
            self.keep(report, why)
            return
        if effect is None:
            what = f"execution {report.execution_id} of order {report.client_order_id}"
            self._on_code("AN030", f"the broker took back {what}, which is not known: it will not count")
            await self._record.book(())
            return
        self._tell_of_reversal(effect)
        await self._record.book(effect.records)

    def _tell_of_reversal(self, effect: BookingEffect) -> None:
        """Notify the listeners and safety of a reversal, and have the books compared with the broker's."""
        row, held = effect.booking, effect.position
        self._on_booked(row)
        what = f"{row.qty:+f} {row.symbol} of order {row.order_id}"
        self._on_code("AN030", f"the broker took back execution {row.reference}: {what}: {row.reason}")
        if held is not None and held.qty < self._account.reserved_qty(held.strategy, held.symbol):
            self._on_code("FS070", f"{held.strategy} holds {held.qty} {held.symbol}, and has sold or offers more")
        self._warn_of_missing(row.symbol)
        self._on_kept()

    def _warn_of_missing(self, symbol: str) -> None:
        """Raise FS070 when strategies hold more of ``symbol`` than the broker, such as after a sale by hand."""
        ours, theirs = self._account.position(symbol), self._account.external.qty(symbol)
        if theirs < 0 < ours:
            has = plus(ours, theirs)
            self._on_code(
                "FS070", f"strategies hold {ours} {symbol}, the broker {has}: others have sold their shares"
            )

    async def _on_end(self, report: OrderCancelled | OrderRejected, kind: str) -> None:
        try:
            order = self._orders.recall(report.client_order_id)
        except StorageError as error:
            self._keep_unknown(report, error)
            return
        if order is None:
            self._on_unknown_end(report.client_order_id, kind)
            return
        updated = (
            apply_cancelled(order, report) if isinstance(report, OrderCancelled) else apply_rejected(order, report)
        )
        self._orders.put(updated)
        if updated.state in FINAL_STATES:
            self._account.release(order.client_order_id)
        self._record.write_later(updated)
        if updated.state in FINAL_STATES:
            if order.state not in FINAL_STATES:
                self._news.on_ended(updated, expired=isinstance(report, OrderCancelled) and report.expired)
            self._on_ended(updated)

    def _on_unknown_end(self, key: str, kind: str) -> None:
        """Raise FS070 for an end of an order with an id of ours; that of any other changes nothing here."""
        if self._is_id_of_ours(key):
            self._on_code("FS070", f"{kind}: order {key} is unknown here")
        else:
            self._log("INFO", f"{kind}: order {key}, which is not ours")

    def _is_id_of_ours(self, key: str) -> bool:
        return key.rpartition("-")[0] == self._order_prefix

    def keep(self, notice: object, why: str, code: str = "FS041") -> None:
        """Store a notice that cannot be booked in quarantine, for the reason ``why``, and raise ``code``."""
        self.quarantine.keep(notice, code, why, self._shared.clock.time_ns())

    def _keep_unknown(self, report: ExecutionReport, error: StorageError) -> None:
        """Keep a report aside of which it is unknown whether it is new: the store cannot be read."""
        self.keep(report, f"whether it is new is unknown: {error}")

    def show(self, fill: Fill, order: Order) -> None:
        """Show a booked ``fill`` to its strategy; ``order`` as it stands after it."""
        self._host.on_fill(order.strategy, _view(fill, order))

    def _misfit(self, fill: Fill, order: Order) -> str:
        p, symbol, now_ns = self._shared, order.symbol, self._shared.clock.time_ns()
        is_of_today = now_ns - fill.ts_ns < _HALF_A_DAY_NS or p.trade_date(fill.ts_ns) == p.trade_date(now_ns)
        return misfit(
            fill,
            order,
            p.feed.instruments.get(symbol),
            base=p.base_prices.get(symbol) if is_of_today else None,
            shown=p.last.shown(symbol),
            now_ns=now_ns,
            market_ns=p.last.feed_ts_ns,
        )

    def _warn_about(self, order: Order, updated: Order, oversold: bool) -> None:
        if self._account.is_overfilled(updated):
            self._on_code("FS070", f"order {order.client_order_id} filled {updated.filled} of {updated.qty}")
        elif order.state in FINAL_STATES and updated.state is OrderState.FILLED_LATE:
            self._on_code("AN030", f"order {order.client_order_id} filled after it was {order.state.value}")
        if oversold:
            self._on_code("FS070", f"order {order.client_order_id} sold more than was held")


def _unreadable(report: ExecutionReport | BrokerDisconnect) -> str:
    if isinstance(report, Fill):
        return unreadable(report)
    if isinstance(report, FillReversed):
        return unreadable_reversal(report)
    return unreadable_end(report)


def _view(fill: Fill, order: Order) -> FillView:
    return FillView(
        symbol=fill.symbol,
        side=fill.side,
        qty=fill.qty,
        price=fill.price,
        fee=fill.fee,
        tax=fill.tax,
        ts_ns=fill.ts_ns,
        order_id=fill.client_order_id,
        execution_id=fill.execution_id,
        partial=order.remaining > 0,
    )
