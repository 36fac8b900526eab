"""The values of a cache, worked by hand from what a session has."""

from __future__ import annotations

from decimal import Decimal as D

import msgspec
import pytest

from qts.cache.contracts import BookValue, Level, PositionValue, PriceValue, RiskValue
from qts.capital.contracts import Pool
from qts.execution.contracts import Order, OrderState
from qts.ledger.contracts import PositionRow
from qts.market.contracts import Bar, Quote, Tick
from qts.risk.contracts import OrderRequest, OrderType, RiskLimits
from qts.runtime.caching.values import (
    Depth,
    Standing,
    depth_value,
    order_value,
    position_value,
    price_value,
    risk_value,
    touch_value,
)
from qts.strategy.contracts import Side

MS = 1_000_000
QUOTE = Quote("A", 5 * MS, bid=D(99), ask=D(101), bid_size=D(7), ask_size=D(8), last=D(100), volume=D(500))
LIMITS = RiskLimits(
    exposure_limit=D("0.8"),
    symbol_weight_limit=D("0.15"),
    daily_loss_warning=D("0.01"),
    daily_loss_limit=D("0.03"),
    max_positions=10,
    max_daily_trades=20,
    multiplier=D(1),
    position_size_limit=D("0.1"),
)


def test_a_price_has_the_touch_of_the_quote_and_the_newest_trade() -> None:
    # Given a trade after the quote
    tick = Tick("A", 7 * MS, D("100.5"), D(3))

    assert price_value(QUOTE, tick, None, at_ns=9) == PriceValue(
        at_ns=9, timestamp_ms=7, bid=D(99), ask=D(101), last=D("100.5"), volume=D(500)
    )
    # And one from before it does not count
    old = msgspec.structs.replace(tick, ts_ns=4 * MS)
    assert price_value(QUOTE, old, None, at_ns=9) == PriceValue(
        at_ns=9, timestamp_ms=5, bid=D(99), ask=D(101), last=D(100), volume=D(500)
    )


def test_a_price_of_bars_alone_is_the_close_and_no_value_is_no_price() -> None:
    bar = Bar("A", 8 * MS, D(1), D(4), D(1), D(3), D(250))
    assert price_value(None, None, bar, at_ns=9) == PriceValue(at_ns=9, timestamp_ms=8, last=D(3), volume=D(250))
    assert price_value(Quote("A", 5 * MS, volume=D(5)), None, None, at_ns=9) is None


def test_a_quote_is_a_book_of_one_level_a_side_where_it_shows_sizes() -> None:
    assert touch_value(QUOTE, at_ns=9) == BookValue(
        at_ns=9, timestamp_ms=5, bids=(Level(D(99), D(7)),), asks=(Level(D(101), D(8)),)
    )
    assert touch_value(msgspec.structs.replace(QUOTE, bid_size=None, ask_size=None), at_ns=9) is None


def test_a_book_keeps_its_levels_in_order() -> None:
    depth = Depth(6 * MS, ((D(99), D(1)), (D(98), D(2))), ((D(101), D(3)),))
    assert depth_value(depth, at_ns=9) == BookValue(
        at_ns=9, timestamp_ms=6, bids=(Level(D(99), D(1)), Level(D(98), D(2))), asks=(Level(D(101), D(3)),)
    )


def test_a_position_adds_up_what_all_strategies_hold() -> None:
    # Given 10 shares that cost 1,000 and 30 that cost 3,600, at 120 a share, in an account of 96,000
    rows = [
        PositionRow("one", Pool.SWING, "A", D(10), D(1000), 5),
        PositionRow("two", Pool.SCALP, "A", D(30), D(3600), 8),
    ]
    assert position_value(rows, D(120), D(96_000), at_ns=9) == PositionValue(
        at_ns=9, qty=D(40), avg_price=D(115), updated_at=8, unrealized_pnl=D(200), exposure_pct=D(5)
    )
    # And without a price its worth is not known
    assert position_value(rows, None, D(96_000), at_ns=9) == PositionValue(
        at_ns=9, qty=D(40), avg_price=D(115), updated_at=8
    )


def test_a_position_that_was_sold_is_nothing_at_no_price() -> None:
    rows = [PositionRow("one", Pool.SWING, "A", D(0), D(0), 5)]
    assert position_value(rows, D(120), D(1), at_ns=9) == PositionValue(
        at_ns=9, qty=D(0), avg_price=D(0), updated_at=5, unrealized_pnl=D(0), exposure_pct=D(0)
    )


def order(filled: int, state: OrderState = OrderState.PARTIAL) -> Order:
    request = OrderRequest(
        client_order_id="o1",
        decision_id="d1",
        strategy="one",
        pool=Pool.SWING,
        symbol="A",
        side=Side.BUY,
        qty=D(40),
        limit=D(121),
        decision_price=D(120),
        ts_ns=1,
        type=OrderType.LIMIT,
    )
    return Order(request, "a1", state, D(filled), 2)


def test_the_average_of_an_order_is_told_only_where_its_fills_add_up() -> None:
    # Given 10 at 118 and 20 at 121: 3,600 for 30
    value = order_value(order(30), (D(30), D(3600)), at_ns=9)
    assert (value.status, value.filled_qty, value.pending_qty, value.avg_fill_price) == ("PARTIAL", 30, 10, 120)
    assert (value.strategy, value.symbol, value.side, value.qty, value.limit) == ("one", "A", "BUY", 40, 121)

    assert order_value(order(30), (D(20), D(2400)), at_ns=9).avg_fill_price is None
    assert order_value(order(0), None, at_ns=9).avg_fill_price is None


@pytest.mark.parametrize(
    ("state", "pending"), [("UNKNOWN", 30), ("CANCELLED", 0), ("REJECTED", 0), ("NOT_SENT", 0), ("FILLED_LATE", 0)]
)
def test_nothing_is_pending_of_an_order_that_has_ended(state: str, pending: int) -> None:
    # Given 40 ordered and 10 of them filled
    value = order_value(order(10, OrderState(state)), None, at_ns=9)
    # Then the other 30 are pending only while they may still be filled
    assert (value.status, value.qty, value.filled_qty, value.pending_qty) == (state, 40, 10, pending)


def test_risk_counts_from_the_opening_of_the_day() -> None:
    # Given 3 % of 1,000,000 that may be lost, of which 12,000 are
    standing = Standing(9, D(988_000), D(1_000_000), D(400_000), 3, LIMITS)
    assert risk_value(standing) == RiskValue(
        at_ns=9,
        daily_pnl=D(-12_000),
        trade_count=3,
        exposure_used=D(400_000),
        remaining_limit=D(18_000),
        max_exposure_pct=D(80),
        daily_loss_limit=D(30_000),
    )
    # And nothing is left where more than that is lost
    assert risk_value(standing._replace(equity=D(960_000))).remaining_limit == 0
