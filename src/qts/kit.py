"""Everything a strategy file imports: ``from qts.kit import Intent, Side, Strategy, param``."""

from __future__ import annotations

from qts.capital.contracts import Pool
from qts.indicators import Ema, Indicator, Sma
from qts.market.contracts import Bar, Quote, Tick
from qts.state.contracts import OperatingState
from qts.strategy.base_class import Strategy
from qts.strategy.contracts import Context, FillView, Intent, Side
from qts.strategy.levels import Away
from qts.strategy.order_terms import TimeInForce
from qts.strategy.params import param
from qts.strategy.targets import Cancel, Target

CLOSE, DAY, FOK, GTC, IOC, OPEN = (
    TimeInForce.CLOSE,
    TimeInForce.DAY,
    TimeInForce.FOK,
    TimeInForce.GTC,
    TimeInForce.IOC,
    TimeInForce.OPEN,
)

__all__ = [
    "CLOSE",
    "DAY",
    "FOK",
    "GTC",
    "IOC",
    "OPEN",
    "Away",
    "Bar",
    "Cancel",
    "Context",
    "Ema",
    "FillView",
    "Indicator",
    "Intent",
    "OperatingState",
    "Pool",
    "Quote",
    "Side",
    "Sma",
    "Strategy",
    "Target",
    "Tick",
    "TimeInForce",
    "param",
]
