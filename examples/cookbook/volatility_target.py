"""Always invested, as much as keeps the swings the same: half of the weight when a share swings twice as much.

qts backtest cookbook-data/days --strategy examples/cookbook/volatility_target.py:VolatilityTarget
"""

from math import log, sqrt

from qts.kit import StdDev, Strategy, Target, param


class VolatilityTarget(Strategy):
    bars = {"1d": 40}
    yearly, most, change = param(0.06, 0.01, 0.50), param(0.25, 0.05, 1.0), param(0.04, 0.0, 0.5)

    def __init__(self):
        self.closes, self.spreads, self.weights = {}, {}, {}  # indicators in a dict are saved as well

    def on_bar(self, ctx, bar):
        before = self.closes.get(bar.symbol, bar.close)
        self.closes[bar.symbol] = bar.close
        spread = self.spreads.setdefault(bar.symbol, StdDev(30))
        spread.update(log(bar.close / before))
        if not spread.ready or spread.value == 0:
            return
        weight = min(self.most, self.yearly / (spread.value * sqrt(252)))
        ctx.plot(f"{bar.symbol} weight", weight, pane="weights")
        if abs(weight - self.weights.get(bar.symbol, 0)) > self.change * self.most:  # not for a trifle
            if not ctx.warming:
                self.weights[bar.symbol] = weight
            yield Target(bar.symbol, weight=round(weight, 4), reason=f"swings of {spread.value:.2%} a day")
