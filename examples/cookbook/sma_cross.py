"""Two averages of the closes: in when the fast one crosses above the slow one, out when it crosses below.

qts backtest cookbook-data/days --strategy examples/cookbook/sma_cross.py:SmaCross
"""

from qts.kit import Away, Sma, Strategy, Target, param


class SmaCross(Strategy):
    bars = {"1d": 250}  # so many are there before the first intent counts
    fast, slow, loss = param(20, 5, 60), param(60, 20, 250), param(0.08, 0.02, 0.20)

    def on_start(self, ctx):
        self.fast_mean = ctx.track(Sma(self.fast), "1d")  # one per symbol; fed before on_bar; saved; plotted
        self.slow_mean = ctx.track(Sma(self.slow), "1d")

    def on_bar(self, ctx, bar):
        fast, slow = self.fast_mean[bar.symbol], self.slow_mean[bar.symbol]
        if slow.ready and fast.crossed_above(slow):
            yield Target(bar.symbol, weight=0.9, stop=Away(share=self.loss), reason="fast over slow")
        elif slow.ready and fast.crossed_below(slow):
            yield Target(bar.symbol, 0, reason="fast under slow")
