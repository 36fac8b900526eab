"""Two moving averages of the closes: in while the fast one is above the slow one, out while it is below.

qts replay FILE --plain --strategy examples/sma_cross.py:SmaCross --param fast=10
"""

from qts.kit import Intent, Side, Strategy, param


class SmaCross(Strategy):
    fast = param(20, 5, 60)
    slow = param(50, 20, 250)

    def __init__(self):
        self.closes = {}  # saved in checkpoints, restored by --resume

    def on_bar(self, ctx, bar):
        closes = self.closes.setdefault(bar.symbol, [])
        closes.append(bar.close)
        del closes[: -self.slow]
        if len(closes) < self.slow or ctx.working(bar.symbol):
            return
        fast, slow = sum(closes[-self.fast :]) / self.fast, sum(closes) / self.slow
        if fast > slow and not ctx.holding(bar.symbol):
            yield Intent(bar.symbol, Side.BUY, confidence=1.0, reason="fast above slow")
        elif fast < slow and ctx.holding(bar.symbol):
            yield Intent(bar.symbol, Side.SELL, confidence=1.0, reason="fast below slow")
