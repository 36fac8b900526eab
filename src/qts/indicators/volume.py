"""Volume, by the direction of the price."""

from __future__ import annotations

from qts.indicators.candle import Candle
from qts.indicators.contracts import NAN, About, BarIndicator
from qts.indicators.windows import Total


class Obv(BarIndicator):
    """The on-balance volume."""

    __slots__ = ("close", "sum")
    about = About(
        formula="the sum of the volumes, those of bars with a lower close than the bar before subtracted, those "
        "with the same close left out; it begins with the first volume",
        ready="1",
        settings={},
        ta_lib="OBV",
    )
    over_prices = False

    def __init__(self) -> None:
        super().__init__()
        self.close = NAN
        self.sum = Total()

    def compute(self, candle: Candle) -> float:
        """Return the sum with the bar's volume."""
        before, self.close = self.close, candle.close
        if candle.close < before:
            return self.sum.add(-candle.volume)
        return self.sum.add(0.0 if candle.close == before else candle.volume)
