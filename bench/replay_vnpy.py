"""The same replay in the tick backtest of vnpy's CTA module, as its documentation shows it.

It keeps no account, asks no risk gate and stores nothing: a tick goes to its strategy, an order is filled whole at
the price of the next tick. ``python -m bench.replay_vnpy ROWS`` prints one JSON object. A process of its own, so
that its memory is not ours.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from time import perf_counter, process_time
from typing import Any

from bench.replay_cases import ORDER_EVERY, START_NS, STEP_NS, PreparedFeed
from qts.clock import from_ns


def measure(rows: int) -> dict[str, Any]:
    """Rows a second of ``run_backtesting()`` alone; its ticks are made before, as it wants them.

    Raises ImportError.
    """
    from vnpy.trader.constant import Exchange, Interval
    from vnpy.trader.object import TickData
    from vnpy_ctastrategy import CtaTemplate
    from vnpy_ctastrategy.backtesting import BacktestingEngine, BacktestingMode

    class EmaTrader(CtaTemplate):  # type: ignore[misc]
        """Two EMAs, and an order every 1,000 ticks, as in bench.replay_cases."""

        fast = slow = 0.0
        seen = fills = 0

        def on_init(self) -> None: ...

        def on_tick(self, tick: Any) -> None:
            price = tick.bid_price_1
            self.fast += 0.1 * (price - self.fast)
            self.slow += 0.02 * (price - self.slow)
            self.seen += 1
            if self.seen % ORDER_EVERY:
                return
            # It knows no order at the market; ten ticks beyond the best price are one.
            if self.pos > 0:
                self.sell(tick.bid_price_1 - 1.0, self.pos)
            else:
                self.buy(tick.ask_price_1 + 1.0, 0.1)

        def on_trade(self, trade: Any) -> None:
            self.fills += 1

    start, step = from_ns(START_NS).astimezone(UTC), timedelta(microseconds=STEP_NS // 1_000)
    engine = BacktestingEngine()
    told: list[str] = []
    engine.output = told.append
    engine.set_parameters(
        vt_symbol="BTCUSDT.GLOBAL",
        interval=Interval.TICK,
        start=start,
        end=datetime(2024, 1, 2, tzinfo=UTC),
        rate=0.0005,
        slippage=0.0,
        size=1,
        pricetick=0.1,
        capital=100_000,
        mode=BacktestingMode.TICK,
    )
    engine.add_strategy(EmaTrader, {})
    engine.history_data = [
        TickData(
            gateway_name="BACKTESTING",
            symbol="BTCUSDT",
            exchange=Exchange.GLOBAL,
            datetime=start + number * step,
            last_price=float(quote.bid),
            bid_price_1=float(quote.bid),
            ask_price_1=float(quote.ask),
            bid_volume_1=5.0,
            ask_volume_1=5.0,
        )
        for number, quote in enumerate(PreparedFeed(rows).values(), 1)
    ]
    begun, begun_cpu = perf_counter(), process_time()
    engine.run_backtesting()
    took_s, cpu_s = perf_counter() - begun, process_time() - begun_cpu
    if engine.strategy.seen != rows:
        raise SystemExit(f"vnpy ended after {engine.strategy.seen} of {rows} ticks: {' '.join(told)}")
    return {
        "rows": engine.strategy.seen,
        "rows_per_s": round(rows / took_s),
        "rows_per_cpu_s": round(rows / cpu_s),
        "fills": engine.strategy.fills,
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        os.environ["HOME"] = home  # where it makes a folder for its settings and its log
        try:
            print(json.dumps(measure(int(sys.argv[1]))))
        except ImportError as error:
            print(json.dumps({"missing": f"{error}; pip install -e '.[bench]' in an environment of its own"}))
