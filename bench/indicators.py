"""How long an update of an indicator takes, beside ``add`` of talipp where that is installed.

``python -m bench.indicators [--quick] [--json]``. Both sides are given the same floats, one after the other; talipp
keeps every input and output, so each run begins with a fresh indicator. CPU time, medians of runs by turns.
"""

from __future__ import annotations

import random
import statistics
import sys
from collections.abc import Callable, Sequence
from time import process_time_ns
from typing import Any

from bench.figures import machine, median_ratio, table
from bench.suite import run_suite
from qts.indicators import INDICATORS, Atr, Candle, Ema, Indicator, Macd, NumberIndicator, Rsi, Sma, settings_of

VALUES, RUNS, QUICK_RUNS = 5_000, 15, 5
BAR = 1 / 3
LENGTH = 20
JUDGED: dict[str, tuple[Callable[[], Indicator], str, tuple[int, ...]]] = {
    "Ema": (lambda: Ema(LENGTH), "EMA", (LENGTH,)),
    "Sma": (lambda: Sma(LENGTH), "SMA", (LENGTH,)),
    "Rsi": (lambda: Rsi(14), "RSI", (14,)),
    "Atr": (lambda: Atr(14), "ATR", (14,)),
    "Macd": (lambda: Macd(12, 26, 9), "MACD", (12, 26, 9)),
}
"""Name, ours, the peer's class and its settings."""


def measure(*, quick: bool = False) -> dict[str, Any]:
    """Nanoseconds an update, medians; ratios of neighbouring runs."""
    runs = QUICK_RUNS if quick else RUNS
    candles = _candles()
    closes = [candle.close for candle in candles]
    ours = {
        kind.__name__: round(statistics.median(_update_ns(_example(kind), candles, closes) for _ in range(runs)))
        for kind in INDICATORS
    }
    ratios, peer_ns, missing = {}, {}, ""
    try:
        from talipp import indicators as talipp
        from talipp.ohlcv import OHLCV
    except ImportError as error:
        missing = f"talipp: {error}; install the extra `bench`"
    else:
        bars = [OHLCV(one.open, one.high, one.low, one.close, one.volume) for one in candles]
        for name, (make, peer, settings) in JUDGED.items():
            mine, theirs = [], []
            for _ in range(runs):
                mine.append(_update_ns(make(), candles, closes))
                add = getattr(talipp, peer)(*settings).add
                theirs.append(_each_ns(add, bars if name == "Atr" else closes))
            ratios[name], peer_ns[name] = median_ratio(mine, theirs), round(statistics.median(theirs))
    return {
        "machine": machine(),
        "runs": runs,
        "values": VALUES,
        "ns": ours,
        "peer_ns": peer_ns,
        "ratios": ratios,
        "missing": missing,
        "targets": [
            {
                "what": f"{name}.update, x talipp's add, CPU",
                "value": ratios.get(name),
                "bar": round(BAR, 3),
                "met": ratios[name] <= BAR if name in ratios else None,
            }
            for name in JUDGED
        ],
    }


def show(report: dict[str, Any]) -> str:
    rows = [
        [name, f"{took} ns", f"{report['peer_ns'].get(name, '')}", f"{report['ratios'].get(name, '')}"]
        for name, took in report["ns"].items()
    ]
    shown = table(["indicator", "update", "talipp's add, ns", "ratio"], rows)
    return f"{shown}\n\n{report['missing']}" if report["missing"] else shown


def _example(kind: type[Indicator]) -> Indicator:
    return kind(length=LENGTH) if isinstance(settings_of(kind).get("length"), type) else kind()


def _update_ns(indicator: Indicator, candles: Sequence[Candle], closes: Sequence[float]) -> float:
    return _each_ns(indicator.update, closes if isinstance(indicator, NumberIndicator) else candles)


def _each_ns(call: Callable[[Any], Any], values: Sequence[Any]) -> float:
    begun = process_time_ns()
    for value in values:
        call(value)
    return (process_time_ns() - begun) / len(values)


def _candles() -> list[Candle]:
    rng, price, made = random.Random(1), 1_000.0, []
    for _ in range(VALUES):
        price *= 1 + rng.gauss(0, 0.001)
        made.append(Candle(price, price * 1.001, price * 0.999, price, float(rng.randrange(1, 1_000))))
    return made


if __name__ == "__main__":
    sys.exit(run_suite("indicators", __doc__, "fewer runs", sys.argv[1:], measure, show))
