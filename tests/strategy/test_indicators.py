"""What strategies read: mids, confidences, ranges."""

from __future__ import annotations

from decimal import Decimal

import pytest

from qts.errors import ContractError
from qts.market.contracts import Bar, Quote
from qts.strategy.indicators import (
    check_above,
    confidence_of,
    ema_weight,
    mid_of,
    nanoseconds,
    symbols_of,
    true_range,
)

D = Decimal


@pytest.mark.parametrize(
    ("bid", "ask", "last", "expected"),
    [
        ("99", "101", None, 100.0),
        ("99", "101", "50", 100.0),
        (None, None, "50", 50.0),
        ("99", None, "50", 50.0),
        (None, "101", None, None),
        (None, None, "0", None),
        ("100", "100", "100", None),  # locked
        ("101", "99", "100", None),  # crossed
        ("0", "100", "100", None),  # no bid at all
    ],
)
def test_mid(bid: str | None, ask: str | None, last: str | None, expected: float | None) -> None:
    sides = {name: D(text) for name, text in (("bid", bid), ("ask", ask), ("last", last)) if text is not None}
    assert mid_of(Quote("A", 1, **sides)) == expected


def test_confidence_halves_what_is_missing_with_every_half() -> None:
    assert confidence_of(0.0, 1.0) == 0.0
    assert confidence_of(-5.0, 1.0) == 0.0
    assert confidence_of(2.0, 2.0) == 0.5
    assert confidence_of(4.0, 2.0) == 0.75
    assert confidence_of(1e9, 1.0) == 1.0


def test_weight_of_an_exponential_mean() -> None:
    assert (ema_weight(1), ema_weight(3), ema_weight(19)) == (1.0, 0.5, 0.1)


@pytest.mark.parametrize(("previous", "expected"), [(100.0, 4.0), (110.0, 12.0), (90.0, 12.0)])
def test_true_range_includes_the_gap(previous: float, expected: float) -> None:
    bar = Bar("A", 1, D(100), D(102), D(98), D(101), D(1))
    assert true_range(bar, previous) == expected


def test_parameters_are_checked_by_name() -> None:
    assert nanoseconds(0.5, "every_s") == 500_000_000
    assert symbols_of(["A"]) == ("A",)
    check_above("days", 2, 1)
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ContractError, match="every_s"):
            nanoseconds(bad, "every_s")
    for low in (1, float("nan"), float("inf")):
        with pytest.raises(ContractError, match="days"):
            check_above("days", low, 1)
    with pytest.raises(ContractError, match=r"\('005930',\)"):
        symbols_of("005930")
