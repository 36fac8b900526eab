"""Indicators: incremental, as floats, with bounded memory, saved with a strategy's checkpoint."""

from __future__ import annotations

from qts.indicators.averages import Ema, Hma, Sma, Vwap, Wma, ema_weight
from qts.indicators.candle import FIELDS, Candle, candle_of
from qts.indicators.contracts import About, BarIndicator, Indicator, Line, NumberIndicator, settings_of
from qts.indicators.momentum import Cci, Macd, Mfi, Roc, Rsi, Stoch, WillR
from qts.indicators.ranges import Atr, Bollinger, Donchian, Keltner, true_range
from qts.indicators.settings import MAX_LENGTH
from qts.indicators.statistics import Highest, LinReg, Lowest, StdDev, ZScore
from qts.indicators.trend import Adx, Sar, SuperTrend
from qts.indicators.volume import Obv

INDICATORS: tuple[type[Indicator], ...] = (
    *(Sma, Ema, Wma, Hma, Vwap),
    *(Rsi, Stoch, Macd, Roc, Cci, WillR, Mfi),
    *(Atr, Bollinger, Keltner, Donchian),
    *(StdDev, ZScore, LinReg, Highest, Lowest),
    *(Adx, Sar, SuperTrend),
    *(Obv,),
)
"""All of them, in the order of the reference page."""
__all__ = [
    "FIELDS",
    "INDICATORS",
    "MAX_LENGTH",
    "About",
    "Adx",
    "Atr",
    "BarIndicator",
    "Bollinger",
    "Candle",
    "Cci",
    "Donchian",
    "Ema",
    "Highest",
    "Hma",
    "Indicator",
    "Keltner",
    "LinReg",
    "Line",
    "Lowest",
    "Macd",
    "Mfi",
    "NumberIndicator",
    "Obv",
    "Roc",
    "Rsi",
    "Sar",
    "Sma",
    "StdDev",
    "Stoch",
    "SuperTrend",
    "Vwap",
    "WillR",
    "Wma",
    "ZScore",
    "candle_of",
    "ema_weight",
    "settings_of",
    "true_range",
]
