"""Trades, bars and a driver that takes what is over before it gives the next value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal

from qts.clock import to_ns
from qts.market.contracts import Bar, Instrument, Tick
from qts.market.generic import AlwaysOpen, FixedTicks, RateCosts
from qts.market.krx import KST, krx_instrument
from qts.market.series.builder import BarBuilder, EndedBars
from qts.market.series.wanted import wanted_bars

SAMSUNG = "005930"
KRX: Mapping[str, Instrument] = {SAMSUNG: krx_instrument(SAMSUNG), "000660": krx_instrument("000660")}
COIN = Instrument(
    "BTC",
    "USDT",
    Decimal("0.01"),
    Decimal("0.001"),
    FixedTicks("0.1"),
    RateCosts("0", "0", "0.01"),
    AlwaysOpen(),
)
COINS: Mapping[str, Instrument] = {"BTC": COIN, "ETH": COIN}


def kst(text: str) -> int:
    """Return the moment of "2024-03-04 09:00:00" in Seoul."""
    return to_ns(datetime.fromisoformat(text).replace(tzinfo=KST))


def utc(text: str) -> int:
    return to_ns(datetime.fromisoformat(text).replace(tzinfo=UTC))


def trade(ts_ns: int, price: str, size: str, symbol: str = SAMSUNG) -> Tick:
    return Tick(symbol, ts_ns, Decimal(price), Decimal(size))


def feed_bar(ts_ns: int, prices: str, volume: str, interval: str, symbol: str = SAMSUNG, day: str = "") -> Bar:
    opening, high, low, close = map(Decimal, prices.split())
    return Bar(symbol, ts_ns, opening, high, low, close, Decimal(volume), interval, day)


def builder(declared: Mapping[str, int], instruments: Mapping[str, Instrument] = KRX) -> BarBuilder:
    return BarBuilder(wanted_bars(dict(declared), (), "bars"), instruments)


def give(to: BarBuilder, value: Tick | Bar) -> list[EndedBars]:
    """Give a value as a session does: first everything that is due before it."""
    told = to.take_ended(value.ts_ns) if to.due_ns <= value.ts_ns else []
    if to.on_tick(value) if isinstance(value, Tick) else to.on_bar(value):
        told += to.take_ended(value.ts_ns)
    return told


def told(to: BarBuilder, values: Iterable[Tick | Bar], until_ns: int = 0) -> list[EndedBars]:
    """Give all values, then let the clock run to ``until_ns``; return what was told."""
    moments = [moment for value in values for moment in give(to, value)]
    while to.due_ns <= until_ns:
        moments += to.take_ended(to.due_ns)
    return moments


def bars_of(moments: Iterable[EndedBars], interval: str, symbol: str = SAMSUNG) -> list[Bar]:
    return [bar for moment in moments for bar in moment.bars if bar.interval == interval and bar.symbol == symbol]


def prices_of(bar: Bar) -> str:
    """Return "open high low close volume value trades"."""
    return f"{bar.open} {bar.high} {bar.low} {bar.close} {bar.volume} {bar.value} {bar.trades}"
