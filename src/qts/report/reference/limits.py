"""The page of the limits at the entry of the gateway: each with its settings, and the orders it is asked about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from qts.broker.gateway.limits import count_rules
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


_REFUSED: Final = "the entry is refused"
_STOPPED: Final = "AN061: the strategy takes no entry until {until}; exits go on, holdings are kept"
COUNTED: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "messages_per_second": (
        first_sentence(count_rules.messages_per_second.__doc__ or ""),
        _REFUSED,
        ("messages_per_second", "messages_per_second_kept"),
    ),
    "messages_per_day": (
        first_sentence(count_rules.messages_per_day.__doc__ or ""),
        _REFUSED,
        ("messages_per_day", "messages_per_day_kept"),
    ),
    "duplicate_window_ms": (
        first_sentence(count_rules.duplicate_window.__doc__ or ""),
        _REFUSED,
        ("duplicate_window_ms",),
    ),
    "strategy_day_loss": (
        first_sentence(count_rules.strategy_day_loss.__doc__ or ""),
        _REFUSED,
        ("strategy_day_loss",),
    ),
    "pool_day_loss": (first_sentence(count_rules.pool_day_loss.__doc__ or ""), _REFUSED, ("pool_day_loss",)),
    "repeated_executions": (
        "Stop a strategy whose orders of one symbol and side are filled again and again.",
        _STOPPED.format(until="a person releases it"),
        ("repeated_executions", "repeated_executions_s"),
    ),
    "stop_outs_per_day": (
        "Stop a strategy of which its stops have closed too many positions today.",
        _STOPPED.format(until="the next session day, or until a person releases it"),
        ("stop_outs_per_day",),
    ),
    "asked_per_second": (
        "Halt a strategy that asks for more orders than any can mean.",
        "AN060 and FS104: what it holds is sold, safety is in LOCKDOWN",
        ("asked_per_second",),
    ),
}
"""Limits that count: what each does, what follows, and its settings."""


def limits_page() -> str:
    """Return the limits in the order in which they are asked."""
    rows = [
        (
            code(_name(rule)),
            first_sentence(rule.__doc__ or ""),
            "refused",
            _of_exits(rule),
            _texts(SETTINGS.get(_name(rule), (_name(rule),))),
        )
        for rule in every_rule()
    ]
    counted = [(code(name), does, follows, _texts(names)) for name, (does, follows, names) in COUNTED.items()]
    return page(
        "Limits of orders",
        "Every order is asked about them, in this order, before it enters the gateway; the first that refuses "
        "ends the matter. “Noted”: the exit leaves, and the log says that it is larger than an entry may be. What "
        "they protect from: [Limits of orders](../concepts/order-limits.md).",
        section("Limits", table(("limit", "what it does", "entries", "exits", "settings (default)"), rows)),
        section(
            "Limits that count",
            table(("limit", "what it does", "what follows", "settings (default)"), counted),
        ),
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


def _texts(names: Iterable[str]) -> str:
    return ", ".join(f"{code(leaf.path)} ({leaf.text})" for leaf in _settings(names))


def _settings(names: Iterable[str]) -> Iterable[Leaf]:
    """Return the settings of a limit."""
    paths = {f"broker.limits.{name}" for name in names}
    field = QTS.shape.field("broker")
    assert field is not None
    return [leaf for leaf in leaves(field.shape, QtsConfig().broker, "broker") if leaf.path in paths]
