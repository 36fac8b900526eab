"""The limits of orders in the order in which they are asked; the first that refuses ends the matter.

An order that can only reduce a holding is not held back by its size or by what may be entered: what cannot be sold
is worse than what is sold at once, and the gate and the last check let no exit sell more than is held.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from qts.broker.gateway.limits.config import LimitsConfig
from qts.broker.gateway.limits.contracts import LimitCase, LimitFacts, LimitRefusal, LimitRule
from qts.broker.gateway.limits.instruments import (
    no_entry_designations,
    no_entry_phases,
    no_entry_status,
    restricted_symbols,
)
from qts.broker.gateway.limits.prices import price_band, price_collar
from qts.broker.gateway.limits.self_trade import self_trade
from qts.broker.gateway.limits.sizes import max_open_notional, max_order_qty, max_order_value, max_volume_share

ENTRY_RULES: Final[tuple[LimitRule, ...]] = (
    restricted_symbols,
    no_entry_status,
    no_entry_phases,
    no_entry_designations,
    price_band,
    price_collar,
    max_order_qty,
    max_order_value,
    max_volume_share,
    max_open_notional,
    self_trade,
)
EXIT_RULES: Final[tuple[LimitRule, ...]] = (price_band, price_collar, self_trade)
NOTED_OF_EXITS: Final[tuple[LimitRule, ...]] = (max_order_qty, max_order_value, max_volume_share)
"""Limits that an exit may exceed; that it does is written down."""


class RulesInForce(NamedTuple):
    """The limits that are asked about entries and exits by ``config``, at a venue and from a source as these."""

    config: LimitsConfig
    is_simulated: bool
    tells_session_info: bool
    entry: tuple[LimitRule, ...]
    exit: tuple[LimitRule, ...]


def rules_in_force(config: LimitsConfig, facts: LimitFacts) -> RulesInForce:
    """Return the limits without those that can refuse nothing, so that no order asks them."""
    off: set[LimitRule] = set()
    if not config.restricted_symbols:
        off.add(restricted_symbols)
    if not facts.tells_session_info:
        off |= {no_entry_status, no_entry_phases, no_entry_designations}
    if facts.is_simulated and not config.self_trade_in_simulation:
        off.add(self_trade)
    entry, exit_ = (tuple(rule for rule in rules if rule not in off) for rules in (ENTRY_RULES, EXIT_RULES))
    return RulesInForce(config, facts.is_simulated, facts.tells_session_info, entry, exit_)


def first_refusal(rules: Sequence[LimitRule], case: LimitCase) -> LimitRefusal | None:
    """Return the refusal of the first of ``rules`` that refuses; None when none does."""
    for rule in rules:
        refusal = rule(case)
        if refusal is not None:
            return refusal
    return None
