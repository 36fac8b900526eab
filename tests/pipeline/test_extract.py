"""Extract: what is true at this moment, read and not judged."""

from __future__ import annotations

from datetime import timedelta

import pytest

from qts.market.contracts import Phase, Quote, Tick
from qts.pipeline.contracts import Acted
from qts.risk.contracts import Refusal, Refused
from qts.safety.contracts import SafetyState
from qts.state.contracts import OperatingState
from qts.strategy.contracts import Side
from tests.pipeline.rig import SECOND, SYMBOL, PipelineRig
from tests.risk.requests import NOW, D


def test_a_buyer_expects_the_ask_and_a_seller_the_bid() -> None:
    rig = PipelineRig()

    assert rig.extract(rig.signal(Side.BUY)).price == D(50_100)
    assert rig.extract(rig.signal(Side.SELL)).price == D(50_000)


def test_without_a_book_both_expect_the_last_price() -> None:
    rig = PipelineRig()
    rig.quote(bid=None, ask=None, last=49_900)

    assert rig.extract(rig.signal(Side.BUY)).price == D(49_900)
    assert rig.extract(rig.signal(Side.SELL)).price == D(49_900)


@pytest.mark.parametrize(
    ("bid", "ask", "buyer", "seller"),
    [
        (50_000, 50_001, 50_001, 50_000),
        (50_000, 50_000, None, 50_000),
        (50_001, 50_000, None, 50_001),
        (50_000, None, None, 50_000),
        (None, 50_100, None, 49_900),
    ],
)
def test_a_buyer_expects_nothing_of_a_book_without_two_sides_in_order(
    bid: int | None, ask: int | None, buyer: int | None, seller: int
) -> None:
    """No entry is decided on crossed sides. An exit may leave on what there is."""
    rig = PipelineRig()
    rig.quote(bid=bid, ask=ask, last=49_900)

    assert rig.extract(rig.signal(Side.BUY)).price == buyer
    assert rig.extract(rig.signal(Side.SELL)).price == seller


@pytest.mark.parametrize(
    ("sizes", "buyer"), [((1, 1), 50_100), ((None, None), 50_100), ((0, 1), None), ((1, 0), None)]
)
def test_a_side_without_size_at_its_price_is_empty(sizes: tuple[int | None, int | None], buyer: int | None) -> None:
    """At a price limit some sources go on telling the price of the empty side, with the size 0."""
    rig = PipelineRig()
    bid_size, ask_size = (None if size is None else D(size) for size in sizes)
    rig.last.quotes[SYMBOL] = Quote(SYMBOL, NOW, D(50_000), D(50_100), bid_size, ask_size)

    assert rig.extract(rig.signal(Side.BUY)).price == buyer
    assert rig.extract(rig.signal(Side.SELL)).price == D(50_000)


async def test_an_entry_on_a_crossed_book_is_refused_and_an_exit_leaves() -> None:
    rig = PipelineRig()
    rig.hold(10)
    rig.quote(bid=50_200, ask=50_100)

    refused = await rig.run(Side.BUY, qty=1)
    left = await rig.run(Side.SELL)

    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.PRICE_UNUSABLE
    assert isinstance(left, Acted)


def test_an_unquoted_symbol_has_no_price_and_an_unknown_one_is_closed() -> None:
    rig = PipelineRig()

    facts = rig.extract(rig.signal(symbol="000660"))

    assert facts.price is None
    assert facts.base_price is None
    assert facts.instrument is None
    assert facts.phase is Phase.CLOSED


def test_the_age_is_that_of_the_feed_not_of_the_symbol() -> None:
    rig = PipelineRig()
    rig.clock.advance(timedelta(seconds=3))
    rig.last.feed_ts_ns = NOW + 2 * SECOND

    facts = rig.extract(rig.signal())

    assert facts.now_ns == NOW + 3 * SECOND
    assert facts.price_ts_ns == NOW + 2 * SECOND
    assert facts.max_age_ns == 5 * SECOND


def test_both_states_are_those_of_the_moment() -> None:
    rig = PipelineRig(OperatingState.AGGRESSIVE)
    rig.safety.apply_code("AN001")

    facts = rig.extract(rig.signal())

    assert facts.state is OperatingState.AGGRESSIVE
    assert facts.safety is SafetyState.WARNING
    assert facts.base_price == D(50_000)


def test_a_trade_is_a_price_too() -> None:
    rig = PipelineRig()
    rig.quote(bid=None, ask=None)
    rig.last.ticks[SYMBOL] = Tick(SYMBOL, NOW + 1, D(50_300), D(7))

    assert rig.extract(rig.signal()).price == D(50_300)
