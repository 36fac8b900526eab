"""Checks of a bar by itself, before anything is made of its prices."""

from __future__ import annotations

from qts.market.contracts import Bar


def is_sound(bar: Bar) -> bool:
    """Return whether the prices of a bar can be believed: above 0, numbers, open and close within low and high."""
    prices = (bar.low, bar.open, bar.close, bar.high)
    if not all(price.is_finite() for price in prices):
        return False
    return 0 < bar.low <= min(bar.open, bar.close) and max(bar.open, bar.close) <= bar.high
