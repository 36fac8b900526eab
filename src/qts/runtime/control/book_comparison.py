"""Compares the broker's books with ours because an operator asks for it, beside everything else.

What the broker's books show and ours lack is taken over the way it always is
(:mod:`qts.runtime.orders.reconciliation`). What differs then is looked at again after a while: a broker may show
less than what has happened, and an order that is absent counts as such in two answers only.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from qts.clock import NS_PER_S, PacedClock, from_ns
from qts.errors import BrokerUnavailable
from qts.event.contracts import EventPriority
from qts.execution.contracts import OrderState
from qts.runtime.control.broker_commands import ANSWER_WITHIN_S
from qts.runtime.control.commands import Answer, Reconcile, ReconcileReport
from qts.runtime.kernel import Kernel
from qts.runtime.orders.book_differences import compared, differences
from qts.runtime.orders.broker_books import read_books
from qts.runtime.orders.broker_queries import answered

_READINGS: Final = 3
_BETWEEN_READINGS_S: Final = 2.5
"""Real time after which what differs is looked at again."""
_HANDLED_S: Final = 0.02
"""Real time between two looks whether what was found is booked."""
_MOST_LOOKS: Final = 250
_LISTED: Final = 50
"""Most lines of a kind in a report."""
_OrderNow = tuple[OrderState, Decimal, Decimal]


class BookComparison:
    """One comparison that ``command`` asks for: a :class:`~qts.runtime.control.broker_commands.BrokerQuestion`."""

    def __init__(self, kernel: Kernel, command: Reconcile) -> None:
        self._kernel = kernel
        self._command = command
        self._real = PacedClock(from_ns(0))  # a broker takes real time, whatever the session's clock shows
        self._outcome = ReconcileReport()

    async def ask(self) -> None:
        """Compare the books, again while they differ; what the broker does not answer is part of the outcome."""
        kernel = self._kernel
        before = self._orders_now()
        bookings = kernel.shared.account.bookings_applied
        try:
            report = await answered(self._last_reading(), ANSWER_WITHIN_S)
        except BrokerUnavailable as error:
            report = ReconcileReport(problem=str(error))
        booked = self._changed(before)
        if (more := kernel.shared.account.bookings_applied - bookings) > 0:
            booked.append(f"{more:,} bookings beside the fills of our orders; 'qts ledger show' lists them")
        self._outcome = ReconcileReport(report.compared, tuple(booked[:_LISTED]), report.differs, report.problem)

    async def execute(self) -> Answer:
        """Return the outcome as the answer; an audit is requested, which raises what stays different."""
        self._say()
        self._kernel.due.audit_soon()
        text = f"the books of {self._kernel.broker.name} are compared with ours"
        return Answer(done=True, answer=text, reconcile=self._outcome)

    async def _last_reading(self) -> ReconcileReport:
        """Return the first comparison in which nothing differs, else the last."""
        report: ReconcileReport | None = None
        for reading in range(_READINGS):
            if reading:
                await self._wait(_BETWEEN_READINGS_S)
            report = await self._compared()
            if report is not None and not report.differs:
                break
        return report or ReconcileReport(problem="the books here change all the time; ask again later")

    async def _compared(self) -> ReconcileReport | None:
        """Take over what the broker shows, read its books and compare them; None: ours have changed meanwhile."""
        kernel, p = self._kernel, self._kernel.shared
        await kernel.unresolved.catch_up(p.clock.time_ns())
        for _ in range(_MOST_LOOKS):
            if not self._is_busy:
                break
            await self._wait(_HANDLED_S)
        revision = p.record.book_revision
        books = await read_books(kernel.broker, kernel.execution_reports.numbers.listed)
        if self._is_busy or revision != p.record.book_revision:
            return None
        compare = (books, kernel.broker, p.account, p.orders, p.config.runtime.currency)
        differs = differences(*compare)
        more = [f"and {len(differs) - _LISTED:,} more"] if len(differs) > _LISTED else []
        return ReconcileReport(tuple(compared(*compare)), differs=(*differs[:_LISTED], *more))

    @property
    def _is_busy(self) -> bool:
        return self._kernel.dispatcher.stats.is_busy_with(EventPriority.P0_CRITICAL)

    async def _wait(self, seconds: float) -> None:
        """Wait in real time; on the virtual clock handle what is queued instead."""
        if self._kernel.components.inline:
            self._kernel.dispatcher.run_inline()
        else:
            await self._real.sleep_until_ns(self._real.time_ns() + round(seconds * NS_PER_S))

    def _orders_now(self) -> Mapping[str, _OrderNow]:
        return {
            order.client_order_id: (order.state, order.filled, order.qty)
            for order in self._kernel.shared.orders.remembered()
        }

    def _changed(self, before: Mapping[str, _OrderNow]) -> list[str]:
        """Return what has become of orders since, one sentence each."""
        said = []
        for key, (state, filled, qty) in self._orders_now().items():
            old = before.get(key)
            if old is not None and old != (state, filled, qty):
                said.append(f"order {key}: {_order(*old)} → {_order(state, filled, qty)}")
        return said

    def _say(self) -> None:
        """Log the outcome with operator and reason."""
        one, command = self._outcome, self._command
        counts = f"{len(one.differs)} differences, {len(one.booked)} bookings"
        text = f"not compared: {one.problem}" if one.problem else "; ".join((counts, *one.differs, *one.booked))
        self._kernel.notices.say(
            "WARNING",
            f"operator {command.operator}: reconcile ({command.reason}): {text}",
            command="reconcile",
            operator=command.operator,
            reason=command.reason,
        )


def _order(state: OrderState, filled: Decimal, qty: Decimal) -> str:
    return f"{state.value} {filled:f} of {qty:f}"
