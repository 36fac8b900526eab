"""The strategy of examples/sma_cross.py for vnpy and its CTA module, which are packages of other authors."""

import pandas as pd
from vnpy.trader.constant import Direction, Exchange, Interval
from vnpy.trader.object import BarData
from vnpy.trader.utility import ArrayManager
from vnpy_ctastrategy import CtaTemplate
from vnpy_ctastrategy.backtesting import BacktestingEngine

CASH = 100_000_000


class SmaCross(CtaTemplate):
    fast = 20
    slow = 50
    parameters = ["fast", "slow"]

    def on_init(self):
        self.am = ArrayManager(self.slow)
        self.cash = CASH  # a strategy there is not told what money there is

    def on_bar(self, bar):
        self.cancel_all()
        self.am.update_bar(bar)
        if not self.am.inited:
            return
        fast, slow = self.am.sma(self.fast), self.am.sma(self.slow)
        if fast > slow and self.pos == 0:
            price = bar.close_price * 1.01  # an order at the market is a limit order far enough away
            self.buy(price, self.cash // price)
        elif fast < slow and self.pos > 0:
            self.sell(bar.close_price * 0.9, self.pos)

    def on_trade(self, trade):
        self.cash -= trade.price * trade.volume * (1 if trade.direction is Direction.LONG else -1)


bars = pd.read_csv("005930.csv", index_col="Date", parse_dates=True)
engine = BacktestingEngine()
engine.set_parameters(
    vt_symbol="005930.LOCAL",
    interval=Interval.DAILY,
    start=bars.index[0],
    end=bars.index[-1],
    rate=0,
    slippage=0,
    size=1,
    pricetick=50,
    capital=CASH,
)
engine.add_strategy(SmaCross, {})
engine.history_data = [  # load_data() reads them from its database
    BarData("BACKTESTING", "005930", Exchange.LOCAL, day, Interval.DAILY, volume, 0, 0, *prices)
    for day, *prices, volume in bars.itertuples()
]
engine.run_backtesting()
engine.calculate_result()
statistics = engine.calculate_statistics(output=False)
print(f"{statistics['end_balance']:,.0f}")
for trade in engine.get_all_trades():
    print(trade.datetime.date(), trade.direction.name, trade.volume, trade.price)
