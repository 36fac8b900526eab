"""The strategy of :mod:`bench.search` as backtesting.py has it; in a module, so that its processes find it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from backtesting import Strategy


def average(values: Sequence[float], length: int) -> pd.Series:
    """The simple moving average."""
    return pd.Series(values).rolling(length).mean()


class Cross(Strategy):
    fast, slow = 20, 50

    def init(self) -> None:
        self.short = self.I(average, self.data.Close, self.fast)
        self.long = self.I(average, self.data.Close, self.slow)

    def next(self) -> None:
        if self.short[-1] > self.long[-1] and not self.position:
            self.buy(size=1)
        elif self.short[-1] <= self.long[-1] and self.position:
            self.position.close()
