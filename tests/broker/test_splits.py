"""The simulated exchange over a split: holdings, open orders, base prices, and reports that were held back."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal as D

from qts.execution.contracts import Fill, OrderCancelled
from qts.market.actions import Split
from tests.broker.exchange_rig import BUY, INSTANT, NOON, SELL, ExchangeRig, done

DAY = date(2024, 8, 9)
DOUBLE, TENTH = Split("SHARE", DAY, D(2)), Split("SHARE", DAY, D(1), D(10))


def with_shares(qty: str, rig: ExchangeRig | None = None) -> ExchangeRig:
    """An exchange at which ``qty`` shares were bought at 100."""
    rig = rig or ExchangeRig()
    assert rig.place("first", BUY, qty).ref is not None
    rig.quote("99", "1000", "100", "1000")
    return rig


def split(rig: ExchangeRig, action: Split, *holdings: str) -> None:
    rig.at(NOON + timedelta(hours=12))
    rig.exchange.on_split(action, [D(one) for one in holdings], rig.clock.time_ns())


def test_each_part_of_a_position_is_cut_to_whole_lots_by_itself() -> None:
    rig = with_shares("25")
    split(rig, TENTH, "16", "9")
    assert rig.positions == {"SHARE": 1}
    rig = with_shares("25")
    split(rig, TENTH, "25")
    assert rig.positions == {"SHARE": 2}
    # What the parts do not explain is a part as well; a position of nothing is left out
    rig = with_shares("25")
    split(rig, TENTH, "5")
    assert rig.positions == {"SHARE": 2}
    split(rig, TENTH, "2")
    assert rig.positions == {}


def test_an_open_order_is_rescaled_and_fills_at_its_new_price() -> None:
    rig = with_shares("10")
    rig.place("low", BUY, "7", "91")
    rig.quote("99", "1000", "100", "1000")
    split(rig, DOUBLE, "10")
    (order,) = done(rig.exchange.orders())
    # 91 ÷ 2 = 45.5, down to 45
    assert (order.qty, order.filled) == (14, 0)
    rig.quote("45", "1000", "46", "1000")
    assert len(rig.reports) == 1
    rig.quote("44", "1000", "45", "1000")
    fill = rig.reports[-1]
    assert isinstance(fill, Fill)
    assert (fill.qty, fill.price, fill.last) == (14, 45, True)


def test_what_was_filled_before_stays_and_the_rest_is_rescaled() -> None:
    rig = with_shares("10")
    rig.place("low", BUY, "7", "91")
    rig.quote("90", "1000", "91", "3")
    split(rig, DOUBLE, "13")
    (order,) = done(rig.exchange.orders())
    assert (order.qty, order.filled, order.remaining) == (11, 3, 8)


def test_an_order_of_which_no_lot_is_left_is_cancelled_and_told() -> None:
    rig = with_shares("10")
    rig.place("high", SELL, "9", "120")
    rig.quote("99", "1000", "100", "1000")
    split(rig, TENTH, "10")
    assert done(rig.exchange.orders()) == []
    end = rig.reports[-1]
    assert isinstance(end, OrderCancelled)
    assert end.reason == "the split 1:10 leaves nothing of 9"


def test_orders_keep_their_rank_by_price_and_the_market_of_before_is_forgotten() -> None:
    rig = with_shares("10")
    rig.place("a", BUY, "4", "93")
    rig.place("b", BUY, "4", "94")
    rig.quote("99", "1000", "100", "1000")
    split(rig, DOUBLE, "10")
    # 94 ÷ 2 = 47 and 93 ÷ 2 = 46: the more willing one first
    rig.quote("45", "1000", "46", "10")
    fills = [one for one in rig.reports if isinstance(one, Fill)][1:]
    assert [(one.client_order_id, one.qty, one.price) for one in fills] == [("b", 8, 46), ("a", 2, 46)]


def test_reports_that_a_lost_connection_holds_back_come_before_the_split() -> None:
    rig = with_shares("10")
    rig.place("more", BUY, "5")
    rig.exchange.disconnect(rig.clock.time_ns(), "cable")
    rig.quote("99", "1000", "100", "1000")
    assert len(rig.reports) == 1
    rig.exchange.settle(rig.clock.time_ns())
    assert len(rig.reports) == 2
    assert rig.positions == {"SHARE": 15}


def test_a_restored_exchange_has_the_rescaled_orders() -> None:
    rig = with_shares("10")
    rig.place("low", BUY, "7", "91")
    rig.quote("99", "1000", "100", "1000")
    split(rig, DOUBLE, "10")
    restored = ExchangeRig(config=INSTANT)
    restored.exchange.import_state(rig.exchange.export_state())
    assert done(restored.exchange.orders()) == done(rig.exchange.orders())
    assert restored.exchange.export_state() == rig.exchange.export_state()
