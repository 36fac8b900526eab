"""The page of the limits at the entry of the gateway: each with its settings, and the orders it is asked about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from qts.broker.gateway.limits.contracts import LimitRule
from qts.broker.gateway.limits.rules import ENTRY_RULES, EXIT_RULES, NOTED_OF_EXITS
from qts.config.leaves import Leaf, leaves
from qts.config.tree import QTS, QtsConfig
from qts.report.reference.markdown import code, first_sentence, page, section, table

SETTINGS: Final[dict[str, tuple[str, ...]]] = {
    "price_collar": ("price_collar", "exit_collar", "exit_collar_step", "exit_collar_step_s"),
    "price_band": (),
    "self_trade": ("self_trade_in_simulation",),
}
"""The settings of limits that are not called as their one setting; a test compares all with the configuration."""


def limits_page() -> str:
    """Return the limits in the order in which they are asked."""
    rows = [
        (
            code(_name(rule)),
            first_sentence(rule.__doc__ or ""),
            "refused",
            _of_exits(rule),
            ", ".join(f"{code(leaf.path)} ({leaf.text})" for leaf in _settings(_name(rule))),
        )
        for rule in every_rule()
    ]
    return page(
        "Limits of orders",
        "Every order is asked about them, in this order, before it enters the gateway; the first that refuses "
        "ends the matter. “Noted”: the exit leaves, and the log says that it is larger than an entry may be. What "
        "they protect from: [Limits of orders](../concepts/order-limits.md).",
        section("Limits", table(("limit", "what it does", "entries", "exits", "settings (default)"), rows)),
    )


def every_rule() -> Sequence[LimitRule]:
    """Return every limit, those of entries first."""
    return tuple(dict.fromkeys((*ENTRY_RULES, *EXIT_RULES, *NOTED_OF_EXITS)))


def _name(rule: LimitRule) -> str:
    return str(getattr(rule, "__name__", rule))


def _of_exits(rule: LimitRule) -> str:
    if rule in EXIT_RULES:
        return "refused"
    return "noted" if rule in NOTED_OF_EXITS else ""


def _settings(limit: str) -> Iterable[Leaf]:
    """Return the settings of a limit."""
    names = {f"broker.limits.{name}" for name in SETTINGS.get(limit, (limit,))}
    field = QTS.shape.field("broker")
    assert field is not None
    return [leaf for leaf in leaves(field.shape, QtsConfig().broker, "broker") if leaf.path in names]
