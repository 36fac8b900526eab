"""Arguments of the shipped strategies are checked by name."""

from __future__ import annotations

import pytest

from qts.errors import ContractError
from qts.strategy.arguments import check_above, nanoseconds, symbols_of


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
