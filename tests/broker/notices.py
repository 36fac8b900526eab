"""Tells what happens in the books of a broker of the tests: late, lost, doubled, out of order, by numbers alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from qts.broker.contracts import Capabilities
from qts.execution.contracts import BrokerDisconnect, ExecutionReport, Fill
from tests.broker.books import Books

Report = ExecutionReport | BrokerDisconnect
R = TypeVar("R", bound=Report)


class Notices:
    """The notices of a broker with ``books``; ``publish`` is called with each that is told."""

    def __init__(self, publish: Callable[[Report], None], books: Books, capabilities: Capabilities) -> None:
        self.publish = publish
        self.books = books
        self.capabilities = capabilities
        self.holds_notices = False
        self.drops = self.repeats = 0
        """How many of the next notices are lost, and how many are told twice."""
        self.held_notices: list[Report] = []
        """Notices that :attr:`holds_notices` keeps back, to be told by :meth:`let_notice` in any order."""

    def let_notice(self, number: int = 0) -> None:
        """Tell one of the notices held back, the oldest unless ``number`` names a later one."""
        self.publish(self.held_notices.pop(number))

    def as_told(self, report: R) -> R:
        """Return a report as this broker tells it: perhaps by its own number of the order, and with no other."""
        if isinstance(report, BrokerDisconnect):
            return report
        if isinstance(report, Fill) and not self.capabilities.execution_ids:
            report = replace(report, execution_id="")
        if self.capabilities.client_order_ids:
            return report
        order = self.books.orders.get(report.client_order_id)
        ref = order.ref if report.ref is None and order is not None else report.ref
        return report if ref is None else replace(report, client_order_id="", ref=ref)

    def _notify(self, report: Report) -> None:
        report = self.as_told(report)
        if self.drops:
            self.drops -= 1
            return
        times = 1
        if self.repeats:
            self.repeats, times = self.repeats - 1, 2
        for _ in range(times):
            if self.holds_notices:
                self.held_notices.append(report)
            else:
                self.publish(report)
