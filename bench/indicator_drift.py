"""Feeds indicators ten million numbers and compares each with its window's last numbers alone.

A running sum that drifts shows here: the prices wander over four powers of ten, and one in a thousand is a misprint
a million times too large. ``worst`` is the greatest difference as a share of the greatest number in the window,
seen at 1,000 places of the run. For sums without end it is a share of the exact sum.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from fractions import Fraction
from math import sqrt
from pathlib import Path
from typing import Any

from qts.indicators import (
    Bollinger,
    Candle,
    Cci,
    Donchian,
    Highest,
    Indicator,
    LinReg,
    Lowest,
    Obv,
    Sma,
    StdDev,
    Vwap,
    Wma,
    ZScore,
)
from qts.indicators.candle import typical_price

UPDATES, SHORT_UPDATES = 10_000_000, 30_000
PLACES = 1_000
LENGTH = 37
BOUND = 1e-9
Window = Sequence[Candle]


def _mean(window: Window) -> Fraction:
    return sum((Fraction(one.close) for one in window), Fraction()) / len(window)


def _spread(window: Window) -> float:
    middle = _mean(window)
    return sqrt(sum(((Fraction(one.close) - middle) ** 2 for one in window), Fraction()) / len(window))


def _weighted(window: Window) -> Fraction:
    weights = range(1, len(window) + 1)
    return sum((k * Fraction(one.close) for k, one in zip(weights, window, strict=True)), Fraction()) / sum(weights)


def _cci(window: Window) -> Fraction:
    prices = [Fraction(typical_price(one)) for one in window]
    middle = sum(prices, Fraction()) / len(prices)
    usual = sum((abs(price - middle) for price in prices), Fraction()) / len(prices)
    return (prices[-1] - middle) / (Fraction(0.015) * usual)


def _vwap(window: Window) -> Fraction:
    value = sum((Fraction(typical_price(one)) * Fraction(one.volume) for one in window), Fraction())
    return value / sum((Fraction(one.volume) for one in window), Fraction())


EXPECTED: dict[str, tuple[Callable[[], Indicator], Callable[[Window], Any], bool]] = {
    "Sma": (lambda: Sma(LENGTH), _mean, True),
    "Wma": (lambda: Wma(LENGTH), _weighted, True),
    "StdDev": (lambda: StdDev(LENGTH), _spread, True),
    "Bollinger": (lambda: Bollinger(LENGTH), _mean, True),
    "ZScore": (lambda: ZScore(LENGTH), lambda w: (w[-1].close - float(_mean(w))) / _spread(w), False),
    "LinReg": (lambda: LinReg(LENGTH), lambda w: 3 * _weighted(w) - 2 * _mean(w), True),
    "Cci": (lambda: Cci(LENGTH), _cci, False),
    "Vwap": (lambda: Vwap(LENGTH), _vwap, True),
    "Highest": (lambda: Highest(LENGTH), lambda w: max(one.close for one in w), True),
    "Lowest": (lambda: Lowest(LENGTH), lambda w: min(one.close for one in w), True),
    "Donchian": (
        lambda: Donchian(LENGTH),
        lambda w: (max(one.high for one in w) + min(one.low for one in w)) / 2,
        True,
    ),
}
"""Name, maker, the value of a window in exact arithmetic, and whether an error is a share of the prices."""


def run(directory: Path, *, short: bool, seed: int) -> dict[str, Any]:
    """Run all indicators over one series; ``failed`` names those beyond the bound."""
    updates = SHORT_UPDATES if short else UPDATES
    every = max(updates // PLACES, LENGTH)
    made = {name: make() for name, (make, _, _) in EXPECTED.items()}
    day, volume, close = Vwap(), Obv(), 0.0
    value_sum, volume_sum, obv = Fraction(), Fraction(), Fraction()
    window, worst = deque[Candle](maxlen=LENGTH), dict.fromkeys([*EXPECTED, "Vwap of a day", "Obv"], 0.0)
    for at, candle in enumerate(_candles(random.Random(seed), updates), 1):
        window.append(candle)
        for indicator in made.values():
            indicator.update(candle)
        day.update(candle)
        volume.update(candle)
        value_sum += Fraction(typical_price(candle)) * Fraction(candle.volume)
        volume_sum += Fraction(candle.volume)
        obv += Fraction(candle.volume) * ((candle.close > close) - (candle.close < close))
        close = candle.close
        if at % every == 0 and at >= LENGTH:
            kept = list(window)
            greatest = max(one.high for one in kept)
            for name, (_, expected, of_prices) in EXPECTED.items():
                exact = float(expected(kept))
                off = abs(made[name].value - exact) / (greatest if of_prices else max(1.0, abs(exact)))
                worst[name] = max(worst[name], off)
            worst["Vwap of a day"] = max(worst["Vwap of a day"], _share(day.value, value_sum / volume_sum))
            worst["Obv"] = max(worst["Obv"], _share(volume.value, obv))
    failed = [
        f"{name} is {off:.1e} from the value of its window" for name, off in worst.items() if not off <= BOUND
    ]
    shown = {f"worst_{name}": f"{off:.1e}" for name, off in worst.items()}
    return {"updates": updates, **shown, "failed": failed}


def _share(value: float, exact: Fraction) -> float:
    return abs(value - float(exact)) / max(1.0, abs(float(exact)))


def _candles(rng: random.Random, count: int) -> Any:
    price = 70_000.0
    for _ in range(count):
        price *= 1 + rng.gauss(0, 0.003)
        price = min(max(price, 100.0), 1_000_000.0)
        close = price * 1e6 if rng.random() < 0.001 else price
        reach = 1 + rng.random() * 0.01
        yield Candle(price, close * reach, price / reach, close, rng.randrange(1, 10**9) / 1024)
