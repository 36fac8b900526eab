"""Figures over the last ``length`` numbers, in constant time and without drift.

A running sum that subtracts what leaves keeps every rounding error it ever made, and one huge number spoils it for
good. Here nothing is subtracted. The window is cut in two: the present block, whose figure grows with each number,
and the rest of the block before, of which the figures of the last 1, 2, … numbers are kept as a stack. A new number
takes one of them off. When the rest is used up the present block is full and becomes the block before. So each
number is counted twice, and an error lives no longer than the window.

Means are kept as distances from a number of the window, so the mean of equal numbers is that number, exactly.
"""

from __future__ import annotations

from itertools import accumulate
from math import inf, sqrt

from qts.indicators.contracts import NAN, Saved


class MeanWindow(Saved):
    """The mean of the last ``length`` numbers."""

    __slots__ = ("base", "block", "length", "rest", "total")

    def __init__(self, length: int) -> None:
        self.length = length
        self.block: list[float] = []
        self.rest: list[float] = []
        self.base = 0.0
        """The newest number of the block before: it stays in the window as long as any of ``rest``."""
        self.total = 0.0

    def push(self, x: float) -> float:
        """Return the mean of the window after ``x``; NaN while fewer than ``length`` numbers were pushed."""
        self.block.append(x)
        if rest := self.rest:
            base = self.base
            self.total = total = self.total + (x - base)
            return base + (total + rest.pop()) / self.length
        return self._turn() if len(self.block) == self.length else NAN

    def _turn(self) -> float:
        """Make the full block the block before, and return its mean."""
        block = self.block
        self.base = base = block[-1]
        distances = list(accumulate([x - base for x in reversed(block)]))
        self.block, self.total = [], 0.0
        whole = distances.pop()  # that of the oldest number too, which the next one pushes out
        self.rest = distances
        return base + whole / self.length


class WeightedWindow(Saved):
    """The mean of the last ``length`` numbers and their mean with the weights 1, 2, …, the newest the heaviest."""

    __slots__ = ("base", "block", "length", "mean", "rest", "rest_weighted", "total", "weighted")

    def __init__(self, length: int) -> None:
        self.length = length
        self.mean = NAN
        self.block: list[float] = []
        self.rest: list[float] = []
        self.rest_weighted: list[float] = []
        self.base = 0.0
        self.total = 0.0
        self.weighted = 0.0

    def push(self, x: float) -> float:
        """Return the weighted mean after ``x`` and set ``mean``; NaN while fewer than ``length`` were pushed."""
        block, length = self.block, self.length
        block.append(x)
        if rest := self.rest:
            base, count = self.base, len(block)
            apart = x - base
            self.total = total = self.total + apart
            self.weighted = weighted = self.weighted + count * apart
            # The numbers of the block before are the older ones: the weights of the others follow theirs.
            weighted += (length - count) * total + self.rest_weighted.pop()
            self.mean = base + (total + rest.pop()) / length
            return base + 2.0 * weighted / (length * (length + 1))
        return self._turn() if len(block) == length else NAN

    def _turn(self) -> float:
        block, length = self.block, self.length
        self.base = base = block[-1]
        totals = list(accumulate([x - base for x in reversed(block)]))
        # One more number at the old end raises the weight of each of the others by one.
        weighted = list(accumulate(totals))
        self.block, self.total, self.weighted = [], 0.0, 0.0
        self.mean = base + totals.pop() / length
        whole = weighted.pop()
        self.rest, self.rest_weighted = totals, weighted
        return base + 2.0 * whole / (length * (length + 1))


class SpreadWindow(Saved):
    """The mean and the standard deviation (of the whole, not of a sample) of the last ``length`` numbers.

    Squares are those of the distances from the mean, joined as in Chan, Golub and LeVeque, "Updating formulae and a
    pairwise algorithm for computing sample variances" (1979): the difference of two large sums of squares would
    lose the digits that matter.
    """

    __slots__ = ("block", "block_mean", "block_squares", "length", "mean", "rest_means", "rest_squares")

    def __init__(self, length: int) -> None:
        self.length = length
        self.mean = NAN
        self.block: list[float] = []
        self.block_mean = 0.0
        self.block_squares = 0.0
        self.rest_means: list[float] = []
        self.rest_squares: list[float] = []

    def push(self, x: float) -> float:
        """Return the deviation after ``x`` and set ``mean``; NaN while fewer than ``length`` were pushed."""
        block, length = self.block, self.length
        block.append(x)
        if rest := self.rest_means:
            count = len(block)
            mean, squares = self.block_mean, self.block_squares
            apart = x - mean
            self.block_mean = mean = mean + apart / count
            self.block_squares = squares = squares + apart * (x - mean)
            apart = rest.pop() - mean
            older = (length - count) / length
            self.mean = mean + apart * older
            return sqrt((squares + self.rest_squares.pop() + apart * apart * older * count) / length)
        return self._turn() if len(block) == length else NAN

    def _turn(self) -> float:
        means, all_squares = [], []
        mean, squares = self.block[-1], 0.0
        for count, x in enumerate(reversed(self.block), 1):
            apart = x - mean
            mean += apart / count
            squares += apart * (x - mean)
            means.append(mean)
            all_squares.append(squares)
        self.block, self.block_mean, self.block_squares = [], 0.0, 0.0
        self.mean = means.pop()
        whole = all_squares.pop()
        self.rest_means, self.rest_squares = means, all_squares
        return sqrt(whole / self.length)


class HighestWindow(Saved):
    """The greatest of the last ``length`` numbers."""

    __slots__ = ("best", "block", "length", "rest")

    def __init__(self, length: int) -> None:
        self.length = length
        self.block: list[float] = []
        self.best = -inf
        self.rest: list[float] = []

    def push(self, x: float) -> float:
        """Return the greatest number of the window after ``x``; NaN while fewer than ``length`` were pushed."""
        self.block.append(x)
        if rest := self.rest:
            if x > self.best:
                self.best = x
            older = rest.pop()
            return older if older > self.best else self.best
        return self._turn() if len(self.block) == self.length else NAN

    def _turn(self) -> float:
        self.rest = list(accumulate(reversed(self.block), max))
        self.block, self.best = [], -inf
        return self.rest.pop()


class LastNumbers(Saved):
    """The last ``length`` numbers, in a ring."""

    __slots__ = ("length", "numbers", "place")

    def __init__(self, length: int) -> None:
        self.length = length
        self.numbers: list[float] = []
        self.place = 0

    def push(self, x: float) -> float:
        """Put ``x`` in the place of the oldest number and return that; NaN while fewer than ``length`` are kept."""
        numbers = self.numbers
        if len(numbers) < self.length:
            numbers.append(x)
            return NAN
        place = self.place
        oldest, numbers[place] = numbers[place], x
        self.place = place + 1 if place + 1 < self.length else 0
        return oldest


class Total(Saved):
    """A sum without end, compensated: its error does not grow with the count of its terms (Neumaier, 1974)."""

    __slots__ = ("lost", "sum")

    def __init__(self) -> None:
        self.sum = 0.0
        self.lost = 0.0

    def add(self, x: float) -> float:
        """Return the sum with ``x``."""
        before = self.sum
        self.sum = after = before + x
        self.lost += (before - after) + x if abs(before) >= abs(x) else (x - after) + before
        return after + self.lost
