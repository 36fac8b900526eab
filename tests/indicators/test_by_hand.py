"""Indicators worked by hand from their published formulae, those among them that TA-Lib does not have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from qts.indicators import (
    Adx,
    Atr,
    Bollinger,
    Candle,
    Cci,
    Donchian,
    Highest,
    Hma,
    Keltner,
    LinReg,
    Lowest,
    Macd,
    Mfi,
    Obv,
    Roc,
    Rsi,
    Sar,
    StdDev,
    Stoch,
    SuperTrend,
    Vwap,
    WillR,
    Wma,
    ZScore,
)  # fmt: skip

NAN = float("nan")


def bar(high: float, low: float, close: float, volume: float = 1.0, day: str = "") -> Candle:
    return Candle(low, high, low, close, volume, day)


def run(indicator: Any, inputs: Sequence[Any]) -> list[Any]:
    return [indicator.update(x) for x in inputs]


def test_wma_weighs_the_newest_most() -> None:
    # (1×1 + 2×2 + 3×6) / 6, then (1×2 + 2×6 + 3×0) / 6
    assert run(Wma(3), [1.0, 2.0, 6.0, 0.0])[2:] == pytest.approx([23 / 6, 14 / 6])


def test_hma_is_a_mean_of_what_a_short_mean_runs_ahead() -> None:
    # Given length 4: half 2, root 2. Of 1, 2, 4, 8, 16
    # Wma(4): (1 + 4 + 12 + 32) / 10 = 4.9; (2 + 8 + 24 + 64) / 10 = 9.8
    # Wma(2): (4 + 16) / 3 = 20/3; (8 + 32) / 3 = 40/3
    # 2 × short − long: 40/3 − 4.9; 80/3 − 9.8; of these Wma(2) weighs 1 and 2
    first, second = 40 / 3 - 4.9, 80 / 3 - 9.8

    values = run(Hma(4), [1.0, 2.0, 4.0, 8.0, 16.0])

    assert all(math.isnan(value) for value in values[:4])
    assert values[4] == pytest.approx((first + 2 * second) / 3)


def test_vwap_begins_again_with_the_day() -> None:
    monday, tuesday = "2026-01-05", "2026-01-06"
    bars = [bar(11, 9, 10, 100, monday), bar(13, 11, 12, 300, monday), bar(21, 19, 20, 5, tuesday)]

    # (10 × 100 + 12 × 300) / 400 = 11.5; the next day knows nothing of it
    assert run(Vwap(), bars) == [10.0, 11.5, 20.0]


def test_vwap_of_the_last_bars() -> None:
    bars = [bar(10, 10, 10, 100), bar(12, 12, 12, 300), bar(20, 20, 20, 100), bar(30, 30, 30, 0)]

    values = run(Vwap(2), bars)

    assert math.isnan(values[0])
    assert values[1:] == [11.5, 14.0, 20.0]


def test_vwap_without_volume_is_the_newest_price() -> None:
    assert run(Vwap(), [bar(10, 10, 10, 0), bar(12, 12, 12, 0), bar(20, 20, 20, 5)]) == [10.0, 12.0, 20.0]
    assert run(Vwap(2), [bar(10, 10, 10, 0), bar(12, 12, 12, 0)])[1] == 12.0


def test_rsi_is_the_share_of_the_rises() -> None:
    # Changes +2, −1: means 1 and 0.5, so 100 × 1 / 1.5. Then +3: (1 + 3) / 2 = 2 and (0.5 + 0) / 2 = 0.25
    values = run(Rsi(2), [10.0, 12.0, 11.0, 14.0])

    assert all(math.isnan(value) for value in values[:2])
    assert values[2:] == pytest.approx([100 / 1.5, 100 * 2 / 2.25])


def test_rsi_at_its_ends() -> None:
    assert run(Rsi(2), [1.0, 2.0, 3.0, 4.0])[-1] == 100.0
    assert run(Rsi(2), [4.0, 3.0, 2.0, 1.0])[-1] == 0.0


def test_macd_signal_and_histogram() -> None:
    # Given Ema(1) is the number itself, Ema(2) begins with the mean of two and moves by 2/3
    macd = Macd(fast=1, slow=2, signal_length=2)

    values = run(macd, [1.0, 3.0, 6.0])

    # Then slow: 2, 2 + 2/3 × 4 = 14/3; macd: 1, 4/3; signal: their mean 7/6
    assert all(math.isnan(value) for value in values[:2])
    assert (macd.value, macd.signal.value, macd.histogram.value) == pytest.approx((4 / 3, 7 / 6, 1 / 6))


def test_macd_crosses_its_signal() -> None:
    macd = Macd(fast=1, slow=2, signal_length=2)

    run(macd, [9.0, 6.0, 3.0, 9.0])

    # Then slow: 7.5, 4.5, 7.5; macd: −1.5, −1.5, 1.5; signal: −1.5, −1.5 + 2/3 × 3 = 0.5
    assert macd.crossed_above(macd.signal)
    assert not macd.crossed_below(macd.signal)


def test_macd_continues_from_the_memory_of_a_version_whose_mean_was_the_signal() -> None:
    # Given closes of which three were seen, in a memory where the mean [previous, value, count, mean, weight] is
    # the signal, and no line stands before it: 7/6 of two numbers, moved by 2/3
    before = Macd(1, 2, 2)
    run(before, [1.0, 3.0, 6.0])
    state = before.export_state()
    mean = state[5]
    mean[:2] = [math.nan, 7 / 6]
    earlier = [*state[:4], mean, *state[6:]]

    # When it goes on
    macd = Macd(1, 2, 2)
    macd.import_state(earlier)

    # Then it is where the other is, now and after the next number
    for one in (before, macd):
        assert (one.value, one.signal.value, one.histogram.value) == pytest.approx((4 / 3, 7 / 6, 1 / 6))
        one.update(9.0)
    assert (macd.value, macd.signal.value, macd.signal.previous) == pytest.approx(
        (before.value, before.signal.value, 7 / 6)
    )


def test_roc_in_percent() -> None:
    assert run(Roc(2), [10.0, 5.0, 12.0, 5.0])[2:] == pytest.approx([20.0, 0.0])
    assert run(Roc(1), [0.0, 5.0])[1] == 0.0  # a change from 0 has no percentage


def test_cci_in_mean_distances() -> None:
    # Typical prices 1, 2, 6: mean 3, mean distance (2 + 1 + 3) / 3 = 2; (6 − 3) / (0.015 × 2) = 100
    assert run(Cci(3), [bar(1, 1, 1), bar(2, 2, 2), bar(6, 6, 6)])[2] == pytest.approx(100.0)


def test_stoch_and_its_signal() -> None:
    # Raw %K: (9 − 5) / (10 − 5) = 80 %, (6 − 5) / 5 = 20 %, (10 − 5) / 5 = 100 %; means of two: 50, 60
    stoch = Stoch(2, smooth=2, signal_length=2)

    values = run(stoch, [bar(10, 5, 5), bar(10, 6, 9), bar(8, 5, 6), bar(10, 7, 10)])

    assert math.isnan(values[2])
    assert (stoch.value, stoch.signal.value) == pytest.approx((60.0, 55.0))


def test_willr_below_the_highest() -> None:
    # (12 − 9) / (12 − 4) = 37.5 %
    assert run(WillR(2), [bar(12, 6, 8), bar(10, 4, 9)])[1] == -37.5


def test_mfi_is_the_share_of_the_turnover_of_rising_bars() -> None:
    # Typical 10, 12 up × 5 = 60, 11 down × 2 = 22, 11 the same: left out
    bars = [bar(10, 10, 10, 7), bar(12, 12, 12, 5), bar(11, 11, 11, 2), bar(11, 11, 11, 9)]

    values = run(Mfi(2), bars)

    assert values[2:] == pytest.approx([100 * 60 / 82, 0.0])


def test_atr_counts_the_gap() -> None:
    # Ranges after the first bar: max(12, 10) − min(11, 10) = 2, 15 − 11.5 = 3.5, mean 2.75; then (2.75 + 1) / 2
    values = run(Atr(2), [bar(10, 9, 10), bar(12, 11, 11.5), bar(15, 14, 14), bar(14, 13, 13.5)])

    assert all(math.isnan(value) for value in values[:2])
    assert values[2:] == [2.75, 1.875]


def test_bollinger_bands() -> None:
    # Of 2, 4, 4, 4, 5, 5, 7, 9 the mean is 5 and the deviation 2
    bands = Bollinger(8, 1.5)

    run(bands, [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0])

    assert (bands.value, bands.upper.value, bands.lower.value) == pytest.approx((5.0, 8.0, 2.0))


def test_deviation_and_score() -> None:
    numbers = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]

    assert run(StdDev(8), numbers)[7] == pytest.approx(2.0)
    assert run(ZScore(8), numbers)[7] == pytest.approx(2.0)  # (9 − 5) / 2


def test_keltner_channel() -> None:
    # Ema(2) of 10, 12, 15: 11, then 11 + 2/3 × 4; true ranges 3 and 4: Atr(2) is 3.5
    channel = Keltner(2, 2.0, ranges=2)

    values = run(channel, [bar(10, 10, 10), bar(13, 11, 12), bar(16, 13, 15)])

    assert all(math.isnan(value) for value in values[:2])
    middle = 11 + 8 / 3
    assert (channel.value, channel.upper.value, channel.lower.value) == pytest.approx(
        (middle, middle + 7, middle - 7)
    )


def test_donchian_channel_has_the_newest_bar_in_it() -> None:
    channel = Donchian(2)

    run(channel, [bar(10, 8, 9), bar(12, 9, 11), bar(14, 11, 13)])

    assert (channel.upper.value, channel.lower.value, channel.value) == (14.0, 9.0, 11.5)
    assert channel.upper.previous == 12.0


def test_line_of_best_fit() -> None:
    # Through (1, 1), (2, 2), (3, 6): slope 5/2, mean 3 at 2, so 5.5 at the end
    line = LinReg(3)

    run(line, [1.0, 2.0, 6.0])

    assert (line.value, line.slope.value) == pytest.approx((5.5, 2.5))


def test_highest_and_lowest() -> None:
    numbers = [3.0, 1.0, 2.0, 0.0, 0.5]

    assert run(Highest(3), numbers)[2:] == [3.0, 2.0, 2.0]
    assert run(Lowest(3), numbers)[2:] == [1.0, 0.0, 0.0]


def test_adx_of_a_market_that_only_rises() -> None:
    # Every move is up: minus is 0, so each index is 100, and so is their average
    adx = Adx(2)

    values = run(adx, [bar(at + 1, at, at + 1) for at in range(1, 7)])

    assert all(math.isnan(value) for value in values[:3])
    assert values[3:] == [100.0, 100.0, 100.0]
    # The high rises by 1 a bar, the true range is 1 as well
    assert (adx.plus.value, adx.minus.value) == (100.0, 0.0)


def test_sar_follows_and_turns() -> None:
    # Given a rise: it begins at the low before, 10, with the extreme 13
    sar = Sar(step=0.1, most=0.2)

    values = run(sar, [bar(12, 10, 11), bar(13, 11, 12), bar(14, 12.5, 13.5), bar(13, 9, 9.5)])

    # When the third bar makes a new extreme the acceleration grows to 0.2: 10 + 0.1 × 3 = 10.3 for it, then
    # 10.3 + 0.2 × (14 − 10.3) = 11.04, which the fourth bar's low of 9 breaks: the stop turns to the extreme, 14
    assert math.isnan(values[0])
    assert values[1:] == pytest.approx([10.0, 10.3, 14.0])
    assert sar.rising is False


def test_supertrend_begins_falling_and_turns_above_its_band() -> None:
    # Given true ranges of 2 throughout and a width of 1: bands at the middle ± 2
    trend = SuperTrend(1, 1.0)
    bars = [bar(11, 9, 10), bar(11, 9, 10), bar(12, 10, 11), bar(16, 14, 15), bar(15, 13, 14), bar(11, 9, 10)]

    values = run(trend, bars)

    # 10 + 2: falling, the band stays at 12; a close of 15 is above it: rising, with a true range of 16 − 11 the
    # lower band is 15 − 5 = 10; then 14 − 2 = 12; a close of 10 is below it: with a range of 14 − 9 the upper band
    # is 10 + 5
    assert math.isnan(values[0])
    assert values[1:] == [12.0, 12.0, 10.0, 12.0, 15.0]
    assert trend.rising is False


def test_obv_adds_and_subtracts_volume() -> None:
    bars = [bar(10, 10, 10, 100), bar(11, 11, 11, 50), bar(10, 10, 10, 30), bar(10, 10, 10, 70)]

    assert run(Obv(), bars) == [100.0, 150.0, 120.0, 120.0]
