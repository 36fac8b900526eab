"""Ranges of bars, and channels around their prices."""

from __future__ import annotations

from qts.indicators.averages import Ema
from qts.indicators.candle import FIELDS, Candle
from qts.indicators.contracts import NAN, About, BarIndicator, Line, NumberIndicator
from qts.indicators.settings import BARS, LENGTH, OF, SMOOTHED, check_factor, check_field, check_length
from qts.indicators.windows import HighestWindow, SpreadWindow


def true_range(high: float, low: float, previous_close: float) -> float:
    """Return a bar's range including the gap from the close before it."""
    return max(high, previous_close) - min(low, previous_close)


class Atr(BarIndicator):
    """The average true range."""

    __slots__ = ("close", "count", "length", "mean")
    about = About(
        formula="Wilder's average of max(high, close before) − min(low, close before); it begins with the mean of "
        "the first `length` such ranges",
        ready="`length` + 1",
        settings={"length": SMOOTHED},
        ta_lib="ATR",
    )
    over_prices = False

    def __init__(self, length: int = 14) -> None:
        super().__init__()
        self.length = check_length("Atr", "length", length)
        self.close = NAN
        self.count = 0
        self.mean = 0.0

    def compute(self, candle: Candle) -> float:
        """Return the average moved towards the bar's range."""
        before, self.close = self.close, candle.close
        if before != before:
            return NAN
        high, low, length = candle.high, candle.low, self.length
        width = (high if high > before else before) - (low if low < before else before)
        if self.count < length:
            self.count = count = self.count + 1
            self.mean += (width - self.mean) / count
            return self.mean if count == length else NAN
        self.mean = mean = self.mean + (width - self.mean) / length
        return mean


class Bollinger(NumberIndicator):
    """Bollinger bands."""

    __slots__ = ("length", "lower", "upper", "width", "window")
    about = About(
        formula="the mean of the last `length` numbers, and `width` × `StdDev`(`length`) above and below it",
        ready="`length`",
        settings={"length": LENGTH, "width": "number of standard deviations", "of": OF},
        fields={"upper": "the upper band (a line)", "lower": "the lower band (a line)"},
        ta_lib="BBANDS",
    )
    lines = ("upper", "lower")

    def __init__(self, length: int = 20, width: float = 2.0, of: str = "close") -> None:
        super().__init__(of)
        self.length = check_length("Bollinger", "length", length)
        self.width = check_factor("Bollinger", "width", width)
        self.window = SpreadWindow(length)
        self.upper, self.lower = Line(), Line()

    def compute(self, x: float) -> float:
        """Return the mean and move the bands."""
        away = self.width * self.window.push(x)
        mean = self.window.mean
        self.upper.move(mean + away)
        self.lower.move(mean - away)
        return mean


class Keltner(BarIndicator):
    """The Keltner channel, in its form with exponential mean and average true range."""

    __slots__ = ("atr", "length", "lower", "middle", "of", "ranges", "upper", "width")
    about = About(
        formula="Ema(`length`), and `width` × Atr(`ranges`) above and below it",
        ready="the greater of `length` and `ranges` + 1",
        settings={
            "length": BARS,
            "width": "number of average true ranges",
            "ranges": "length of the average true range",
            "of": OF,
        },
        fields={"upper": "the upper border (a line)", "lower": "the lower border (a line)"},
        source="L. Raschke's form of C. Keltner, *How To Make Money in Commodities* (1960)",
    )
    lines = ("upper", "lower")

    def __init__(self, length: int = 20, width: float = 2.0, ranges: int = 10, of: str = "close") -> None:
        super().__init__()
        self.length = check_length("Keltner", "length", length)
        self.width = check_factor("Keltner", "width", width)
        self.ranges = check_length("Keltner", "ranges", ranges)
        self.of = check_field("Keltner", of)
        self.middle = Ema(length)
        self.atr = Atr(ranges)
        self.upper, self.lower = Line(), Line()

    def compute(self, candle: Candle) -> float:
        """Return the exponential mean and move the borders."""
        middle = self.middle.update(FIELDS[self.of](candle))
        away = self.width * self.atr.update(candle)
        if middle != middle or away != away:
            return NAN
        self.upper.move(middle + away)
        self.lower.move(middle - away)
        return middle


class Donchian(BarIndicator):
    """The Donchian channel: the highest high and the lowest low."""

    __slots__ = ("highs", "length", "lower", "lows", "upper")
    about = About(
        formula="the middle between the highest high and the lowest low of the last `length` bars, the newest "
        "among them; a close can be above `upper.previous`, never above `upper.value`",
        ready="`length`",
        settings={"length": BARS},
        fields={"upper": "the highest high (a line)", "lower": "the lowest low (a line)"},
        ta_lib="MAX of the highs, MIN of the lows",
    )
    lines = ("upper", "lower")

    def __init__(self, length: int = 20) -> None:
        super().__init__()
        self.length = check_length("Donchian", "length", length)
        self.highs, self.lows = HighestWindow(length), HighestWindow(length)
        self.upper, self.lower = Line(), Line()

    def compute(self, candle: Candle) -> float:
        """Return the middle of the channel and move its borders."""
        upper, lower = self.highs.push(candle.high), -self.lows.push(-candle.low)
        self.upper.move(upper)
        self.lower.move(lower)
        return (upper + lower) / 2.0
