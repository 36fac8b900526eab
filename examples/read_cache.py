"""Reads what a session makes known with --cache: its risk, positions and prices, from any program or machine."""

import asyncio
import os

from qts.cache.config import CacheConfig
from qts.cache.contracts import PositionValue, PriceValue, RiskValue
from qts.cache.manager import CacheManager
from qts.cache.servers import opener_of
from qts.clock import SystemClock
from qts.errors import QtsError

NEEDS = """this reads a cache that a session writes to:
  QTS_CACHE_URL=redis://127.0.0.1:6379/0 qts run --speed 1
  QTS_CACHE_URL=redis://127.0.0.1:6379/0 python examples/read_cache.py 005930"""
# No value does not say that nothing is held: the session may hang. What it held a moment ago is in its view.
UNKNOWN = "what the cache does not know now"


async def show(cache, symbols):
    risk = await cache.read(RiskValue)
    if risk.value is None:
        print(f"no risk of account main: {risk.result.value}")
        return
    print(f"result of the day {risk.value.daily_pnl:,}, {risk.value.trade_count} fills, {risk.age_ms} ms old")
    positions, prices = await cache.read_many(PositionValue, symbols), await cache.read_many(PriceValue, symbols)
    for symbol, position, price in zip(symbols, positions, prices, strict=True):
        held = f"{position.value.qty:,} at {position.value.avg_price:,.2f}" if position.value else UNKNOWN
        seen = price.result.value if price.value is None else f"{price.value.last} ({price.age_ms} ms old)"
        print(f"{symbol}: holds {held}, last price {seen}")


async def main(symbols):
    url = os.environ.get("QTS_CACHE_URL")
    if not url:
        print(NEEDS)
        return
    try:
        client = opener_of(url, os.environ, writes=False)()
        cache = CacheManager(client, SystemClock(), CacheConfig(), account="main")
        await cache.open()
    except QtsError as error:
        print(f"the cache cannot be read: {error}")
        return
    try:
        await show(cache, symbols)
    finally:
        await cache.close()


if __name__ == "__main__":
    import sys

    asyncio.run(main(sys.argv[1:] or ["005930"]))
