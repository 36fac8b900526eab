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
from qts.errors import BrokerUnavailable, InputError
from qts.event.contracts import EventPriority
from qts.execution.contracts import OrderState
from qts.runtime.control.commands import Answer, Reconcile, ReconcileReport
from qts.runtime.kernel import Kernel
from qts.runtime.orders.book_differences import compared, differences
from qts.runtime.orders.broker_books import read_books

_READINGS: Final = 3
_BETWEEN_READINGS_S: Final = 2.5
"""Real time after which what differs is looked at again."""
_HANDLED_S: Final = 0.02
"""Real time between two looks whether what was found is booked."""
_MOST_LOOKS: Final = 250
_LISTED: Final = 50
"""Most lines of a kind in a report."""
_OrderNow = tuple[OrderState, Decimal, Decimal]


class Comparison:
    """One comparison that was asked for, and its report so far."""

    def __init__(self, command: Reconcile, broker: str) -> None:
        self.command = command
        self._broker = broker
        self.outcome = ReconcileReport()

    def report(self) -> ReconcileReport:
        """Return what is known so far."""
        return self.outcome

    def answer(self) -> Answer:
        """Return the answer to the command."""
        return Answer(
            done=True, answer=f"the books of {self._broker} are compared with ours", reconcile=self.outcome
        )

    def text(self) -> str:
        """Return the outcome as one sentence."""
        one = self.outcome
        if one.problem:
            return f"not compared: {one.problem}"
        return "; ".join((f"{len(one.differs)} differences, {len(one.booked)} bookings", *one.differs, *one.booked))


class BookComparison:
    """Runs one comparison at a time, in the background of an event loop. For the session's thread."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._real = PacedClock(from_ns(0))  # a broker takes real time, whatever the session's clock shows
        self._running: Comparison | None = None

    async def begin(self, command: Reconcile) -> Comparison:
        """Begin a comparison and return it; where no event loop runs the session it is over then.

        Raises InputError while another one is under way.
        """
        if self._running is not None:
            whom = self._running.command.operator
            raise InputError(f"the books are being compared already, for {whom}; ask again when that is over")
        comparison = self._running = Comparison(command, self._kernel.broker.name)
        if self._kernel.components.inline:
            await self._run(comparison)
        else:
            self._kernel.background.start("reconcile", self._run(comparison))
        return comparison

    async def _run(self, comparison: Comparison) -> None:
        kernel = self._kernel
        before = self._orders_now()
        bookings = kernel.shared.account.bookings_applied
        try:
            for reading in range(_READINGS):
                if reading:
                    await self._wait(_BETWEEN_READINGS_S)
                report = await self._compared()
                if report is not None and not report.differs:
                    break
            if report is None:
                report = ReconcileReport(problem="the books here change all the time; ask again later")
        except BrokerUnavailable as error:
            report = ReconcileReport(problem=str(error))
        finally:
            self._running = None
        booked = self._changed(before)
        if (more := kernel.shared.account.bookings_applied - bookings) > 0:
            booked.append(f"{more:,} bookings beside the fills of our orders; 'qts ledger show' lists them")
        comparison.outcome = ReconcileReport(
            report.compared, tuple(booked[:_LISTED]), report.differs, report.problem, complete=True
        )
        self._say(comparison)
        kernel.due.audit_soon()  # which raises what stays different, and explains it

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

    def _say(self, comparison: Comparison) -> None:
        """Log the outcome with operator and reason."""
        command = comparison.command
        self._kernel.notices.say(
            "WARNING",
            f"operator {command.operator}: reconcile ({command.reason}): {comparison.text()}",
            command="reconcile",
            operator=command.operator,
            reason=command.reason,
        )


def _order(state: OrderState, filled: Decimal, qty: Decimal) -> str:
    return f"{state.value} {filled:f} of {qty:f}"
