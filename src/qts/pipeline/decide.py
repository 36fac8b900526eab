"""Decide: the pre-trade risk gate, which asks safety and the operating state first. The only maker of decisions."""

from __future__ import annotations

from collections.abc import Callable

from qts.pipeline.contracts import Candidate, Decision
from qts.risk.contracts import Approved, OrderRequest, Refusal, Refused
from qts.risk.gate import RiskGate


class Decide:
    """A decision that one order may leave, or why none may.

    ``lacks`` says what the broker does not take of an order, "" when it takes all of it: an order that is certain
    to be rejected is refused instead, since rejections count against the symbol.
    """

    def __init__(self, gate: RiskGate, lacks: Callable[[OrderRequest], str]) -> None:
        self._gate = gate
        self._lacks = lacks

    def __call__(self, candidate: Candidate) -> Decision | Refused:
        """Return the decision of the gate: approved, or refused with a reason."""
        proposal = candidate.proposal
        request = proposal.request
        if missing := self._lacks(request):
            return Refused(request=request, reason=Refusal.NOT_TAKEN_BY_BROKER, detail=missing)
        verdict = self._gate.evaluate(request, proposal.view, proposal.facts.local_day)
        return Decision(approved=verdict, proposal=proposal) if isinstance(verdict, Approved) else verdict
