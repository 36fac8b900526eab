"""The same replay in nautilus_trader's BacktestEngine: book, account and risk on, as its documentation shows it.

``python -m bench.replay_nautilus ROWS`` prints one JSON object. A process of its own, so that its memory is not
ours.
"""

from __future__ import annotations

import json
import resource
import sys
from decimal import Decimal
from time import perf_counter, process_time
from typing import Any

from bench.replay_cases import ORDER_EVERY, PreparedFeed


def measure(rows: int) -> dict[str, Any]:
    """Rows a second of ``run()`` alone; its ticks are made before, as it wants them. Raises ImportError."""
    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.config import LoggingConfig, StrategyConfig
    from nautilus_trader.model.currencies import BTC, USDT
    from nautilus_trader.model.data import QuoteTick
    from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
    from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
    from nautilus_trader.model.instruments import CurrencyPair
    from nautilus_trader.model.objects import Money, Price, Quantity
    from nautilus_trader.trading.strategy import Strategy

    instrument = CurrencyPair(
        instrument_id=InstrumentId.from_str("BTCUSDT.SIM"),
        raw_symbol=Symbol("BTCUSDT"),
        base_currency=BTC,
        quote_currency=USDT,
        price_precision=1,
        size_precision=3,
        price_increment=Price.from_str("0.1"),
        size_increment=Quantity.from_str("0.001"),
        ts_event=0,
        ts_init=0,
        maker_fee=Decimal("0.0005"),
        taker_fee=Decimal("0.0005"),
    )

    class EmaTrader(Strategy):  # type: ignore[misc]
        """Two EMAs, and an order every 1,000 quotes, as in bench.replay_cases."""

        def __init__(self) -> None:
            super().__init__(StrategyConfig(order_id_tag="1"))
            self.fast = self.slow = 0.0
            self.seen = self.fills = 0

        def on_start(self) -> None:
            self.subscribe_quote_ticks(instrument.id)

        def on_quote_tick(self, tick: Any) -> None:
            price = float(tick.bid_price)
            self.fast += 0.1 * (price - self.fast)
            self.slow += 0.02 * (price - self.slow)
            self.seen += 1
            if self.seen % ORDER_EVERY:
                return
            side = OrderSide.SELL if self.portfolio.is_net_long(instrument.id) else OrderSide.BUY
            self.submit_order(self.order_factory.market(instrument.id, side, instrument.make_qty(0.1)))

        def on_order_filled(self, event: Any) -> None:
            self.fills += 1

    size = Quantity.from_str("5.000")
    ticks = [
        QuoteTick(instrument.id, Price(float(q.bid), 1), Price(float(q.ask), 1), size, size, q.ts_ns, q.ts_ns)
        for q in PreparedFeed(rows).values()
    ]
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    balances = [Money(100_000, USDT), Money(10, BTC)]
    engine.add_venue(Venue("SIM"), OmsType.NETTING, AccountType.CASH, balances)
    engine.add_instrument(instrument)
    strategy = EmaTrader()
    engine.add_strategy(strategy)
    engine.add_data(ticks)
    begun, begun_cpu = perf_counter(), process_time()
    engine.run()
    took_s, cpu_s = perf_counter() - begun, process_time() - begun_cpu
    return {
        "rows": strategy.seen,
        "rows_per_s": round(strategy.seen / took_s),
        "rows_per_cpu_s": round(strategy.seen / cpu_s),
        "fills": strategy.fills,
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


if __name__ == "__main__":
    try:
        print(json.dumps(measure(int(sys.argv[1]))))
    except ImportError as error:
        print(json.dumps({"missing": f"{error}; pip install -e '.[bench]' in an environment of its own"}))
