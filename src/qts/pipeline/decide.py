"""Decide: what the operating state forbids, then the pre-trade risk gate. The only maker of decisions."""

from __future__ import annotations

from collections.abc import Mapping

from qts.capital.contracts import Pool
from qts.pipeline.contracts import Candidate, Decision
from qts.risk.contracts import Approved, Refusal, Refused
from qts.risk.gate import RiskGate
from qts.state.contracts import OperatingState, StateProperties
from qts.strategy.contracts import Side


class Decide:
    """Refuses a BUY in DEFENSIVE and every entry of a pool whose engine sleeps; the rest is the gate's."""

    def __init__(self, gate: RiskGate, properties: Mapping[OperatingState, StateProperties]) -> None:
        self._gate = gate
        self._properties = properties

    def __call__(self, candidate: Candidate) -> Decision | Refused:
        proposal = candidate.proposal
        refused = self._state_forbids(candidate)
        if refused is not None:
            return refused
        verdict = self._gate.evaluate(proposal.request, proposal.view, proposal.facts.local_day)
        if isinstance(verdict, Approved):
            return Decision(approved=verdict, proposal=proposal)
        return verdict

    def _state_forbids(self, candidate: Candidate) -> Refused | None:
        proposal = candidate.proposal
        if proposal.request.side is not Side.BUY:
            return None
        state = proposal.facts.state
        rules = self._properties[state]
        if not rules.new_entry_enabled:
            return Refused(
                request=proposal.request,
                reason=Refusal.NEW_ENTRY_BLOCKED_IN_DEFENSIVE_STATE,
                detail=f"{state.value} takes exits only",
                code="GR082",
            )
        if not engine_active(proposal.request.pool, rules):
            return Refused(
                request=proposal.request,
                reason=Refusal.ENGINE_INACTIVE,
                detail=f"the {proposal.request.pool.value} engine sleeps in {state.value}",
            )
        return None


def engine_active(pool: Pool, rules: StateProperties) -> bool:
    """Whether a pool may hold positions in this state; the portfolio pool always may (spec 02)."""
    if pool is Pool.SCALP:
        return rules.scalp_engine_active
    if pool is Pool.SWING:
        return rules.swing_engine_active
    return True
