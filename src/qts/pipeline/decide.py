"""Decide: the pre-trade risk gate, which asks safety and the operating state first. The only maker of decisions."""

from __future__ import annotations

from qts.pipeline.contracts import Candidate, Decision
from qts.risk.contracts import Approved, Refused
from qts.risk.gate import RiskGate


class Decide:
    """A decision that one order may leave, or why none may."""

    def __init__(self, gate: RiskGate) -> None:
        self._gate = gate

    def __call__(self, candidate: Candidate) -> Decision | Refused:
        """Return the decision of the gate: approved, or refused with a reason."""
        proposal = candidate.proposal
        verdict = self._gate.evaluate(proposal.request, proposal.view, proposal.facts.local_day)
        return Decision(approved=verdict, proposal=proposal) if isinstance(verdict, Approved) else verdict
