"""A backtest in ten lines: hold while the mean of 20 closes is above that of 50.

qts data sample 005930.csv
python examples/backtest_in_python.py
"""

import qts
from qts.kit import Intent, Side, Strategy


class SmaCross(Strategy):
    closes = ()

    def on_bar(self, ctx, bar):
        self.closes = (*self.closes, bar.close)[-50:]
        is_up = len(self.closes) == 50 and sum(self.closes[-20:]) / 20 > sum(self.closes) / 50
        if is_up != bool(ctx.holding(bar.symbol)):
            yield Intent(bar.symbol, Side.BUY if is_up else Side.SELL, confidence=1.0)


result = qts.backtest(SmaCross, "005930.csv", benchmark="hold")
print(result)
result.report("report.html")
