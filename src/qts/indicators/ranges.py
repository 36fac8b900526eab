"""Ranges of bars."""

from __future__ import annotations


def true_range(high: float, low: float, previous_close: float) -> float:
    """Return a bar's range including the gap from the close before it."""
    return max(high, previous_close) - min(low, previous_close)
