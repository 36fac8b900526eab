"""Trends: whether there is one, and where it would end."""

from __future__ import annotations

from qts.indicators.candle import Candle
from qts.indicators.contracts import NAN, About, BarIndicator, Line
from qts.indicators.ranges import Atr, true_range
from qts.indicators.settings import BARS, SMOOTHED, check_factor, check_length


class Adx(BarIndicator):
    """The average directional index."""

    __slots__ = ("before", "count", "falls", "index", "length", "minus", "plus", "ranges", "rises")
    about = About(
        formula="Wilder's average of 100 × |plus − minus| / (plus + minus), which begins with the mean of the "
        "first `length` of them; unchanged by a bar where plus + minus is 0",
        ready="2 × `length`",
        settings={"length": f"{SMOOTHED}; 2 or more"},
        fields={
            "plus": "100 × smoothed rises of the high / smoothed true ranges, where the high rose more than the "
            "low fell (a line, ready after `length` + 1)",
            "minus": "the same of falls of the low (a line)",
        },
        ta_lib="ADX, PLUS_DI, MINUS_DI",
    )
    over_prices = False
    lines = ("plus", "minus")

    def __init__(self, length: int = 14) -> None:
        super().__init__()
        self.length = check_length("Adx", "length", length, least=2)
        self.before: list[float] = []
        self.count = 0
        self.rises = self.falls = self.ranges = self.index = 0.0
        self.plus, self.minus = Line(), Line()

    def compute(self, candle: Candle) -> float:
        """Return how much one direction outweighs the other, smoothed."""
        before, self.before = self.before, [candle.high, candle.low, candle.close]
        if not before:
            return NAN
        self._add(candle, *before)
        self.count = count = min(self.count + 1, 2 * self.length)
        if count < self.length:
            return NAN
        return self._direct(count - self.length + 1)

    def _add(self, candle: Candle, high: float, low: float, close: float) -> None:
        up, down = candle.high - high, low - candle.low
        if self.count >= self.length - 1:
            keep = 1.0 - 1.0 / self.length
            self.rises *= keep
            self.falls *= keep
            self.ranges *= keep
        if up > 0.0 and up > down:
            self.rises += up
        elif down > 0.0 and down > up:
            self.falls += down
        self.ranges += true_range(candle.high, candle.low, close)

    def _direct(self, number: int) -> float:
        """Move the lines and return the index after the ``number``-th of them."""
        length, ranges = self.length, self.ranges
        plus, minus = (100.0 * (self.rises / ranges), 100.0 * (self.falls / ranges)) if ranges else (0.0, 0.0)
        self.plus.move(plus)
        self.minus.move(minus)
        both = plus + minus
        apart = 100.0 * (abs(plus - minus) / both) if both != 0.0 else 0.0
        if number <= length:
            self.index += (apart - self.index) / number
            return self.index if number == length else NAN
        if both != 0.0:
            self.index += (apart - self.index) / length
        return self.index


class Sar(BarIndicator):
    """The parabolic stop and reverse."""

    __slots__ = ("acceleration", "before", "extreme", "most", "next", "rising", "step")
    about = About(
        formula="next value = value + acceleration × (extreme − value), never inside the last two bars; the "
        "acceleration begins with `step`, grows by it with each new extreme, and ends at `most`. A bar that "
        "reaches the value turns it: it goes on from the extreme",
        ready="2",
        settings={"step": "first acceleration and its growth", "most": "greatest acceleration, at most 1"},
        fields={"rising": "True: the value is below the bars; None before the second bar"},
        ta_lib="SAR",
    )

    def __init__(self, step: float = 0.02, most: float = 0.2) -> None:
        super().__init__()
        self.most = check_factor("Sar", "most", most, 1.0)
        self.step = check_factor("Sar", "step", step, self.most)
        self.before: list[float] = []
        self.rising: bool | None = None
        self.acceleration = self.step
        self.extreme = self.next = NAN

    def compute(self, candle: Candle) -> float:
        """Return where the stop is for this bar, and place the next one."""
        before, self.before = self.before, [candle.high, candle.low]
        if not before:
            return NAN
        high, low = before
        if self.rising is None:
            self._begin(candle, high, low)
            # The second bar stands for the one before it too: its own range bounds where it may turn.
            high, low = candle.high, candle.low
        return self._follow(candle.high, candle.low, max(high, candle.high), min(low, candle.low))

    def _begin(self, candle: Candle, high: float, low: float) -> None:
        down = low - candle.low
        self.rising = not (down > 0.0 and down > candle.high - high)
        self.extreme, self.next = (candle.high, low) if self.rising else (candle.low, high)

    def _follow(self, high: float, low: float, highest: float, lowest: float) -> float:
        value, rising = self.next, self.rising
        if (low <= value) if rising else (high >= value):
            self.rising = rising = not rising
            value = min(self.extreme, lowest) if rising else max(self.extreme, highest)
            self.acceleration, self.extreme = self.step, high if rising else low
        elif (high > self.extreme) if rising else (low < self.extreme):
            self.extreme = high if rising else low
            self.acceleration = min(self.acceleration + self.step, self.most)
        ahead = value + self.acceleration * (self.extreme - value)
        self.next = min(ahead, lowest) if rising else max(ahead, highest)
        return value


class SuperTrend(BarIndicator):
    """The SuperTrend: a band of average true ranges that only tightens until the close is beyond it."""

    __slots__ = ("atr", "close", "length", "lower", "rising", "upper", "width")
    about = About(
        formula="(high + low) / 2 − `width` × Atr(`length`) while rising, + while falling. The lower band falls "
        "only after a close below it, the upper band rises only after a close above it; a close above the upper "
        "band begins a rise, one below the lower band ends it. It begins falling",
        ready="`length` + 1",
        settings={"length": f"{BARS} by the average true range", "width": "number of average true ranges"},
        fields={
            "rising": "True: the value is the lower band; None before it is ready",
            "upper": "the upper band (a line)",
            "lower": "the lower band (a line)",
        },
        source="O. Seban's SuperTrend, as TradingView's `ta.supertrend` computes it, with `Atr` as it is here",
    )

    def __init__(self, length: int = 10, width: float = 3.0) -> None:
        super().__init__()
        self.length = check_length("SuperTrend", "length", length)
        self.width = check_factor("SuperTrend", "width", width)
        self.atr = Atr(length)
        self.close = NAN
        self.rising: bool | None = None
        self.upper, self.lower = Line(), Line()

    def compute(self, candle: Candle) -> float:
        """Return the band that the trend would have to break."""
        before, self.close = self.close, candle.close
        away = self.width * self.atr.update(candle)
        if away != away:
            return NAN
        middle = (candle.high + candle.low) / 2.0
        lower, upper = self.lower.value, self.upper.value
        # Comparisons with the bands before the first ones, NaN, are False: those are taken as they are.
        self.lower.move(lower if lower >= middle - away and before >= lower else middle - away)
        self.upper.move(upper if upper <= middle + away and before <= upper else middle + away)
        if self.rising:
            self.rising = not candle.close < self.lower.value
        else:
            self.rising = self.rising is False and candle.close > self.upper.value
        return self.lower.value if self.rising else self.upper.value
