"""Everything a strategy file imports: ``from qts.kit import Intent, Side, Strategy, param``."""

from __future__ import annotations

from qts.capital.contracts import Pool
from qts.indicators import (
    Adx,
    Atr,
    BarIndicator,
    Bollinger,
    Candle,
    Cci,
    Donchian,
    Ema,
    Highest,
    Hma,
    Indicator,
    Keltner,
    LinReg,
    Lowest,
    Macd,
    Mfi,
    NumberIndicator,
    Obv,
    Roc,
    Rsi,
    Sar,
    Sma,
    StdDev,
    Stoch,
    SuperTrend,
    Vwap,
    WillR,
    Wma,
    ZScore,
)
from qts.market.contracts import Bar, Quote, Tick
from qts.state.contracts import OperatingState
from qts.strategy.algo import Algo
from qts.strategy.base_class import Strategy
from qts.strategy.contracts import Context, FillView, Intent, Side
from qts.strategy.levels import Away
from qts.strategy.order_news import OrderNews, OrderStatus
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
    "Adx",
    "Algo",
    "Atr",
    "Away",
    "Bar",
    "BarIndicator",
    "Bollinger",
    "Cancel",
    "Candle",
    "Cci",
    "Context",
    "Donchian",
    "Ema",
    "FillView",
    "Highest",
    "Hma",
    "Indicator",
    "Intent",
    "Keltner",
    "LinReg",
    "Lowest",
    "Macd",
    "Mfi",
    "NumberIndicator",
    "Obv",
    "OperatingState",
    "OrderNews",
    "OrderStatus",
    "Pool",
    "Quote",
    "Roc",
    "Rsi",
    "Sar",
    "Side",
    "Sma",
    "StdDev",
    "Stoch",
    "Strategy",
    "SuperTrend",
    "Target",
    "Tick",
    "TimeInForce",
    "Vwap",
    "WillR",
    "Wma",
    "ZScore",
    "param",
]
