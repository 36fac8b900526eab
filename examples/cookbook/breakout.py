"""A trade above the highest price of the last half hour: in at once, with stop and take, and flat at night.

qts backtest cookbook-data/trades.csv --strategy examples/cookbook/breakout.py:Breakout
"""

from qts.kit import IOC, Atr, Away, Highest, Pool, Strategy, Target, param


class Breakout(Strategy):  # one-minute bars from ticks; flat at night
    pool, data, bars = Pool.SCALP, ("trades",), {"1m": 60}
    length = param(30, 10, 60)

    def on_start(self, ctx):
        self.high = ctx.track(Highest(self.length, of="high"), "1m")
        self.atr = ctx.track(Atr(14), "1m")
        ctx.at("15:10", "go home")  # every session day, on the market's clock

    def on_trade(self, ctx, tick):
        high, atr = self.high[tick.symbol], self.atr[tick.symbol]
        if high.ready and atr.ready and ctx.is_flat(tick.symbol) and tick.price > high.value:
            yield Target(tick.symbol, weight=0.2, tif=IOC, stop=Away(2 * atr.value), take=Away(3 * atr.value))

    def on_timer(self, ctx, name):
        yield from (Target(symbol, 0, reason=name) for symbol in ctx.holdings)

    def on_order(self, ctx, news):
        if news.refused:
            ctx.log(f"{news.symbol} refused: {news.reason}")
