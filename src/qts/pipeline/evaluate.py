"""Evaluate: refuses a signal that is too weak for the operating state."""

from __future__ import annotations

from collections.abc import Mapping

from qts.pipeline.contracts import Candidate, Proposal
from qts.risk.contracts import Refusal, Refused
from qts.state.contracts import OperatingState, StateProperties
from qts.strategy.contracts import Side


class Evaluate:
    """Refuses a signal that is too weak for an entry; exits are not asked for confidence."""

    def __init__(self, properties: Mapping[OperatingState, StateProperties]) -> None:
        self._properties = properties

    def __call__(self, proposal: Proposal) -> Candidate | Refused:
        """Return the candidate; refused when its confidence is below the threshold of the state."""
        intent = proposal.facts.intent
        if intent.side is Side.BUY:
            threshold = self._properties[proposal.facts.state].entry_signal_threshold
            if intent.confidence < threshold:
                return Refused(
                    request=proposal.request,
                    reason=Refusal.BELOW_STATE_THRESHOLD,
                    detail=f"confidence {intent.confidence:.3f} is below {threshold} "
                    f"of {proposal.facts.state.value}",
                )
        return Candidate(proposal=proposal)
