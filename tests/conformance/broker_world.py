"""What stands behind a broker in the acceptance tests: its market, its people, its line and its books.

A driver implements what it can make happen. What it cannot skips the test that asks for it, by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple, NoReturn

import pytest

from qts.broker.contracts import Broker
from qts.execution.contracts import ExecutionReport, Fill, OrderAck
from qts.risk.contracts import Approved
from qts.strategy.contracts import Side


class Held(NamedTuple):
    """What the broker's books really hold of one order, whatever it tells."""

    qty: Decimal
    filled: Decimal
    is_open: bool


class BrokerWorld(ABC):
    """One broker and what stands behind it. ``reports`` is what was published, also after a restart.

    All orders are of one symbol. Faults of the next order (``loses_…``, ``refuses_…``) are asked for before it.
    """

    broker: Broker
    reports: list[ExecutionReport]

    @property
    def fills(self) -> list[Fill]:
        """The fills among the reports."""
        return [report for report in self.reports if isinstance(report, Fill)]

    def is_about(self, report: ExecutionReport, key: str, ack: OrderAck) -> bool:
        """Whether a report names the order ``key``: by our id, or, where none is kept, by its number."""
        if self.broker.capabilities.client_order_ids:
            return report.client_order_id == key
        return report.client_order_id == "" and report.ref is not None and report.ref == ack.ref

    def needs(self, *capabilities: str) -> None:
        """Skip the test where the broker lacks one of ``capabilities``."""
        for name in capabilities:
            if not getattr(self.broker.capabilities, name):
                pytest.skip(f"{self.broker.name} lacks the capability {name}")

    def needs_no(self, capability: str) -> None:
        """Skip the test where the broker has ``capability``."""
        if getattr(self.broker.capabilities, capability):
            pytest.skip(f"{self.broker.name} has the capability {capability}")

    def lacks(self, what: str) -> NoReturn:
        """Skip the test: the driver cannot make the broker do ``what``."""
        pytest.skip(f"{self.broker.name} cannot be made to {what}")

    # -- every driver

    @abstractmethod
    def approved(self, key: str, side: Side, qty: int, **terms: Any) -> Approved:
        """An approved order at the market; ``terms`` are fields of its request that differ."""

    @abstractmethod
    def executes(self, key: str, qty: int) -> None:
        """Let ``qty`` of an open order be executed, at a price of its own, and be reported."""

    @abstractmethod
    def lets_time_pass(self) -> None:
        """Let everything happen that waits for time alone, such as a cancel that was accepted."""

    @abstractmethod
    def cuts_the_line(self) -> None:
        """Let nothing reach the broker, and nothing come back, from now on."""

    @abstractmethod
    def repairs_the_line(self) -> None:
        """Let the line work again."""

    @abstractmethod
    def holds(self) -> Mapping[str, Held]:
        """What the books really hold of the orders that can still fill, by our id."""

    # -- those that can

    def restarts(self) -> None:
        """Let the broker's program end and begin again on its books; ``broker`` is the new one."""
        self.lacks("restart")

    def loses_the_next_answer(self) -> None:
        """Let the next order be received, and its answer be lost."""
        self.lacks("lose an answer")

    def loses_the_next_order(self) -> None:
        """Let the next order be lost on the way to the broker."""
        self.lacks("lose an order")

    def refuses_the_next_order(self) -> None:
        """Let the broker refuse the next order in its answer."""
        self.lacks("refuse an order")

    def rejects_the_next_order_later(self) -> None:
        """Let the broker accept the next order, and reject it when time passes."""
        self.lacks("reject an accepted order")

    def is_out_of_reach(self) -> None:
        """Let the broker not be reached when it is connected with."""
        self.lacks("be out of reach at the beginning")

    def ends(self, key: str) -> None:
        """Let the broker end an order by itself, such as at the close."""
        self.lacks("end an order by itself")

    def holds_answers(self) -> None:
        """Keep the answers to orders back until :meth:`lets_answer`."""
        self.lacks("answer late")

    def lets_answer(self) -> None:
        """Give the answers that were held back."""
        self.lacks("answer late")

    def drops_the_next_notice(self) -> None:
        """Let the next notice be lost."""
        self.lacks("lose a notice")

    def doubles_the_next_notice(self) -> None:
        """Let the next notice be told twice."""
        self.lacks("tell a notice twice")

    def holds_notices(self) -> None:
        """Keep notices back until :meth:`tells_backwards`."""
        self.lacks("tell notices out of order")

    def tells_backwards(self) -> None:
        """Tell the notices that were held back, the newest first."""
        self.lacks("tell notices out of order")

    def orders_by_hand(self, side: Side, qty: int) -> str:
        """Let a person place an order in the broker's own application; return its key for :meth:`executes`."""
        self.lacks("take orders of a person")

    def takes_back(self, fill: Fill) -> None:
        """Let the broker take an execution back, and say so."""
        self.lacks("take an execution back")

    def pages(self, rows: int) -> None:
        """Let lists come in pages of ``rows`` rows."""
        self.lacks("list in pages")

    def fails_a_page(self, number: int, how: str) -> None:
        """Let page ``number`` (from 1) of the next list fail: "error", "empty" or "timeout"."""
        self.lacks("fail a query")

    def shows_late(self) -> None:
        """Let orders and executions show only after the broker's visibility lag."""
        self.lacks("show orders late")

    def lets_the_lag_pass(self) -> None:
        """Let that time pass."""
        self.lacks("show orders late")

    def begins_another_day(self) -> None:
        """Let the session day end and the next one begin; numbers may begin again."""
        self.lacks("begin another day")

    def charges_today(self, fees: int, taxes: int) -> None:
        """Let the broker tell what the trades of 22 January 2026 cost."""
        self.lacks("tell what a day cost")
