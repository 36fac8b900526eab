"""Texts of numbers: whole columns and single cells give the same exact decimals, or nothing."""

from __future__ import annotations

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.market.bars.figures import DECIMAL, THOUSANDS, Scaled, Signs, comma_of, plain_column, scaled
from qts.market.files.refusals import RowRefused

PLAIN = st.decimals(min_value=0, max_value=10**9, places=None, allow_nan=False).map(lambda number: f"{number:.6f}")
CELL = st.one_of(PLAIN, st.integers(0, 10**12).map(str), st.text("0123456789.,-eE x", max_size=8))


@given(st.lists(CELL, min_size=1, max_size=20))
def test_a_whole_column_is_what_its_cells_are_one_by_one(texts: list[str]) -> None:
    column = plain_column(texts)
    if column is None:
        return  # left to the cells
    assert [number.scaleb(column.decimals) for number in map(D, texts)] == column.numbers


@given(st.lists(PLAIN, min_size=1, max_size=20))
def test_plain_decimals_are_always_read_as_a_whole(texts: list[str]) -> None:
    assert plain_column(texts) == Scaled([int(text.replace(".", "")) for text in texts], 6)


@pytest.mark.parametrize(
    "text", ["", "1_000", "1 ", "+1", "1e3", "-1", "٣", "1.2.3", "1.234.56", "NaN", "1,5", "."]
)
def test_anything_but_digits_and_one_point_is_left_to_the_cells(text: str) -> None:
    assert plain_column(["1.50", text]) is None
    assert plain_column([text, "1.50"]) is None


@given(st.lists(st.decimals(0, 10**6, places=4), min_size=1))
def test_numbers_in_their_finest_step_are_the_numbers(numbers: list[D]) -> None:
    found = scaled(numbers)
    assert [D(number).scaleb(-found.decimals) for number in found.numbers] == numbers


@pytest.mark.parametrize(
    ("text", "comma", "number"),
    [
        ("1,234,567", THOUSANDS, "1234567"),
        ("₩70,000", THOUSANDS, "70000"),
        ("70,000원", THOUSANDS, "70000"),
        ("$186.06", "", "186.06"),
        ("1.234,56", DECIMAL, "1234.56"),
        ("1.234", DECIMAL, "1234"),
        ("150.77000427246094", "", "150.77"),  # a 32-bit float
        ("2310.4799999999996", "", "2310.48"),  # a 64-bit float
        ("0.30000000000000004", "", "0.3"),
        ("148.12345678", "", "148.12345678"),
        ("1e-05", "", "0.00001"),
    ],
)
def test_a_cell_is_the_number_that_was_meant(text: str, comma: str, number: str) -> None:
    assert Signs(comma).number(text) == D(number)


@pytest.mark.parametrize("text", ["", "-", "--", "null", "NaN", "None", "N/A", " nan "])
def test_words_for_an_unknown_value_are_no_number(text: str) -> None:
    assert Signs().number(text) is None


@pytest.mark.parametrize(
    ("text", "comma"), [("1,5", THOUSANDS), ("1,234", ""), ("1.23,4", DECIMAL), ("x", ""), ("1M", "")]
)
def test_what_is_no_number_is_refused(text: str, comma: str) -> None:
    with pytest.raises(RowRefused):
        Signs(comma).number(text)


def test_a_volume_may_be_a_rounded_count_of_thousands_and_millions() -> None:
    assert Signs().number("12.34M", volume=True) == 12_340_000
    assert Signs().number("5K", volume=True) == 5_000


@pytest.mark.parametrize(
    ("cells", "meaning"),
    [
        (["1", "2.5"], ""),
        (["70,000"], None),
        (["70,000", "1,234,567"], THOUSANDS),
        (["70,000", "1,234.5"], THOUSANDS),
        (["70,000", "151,7"], DECIMAL),
        (["1.234,567"], DECIMAL),
        (["0,123"], DECIMAL),
        (["hello, world"], ""),
    ],
)
def test_the_meaning_of_a_comma_is_settled_by_one_cell_or_left_open(cells: list[str], meaning: str | None) -> None:
    assert comma_of(cells) == meaning
