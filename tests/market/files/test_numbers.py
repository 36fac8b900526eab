"""Texts become Decimals exactly, or are refused with a reason."""

from decimal import Decimal

import pytest

from qts.market.files import numbers
from qts.market.files.numbers import PriceTable, SizeTable, number_of
from qts.market.files.refusals import RowRefused


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("61800.30", "61800.30"),
        ("0.00000001", "0.00000001"),
        ("1e-05", "0.00001"),
        ("2.5E3", "2500"),
        ("999999999999999", "999999999999999"),
        ("0.0000000000010", "0.000000000001"),
    ],
)
def test_plain_decimal_text_becomes_exactly_that_number(text: str, expected: str) -> None:
    assert number_of(text) == Decimal(expected)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not_a_number"),
        (".", "not_a_number"),
        ("abc", "not_a_number"),
        ("true", "not_a_number"),
        ("null", "not_a_number"),
        ("1_000", "not_a_number"),
        (" 1", "not_a_number"),
        ("1,5", "not_a_number"),
        ("٣٤", "not_a_number"),
        ("1²", "not_a_number"),
        ("1.2.3", "not_a_number"),
        ("0x10", "not_a_number"),
        ("NaN", "not_finite"),
        ("-nan", "not_finite"),
        ("inf", "not_finite"),
        ("-Infinity", "not_finite"),
        ("1e308", "out_of_range"),
        ("1000000000000000", "out_of_range"),
        ("0.0000000000009", "out_of_range"),
        ("1" * 41, "out_of_range"),
        ("x" * 5000, "not_a_number"),
    ],
)
def test_anything_else_is_refused_by_reason(text: str, reason: str) -> None:
    with pytest.raises(RowRefused) as refused:
        number_of(text)
    assert refused.value.reason == reason


@pytest.mark.parametrize("text", ["0", "0.00", "-0.0", "-1", "-61800.30"])
def test_a_price_is_above_zero(text: str) -> None:
    with pytest.raises(RowRefused) as refused:
        PriceTable()[text]
    assert refused.value.reason == "nonpositive_price"
    assert refused.value.value == text


def test_a_size_may_be_zero_but_not_negative() -> None:
    sizes = SizeTable()
    assert sizes["0.000"] == 0
    with pytest.raises(RowRefused) as refused:
        sizes["-0.0"]
    assert refused.value.reason == "negative_size"


def test_a_refused_text_is_refused_every_time() -> None:
    prices = PriceTable()
    for _ in range(2):
        with pytest.raises(RowRefused):
            prices["0"]
    assert len(prices) == 0


def test_the_same_text_gives_the_same_object_and_memory_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbers, "MAX_TEXTS", 10)
    prices = PriceTable()
    assert prices["1.5"] is prices["1.5"]
    for number in range(1, 100):
        assert prices[str(number)] == number
        assert len(prices) <= 10
