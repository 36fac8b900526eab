"""Two shares that move together: hold the one that is cheap beside the other, by the ratio of their prices.

qts backtest cookbook-data/minutes --strategy examples/cookbook/pair.py:Pair --param window=60
"""

from math import log

from qts.kit import Strategy, Target, ZScore, param


class Pair(Strategy):  # long only: hold the cheap one of two
    symbols, bars = ("005930", "000660"), {"5m": 400}
    window, entry = param(120, 30, 400), param(2.0, 1.0, 4.0)

    def on_start(self, ctx):
        self.z = ZScore(self.window)  # an attribute: saved and restored like any number

    def on_bars(self, ctx, bars):  # once a moment: every bar that ended at it, also while warming
        if len(bars) < 2:
            return
        a, b = (bars[symbol] for symbol in self.symbols)
        z = self.z.update(log(a.close / b.close))
        ctx.plot("z", z, pane="spread")
        if self.z.ready and abs(z) > self.entry:
            cheap = b.symbol if z > 0 else a.symbol
            yield from (Target(s, weight=0.5 if s == cheap else 0) for s in self.symbols)
