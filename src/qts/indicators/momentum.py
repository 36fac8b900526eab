"""Oscillators: how fast, how far, and on which side of the range of late.

Where all prices they look at are the same, an oscillator between two ends is in the middle: neither end is known,
and one of them would read as a signal. (TA-Lib gives 0 there, which is one end of its Rsi and the other end of its
WillR.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from qts.errors import ContractError
from qts.indicators.averages import Ema
from qts.indicators.candle import Candle, typical_price
from qts.indicators.contracts import NAN, About, BarIndicator, Line, NumberIndicator
from qts.indicators.settings import BARS, LENGTH, OF, SMOOTHED, check_length
from qts.indicators.windows import HighestWindow, LastNumbers, MeanWindow

MIDDLE: Final = 50.0
LEAST: Final = 1e-100
"""A number nearer to 0 divides nothing: the quotient could be infinite."""


class Rsi(NumberIndicator):
    """The relative strength index."""

    __slots__ = ("count", "falls", "last", "length", "rises")
    about = About(
        formula="100 × rises / (rises + falls), Wilder's averages of the changes up and down, which begin with the "
        "means of the first `length` changes; 50 when there were none (TA-Lib: 0)",
        ready="`length` + 1",
        settings={"length": SMOOTHED, "of": OF},
        ta_lib="RSI",
    )
    over_prices = False

    def __init__(self, length: int = 14, of: str = "close") -> None:
        super().__init__(of)
        self.length = check_length("Rsi", "length", length)
        self.last = NAN
        self.count = 0
        self.rises = 0.0
        self.falls = 0.0

    def compute(self, x: float) -> float:
        """Return the share of the rises in all changes."""
        change = x - self.last
        self.last = x
        if change != change:
            return NAN
        weight = self.length
        if self.count < weight:
            self.count = weight = self.count + 1
        if change > 0.0:
            self.rises = rises = self.rises + (change - self.rises) / weight
            self.falls = falls = self.falls - self.falls / weight
        else:
            self.rises = rises = self.rises - self.rises / weight
            self.falls = falls = self.falls - (change + self.falls) / weight
        if self.count < self.length:
            return NAN
        both = rises + falls
        return 100.0 * (rises / both) if both != 0.0 else MIDDLE


class Macd(NumberIndicator):
    """The convergence and divergence of two exponential means."""

    __slots__ = (
        "fast",
        "fast_mean",
        "histogram",
        "signal",
        "signal_length",
        "signal_mean",
        "slow",
        "slow_mean",
        "wait",
    )
    about = About(
        formula="Ema(`fast`) − Ema(`slow`), both begun with the number that makes the slow one ready",
        ready="`slow` + `signal_length` − 1",
        settings={
            "fast": "length of the fast mean, below `slow`",
            "slow": "length of the slow mean",
            "signal_length": "length of the exponential mean that is the signal",
            "of": OF,
        },
        fields={
            "signal": "Ema(`signal_length`) of the value (a line: `macd.crossed_above(macd.signal)`)",
            "histogram": "value − signal (a line)",
        },
        ta_lib="MACD",
    )
    over_prices = False
    lines = ("signal", "histogram")

    def __init__(self, fast: int = 12, slow: int = 26, signal_length: int = 9, of: str = "close") -> None:
        super().__init__(of)
        self.fast = check_length("Macd", "fast", fast)
        self.slow = check_length("Macd", "slow", slow, least=2)
        self.signal_length = check_length("Macd", "signal_length", signal_length)
        if fast >= slow:
            raise ContractError(f"Macd: fast must be below slow, got {fast} and {slow}")
        self.wait = slow - fast
        self.fast_mean, self.slow_mean, self.signal_mean = Ema(fast), Ema(slow), Ema(signal_length)
        self.signal, self.histogram = Line(), Line()

    def compute(self, x: float) -> float:
        """Return the fast mean less the slow one, and move signal and histogram."""
        slow = self.slow_mean.compute(x)
        if self.wait:
            self.wait -= 1
            return NAN
        apart = self.fast_mean.compute(x) - slow
        if apart != apart:
            return NAN
        signal = self.signal_mean.compute(apart)
        if signal != signal:
            return NAN
        self.signal.move(signal)
        self.histogram.move(apart - signal)
        return apart

    def import_state(self, state: Sequence[Any]) -> None:
        """Take the memory that one with the same settings exported; raises as that of every other does."""
        if isinstance(state, list | tuple) and len(state) == len(self._memory()) - 1:
            # Written when the mean that makes the signal was the signal: its own value begins its memory.
            state = [*state[:4], state[4][:2], *state[4:]]
        super().import_state(state)


class Roc(NumberIndicator):
    """The rate of change."""

    __slots__ = ("before", "length")
    about = About(
        formula="100 × (x / x of `length` updates ago − 1); 0 when that was 0",
        ready="`length` + 1",
        settings={"length": LENGTH, "of": OF},
        ta_lib="ROC",
    )
    over_prices = False

    def __init__(self, length: int = 10, of: str = "close") -> None:
        super().__init__(of)
        self.length = check_length("Roc", "length", length)
        self.before = LastNumbers(length)

    def compute(self, x: float) -> float:
        """Return the change in percent."""
        before = self.before.push(x)
        return 100.0 * (x / before - 1.0) if not -LEAST < before < LEAST else 0.0


class Cci(BarIndicator):
    """The commodity channel index."""

    __slots__ = ("length", "prices")
    about = About(
        formula="(p − mean) / (0.015 × mean distance from the mean), p the mean of high, low and close, over the "
        "last `length` bars; 0 when these are all the same. An update takes time in proportion to `length`",
        ready="`length`",
        settings={"length": f"{BARS}, 2 or more"},
        ta_lib="CCI",
    )
    over_prices = False

    def __init__(self, length: int = 20) -> None:
        super().__init__()
        self.length = check_length("Cci", "length", length, least=2)
        self.prices = LastNumbers(length)

    def compute(self, candle: Candle) -> float:
        """Return the distance from the mean in mean distances."""
        price = typical_price(candle)
        self.prices.push(price)
        prices, length = self.prices.numbers, self.length
        if len(prices) < length:
            return NAN
        # Distances from one of them: so the mean of equal prices is exactly that price.
        mean = price + sum([other - price for other in prices]) / length
        usual = sum([abs(other - mean) for other in prices]) / length
        return (price - mean) / (0.015 * usual) if usual != 0.0 else 0.0


class Stoch(BarIndicator):
    """The stochastic oscillator."""

    __slots__ = ("highs", "length", "lows", "raw_mean", "signal", "signal_length", "signal_mean", "smooth")
    about = About(
        formula="100 × (close − lowest low) / (highest high − lowest low) over the last `length` bars, 50 when "
        "they are all the same (TA-Lib: 0); of that the mean of the last `smooth` bars (slow %K)",
        ready="`length` + `smooth` + `signal_length` − 2",
        settings={
            "length": BARS,
            "smooth": "length of the mean that is the value",
            "signal_length": "length of the mean that is the signal",
        },
        fields={"signal": "the mean of the last `signal_length` values, %D (a line)"},
        ta_lib="STOCH",
    )
    over_prices = False
    lines = ("signal",)

    def __init__(self, length: int = 14, smooth: int = 3, signal_length: int = 3) -> None:
        super().__init__()
        self.length = check_length("Stoch", "length", length)
        self.smooth = check_length("Stoch", "smooth", smooth)
        self.signal_length = check_length("Stoch", "signal_length", signal_length)
        self.highs, self.lows = HighestWindow(length), HighestWindow(length)
        self.raw_mean, self.signal_mean = MeanWindow(smooth), MeanWindow(signal_length)
        self.signal = Line()

    def compute(self, candle: Candle) -> float:
        """Return where the close is between the lowest and the highest price, in percent, smoothed."""
        raw = _place(candle.close, self.highs.push(candle.high), -self.lows.push(-candle.low))
        if raw != raw:
            return NAN
        value = self.raw_mean.push(raw)
        if value != value:
            return NAN
        signal = self.signal_mean.push(value)
        if signal != signal:
            return NAN
        self.signal.move(signal)
        return value


class WillR(BarIndicator):
    """Williams' %R."""

    __slots__ = ("highs", "length", "lows")
    about = About(
        formula="−100 × (highest high − close) / (highest high − lowest low) over the last `length` bars; −50 when "
        "they are all the same (TA-Lib: 0)",
        ready="`length`",
        settings={"length": BARS},
        ta_lib="WILLR",
    )
    over_prices = False

    def __init__(self, length: int = 14) -> None:
        super().__init__()
        self.length = check_length("WillR", "length", length)
        self.highs, self.lows = HighestWindow(length), HighestWindow(length)

    def compute(self, candle: Candle) -> float:
        """Return how far the close is under the highest price, in percent of the range."""
        highest, lowest = self.highs.push(candle.high), -self.lows.push(-candle.low)
        width = highest - lowest
        return -100.0 * ((highest - candle.close) / width) if width != 0.0 else -MIDDLE


class Mfi(BarIndicator):
    """The money flow index."""

    __slots__ = ("gained", "length", "lost", "price")
    about = About(
        formula="100 × gained / (gained + lost): price × volume of the last `length` bars with a higher, and with "
        "a lower price than the bar before, the price being the mean of high, low and close; 50 when both are 0 "
        "(TA-Lib: 0)",
        ready="`length` + 1",
        settings={"length": BARS},
        ta_lib="MFI",
    )
    over_prices = False

    def __init__(self, length: int = 14) -> None:
        super().__init__()
        self.length = check_length("Mfi", "length", length)
        self.price = NAN
        self.gained, self.lost = MeanWindow(length), MeanWindow(length)

    def compute(self, candle: Candle) -> float:
        """Return the share of the turnover of rising bars."""
        before = self.price
        self.price = price = typical_price(candle)
        if before != before:
            return NAN
        flow = price * candle.volume
        gained = self.gained.push(flow if price > before else 0.0)
        both = gained + self.lost.push(flow if price < before else 0.0)
        return 100.0 * (gained / both) if both != 0.0 else MIDDLE


def _place(close: float, highest: float, lowest: float) -> float:
    width = highest - lowest
    return 100.0 * ((close - lowest) / width) if width != 0.0 else MIDDLE
