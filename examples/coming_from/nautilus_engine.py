"""The strategy of examples/sma_cross.py for nautilus_trader, which is a package of other authors."""

import pandas as pd
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, StrategyConfig
from nautilus_trader.indicators import SimpleMovingAverage
from nautilus_trader.model.currencies import KRW
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.trading.strategy import Strategy

KRX = Venue("KRX")
SAMSUNG = Equity(
    instrument_id=InstrumentId(Symbol("005930"), KRX),
    raw_symbol=Symbol("005930"),
    currency=KRW,
    price_precision=0,
    price_increment=Price.from_str("50"),
    lot_size=Quantity.from_int(1),
    ts_event=0,
    ts_init=0,
)
DAILY = BarType.from_str("005930.KRX-1-DAY-LAST-EXTERNAL")


class SmaCrossConfig(StrategyConfig, frozen=True):
    fast: int = 20
    slow: int = 50


class SmaCross(Strategy):
    def on_start(self):
        self.fast = SimpleMovingAverage(self.config.fast)
        self.slow = SimpleMovingAverage(self.config.slow)
        self.register_indicator_for_bars(DAILY, self.fast)
        self.register_indicator_for_bars(DAILY, self.slow)
        self.subscribe_bars(DAILY)

    def on_bar(self, bar):
        if not self.indicators_initialized():
            return
        if self.fast.value > self.slow.value and self.portfolio.is_flat(SAMSUNG.id):
            cash = self.portfolio.account(KRX).balance_free(KRW)
            qty = Quantity.from_int(int(cash.as_double() // bar.close.as_double()))
            self.submit_order(self.order_factory.market(SAMSUNG.id, OrderSide.BUY, qty))
        elif self.fast.value < self.slow.value and self.portfolio.is_net_long(SAMSUNG.id):
            self.close_all_positions(SAMSUNG.id)


rows = pd.read_csv("005930.csv", index_col="Date", parse_dates=True).rename(columns=str.lower)
rows.index += pd.Timedelta(hours=6, minutes=30)  # a bar is known at its close, 15:30 in Seoul
engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
engine.add_venue(KRX, OmsType.NETTING, AccountType.CASH, [Money(100_000_000, KRW)], base_currency=KRW)
engine.add_instrument(SAMSUNG)
engine.add_data(BarDataWrangler(DAILY, SAMSUNG).process(rows.astype("float64")))
engine.add_strategy(SmaCross(SmaCrossConfig()))
engine.run()
print(engine.trader.generate_account_report(KRX).iloc[-1].to_string())
print(engine.trader.generate_fills_report()[["order_side", "last_qty", "last_px", "ts_event"]].to_string())
