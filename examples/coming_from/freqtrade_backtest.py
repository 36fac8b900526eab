"""Does what `freqtrade backtesting --strategy SmaCross` does, on a market described here: no exchange is asked."""

import tempfile
from pathlib import Path

import pandas as pd
from freqtrade.data.history import get_datahandler
from freqtrade.enums import CandleType, RunMode
from freqtrade.exchange import Exchange
from freqtrade.optimize.backtesting import Backtesting

folder = Path(tempfile.mkdtemp())
pair = "005930/KRW"
config = {
    "runmode": RunMode.BACKTEST,
    "strategy": "SmaCross",
    "strategy_path": str(Path(__file__).parent / "freqtrade_strategies"),
    "user_data_dir": folder,
    "datadir": folder,
    "exportdirectory": folder,
    "export": "none",
    "exchange": {"name": "binance", "pair_whitelist": [pair], "pair_blacklist": []},
    "pairlists": [{"method": "StaticPairList"}],
    "stake_currency": "KRW",
    "stake_amount": "unlimited",
    "tradable_balance_ratio": 1.0,
    "max_open_trades": 1,
    "dry_run": True,
    "dry_run_wallet": 100_000_000,
    "fee": 0.0,
    "dataformat_ohlcv": "feather",
    "entry_pricing": {"price_side": "same", "use_order_book": False},
    "exit_pricing": {"price_side": "same", "use_order_book": False},
}
bars = pd.read_csv("005930.csv", parse_dates=["Date"]).rename(columns=str.lower)
bars["date"] = bars["date"].dt.tz_localize("UTC")
get_datahandler(folder, "feather").ohlcv_store(pair, "1d", bars, CandleType.SPOT)
exchange = Exchange(config, validate=False, load_leverage_tiers=False)
exchange._markets = {
    pair: {
        "id": "005930KRW",
        "symbol": pair,
        "base": "005930",
        "quote": "KRW",
        "active": True,
        "spot": True,
        "type": "spot",
        "precision": {"amount": 1, "price": 50},
        "limits": {"amount": {"min": 1, "max": None}, "cost": {"min": None, "max": None}},
        "info": {},
    }
}
backtesting = Backtesting(config, exchange)
backtesting.start()
found = backtesting.results["strategy"]["SmaCross"]
print(f"{found['final_balance']:,.0f}")
for trade in found["trades"]:
    print(trade["amount"], trade["open_date"], trade["open_rate"], trade["close_date"], trade["close_rate"])
