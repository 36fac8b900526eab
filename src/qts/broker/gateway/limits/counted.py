"""Asks the limits that count about entries, and counts what leaves and what is filled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from qts.broker.gateway.limits.contracts import LimitRefusal
from qts.broker.gateway.limits.count_config import CountLimits
from qts.broker.gateway.limits.count_rules import COUNT_RULES, CountCase, DayFacts
from qts.broker.gateway.limits.messages import Messages, SentMessages
from qts.broker.gateway.limits.view import LimitCountView
from qts.clock import NS_PER_MS, Clock
from qts.risk.contracts import OrderRequest
from qts.risk.duplicates import Duplicates


class CountedLimits:
    """The limits that count. On the session's thread, but for :attr:`messages`, which is for any thread.

    ``config`` returns the limits in force; those of messages stay as they are.
    """

    def __init__(self, config: Callable[[], CountLimits], facts: DayFacts, clock: Clock) -> None:
        self._config = config
        self._facts = facts
        self._clock = clock
        self._duplicates = Duplicates()
        self.messages = Messages(clock, facts.trade_date, entries_per_second=config().entries_per_second)
        self.sent: Callable[[], SentMessages] = self.messages.sent
        """Returns the messages that an entry is judged by."""

    def refusal_of(self, request: OrderRequest) -> LimitRefusal | None:
        """Return the refusal of the first limit that an entry breaks; None when it may leave."""
        is_part = request.parent_id  # parts are alike, and together never more than was approved
        since_ns = None if is_part else self._duplicates.since_ns(request, self._clock.time_ns())
        case = CountCase(request, self._facts, self._config(), self.sent(), since_ns)
        for rule in COUNT_RULES:
            refusal = rule(case)
            if refusal is not None:
                return refusal
        return None

    def note(self, request: OrderRequest) -> None:
        """Note that an order was let pass, or was filled: one like it is a repetition for a moment."""
        if request.reduce_only or request.parent_id:
            return
        window_ns = self._config().duplicate_window_ms * NS_PER_MS
        if window_ns:
            self._duplicates.add(request, self._clock.time_ns(), window_ns)

    def rows(self) -> Iterator[LimitCountView]:
        """Yield what stands at present, and the bounds."""
        sent, config = self.messages.sent(), self._config()
        second = min(sent.second, config.messages_per_second)
        yield LimitCountView("messages_per_second", "", Decimal(second), Decimal(config.messages_per_second))
        yield LimitCountView("messages_per_day", "", Decimal(sent.day), Decimal(config.messages_per_day))

    def export_state(self) -> dict[str, Any]:
        """Return the counts as plain data, for a checkpoint."""
        alike = self._duplicates.export_state(self._clock.time_ns())
        return {"messages": self.messages.export_state(), "alike": alike}

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Continue from :meth:`export_state`."""
        self.messages.import_state(saved["messages"])
        self._duplicates.import_state(saved["alike"], self._clock.time_ns())
