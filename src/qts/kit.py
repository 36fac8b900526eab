"""Everything a strategy file imports: ``from qts.kit import Intent, Side, Strategy, param``."""

from __future__ import annotations

from qts.capital.contracts import Pool
from qts.market.contracts import Bar, Quote, Tick
from qts.state.contracts import OperatingState
from qts.strategy.base_class import Strategy
from qts.strategy.contracts import Context, FillView, Intent, Side
from qts.strategy.params import param

__all__ = [
    "Bar",
    "Context",
    "FillView",
    "Intent",
    "OperatingState",
    "Pool",
    "Quote",
    "Side",
    "Strategy",
    "Tick",
    "param",
]
