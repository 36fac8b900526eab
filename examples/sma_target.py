"""Two moving averages of daily closes: 90 % invested with a stop while the fast one is above the slow one.

qts backtest FILE --strategy examples/sma_target.py:SmaTarget
"""

from qts.kit import Away, Sma, Strategy, Target, param


class SmaTarget(Strategy):
    bars = {"1d": 250}
    fast, slow, loss = param(20, 5, 60), param(60, 20, 250), param(0.08, 0.02, 0.20)

    def on_start(self, ctx):
        self.fast_mean = ctx.track(Sma(self.fast), "1d")
        self.slow_mean = ctx.track(Sma(self.slow), "1d")

    def on_bar(self, ctx, bar):
        fast, slow = self.fast_mean[bar.symbol], self.slow_mean[bar.symbol]
        if slow.ready and fast.crossed_above(slow):
            yield Target(bar.symbol, weight=0.9, stop=Away(share=self.loss), reason="fast over slow")
        elif slow.ready and fast.crossed_below(slow):
            yield Target(bar.symbol, 0, reason="fast under slow")

    def on_order(self, ctx, news):
        if news.refused:
            ctx.log(f"{news.symbol} refused: {news.reason}, {news.detail}")
