"""Conversions that refuse every binary float, and sums that never drift."""

from __future__ import annotations

import decimal
import math
from decimal import Decimal as D
from enum import Enum
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.errors import ContractError
from qts.money import (
    PRECISION,
    decimal_fraction,
    decimal_of,
    exact_quotient,
    floor_to,
    is_bounded,
    is_multiple,
    magnitude,
    minus,
    multiple_of,
    negated,
    plus,
    positive,
    power_of_ten,
    ratio,
    remainder,
    split,
    steps_in,
    sum_of,
    times,
    truncate_to,
    without_zeros,
)


@pytest.mark.parametrize(
    ("value", "number"), [("1.10", D("1.10")), (7, D(7)), (D("-0.5"), D("-0.5")), ("1e3", D(1000)), (" 2 ", D(2))]
)
def test_text_integers_and_decimals_come_in(value: Any, number: D) -> None:
    assert decimal_of(value) == number
    assert isinstance(decimal_of(value), D)


@pytest.mark.parametrize(
    "value",
    [0.1, 1.0, True, False, None, b"1", [1], "", "a", "1,000", "nan", "inf", D("NaN"), D("Infinity"), D("sNaN")],
)
def test_floats_bools_and_what_is_no_number_do_not(value: Any) -> None:
    with pytest.raises(ContractError, match="price"):
        decimal_of(value, "price")


def test_the_message_names_type_and_value() -> None:
    with pytest.raises(ContractError, match=r"price must be text, an int or a Decimal, not float 0\.1"):
        decimal_of(0.1, "price")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, "-0.01", D("-1"), "-0"])
def test_positive_is_above_zero(value: Any) -> None:
    with pytest.raises(ContractError, match="tick must be above 0"):
        positive(value, "tick")


def test_the_smallest_positive_passes() -> None:
    assert positive("0.00000001") == D("0.00000001")


@pytest.mark.parametrize(
    ("value", "step", "floor", "cut"),
    [
        ("10.7", "1", "10", "10"),
        ("10.7", "0.5", "10.5", "10.5"),
        ("-10.2", "1", "-11", "-10"),
        ("149999", "100", "149900", "149900"),
        ("150000", "100", "150000", "150000"),
        ("0.99", "1", "0", "0"),
    ],
)
def test_flooring_goes_down_and_truncating_toward_zero(value: str, step: str, floor: str, cut: str) -> None:
    assert floor_to(D(value), D(step)) == D(floor)
    assert truncate_to(D(value), D(step)) == D(cut)


@pytest.mark.parametrize(
    ("value", "step", "on_grid"),
    [
        ("150000", "100", True),
        ("150050", "100", False),
        ("0.30", "0.1", True),
        ("0.35", "0.1", False),
        ("0", "5", True),
    ],
)
def test_the_grid(value: str, step: str, on_grid: bool) -> None:
    assert is_multiple(D(value), D(step)) is on_grid


class Part(Enum):
    A = "A"
    B = "B"
    C = "C"


def test_a_split_gives_the_remainder_to_one_named_part() -> None:
    # A third of 100 is 33.33…: 33 + 33 + 34.
    parts = split(D(100), {Part.A: D(1), Part.B: D(1), Part.C: D(1)}, D(1), Part.C)

    assert parts == {Part.A: D(33), Part.B: D(33), Part.C: D(34)}


@pytest.mark.parametrize(
    ("total", "weights", "remainder"),
    [
        (D(-1), {Part.A: D(1)}, Part.A),
        (D(1), {Part.A: D(0)}, Part.A),
        (D(1), {Part.A: D(2), Part.B: D(-1)}, Part.A),
        (D(1), {Part.A: D(1)}, Part.B),
    ],
)
def test_a_split_that_makes_no_sense_is_refused(total: D, weights: dict[Part, D], remainder: Part) -> None:
    with pytest.raises(ContractError, match="cannot split"):
        split(total, weights, D(1), remainder)


@settings(max_examples=100)
@given(
    total=st.integers(0, 10**15),
    weights=st.lists(st.integers(0, 10**6), min_size=3, max_size=3).filter(any),
    cents=st.sampled_from(["1", "0.01", "100"]),
)
def test_the_parts_of_a_split_always_sum_to_the_whole(total: int, weights: list[int], cents: str) -> None:
    quantum = D(cents)
    whole = total * quantum
    shares = dict(zip(Part, map(D, weights), strict=True))

    parts = split(whole, shares, quantum, Part.B)

    assert sum(parts.values()) == whole
    assert all(part >= 0 and is_multiple(part, quantum) for part in parts.values())
    for name in (Part.A, Part.C):
        assert 0 <= whole * shares[name] / sum(shares.values()) - parts[name] < quantum + D("1e-9")


def test_a_float_of_the_configuration_becomes_what_was_written_or_the_nearest_that_adds_exactly() -> None:
    assert decimal_fraction("0.15") == D("0.15")
    assert decimal_fraction("1e-300") == 0
    assert decimal_fraction("1.5e-30") == D("2E-30")


@pytest.mark.parametrize(
    ("number", "bounded"),
    [
        (D("999999999999999.999999999999999999999999999999"), True),
        (D("1E+15"), False),
        (D("1E-30"), True),
        (D("1E-31"), False),
        (D("-0"), True),
        (D("NaN"), False),
        (D("-Infinity"), False),
    ],
)
def test_numbers_of_input_have_fifteen_digits_before_and_thirty_behind_the_point(number: D, bounded: bool) -> None:
    assert is_bounded(number) is bounded


def test_a_sum_that_would_have_to_be_rounded_is_an_error() -> None:
    """Given 10^147, when 1 is added, then 148 digits are needed, one more than there are."""
    with pytest.raises(decimal.Inexact):
        plus(D(10) ** (PRECISION), D("0.1"))
    with pytest.raises(decimal.Inexact):
        exact_quotient(D(1), D(3))


@pytest.mark.parametrize("precision", [1, 3, 28])
@pytest.mark.parametrize("trapped", [False, True])
def test_no_function_asks_the_calling_threads_context(precision: int, trapped: bool) -> None:
    traps = [decimal.Inexact, decimal.Rounded, decimal.Subnormal] if trapped else []
    hostile = decimal.Context(
        precision, decimal.ROUND_UP, Emin=-1, Emax=1, capitals=0, clamp=1, flags=[], traps=traps
    )
    with decimal.localcontext(hostile) as mine:
        got = [
            plus(D("12345.678"), D("0.0001")),
            minus(D("12345.678"), D("0.0001")),
            times(D("12345.678"), D("0.01")),
            negated(D("12345.678")),
            magnitude(D("-12345.678")),
            sum_of([D("12345.678"), D("0.0001")]),
            ratio(D(2), D(3)),
            floor_to(D("12345.678"), D("0.05")),
            truncate_to(D("-12345.678"), D("0.05")),
            remainder(D("12345.678"), D("0.05")),
            steps_in(D("12345.678"), D("0.05")),
            without_zeros(D("12345.67800")),
            power_of_ten(-3),
            decimal_fraction("0.12345"),
            *split(D(12345), {"a": D(1), "b": D(2)}, D("0.01"), "b").values(),
        ]
        untouched = not any(mine.flags.values())
    assert untouched
    assert [str(one) for one in got] == [
        "12345.6781",
        "12345.6779",
        "123.45678",
        "-12345.678",
        "12345.678",
        "12345.6781",
        "0.6666666666666666666666666667",
        "12345.65",
        "-12345.65",
        "0.028",
        "246913",
        "12345.678",
        "0.001",
        "0.12345",
        "4115",
        "8230",
    ]


@settings(max_examples=200, deadline=None)
@given(
    st.integers(-(10**60), 10**60),
    st.integers(1, 10**45),
    st.sampled_from((decimal.ROUND_FLOOR, decimal.ROUND_DOWN, decimal.ROUND_CEILING, decimal.ROUND_HALF_EVEN)),
)
def test_a_multiple_is_rounded_once_as_fractions_round(value: int, step: int, rounding: str) -> None:
    quotient = Fraction(value, step)
    expected = {
        decimal.ROUND_FLOOR: math.floor(quotient),
        decimal.ROUND_DOWN: math.trunc(quotient),
        decimal.ROUND_CEILING: math.ceil(quotient),
        decimal.ROUND_HALF_EVEN: round(quotient),
    }[rounding]
    assert multiple_of(D(value), D(step), rounding) == expected * step
