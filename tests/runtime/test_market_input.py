"""There is one way in for a market value: drawn at once or queued on a loop, it does the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.capital.contracts import Pool
from qts.market.contracts import (
    Bar,
    BookUpdate,
    IndexLevel,
    MarketValue,
    Quote,
    Tick,
    VolatilityLevel,
)
from qts.runtime.kernel import Kernel
from qts.strategy.contracts import Context, FillView, Intent, Side
from tests.risk.requests import D
from tests.runtime.live_rig import live
from tests.runtime.rig import SYMBOL, Rig, kst

BASE = 150_000
"""The price of the evening before: the day's band is 105,000 to 195,000."""
PRICES = st.sampled_from([100_000, 149_900, 150_000, 150_100, 150_500, 200_000])
STEPS_NS = st.sampled_from([0, 1_000_000, 30_000_000, 1_000_000_000, 61_000_000_000, 3_600_000_000_000])


class EveryThird:
    """Buys one share at every third quote and sells one at the third after it."""

    name, pool, symbols = "third", Pool.SCALP, ()

    def __init__(self) -> None:
        self.heard: list[MarketValue] = []
        self.fills: list[FillView] = []

    def on_start(self, ctx: Context) -> None:
        """Nothing to prepare."""

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        self.heard.append(quote)
        if len(self.heard) % 3:
            return ()
        return (Intent(quote.symbol, Side.BUY if len(self.heard) % 2 else Side.SELL, 1.0, qty=1),)

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        self.heard.append(bar)
        return ()

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        self.fills.append(fill)


@st.composite
def values(draw: st.DrawFn) -> MarketValue:
    """A value of any kind without its time; some prices cannot be."""
    price = D(draw(PRICES))
    kind = draw(st.sampled_from([Quote, Quote, Quote, Tick, BookUpdate, Bar, IndexLevel, VolatilityLevel]))
    if kind is Quote:
        return Quote(
            SYMBOL,
            0,
            bid=price,
            ask=price + 100,
            bid_size=D(9),
            ask_size=D(9),
            last=draw(st.none() | PRICES.map(D)),
        )
    if kind is Tick:
        return Tick(SYMBOL, 0, price, D(2))
    if kind is BookUpdate:
        return BookUpdate(SYMBOL, 0, ((price, D(5)),), ((price + 100, D(5)),), snapshot=draw(st.booleans()))
    if kind is Bar:
        return Bar(SYMBOL, 0, price, price + 100, price, price, D(10), interval="1m")
    return kind("INDEX", 0, draw(st.sampled_from([12.0, 35.0, 5_900.0])))


@st.composite
def scripts(draw: st.DrawFn) -> list[MarketValue]:
    at_ns, script = kst(9, 59, day=23), [quote(kst(15))]
    for value in draw(st.lists(values(), max_size=25)):
        at_ns += draw(STEPS_NS)
        script.append(msgspec.structs.replace(value, ts_ns=at_ns))
    return script


def quote(at_ns: int) -> Quote:
    return Quote(SYMBOL, at_ns, bid=D(BASE), ask=D(BASE + 100), bid_size=D(9), ask_size=D(9))


def outcome(kernel: Kernel, strategy: EveryThird) -> dict[str, Any]:
    shared = kernel.shared
    return {
        "rows": kernel.intake.rows,
        "time": shared.clock.time_ns(),
        "quotes": dict(shared.last.quotes),
        "ticks": dict(shared.last.ticks),
        "bars": dict(shared.last.bars),
        "newest": shared.last.feed_ts_ns,
        "heard": strategy.heard,
        "fills": strategy.fills,
        "handled": kernel.dispatcher.queue_stats()["P1_HIGH"]["handled"],
        "equity": shared.equity(),
        "extremes": shared.extremes.export_state(),
        "exchange": kernel.venue.export_state(),
        "in doubt": shared.price_bands.export_state(),
        "safety": shared.safety.current_state,
        "state": shared.state.current_state,
        "refusals": dict(kernel.counters.refusals),
        "metrics": kernel.counters.metrics_fed,
    }


@settings(max_examples=15, deadline=None)
@given(script=scripts())
def test_drawn_at_once_or_queued_a_value_does_the_same(
    tmp_path_factory: pytest.TempPathFactory, script: list[MarketValue]
) -> None:
    """given any values, when they are drawn on the virtual clock or published on a loop, then all of it is equal"""
    drawn, queued = EveryThird(), EveryThird()
    rig = Rig(tmp_path_factory.mktemp("drawn"), drawn, settings={"state.enabled": "false"})
    rig.show(*script)
    expected = outcome(rig.kernel, drawn)
    rig.close()

    async def on_a_loop() -> dict[str, Any]:
        directory = tmp_path_factory.mktemp("queued")
        async with live(directory, strategies=(queued,), settings={"state.enabled": "false"}) as other:
            await other.show(*script)
            return outcome(other.kernel, queued)

    assert asyncio.run(on_a_loop()) == expected


def test_an_impossible_price_reaches_no_handler_on_either_way(rig_of) -> None:  # type: ignore[no-untyped-def]
    """given a price below the day's band, when it is given in, then it is counted, and no handler gets it"""
    strategy = EveryThird()
    rig: Rig = rig_of(strategy)
    rig.show(quote(kst(15)), quote(kst(9, 30, day=23)))

    impossible = msgspec.structs.replace(quote(kst(10, day=23)), bid=D(100_000))

    assert not rig.kernel.on_market_value(impossible)
    rig.drain()
    assert (rig.kernel.intake.rows, len(strategy.heard)) == (3, 2)
    assert rig.shared.last.quotes[SYMBOL].ts_ns == kst(9, 30, day=23)
