"""TwoEma on small series made by hand. fast 1, slow 3: the fast mean is the price, the slow one moves half-way."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from qts.capital.contracts import Pool
from qts.errors import ContractError
from qts.market.contracts import Bar, Quote
from qts.strategy.contracts import Side, Strategy
from qts.strategy.snapshot import save
from qts.strategy.two_ema import TwoEma
from tests.strategy.scripted_context import START, ScriptedContext


def small(**changes: Any) -> TwoEma:
    return TwoEma(**{"fast": 1, "slow": 3, "every_s": 0, **changes})


def test_keeps_the_contract_and_needs_no_arguments() -> None:
    made = TwoEma()
    assert isinstance(made, Strategy)
    assert (made.name, made.pool, made.symbols) == ("two-ema", Pool.SCALP, ())
    assert small(name="x", pool=Pool.SWING, symbols=["A"]).symbols == ("A",)


def test_buys_when_the_fast_mean_crosses_above_the_slow() -> None:
    # slow after 100, 98: 99; after 98: 98.5; then 101: 99.75 and the fast mean, 101, is above it
    context, strategy = ScriptedContext(), small()
    assert context.quotes(strategy, [100, 98, 98]) == []
    (said,) = context.quotes(strategy, [101])
    assert (said.symbol, said.side, said.qty) == ("A", Side.BUY, None)
    assert 0.7 < said.confidence <= 1.0
    assert "crossed up" in said.reason


def test_says_it_once_per_crossing() -> None:
    context, strategy = ScriptedContext(), small()
    context.quotes(strategy, [100, 98, 98])
    assert len(context.quotes(strategy, [101, 102, 103, 104])) == 1


def test_says_nothing_before_it_has_seen_slow_samples() -> None:
    # down and up again, but the third sample is the first that may speak
    context, strategy = ScriptedContext(), small(slow=5)
    assert context.quotes(strategy, [100, 98, 101, 97]) == []
    assert len(context.quotes(strategy, [110])) == 1


def test_a_leap_is_more_confident_than_a_creep() -> None:
    def confidence(price: float) -> float:
        context, strategy = ScriptedContext(), small(slow=9)
        (said,) = context.quotes(strategy, [100, 99, 100, 99, 98, 97, 97, 97, 97, 97, price])
        return said.confidence

    assert confidence(98) < 0.7 < confidence(110)


def test_leaves_while_the_fast_mean_is_below_and_something_is_held() -> None:
    context, strategy = ScriptedContext(), small()
    context.quotes(strategy, [100, 98, 98, 101])
    context.fill(strategy, "A", Side.BUY, 101)
    assert context.quotes(strategy, [103]) == []
    (said,) = context.quotes(strategy, [95])
    assert (said.side, said.confidence, said.qty) == (Side.SELL, 1.0, None)
    assert len(context.quotes(strategy, [94])) == 1, "a refused exit is asked for again"
    context.fill(strategy, "A", Side.SELL, 94)
    assert context.quotes(strategy, [93]) == []


def test_does_not_ask_twice_while_an_order_works() -> None:
    context, strategy = ScriptedContext(), small()
    context.quotes(strategy, [100, 98, 98])
    context.orders.add("A")
    assert context.quotes(strategy, [101]) == []
    context.held["A"] = Decimal(10)
    assert context.quotes(strategy, [90]) == []


def test_does_not_buy_what_it_holds() -> None:
    context, strategy = ScriptedContext(), small()
    context.quotes(strategy, [100, 98, 98])
    context.held["A"] = Decimal(10)
    assert context.quotes(strategy, [101]) == []


def test_samples_at_most_once_per_interval() -> None:
    # 99.5 between the samples would have changed the means; it is not looked at
    context, strategy = ScriptedContext(), small(every_s=1)
    said = []
    for ms, price in ((0, 100), (500, 1), (999, 1), (1000, 98), (2000, 98), (2500, 500), (3000, 101)):
        said += strategy.on_quote(context, Quote("A", START + ms * 1_000_000, last=Decimal(price)))
    assert [i.side for i in said] == [Side.BUY]


def test_keeps_symbols_apart() -> None:
    context, strategy = ScriptedContext(), small()
    context.quotes(strategy, [100, 98, 98], symbol="A")
    assert context.quotes(strategy, [101], symbol="B") == []
    assert [i.symbol for i in context.quotes(strategy, [101], symbol="A")] == ["A"]


def test_a_quote_that_says_nothing_changes_nothing() -> None:
    context, strategy = ScriptedContext(), small()
    context.quotes(strategy, [100, 98, 98])
    before = save(strategy)
    crossed = Quote("A", context.ns + 1, bid=Decimal(500), ask=Decimal(400), last=Decimal(450))
    assert list(strategy.on_quote(context, crossed)) == []
    assert save(strategy) == before
    assert len(context.quotes(strategy, [101])) == 1


def test_a_flat_market_says_nothing() -> None:
    context, strategy = ScriptedContext(), small()
    assert context.quotes(strategy, [100] * 50) == []


def test_bars_are_not_its_business() -> None:
    bar = Bar("A", START, Decimal(1), Decimal(1), Decimal(1), Decimal(1), Decimal(1))
    assert list(small().on_bar(ScriptedContext(), bar)) == []
    small().on_start(ScriptedContext())


@pytest.mark.parametrize(("fast", "slow"), [(0, 3), (3, 3), (4, 3), (-1, 2)])
def test_means_that_cannot_cross_are_refused(fast: int, slow: int) -> None:
    with pytest.raises(ContractError, match=f"fast {fast} and slow {slow}"):
        TwoEma(fast=fast, slow=slow)
