"""Asks the limits about every order, and remembers what they have refused."""

from __future__ import annotations

from collections.abc import Sequence

from qts.broker.gateway.limits.config import LimitsConfig
from qts.broker.gateway.limits.contracts import LimitCase, LimitFacts, LimitRefusal, LimitRule
from qts.broker.gateway.limits.rules import ORDER_RULES
from qts.broker.gateway.limits.view import LimitsView
from qts.clock import Clock
from qts.risk.contracts import OrderRequest


class OrderLimits:
    """The limits at the entry of the gateway. Asked on the session's thread, before an order enters a lane."""

    def __init__(
        self,
        config: LimitsConfig,
        facts: LimitFacts,
        clock: Clock,
        *,
        rules: Sequence[LimitRule] = ORDER_RULES,
    ) -> None:
        self._config = config
        self._facts = facts
        self._clock = clock
        self._rules = tuple(rules)
        self._refused: dict[str, int] = {}
        self._last = ""

    def refusal_of(self, request: OrderRequest) -> LimitRefusal | None:
        """Return the refusal of the first limit that an order breaks; None when it may leave."""
        case = LimitCase(request, self._facts, self._config, self._clock.time_ns())
        for rule in self._rules:
            refusal = rule(case)
            if refusal is not None:
                self._refused[refusal.limit] = self._refused.get(refusal.limit, 0) + 1
                self._last = f"order {request.client_order_id}: {refusal.text}"
                return refusal
        return None

    def view(self) -> LimitsView:
        """Return what a session shows of it."""
        return LimitsView(dict(self._refused), self._last)
