"""Series of bars for the tests of indicators."""

from __future__ import annotations

import random
from collections.abc import Sequence

from qts.indicators import Candle
from qts.market.sample import load_sample


def sample_candles() -> list[Candle]:
    """The five packaged years of 005930, days of a halt left out."""
    return [
        Candle(*(float(x) for x in (bar.open, bar.high, bar.low, bar.close, bar.volume)), str(row.day))
        for row in load_sample()
        if (bar := row.bar) is not None and not bar.is_halt
    ]


def random_candles(seed: int, count: int = 400, start: float = 100.0) -> list[Candle]:
    """A random walk with gaps, wicks and volumes."""
    rng, made, price = random.Random(seed), list[Candle](), start
    for _ in range(count):
        begin = price * (1 + rng.gauss(0, 0.01))
        price = begin * (1 + rng.gauss(0, 0.02))
        high = max(begin, price) * (1 + abs(rng.gauss(0, 0.01)))
        low = min(begin, price) * (1 - abs(rng.gauss(0, 0.01)))
        made.append(Candle(begin, high, low, price, float(rng.randrange(1, 10**7))))
    return made


def candles_of(closes: Sequence[float], *, wick: float = 1.0, volume: float = 10.0) -> list[Candle]:
    """Bars that open at the close before and reach ``wick`` beyond open and close."""
    made, before = [], closes[0]
    for close in closes:
        made.append(Candle(before, max(before, close) + wick, min(before, close) - wick, close, volume))
        before = close
    return made


def flat_candles(price: float, count: int, volume: float = 0.0) -> list[Candle]:
    """Bars of one price."""
    return [Candle(price, price, price, price, volume)] * count
