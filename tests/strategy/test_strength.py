"""What the shipped strategies read of a quote, and how sure they are."""

from __future__ import annotations

from decimal import Decimal

import pytest

from qts.market.contracts import Quote
from qts.strategy.strength import confidence_of, mid_of

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
