"""The strategy of examples/sma_cross.py for backtesting.py, which is a package of other authors."""

import pandas as pd
from backtesting import Backtest, Strategy


def mean(closes, length):
    return pd.Series(closes).rolling(length).mean()


class SmaCross(Strategy):
    fast = 20
    slow = 50

    def init(self):
        self.fast_mean = self.I(mean, self.data.Close, self.fast)
        self.slow_mean = self.I(mean, self.data.Close, self.slow)

    def next(self):
        if self.fast_mean[-1] > self.slow_mean[-1] and not self.position:
            self.buy()
        elif self.fast_mean[-1] < self.slow_mean[-1] and self.position:
            self.position.close()


bars = pd.read_csv("005930.csv", index_col="Date", parse_dates=True)
stats = Backtest(bars, SmaCross, cash=100_000_000, commission=0).run()
print(stats[["Equity Final [$]", "CAGR [%]", "Sharpe Ratio", "Max. Drawdown [%]", "# Trades"]].to_string())
print(stats["_trades"][["Size", "EntryTime", "EntryPrice", "ExitTime", "ExitPrice"]].to_string())
