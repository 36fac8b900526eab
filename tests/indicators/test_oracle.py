"""The values are TA-Lib's, to nine digits and ready at the same bar, where TA-Lib has the function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.indicators import (
    Adx,
    Atr,
    Bollinger,
    Candle,
    Cci,
    Donchian,
    Ema,
    Highest,
    Indicator,
    LinReg,
    Lowest,
    Macd,
    Mfi,
    Obv,
    Roc,
    Rsi,
    Sar,
    Sma,
    StdDev,
    Stoch,
    WillR,
    Wma,
)  # fmt: skip

from .bars import candles_of, random_candles, sample_candles

talib = pytest.importorskip("talib", reason="TA-Lib (extra `test`) is not installed")
numpy = pytest.importorskip("numpy")

VALUE, SIGNAL = "value", "signal.value"
Theirs = Callable[[Any], Sequence[Any]]
CASES: dict[str, tuple[Callable[[], Indicator], tuple[str, ...], Theirs]] = {
    "SMA": (lambda: Sma(20), (VALUE,), lambda x: [talib.SMA(x.close, 20)]),
    "EMA": (lambda: Ema(20), (VALUE,), lambda x: [talib.EMA(x.close, 20)]),
    "WMA": (lambda: Wma(20), (VALUE,), lambda x: [talib.WMA(x.close, 20)]),
    "RSI": (lambda: Rsi(14), (VALUE,), lambda x: [talib.RSI(x.close, 14)]),
    "STOCH": (
        lambda: Stoch(14, 3, 5), (VALUE, SIGNAL), lambda x: talib.STOCH(x.high, x.low, x.close, 14, 3, 0, 5, 0)
    ),
    "MACD": (
        lambda: Macd(12, 26, 9), (VALUE, SIGNAL, "histogram.value"), lambda x: talib.MACD(x.close, 12, 26, 9)
    ),
    "ROC": (lambda: Roc(10), (VALUE,), lambda x: [talib.ROC(x.close, 10)]),
    "CCI": (lambda: Cci(20), (VALUE,), lambda x: [talib.CCI(x.high, x.low, x.close, 20)]),
    "WILLR": (lambda: WillR(14), (VALUE,), lambda x: [talib.WILLR(x.high, x.low, x.close, 14)]),
    "MFI": (lambda: Mfi(14), (VALUE,), lambda x: [talib.MFI(x.high, x.low, x.close, x.volume, 14)]),
    "ATR": (lambda: Atr(14), (VALUE,), lambda x: [talib.ATR(x.high, x.low, x.close, 14)]),
    "BBANDS": (
        lambda: Bollinger(20, 2), ("upper.value", VALUE, "lower.value"), lambda x: talib.BBANDS(x.close, 20)
    ),
    "MAX of the highs, MIN of the lows": (
        lambda: Donchian(9), ("upper.value", "lower.value"), lambda x: [talib.MAX(x.high, 9), talib.MIN(x.low, 9)]
    ),
    "STDDEV": (lambda: StdDev(20), (VALUE,), lambda x: [talib.STDDEV(x.close, 20, 1)]),
    "LINEARREG, LINEARREG_SLOPE": (
        lambda: LinReg(14),
        (VALUE, "slope.value"),
        lambda x: [talib.LINEARREG(x.close, 14), talib.LINEARREG_SLOPE(x.close, 14)],
    ),
    "MAX": (lambda: Highest(20), (VALUE,), lambda x: [talib.MAX(x.close, 20)]),
    "MIN": (lambda: Lowest(20), (VALUE,), lambda x: [talib.MIN(x.close, 20)]),
    "ADX, PLUS_DI, MINUS_DI": (
        lambda: Adx(14),
        (VALUE, "plus.value", "minus.value"),
        lambda x: [f(x.high, x.low, x.close, 14) for f in (talib.ADX, talib.PLUS_DI, talib.MINUS_DI)],
    ),
    "SAR": (lambda: Sar(0.02, 0.2), (VALUE,), lambda x: [talib.SAR(x.high, x.low, 0.02, 0.2)]),
    "OBV": (lambda: Obv(), (VALUE,), lambda x: [talib.OBV(x.close, x.volume)]),
}  # fmt: skip


class Columns:
    """The bars as TA-Lib takes them."""

    def __init__(self, candles: Sequence[Candle]) -> None:
        for name in ("open", "high", "low", "close", "volume"):
            setattr(self, name, numpy.array([getattr(candle, name) for candle in candles]))


def compare(case: str, candles: Sequence[Candle]) -> None:
    """Compare every line at every bar; 1e-9 is a share of the value, or of the price where the value is near 0."""
    make, names, theirs = CASES[case]
    indicator, rows = make(), []
    of_lines = [attrgetter(name) for name in names]
    for candle in candles:
        indicator.update(candle)
        rows.append([line(indicator) for line in of_lines])
    scale = max(1.0, max(candle.high for candle in candles))
    for name, ours, expected in zip(names, numpy.array(rows).T, theirs(Columns(candles)), strict=True):
        assert (numpy.isnan(ours) == numpy.isnan(expected)).all(), f"{case} {name}: not ready at the same bar"
        numpy.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-9 * scale, err_msg=f"{case} {name}")


def test_there_is_a_case_for_every_function_that_is_named() -> None:
    from qts.indicators import INDICATORS

    assert {kind.about.ta_lib for kind in INDICATORS if kind.about and kind.about.ta_lib} == set(CASES)
    assert {type(make()) for make, _, _ in CASES.values()} == {
        kind for kind in INDICATORS if kind.about and kind.about.ta_lib
    }


@pytest.mark.parametrize("case", CASES)
def test_on_five_years_of_005930(case: str) -> None:
    compare(case, sample_candles())


@pytest.mark.parametrize("start", [0.01, 100.0, 80_000_000.0])
@pytest.mark.parametrize("case", CASES)
def test_on_random_walks(case: str, start: float) -> None:
    for seed in range(4):
        compare(case, random_candles(seed, start=start))


# Small whole prices: TA-Lib's differences of sums of squares keep nine digits then, also where prices hardly move.
closes = st.lists(st.integers(10, 60), min_size=60, max_size=120).filter(lambda made: len(set(made[:12])) > 1)


@pytest.mark.parametrize("case", CASES)
@given(closes=closes, wick=st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_on_any_series(case: str, closes: list[int], wick: int) -> None:
    candles = candles_of([float(close) for close in closes], wick=float(wick))
    if case == "MFI":  # at least one of any 14 bars moves: 0 / 0 is tested by itself
        candles = [
            Candle(one.open, one.high, one.low, one.close + 0.25 * (at % 2), one.volume)
            for at, one in enumerate(candles)
        ]
    compare(case, candles)
