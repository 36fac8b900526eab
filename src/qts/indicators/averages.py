"""Moving averages."""

from __future__ import annotations

from math import isqrt

from qts.indicators.candle import FIELDS, Candle
from qts.indicators.contracts import NAN, About, BarIndicator, NumberIndicator
from qts.indicators.settings import LENGTH, OF, check_field, check_length
from qts.indicators.windows import MeanWindow, Total, WeightedWindow


def ema_weight(samples: float) -> float:
    """Return the weight of the newest sample in an exponential mean over ``samples`` samples: 2 / (n + 1)."""
    return 2.0 / (samples + 1)


class Sma(NumberIndicator):
    """The simple moving average."""

    __slots__ = ("length", "window")
    about = About(
        formula="the mean of the last `length` numbers",
        ready="`length`",
        settings={"length": LENGTH, "of": OF},
        ta_lib="SMA",
    )

    def __init__(self, length: int, of: str = "close") -> None:
        super().__init__(of)
        self.length = check_length("Sma", "length", length)
        self.window = MeanWindow(length)

    def compute(self, x: float) -> float:
        """Return the mean of the last ``length`` numbers."""
        return self.window.push(x)


class Ema(NumberIndicator):
    """The exponential moving average."""

    __slots__ = ("count", "length", "mean", "weight")
    about = About(
        formula="value + (x − value) × 2 / (`length` + 1); it begins with the mean of the first `length` numbers",
        ready="`length`",
        settings={"length": LENGTH, "of": OF},
        ta_lib="EMA",
    )

    def __init__(self, length: int, of: str = "close") -> None:
        super().__init__(of)
        self.length = check_length("Ema", "length", length)
        self.weight = ema_weight(length)
        self.count = 0
        self.mean = 0.0

    def compute(self, x: float) -> float:
        """Return the mean moved towards ``x``."""
        if self.count >= self.length:
            self.mean = mean = self.mean + self.weight * (x - self.mean)
            return mean
        self.count = count = self.count + 1
        self.mean += (x - self.mean) / count
        return self.mean if count == self.length else NAN


class Wma(NumberIndicator):
    """The weighted moving average."""

    __slots__ = ("length", "window")
    about = About(
        formula="the mean of the last `length` numbers with the weights 1, 2, … `length`, the newest the heaviest",
        ready="`length`",
        settings={"length": LENGTH, "of": OF},
        ta_lib="WMA",
    )

    def __init__(self, length: int, of: str = "close") -> None:
        super().__init__(of)
        self.length = check_length("Wma", "length", length)
        self.window = WeightedWindow(length)

    def compute(self, x: float) -> float:
        """Return the weighted mean of the last ``length`` numbers."""
        return self.window.push(x)


class Hma(NumberIndicator):
    """The Hull moving average."""

    __slots__ = ("half", "length", "root", "whole")
    about = About(
        formula="Wma(√`length`) of 2 × Wma(`length` / 2) − Wma(`length`), half and root rounded down",
        ready="`length` + √`length` − 1",
        settings={"length": f"{LENGTH}, 2 or more", "of": OF},
        source="A. Hull, *Hull Moving Average* (2005)",
    )

    def __init__(self, length: int, of: str = "close") -> None:
        super().__init__(of)
        self.length = check_length("Hma", "length", length, least=2)
        self.whole = WeightedWindow(length)
        self.half = WeightedWindow(length // 2)
        self.root = WeightedWindow(isqrt(length))

    def compute(self, x: float) -> float:
        """Return the weighted mean of what a shorter mean runs ahead of a longer one."""
        half, whole = self.half.push(x), self.whole.push(x)
        return NAN if whole != whole else self.root.push(half + (half - whole))


class Vwap(BarIndicator):
    """The mean price weighted by volume, of the trading day or of the last bars."""

    __slots__ = ("base", "day", "length", "of", "value_mean", "value_total", "volume_mean", "volume_total")
    about = About(
        formula="Σ price × volume / Σ volume over the bars of the day, or the last `length` bars; without any "
        "volume the newest price",
        ready="1, or `length`",
        settings={
            "length": "number of bars; 0: those of the bar's trading day (without one, all bars)",
            "of": "the price of a bar",
        },
        source="S. Berkowitz, D. Logue and E. Noser, *The Total Cost of Transactions on the NYSE* (1988), on bars",
    )

    def __init__(self, length: int = 0, of: str = "hlc3") -> None:
        super().__init__()
        self.of = check_field("Vwap", of)
        self.length = check_length("Vwap", "length", length, least=0)
        self.day, self.base = "", NAN
        self.value_total, self.volume_total = Total(), Total()
        self.value_mean, self.volume_mean = MeanWindow(max(length, 1)), MeanWindow(max(length, 1))

    def compute(self, candle: Candle) -> float:
        """Return what a traded unit cost on average."""
        price, volume = FIELDS[self.of](candle), candle.volume
        if self.length:
            value, volume = self.value_mean.push(price * volume), self.volume_mean.push(volume)
        else:
            if self.base != self.base or candle.day != self.day:
                self.day, self.base = candle.day, price
                self.value_total, self.volume_total = Total(), Total()
            # Prices as distances from the day's first one: so the mean of equal prices is exactly that price.
            base = self.base
            value, volume = self.value_total.add((price - base) * volume), self.volume_total.add(volume)
            return price if volume == 0.0 else base + value / volume
        return price if volume == 0.0 else value / volume
