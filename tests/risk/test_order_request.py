"""What an order may ask for: its prices fit its type."""

from __future__ import annotations

import pytest

from qts.errors import ContractError
from qts.risk.contracts import OrderType
from tests.risk.requests import D, entry

LIMITED = {OrderType.LIMIT, OrderType.STOP_LIMIT}
MAY_BE_LIMITED = {OrderType.BEST, OrderType.MID}
STOPPED = {OrderType.STOP, OrderType.STOP_LIMIT}


@pytest.mark.parametrize("limit", [None, D(50_000)])
@pytest.mark.parametrize("stop", [None, D(49_000)])
@pytest.mark.parametrize("kind", list(OrderType))
def test_a_type_has_the_prices_it_needs_and_no_others(kind: OrderType, limit: D | None, stop: D | None) -> None:
    limit_fits = kind in MAY_BE_LIMITED or (limit is not None) is (kind in LIMITED)
    stop_fits = (stop is not None) is (kind in STOPPED)

    if limit_fits and stop_fits:
        assert entry(type=kind, limit=limit, stop_price=stop).type is kind
    else:
        with pytest.raises(ContractError, match=f"order-1 is {kind.value} with the"):
            entry(type=kind, limit=limit, stop_price=stop)
