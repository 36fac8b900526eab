"""Sums and other figures over the last ``length`` numbers, in constant time and without drift.

A running sum that subtracts what leaves keeps every rounding error it ever made, and one huge number spoils it for
good. Here nothing is subtracted. The window is cut in two: the numbers of the present block, whose sum grows with
each number, and the rest of the block before, of which the sums of the last 1, 2, … numbers are kept as a stack. A
new number takes one of them off. When the rest is used up the present block is full and becomes the block before.
So each number is summed twice, and an error lives no longer than the window. The same is done with every figure of
a window that follows from those of its two parts.
"""

from __future__ import annotations

from itertools import accumulate

from qts.errors import ContractError
from qts.indicators.contracts import NAN, Saved

MAX_LENGTH = 100_000
"""The longest window: what one indicator may keep, in numbers."""


def check_length(kind: str, name: str, value: int, least: int = 1) -> int:
    """Return the length ``value`` of a window. Raises ContractError, naming it, unless an int from ``least`` on."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_LENGTH:
        raise ContractError(f"{kind}: {name} must be a whole number from {least} to {MAX_LENGTH}, got {value!r}")
    return value


class SumWindow(Saved):
    """The sum of the last ``length`` numbers."""

    __slots__ = ("block", "length", "rest", "total")

    def __init__(self, length: int) -> None:
        self.length = length
        self.block: list[float] = []
        self.rest: list[float] = []
        self.total = 0.0

    def push(self, x: float) -> float:
        """Return the sum of the window after ``x``; NaN while fewer than ``length`` numbers were pushed."""
        block = self.block
        block.append(x)
        self.total = total = self.total + x
        if self.rest:
            return total + self.rest.pop()
        if len(block) < self.length:
            return NAN
        self.rest = list(accumulate(block[:0:-1]))
        self.block = []
        self.total = 0.0
        return total
