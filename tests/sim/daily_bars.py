"""Daily bars of 005930 from the packaged sample, as a vendor's file, and a strategy of two averages on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from qts.kit import Bar, Context, Intent, Side, Strategy, Target, param
from qts.market.sample import DayBar, load_sample

SYMBOL = "005930"


def trading_days() -> list[tuple[str, DayBar]]:
    """Return date and bar of every day on which the share traded."""
    return [(row.day.isoformat(), row.bar) for row in load_sample() if row.bar is not None and not row.bar.is_halt]


def write_bars(path: Path, days: Sequence[tuple[str, DayBar]]) -> Path:
    """Write the days as Yahoo has them, without its adjusted close."""
    rows = [f"{day},{b.open},{b.high},{b.low},{b.close},{b.volume}" for day, b in days]
    path.write_text("\n".join(["Date,Open,High,Low,Close,Volume", *rows, ""]))
    return path


class TenShares(Strategy):
    """Hold ten shares while the fast average is above the slow one."""

    fast, slow = param(20, 2, 100), param(50, 3, 300)

    def __init__(self) -> None:
        self.closes: list[int] = []

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        self.closes = [*self.closes, int(bar.close)][-self.slow :]
        if len(self.closes) < self.slow or ctx.working(bar.symbol):
            return
        # Compared as sums: no average is rounded
        above = sum(self.closes[-self.fast :]) * self.slow > sum(self.closes) * self.fast
        if above and not ctx.holding(bar.symbol):
            yield Intent(bar.symbol, Side.BUY, 1.0, qty=10)
        elif not above and ctx.holding(bar.symbol):
            yield Intent(bar.symbol, Side.SELL, 1.0)


class TenProtected(Strategy):
    """Buy ten shares when flat and the close is above that of ten days before; leave at a stop or a take alone."""

    def __init__(self) -> None:
        self.closes: list[int] = []

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Target]:
        self.closes = [*self.closes, int(bar.close)][-11:]
        if len(self.closes) == 11 and self.closes[-1] > self.closes[0] and not ctx.holding(bar.symbol):
            stop, take = levels_of(self.closes[-1])
            yield Target(bar.symbol, 10, stop=stop, take=take)


def levels_of(close: int) -> tuple[int, int]:
    """Return a stop 4 % below and a take 7 % above, on the grid of 005930 whatever the date."""
    step = 1_000 if close >= 100_000 else 100
    return close * 96 // 100 // step * step, -(-close * 107 // 100 // step) * step
