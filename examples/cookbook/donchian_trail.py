"""Buy a new high of twenty days; a stop follows the best price since then and is the only way out.

qts backtest cookbook-data/days --strategy examples/cookbook/donchian_trail.py:DonchianTrail
"""

from qts.kit import Atr, Away, Donchian, Strategy, Target, param


class DonchianTrail(Strategy):
    bars = {"1d": 60}
    length, ranges = param(20, 10, 60), param(3.0, 1.0, 6.0)

    def on_start(self, ctx):
        self.channel = ctx.track(Donchian(self.length), "1d")
        self.atr = ctx.track(Atr(20), "1d")

    def on_bar(self, ctx, bar):
        channel, atr = self.channel[bar.symbol], self.atr[bar.symbol]
        # The channel holds this bar too, so the close is compared with the upper border before it.
        if atr.ready and channel.ready and ctx.is_flat(bar.symbol) and bar.close > channel.upper.previous:
            yield Target(bar.symbol, weight=0.15, trail=Away(self.ranges * atr.value), reason="new high")
