"""Wait with a limit below the market for one session; what has not filled by noon is withdrawn.

qts backtest cookbook-data/trades.csv --strategy examples/cookbook/patient.py:Patient
"""

from qts.kit import DAY, Cancel, Intent, Pool, Side, Strategy, Target, param


class Patient(Strategy):
    pool = Pool.SCALP
    below = param(2, 1, 20)  # price steps of 500 won

    def __init__(self):
        self.bids = {}

    def on_start(self, ctx):
        ctx.at("09:05", "morning")
        ctx.at("12:00", "noon")
        ctx.at("15:00", "evening")

    def on_quote(self, ctx, quote):
        if quote.bid is not None:
            self.bids[quote.symbol] = quote.bid
        return ()

    def on_timer(self, ctx, name):
        for symbol, bid in self.bids.items():
            if name == "morning" and ctx.is_flat(symbol):
                limit = bid - 500 * self.below
                yield Intent(symbol, Side.BUY, 1.0, qty=10, limit=limit, tif=DAY, tag="patient", reason=name)
            elif name == "noon" and ctx.working(symbol):
                yield Cancel(tag="patient")
            elif name == "evening":
                yield Target(symbol, 0, reason=name)
