"""Scalp on series made by hand: a market that swings by 1 around 1,000, then a dip."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from qts.capital.contracts import Pool
from qts.errors import ContractError
from qts.market.contracts import Bar, Quote
from qts.state.contracts import OperatingState
from qts.strategy.contracts import Side, Strategy
from qts.strategy.scalp import Scalp
from tests.strategy.scripted_context import START, ScriptedContext

QUIET = [1001, 999] * 20


def scalp(**changes: Any) -> Scalp:
    return Scalp(**{"samples": 10, "time_limit_s": 100, **changes})


def warmed(**changes: Any) -> tuple[ScriptedContext, Scalp]:
    context, strategy = ScriptedContext(), scalp(**changes)
    assert context.quotes(strategy, QUIET) == []
    return context, strategy


def holding(price: float = 1000, **changes: Any) -> tuple[ScriptedContext, Scalp]:
    context, strategy = warmed(**changes)
    context.fill(strategy, "A", Side.BUY, price)
    return context, strategy


def test_keeps_the_contract_and_needs_no_arguments() -> None:
    made = Scalp()
    assert isinstance(made, Strategy)
    assert (made.name, made.pool) == ("scalp", Pool.SCALP)


def test_buys_an_unusual_dip_and_not_a_usual_one() -> None:
    context, strategy = warmed()
    assert context.quotes(strategy, [999]) == []
    (said,) = context.quotes(strategy, [994])
    assert said.side is Side.BUY
    assert said.confidence > 0.7


def test_does_not_enter_without_both_sides_but_leaves() -> None:
    # given the same dip, told as a snapshot without a book
    context, strategy = warmed()
    assert list(strategy.on_quote(context, Quote("A", context.ns + 10**10, last=Decimal(994)))) == []
    # when something is held, a snapshot is enough to take a loss
    context, strategy = holding()
    (said,) = strategy.on_quote(context, Quote("A", context.ns + 10**10, last=Decimal(900)))
    assert said.side is Side.SELL


def test_a_shallow_dip_is_too_weak_for_balanced_and_may_grow() -> None:
    # 1.5 mean gaps give 0.60, 2 give 0.70: the shallow one is signalled, the deeper one again, with more confidence
    context, strategy = warmed()
    shallow, deeper = context.quotes(strategy, [998.2, 996])
    assert 0.55 < shallow.confidence < 0.7 < deeper.confidence


def test_the_same_dip_is_told_once_and_again_after_a_recovery() -> None:
    context, strategy = warmed()
    (first,) = context.quotes(strategy, [994, 994, 994])
    assert context.quotes(strategy, QUIET) == []
    (second,) = context.quotes(strategy, [997])
    assert second.confidence < first.confidence, "after a recovery the smaller dip counts for itself"


def test_a_dip_is_signalled_again_only_half_a_usual_distance_deeper() -> None:
    # over 1,000 samples the mean of 1,000 and the mean gap of 0.86 hardly move:
    # 994 is a dip of 6.9, 993.9 of 7.1, 993 of 8.1
    context, strategy = ScriptedContext(), scalp(samples=1000)
    assert context.quotes(strategy, [1001, 999] * 500) == []
    assert len(context.quotes(strategy, [994])) == 1
    assert context.quotes(strategy, [993.9]) == []
    assert len(context.quotes(strategy, [993])) == 1


def test_says_nothing_while_warming_up() -> None:
    assert ScriptedContext().quotes(scalp(), [*QUIET[:9], 900]) == []


@pytest.mark.parametrize(("price", "word"), [(1008, "profit"), (1007.9, None), (995, "stop"), (995.1, None)])
def test_takes_profit_at_eight_and_stops_at_five_per_mille(price: float, word: str | None) -> None:
    context, strategy = holding()
    said = context.quotes(strategy, [price])
    assert [i.reason.split()[0] for i in said] == ([word] if word else [])
    assert all(i.side is Side.SELL for i in said)


@pytest.mark.parametrize(("price", "leaves"), [(1125, True), (1124, False), (750, True), (751, False)])
def test_exactly_at_its_exits_it_leaves(price: float, leaves: bool) -> None:
    # fractions that a float holds exactly: +1/8 and -1/4 of 1,000
    context, strategy = holding(take_profit=0.125, stop_loss=0.25)
    assert bool(context.quotes(strategy, [price])) == leaves


def test_leaves_when_the_time_is_up() -> None:
    context, strategy = holding()
    assert context.quotes(strategy, [1000], step_s=99) == []
    (said,) = context.quotes(strategy, [1000], step_s=1)
    assert said.reason.startswith("time limit")


def test_in_defensive_the_time_is_a_quarter() -> None:
    context, strategy = holding()
    context.state = OperatingState.DEFENSIVE
    assert context.quotes(strategy, [1000], step_s=24) == []
    assert len(context.quotes(strategy, [1000], step_s=1)) == 1


def test_a_holding_it_never_saw_bought_is_old() -> None:
    context, strategy = warmed()
    context.held["A"] = context.budget
    (said,) = context.quotes(strategy, [1000])
    assert said.reason.startswith("time limit")


def test_a_partial_exit_keeps_the_clock_of_the_rest() -> None:
    context, strategy = holding()
    context.ns += 50 * 10**9
    context.fill(strategy, "A", Side.SELL, 1000, qty=4)
    assert context.quotes(strategy, [1000], step_s=49) == []
    assert len(context.quotes(strategy, [1000], step_s=1)) == 1
    context.fill(strategy, "A", Side.SELL, 1000, qty=6)
    assert context.quotes(strategy, [1000], step_s=100) == []


def test_waits_for_its_working_order() -> None:
    context, strategy = holding()
    context.orders.add("A")
    assert context.quotes(strategy, [900]) == []


def test_between_samples_and_without_a_price_it_says_nothing() -> None:
    context, strategy = holding()
    assert context.quotes(strategy, [900], step_s=0.5) == []
    assert list(strategy.on_quote(context, Quote("A", context.ns + 10**10))) == []


def test_bars_are_not_its_business() -> None:
    one = ScriptedContext().budget
    assert list(scalp().on_bar(ScriptedContext(), Bar("A", START, one, one, one, one, one))) == []
    scalp().on_start(ScriptedContext())


@pytest.mark.parametrize("bad", [{"samples": 1}, {"entry_deviation": 0}, {"take_profit": 0}, {"stop_loss": 1}])
def test_senseless_parameters_are_refused_by_name(bad: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match=next(iter(bad))):
        Scalp(**bad)
