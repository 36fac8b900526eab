"""Equal shares of a whole universe, restored on the first day of each month.

qts backtest cookbook-data/days --strategy examples/cookbook/monthly.py:Monthly --benchmark hold
"""

from qts.kit import Strategy, Target, param


class Monthly(Strategy):
    bars = {"1d": 1}
    invested = param(0.9, 0.1, 1.0)

    def __init__(self):
        self.month = ""

    def on_bars(self, ctx, bars):  # all shares of one day at once
        month = f"{ctx.now:%Y-%m}"
        if month == self.month or ctx.warming:
            return
        self.month = month
        weight = self.invested / len(bars)
        # What has become too much is sold first, so that its cash is there for the others.
        for symbol in sorted(bars, key=lambda symbol: -ctx.holding(symbol) * bars[symbol].close):
            yield Target(symbol, weight=weight, reason=month)
