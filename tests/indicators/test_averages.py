"""Moving averages, by hand."""

from __future__ import annotations

import math

from qts.indicators import Ema, Sma, ema_weight


def test_weight_of_an_exponential_mean() -> None:
    assert (ema_weight(1), ema_weight(3), ema_weight(19)) == (1.0, 0.5, 0.1)


def test_a_simple_mean_is_ready_with_its_last_number_and_then_moves_along() -> None:
    sma = Sma(3)

    values = [sma.update(x) for x in (1.0, 2.0, 6.0, 4.0, 8.0, 0.0, 3.0)]

    assert all(math.isnan(value) for value in values[:2])
    assert values[2:] == [3.0, 4.0, 6.0, 4.0, 11.0 / 3.0]


def test_a_simple_mean_of_one_number_is_the_number() -> None:
    sma = Sma(1)

    assert [sma.update(x) for x in (5.0, 7.0, 9.0)] == [5.0, 7.0, 9.0]


def test_one_huge_number_leaves_nothing_behind_in_a_simple_mean() -> None:
    sma = Sma(2)

    for x in (1e99, 1.0, 2.0):
        sma.update(x)

    assert sma.value == 1.5


def test_an_exponential_mean_begins_with_the_mean_of_its_first_numbers() -> None:
    # Given a length of 3: each number moves the mean by 2 / 4 of the distance
    ema = Ema(3)

    values = [ema.update(x) for x in (1.0, 2.0, 6.0, 5.0, 0.0)]

    # Then (1 + 2 + 6) / 3 = 3, halfway to 5 is 4, halfway to 0 is 2
    assert all(math.isnan(value) for value in values[:2])
    assert values[2:] == [3.0, 4.0, 2.0]
