"""Buy what has fallen too fast within a rising year, sell when it has recovered.

qts backtest cookbook-data/days --strategy examples/cookbook/rsi_reversion.py:RsiReversion
"""

from qts.kit import Rsi, Sma, Strategy, Target, param


class RsiReversion(Strategy):
    bars = {"1d": 120}
    low, high = param(35.0, 10.0, 50.0), param(60.0, 50.0, 90.0)

    def on_start(self, ctx):
        self.rsi = ctx.track(Rsi(7), "1d")
        self.year = ctx.track(Sma(120), "1d")

    def on_bar(self, ctx, bar):
        rsi, year = self.rsi[bar.symbol], self.year[bar.symbol]
        if not (rsi.ready and year.ready):
            return
        if rsi.crossed_above(self.low) and bar.close > year.value:  # it turns: no catching while it falls
            yield Target(bar.symbol, weight=0.15, reason=f"rsi {rsi.value:.0f} turns up")
        elif rsi.value > self.high and not ctx.is_flat(bar.symbol):
            yield Target(bar.symbol, 0, reason=f"rsi {rsi.value:.0f}")
