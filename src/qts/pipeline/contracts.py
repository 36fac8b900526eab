"""The values between the stages: each is made by one stage and accepted by the next only."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TypeAlias

import msgspec

from qts.broker.sending import Ticket
from qts.execution.contracts import OrderAck
from qts.market.contracts import Instrument, Phase
from qts.risk.contracts import AccountView, Approved, OrderRequest, Refused, RiskLimits
from qts.safety.contracts import SafetyState
from qts.state.contracts import OperatingState
from qts.strategy.contracts import Intent, Signal


class Facts(msgspec.Struct, frozen=True):
    """Extract's answer: what is true at this moment about the signal's symbol and about both states.

    ``intent`` is what the signal wants.

    ``price`` is what this side has to expect (ask for a buyer, bid for a seller; the last price without a
    book); None is unknown, for a buyer also what a book without two sides in order shows. Times in nanoseconds UTC.
    """

    signal: Signal
    intent: Intent
    now_ns: int
    instrument: Instrument | None
    phase: Phase
    local_day: date
    price: Decimal | None
    base_price: Decimal | None
    price_ts_ns: int
    max_age_ns: int
    safety: SafetyState
    state: OperatingState


class Proposal(msgspec.Struct, frozen=True):
    """Transform's answer: the order as it would be, the account it would meet, the limits in force."""

    facts: Facts
    request: OrderRequest
    view: AccountView
    limits: RiskLimits


class Candidate(msgspec.Struct, frozen=True):
    """Evaluate's answer: a proposal whose confidence is enough for the operating state."""

    proposal: Proposal


class Decision(msgspec.Struct, frozen=True):
    """Decide's answer for an order that may leave, with everything needed to explain it later."""

    approved: Approved
    proposal: Proposal


class Acted(msgspec.Struct, frozen=True):
    """Act's answer: the order was given to the gateway; ``ticket`` gets its answer."""

    decision: Decision
    ticket: Ticket

    @property
    def ack(self) -> OrderAck | None:
        """Return the broker's answer; None as long as there is none."""
        return self.ticket.ack


Outcome: TypeAlias = Acted | Refused
