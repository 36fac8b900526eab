"""Hold the two shares of a universe that rose most in three months, looked at once a month; none that fell.

qts backtest cookbook-data/days --strategy examples/cookbook/rotation.py:Rotation --benchmark hold
"""

from qts.kit import Roc, Strategy, Target, param


class Rotation(Strategy):
    bars = {"1d": 64}
    held = param(2, 1, 5)

    def __init__(self):
        self.month = ""

    def on_start(self, ctx):
        self.rise = ctx.track(Roc(63), "1d")

    def on_bars(self, ctx, bars):
        month = f"{ctx.now:%Y-%m}"
        ranked = sorted((s for s in bars if self.rise[s].ready), key=lambda s: -self.rise[s].value)
        if month == self.month or ctx.warming or len(ranked) < len(bars):
            return
        self.month = month
        best = [symbol for symbol in ranked[: self.held] if self.rise[symbol].value > 0]
        for symbol in sorted(bars, key=best.__contains__):  # the others first: their cash pays for the best
            yield Target(symbol, weight=0.9 / self.held if symbol in best else 0, reason=month)
