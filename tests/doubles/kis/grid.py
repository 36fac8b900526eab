"""Price grid and daily band of the Korean market since 2023-01-25, in whole won."""

from __future__ import annotations

STEPS = ((2_000, 1), (5_000, 5), (20_000, 10), (50_000, 50), (200_000, 100), (500_000, 500))
TOP_STEP = 1_000
ETF_BOUND, ETF_STEP = 2_000, 5


def step_of(price: int, *, etf: bool = False) -> int:
    """Return the step of the grid at ``price``."""
    if etf:
        return 1 if price < ETF_BOUND else ETF_STEP
    return next((step for bound, step in STEPS if price < bound), TOP_STEP)


def band_of(base: int, *, etf: bool = False) -> tuple[int, int]:
    """Return the lowest and the highest price of a day whose base price is ``base``: 30 % away, cut inward."""
    high = base * 130 // 100
    low = -(-base * 70 // 100)
    top = high - high % step_of(high, etf=etf)
    step = step_of(low, etf=etf)
    return low + -low % step, top
