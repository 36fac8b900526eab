"""Asks the limits about every order, and remembers what they have refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qts.broker.gateway.limits.config import LimitsConfig
from qts.broker.gateway.limits.contracts import LimitCase, LimitFacts, LimitRefusal, worst_price_of
from qts.broker.gateway.limits.counted import CountedLimits
from qts.broker.gateway.limits.exit_attempts import ExitAttempts
from qts.broker.gateway.limits.rules import NOTED_OF_EXITS, RulesInForce, first_refusal, rules_in_force
from qts.broker.gateway.limits.view import LimitsView
from qts.clock import Clock
from qts.risk.contracts import OrderRequest


class OrderLimits:
    """The limits at the entry of the gateway. Asked on the session's thread, before an order enters a lane.

    ``config`` returns the limits in force. ``on_met`` is called with the entries of ours that an exit would meet,
    and the exit; ``on_note`` with what a person has to know of an order that leaves. ``counted``: the limits that
    count; None: there are none.
    """

    def __init__(
        self,
        config: Callable[[], LimitsConfig],
        facts: LimitFacts,
        clock: Clock,
        *,
        on_met: Callable[[tuple[str, ...], OrderRequest], object] = lambda orders, request: None,
        on_note: Callable[[str], object] = lambda note: None,
        counted: CountedLimits | None = None,
    ) -> None:
        self._config = config
        self._facts = facts
        self._clock = clock
        self._on_met = on_met
        self._on_note = on_note
        self.counted = counted
        self._rules = rules_in_force(config(), facts)
        self._exits = ExitAttempts()
        self._refused: dict[str, int] = {}
        self._last = ""
        self._exits_beyond = self._without_volume = 0

    def refusal_of(self, request: OrderRequest) -> LimitRefusal | None:
        """Return the refusal of the first limit that an order breaks; None when it may leave."""
        facts, config, counted, is_exit = self._facts, self._config(), self.counted, request.reduce_only
        symbol, now_ns = request.symbol, self._clock.time_ns()
        waited_ns = self._exits.waited_ns(request, now_ns) if is_exit else 0
        price, volume = worst_price_of(request, facts), facts.average_volume(symbol)
        info = facts.session_info(symbol)
        case = LimitCase(request, facts, config, now_ns, info, price, volume, waited_ns)
        rules = self._rules_of(config)
        refusal = first_refusal(rules.exit if is_exit else rules.entry, case)
        if refusal is None and counted is not None and not is_exit:
            refusal = counted.refusal_of(request)
        if refusal is not None:
            self._count(refusal, case)
            return refusal
        if is_exit:
            self._exits.on_passed(request)
            self._note_size(case)
        else:
            self._without_volume += volume is None
            if counted is not None:
                counted.note(request)
        return None

    def _rules_of(self, config: LimitsConfig) -> RulesInForce:
        """Return the limits to ask; they are found again when what they depend on has changed, as by a reload."""
        rules, facts = self._rules, self._facts
        if (
            rules.config is not config
            or rules.is_simulated is not facts.is_simulated
            or rules.tells_session_info is not facts.tells_session_info
        ):
            rules = self._rules = rules_in_force(config, facts)
        return rules

    def _count(self, refusal: LimitRefusal, case: LimitCase) -> None:
        request = case.request
        self._refused[refusal.limit] = self._refused.get(refusal.limit, 0) + 1
        self._last = f"order {request.client_order_id}: {refusal.text}"
        if request.reduce_only:
            self._exits.on_refused(request, case.now_ns)
        if refusal.meets:
            self._on_met(refusal.meets, request)

    def _note_size(self, case: LimitCase) -> None:
        larger = first_refusal(NOTED_OF_EXITS, case)
        if larger is not None:
            self._exits_beyond += 1
            key = case.request.client_order_id
            self._on_note(f"exit {key} leaves although it is beyond the limit of an entry, {larger.text}")

    def view(self) -> LimitsView:
        """Return what a session shows of it."""
        return LimitsView(
            dict(self._refused),
            self._last,
            self._exits_beyond,
            self._without_volume,
            self._facts.tells_session_info,
        )

    def export_state(self) -> dict[str, Any]:
        """Return everything as plain data, for a checkpoint."""
        return {
            "exits": self._exits.export_state(),
            "refused": dict(self._refused),
            "last": self._last,
            "exits_beyond": self._exits_beyond,
            "without_volume": self._without_volume,
        }

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Continue from :meth:`export_state`."""
        self._exits.import_state(saved["exits"])
        self._refused = dict(saved["refused"])
        self._last = saved["last"]
        self._exits_beyond = saved["exits_beyond"]
        self._without_volume = saved["without_volume"]
