"""The strategy of examples/sma_cross.py for vectorbt, which is a package of other authors."""

import pandas as pd
import vectorbt as vbt

bars = pd.read_csv("005930.csv", index_col="Date", parse_dates=True)
fast, slow = bars.Close.rolling(20).mean(), bars.Close.rolling(50).mean()
entries, exits = (fast > slow).shift(1, fill_value=False), (fast < slow).shift(1, fill_value=False)
portfolio = vbt.Portfolio.from_signals(bars.Close, entries, exits, price=bars.Open, init_cash=100_000_000)
print(portfolio.final_value())
print(portfolio.trades.records_readable.to_string())
