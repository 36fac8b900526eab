"""Extract: what is true at this moment, read and not judged."""

from __future__ import annotations

from datetime import timedelta

from qts.market.contracts import Phase, Tick
from qts.safety.contracts import SafetyState
from qts.state.contracts import OperatingState
from qts.strategy.contracts import Side
from tests.pipeline.desk import SECOND, SYMBOL, Desk
from tests.risk.questions import NOW, D


def test_a_buyer_expects_the_ask_and_a_seller_the_bid() -> None:
    desk = Desk()

    assert desk.extract(desk.signal(Side.BUY)).price == D(50_100)
    assert desk.extract(desk.signal(Side.SELL)).price == D(50_000)


def test_without_a_book_both_expect_the_last_price() -> None:
    desk = Desk()
    desk.quote(bid=None, ask=None, last=49_900)

    assert desk.extract(desk.signal(Side.BUY)).price == D(49_900)
    assert desk.extract(desk.signal(Side.SELL)).price == D(49_900)


def test_a_symbol_nobody_quoted_has_no_price_and_an_unknown_one_is_closed() -> None:
    desk = Desk()

    facts = desk.extract(desk.signal(symbol="000660"))

    assert facts.price is None
    assert facts.base_price is None
    assert facts.instrument is None
    assert facts.phase is Phase.CLOSED


def test_the_age_is_that_of_the_feed_not_of_the_symbol() -> None:
    desk = Desk()
    desk.clock.advance(timedelta(seconds=3))
    desk.last.feed_ts_ns = NOW + 2 * SECOND

    facts = desk.extract(desk.signal())

    assert facts.now_ns == NOW + 3 * SECOND
    assert facts.price_ts_ns == NOW + 2 * SECOND
    assert facts.max_age_ns == 5 * SECOND


def test_both_states_are_those_of_the_moment() -> None:
    desk = Desk(OperatingState.AGGRESSIVE)
    desk.safety.apply_code("AN001")

    facts = desk.extract(desk.signal())

    assert facts.state is OperatingState.AGGRESSIVE
    assert facts.safety is SafetyState.WARNING
    assert facts.base_price == D(50_000)


def test_a_trade_is_a_price_too() -> None:
    desk = Desk()
    desk.quote(bid=None, ask=None)
    desk.last.ticks[SYMBOL] = Tick(SYMBOL, NOW + 1, D(50_300), D(7))

    assert desk.extract(desk.signal()).price == D(50_300)
