"""Indicators: incremental, as floats, with bounded memory, saved with a strategy's checkpoint."""

from __future__ import annotations

from qts.indicators.averages import Ema, Sma, ema_weight
from qts.indicators.candle import Candle, candle_of
from qts.indicators.contracts import Indicator, Line, settings_of
from qts.indicators.ranges import true_range

__all__ = [
    "Candle",
    "Ema",
    "Indicator",
    "Line",
    "Sma",
    "candle_of",
    "ema_weight",
    "settings_of",
    "true_range",
]
