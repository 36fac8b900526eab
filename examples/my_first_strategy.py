"""A strategy in under thirty lines: buy after three falling prices, sell after three rising ones.

qts replay FILE --strategy examples/my_first_strategy.py:ThreeInARow
"""

from collections import defaultdict

from qts.kit import Intent, Pool, Side


class ThreeInARow:
    name = "three-in-a-row"
    pool = Pool.SCALP
    symbols = ()  # every symbol of the feed

    def __init__(self):
        self.last, self.run = {}, defaultdict(int)  # saved in checkpoints, restored by --resume

    def on_quote(self, ctx, quote):
        price, last = quote.mid, self.last.get(quote.symbol)
        if price is None or price == last:
            return
        self.last[quote.symbol] = price
        step = 0 if last is None else 1 if price > last else -1
        run = self.run[quote.symbol]
        self.run[quote.symbol] = run = run + step if run * step > 0 else step
        if run == -3 and not ctx.holding(quote.symbol):
            yield Intent(quote.symbol, Side.BUY, confidence=0.8, reason="fell three times")
        if run >= 3 and ctx.holding(quote.symbol) and not ctx.working(quote.symbol):
            yield Intent(quote.symbol, Side.SELL, confidence=1.0, reason="rose three times")

    def on_start(self, ctx): ...
    def on_bar(self, ctx, bar):
        return ()

    def on_fill(self, ctx, fill): ...
