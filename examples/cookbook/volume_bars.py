"""Bars of equal volume instead of equal time: many in a busy hour, few in a quiet one; two averages on them.

qts backtest cookbook-data/trades.csv --strategy examples/cookbook/volume_bars.py:VolumeBars
"""

from qts.kit import Ema, Pool, Strategy, Target, param


class VolumeBars(Strategy):
    pool, bars = Pool.SCALP, {"5e2v": 30}  # each ends with the trade that makes 500 shares full
    fast, slow = param(5, 2, 20), param(20, 5, 60)

    def on_start(self, ctx):
        self.fast_mean = ctx.track(Ema(self.fast), "5e2v")
        self.slow_mean = ctx.track(Ema(self.slow), "5e2v")

    def on_bar(self, ctx, bar):
        fast, slow = self.fast_mean[bar.symbol], self.slow_mean[bar.symbol]
        if not slow.ready:
            return
        if fast.crossed_above(slow):
            yield Target(bar.symbol, weight=0.3, reason="fast over slow")
        elif fast.crossed_below(slow):
            yield Target(bar.symbol, 0, reason="fast under slow")
