"""What a notice of a fill must be like to be believed: both sides of each line, on 005930 of 22 January 2026.

A buy of 10 with a limit of 150,000, decided at 149,900; base price 150,000, so the band is 105,000 to 195,000, and
the grid is 100. It was sent at 10:00:00 and it is 10:00:05. A fill of 4 at 149,900 is 599,600 won.
"""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from qts.execution.contracts import Fill, Order
from qts.execution.fit import MAX_NAME_LENGTH, misfit, unreadable
from qts.market.contracts import Instrument
from qts.market.generic import AlwaysOpen, FixedTicks, RateCosts
from qts.market.krx import krx_instrument
from qts.strategy.contracts import Side
from tests.execution.orders import changed, order_with
from tests.runtime.rig import SYMBOL, kst

SECOND = 1_000_000_000
SENT, NOW = kst(10), kst(10, 0, 5)
ORDER = order_with(
    client_order_id="o-1",
    symbol=SYMBOL,
    side=Side.BUY,
    qty=D(10),
    limit=D(150_000),
    decision_price=D(149_900),
    ts_ns=SENT,
    ts_update_ns=SENT,
)
FILL = Fill("sim", "e1", "o-1", SYMBOL, Side.BUY, D(4), D(149_900), D(89), D(0), NOW, False)
COIN = Instrument(
    "BTC", "USDT", D("0.01"), D("0.001"), FixedTicks("0.1"), RateCosts("0.001", "0", "0.01"), AlwaysOpen()
)


def why(
    *,
    order: Order = ORDER,
    instrument: Instrument | None = None,
    market_ns: int = NOW,
    shown: tuple[int, ...] = (),
    **changes: Any,
) -> str:
    return misfit(
        msgspec.structs.replace(FILL, **changes),
        order,
        instrument or krx_instrument(SYMBOL),
        base=D(150_000),
        shown=[D(price) for price in shown],
        now_ns=NOW,
        market_ns=market_ns,
    )


def test_a_plain_fill_fits() -> None:
    assert unreadable(FILL) == ""
    assert why() == ""


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"execution_id": "\ud800"}, "execution_id"),
        ({"execution_id": ""}, "execution_id"),
        ({"execution_id": "x" * (MAX_NAME_LENGTH + 1)}, "execution_id"),
        ({"broker": None}, "broker"),
        ({"symbol": "005\x00930"}, "symbol"),
        ({"client_order_id": 7}, "client_order_id"),
        ({"side": "LONG"}, "side"),
        ({"ts_ns": 0}, "time"),
        ({"ts_ns": 1.5e18}, "time"),
        ({"ts_ns": 1 << 63}, "time"),
        ({"qty": 4}, "qty"),
        ({"qty": D("NaN")}, "qty"),
        ({"price": D("1E+300")}, "price"),
        ({"fee": None}, "fee"),
        ({"tax": D("-Infinity")}, "tax"),
    ],
    ids=str,
)
def test_what_is_no_value_of_its_kind_is_unreadable(changes: dict[str, Any], word: str) -> None:
    assert word in unreadable(msgspec.structs.replace(FILL, **changes))


@pytest.mark.parametrize(
    ("fits", "does_not", "word"),
    [
        ({"side": Side.BUY}, {"side": Side.SELL}, "its order BUY"),
        ({"symbol": SYMBOL}, {"symbol": "000660"}, "its order BUY"),
        ({"qty": D(1)}, {"qty": D(0)}, "qty 0"),
        ({"qty": D(20)}, {"qty": D(21)}, "would fill 21 of 10"),  # twice the order is an overfill: booked
        ({"qty": D(4)}, {"qty": D("4.5")}, "whole lots"),
        ({"price": D(150_000)}, {"price": D(150_100)}, "worse than the limit"),
        ({"price": D(149_900)}, {"price": D(149_950)}, "grid of 100"),
        ({"price": D(105_000)}, {"price": D(104_900)}, "outside the day's band"),
        ({"fee": D(59_960)}, {"fee": D(59_961)}, "fee 59961"),  # a tenth of the amount
        ({"fee": D(0)}, {"fee": D(-1)}, "fee -1"),
        ({"tax": D(59_960)}, {"tax": D(59_961)}, "tax 59961"),
        ({"ts_ns": NOW + 60 * SECOND}, {"ts_ns": NOW + 61 * SECOND}, "61 s in the future"),
        ({"ts_ns": SENT - 60 * SECOND}, {"ts_ns": SENT - 61 * SECOND}, "61 s before its order"),
    ],
    ids=str,
)
def test_what_order_instrument_and_session_allow_fits_and_the_next_value_does_not(
    fits: dict[str, Any], does_not: dict[str, Any], word: str
) -> None:
    assert why(**fits) == ""
    assert word in why(**does_not)


def test_a_sale_may_not_be_under_its_limit() -> None:
    sale = changed(ORDER, side=Side.SELL)

    assert why(order=sale, side=Side.SELL, price=D(150_000)) == ""
    assert "worse than the limit" in why(order=sale, side=Side.SELL, price=D(149_900))


def test_a_price_that_the_market_shows_is_believed_off_the_grid_and_out_of_the_band() -> None:
    """Prices that were adjusted for a split of later lie on no grid and near no base."""
    assert why(shown=(71_234,), price=D(71_234)) == ""
    assert why(shown=(71_237,), price=D(105_001)) == "", "where the market itself is off the grid there is none"


def test_a_fill_is_near_a_session_or_the_market_speaks_at_its_time() -> None:
    """The market takes orders from 08:30 and closes at 15:30; an hour beside that is near."""
    early = changed(ORDER, ts_ns=kst(1))

    assert why(order=early, ts_ns=kst(7, 30)) == ""
    assert "far from any session" in why(order=early, ts_ns=kst(7, 29))
    assert why(order=early, ts_ns=kst(7, 29), market_ns=kst(7, 29)) == ""


def test_without_a_band_ten_times_and_a_tenth_of_what_is_known_is_the_line() -> None:
    order = changed(ORDER, symbol="BTC", limit=None, decision_price=D(50_000), qty=D(1))
    fill = {"symbol": "BTC", "qty": D("0.001"), "fee": D(0), "order": order, "instrument": COIN}

    assert why(price=D(5_000), **fill) == why(price=D(500_000), **fill) == ""
    assert "10 times away" in why(price=D("4999.9"), **fill)
    assert "10 times away" in why(price=D("500000.1"), **fill)


def test_the_rest_of_an_order_fits_although_it_is_no_whole_lot() -> None:
    odd = changed(ORDER, qty=D("10.5"), filled=D(10))

    assert why(order=odd, qty=D("0.5")) == ""
    assert "whole lots" in why(order=odd, qty=D("0.25"))
