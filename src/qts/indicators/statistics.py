"""Figures of the last numbers: spread, line of best fit, extremes."""

from __future__ import annotations

from qts.indicators.contracts import About, Line, NumberIndicator
from qts.indicators.settings import LENGTH, OF, check_length
from qts.indicators.windows import HighestWindow, SpreadWindow, WeightedWindow


class StdDev(NumberIndicator):
    """The standard deviation."""

    __slots__ = ("length", "window")
    about = About(
        formula="√(Σ (x − mean)² / `length`) over the last `length` numbers: that of the whole, not of a sample",
        ready="`length`",
        settings={"length": LENGTH, "of": OF},
        ta_lib="STDDEV",
    )
    over_prices = False

    def __init__(self, length: int = 20, of: str = "close") -> None:
        super().__init__(of)
        self.length = check_length("StdDev", "length", length)
        self.window = SpreadWindow(length)

    def compute(self, x: float) -> float:
        """Return the standard deviation of the last ``length`` numbers."""
        return self.window.push(x)


class ZScore(NumberIndicator):
    """The distance from the mean in standard deviations."""

    __slots__ = ("length", "window")
    about = About(
        formula="(x − mean) / standard deviation, both of the last `length` numbers, x among them; 0 when these "
        "are all the same",
        ready="`length`",
        settings={"length": f"{LENGTH}, 2 or more", "of": OF},
        source="the standard score, with the deviation of the whole as in `StdDev`",
    )
    over_prices = False

    def __init__(self, length: int = 20, of: str = "close") -> None:
        super().__init__(of)
        self.length = check_length("ZScore", "length", length, least=2)
        self.window = SpreadWindow(length)

    def compute(self, x: float) -> float:
        """Return how many deviations ``x`` is from the mean."""
        spread = self.window.push(x)
        return (x - self.window.mean) / spread if spread != 0.0 else 0.0


class LinReg(NumberIndicator):
    """The line of best fit, at its newest point."""

    __slots__ = ("length", "slope", "window")
    about = About(
        formula="the end of the straight line with the least squared distances from the last `length` numbers",
        ready="`length`",
        settings={"length": f"{LENGTH}, 2 or more", "of": OF},
        fields={"slope": "the rise of the line from one number to the next (a line)"},
        ta_lib="LINEARREG, LINEARREG_SLOPE",
    )

    def __init__(self, length: int = 14, of: str = "close") -> None:
        super().__init__(of)
        self.length = check_length("LinReg", "length", length, least=2)
        self.window = WeightedWindow(length)
        self.slope = Line()

    def compute(self, x: float) -> float:
        """Return the end of the line of best fit.

        With W the mean of weights 1 to n and M the plain mean, Σ t·x = W·n(n + 1)/2 makes the slope
        6 (W − M) / (n − 1) and the end of the line M + 3 (W − M).
        """
        window = self.window
        apart = window.push(x) - window.mean
        self.slope.move(6.0 * apart / (self.length - 1))
        return window.mean + 3.0 * apart


class Highest(NumberIndicator):
    """The greatest of the last numbers."""

    __slots__ = ("length", "window")
    about = About(
        formula="the greatest of the last `length` numbers, the newest among them",
        ready="`length`",
        settings={"length": LENGTH, "of": OF},
        ta_lib="MAX",
    )

    def __init__(self, length: int = 20, of: str = "close") -> None:
        super().__init__(of)
        self.length = check_length("Highest", "length", length)
        self.window = HighestWindow(length)

    def compute(self, x: float) -> float:
        """Return the greatest of the last ``length`` numbers."""
        return self.window.push(x)


class Lowest(NumberIndicator):
    """The least of the last numbers."""

    __slots__ = ("length", "window")
    about = About(
        formula="the least of the last `length` numbers, the newest among them",
        ready="`length`",
        settings={"length": LENGTH, "of": OF},
        ta_lib="MIN",
    )

    def __init__(self, length: int = 20, of: str = "close") -> None:
        super().__init__(of)
        self.length = check_length("Lowest", "length", length)
        self.window = HighestWindow(length)

    def compute(self, x: float) -> float:
        """Return the least of the last ``length`` numbers."""
        return -self.window.push(-x)
