"""Hear what becomes of orders: a refusal makes the next ones smaller, a stop-out gives that share a pause.

qts backtest cookbook-data/days --strategy examples/cookbook/learns.py:Learns
"""

from qts.kit import Away, Ema, Strategy, Target, param


class Learns(Strategy):
    bars = {"1d": 30}
    pause = param(10, 1, 60)

    def __init__(self):
        self.weight, self.wait = 0.4, {}

    def on_start(self, ctx):
        self.mean = ctx.track(Ema(20), "1d")

    def on_bar(self, ctx, bar):
        mean = self.mean[bar.symbol]
        self.wait[bar.symbol] = wait = max(0, self.wait.get(bar.symbol, 0) - 1)
        if not mean.ready or wait:
            return
        if ctx.is_flat(bar.symbol) and bar.close > mean.value:
            yield Target(bar.symbol, weight=self.weight, stop=Away(share=0.05), reason="over its mean")
        elif bar.close < mean.value and not ctx.is_flat(bar.symbol):
            yield Target(bar.symbol, 0, reason="under its mean")

    def on_order(self, ctx, news):
        if news.refused:
            self.weight = max(0.1, self.weight / 2)
            ctx.log(f"{news.symbol}: {news.detail or news.reason}; now {self.weight:.0%} each")
        elif news.stopped_out:
            self.wait[news.symbol] = self.pause
