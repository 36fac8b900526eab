"""Moving averages."""

from __future__ import annotations

from qts.indicators.contracts import NAN, Indicator
from qts.indicators.windows import SumWindow, check_length


def ema_weight(samples: float) -> float:
    """Return the weight of the newest sample in an exponential mean over ``samples`` samples: 2 / (n + 1)."""
    return 2.0 / (samples + 1)


class Sma(Indicator):
    """The simple moving average: the mean of the last ``length`` numbers."""

    __slots__ = ("length", "window")

    def __init__(self, length: int, of: str = "close") -> None:
        super().__init__(of)
        self.length = check_length("Sma", "length", length)
        self.window = SumWindow(length)

    def compute(self, x: float) -> float:
        """Return the mean of the last ``length`` numbers; NaN before there are so many."""
        return self.window.push(x) / self.length


class Ema(Indicator):
    """The exponential moving average, which begins with the mean of the first ``length`` numbers."""

    __slots__ = ("count", "length", "mean", "weight")

    def __init__(self, length: int, of: str = "close") -> None:
        super().__init__(of)
        self.length = check_length("Ema", "length", length)
        self.weight = ema_weight(length)
        self.count = 0
        self.mean = 0.0

    def compute(self, x: float) -> float:
        """Return the mean moved towards ``x`` by 2 / (length + 1) of their distance."""
        if self.count >= self.length:
            self.mean = mean = self.mean + self.weight * (x - self.mean)
            return mean
        # Until then ``mean`` is the sum of the numbers, so that it begins with one division.
        self.count += 1
        self.mean += x
        if self.count < self.length:
            return NAN
        self.mean /= self.length
        return self.mean
