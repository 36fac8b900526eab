"""The user's code has a context of its own, and keeps it."""

from __future__ import annotations

import contextlib
import decimal
from collections.abc import Iterator
from decimal import Decimal as D
from pathlib import Path

from qts.strategy.loading import load_strategy
from qts.strategy.user_code import call_directly, each_of, load_apart, runner_for

FILE = """
from decimal import Decimal, getcontext
from qts.capital.contracts import Pool

getcontext().prec = 6

class Six:
    name, pool, symbols = "six", Pool.SCALP, ()
    def on_start(self, ctx): pass
    def on_quote(self, ctx, quote): return Decimal(1) / 3
    def on_bar(self, ctx, bar): return ()
    def on_fill(self, ctx, fill): getcontext().prec = 2
"""


def third() -> D:
    return D(1) / 3


def set_precision(digits: int) -> None:
    decimal.getcontext().prec = digits


class Made:
    """A strategy that was handed over as an object."""


def test_what_one_call_sets_is_in_force_for_the_next_and_not_outside() -> None:
    mine = runner_for(Made())
    mine(set_precision, 3)
    assert mine(third) == D("0.333")
    assert third() == D("0.3333333333333333333333333333")


def test_strategies_do_not_see_what_others_set() -> None:
    first, second = runner_for(Made()), runner_for(Made())
    first(decimal.setcontext, decimal.Context(prec=3))
    assert second(third) == D("0.3333333333333333333333333333")


def test_the_calling_threads_context_is_not_handed_on() -> None:
    with decimal.localcontext(decimal.Context(prec=2)):
        mine = runner_for(Made())
    assert mine(third) == D("0.3333333333333333333333333333")


def test_what_a_file_sets_while_it_is_run_is_in_force_for_its_strategies_only(tmp_path: Path) -> None:
    (tmp_path / "six.py").write_text(FILE, "utf-8")
    strategy = load_strategy(f"{tmp_path / 'six.py'}:Six")
    first, second = runner_for(strategy), runner_for(strategy)

    first(strategy.on_fill, None, None)  # type: ignore[arg-type]

    assert first(strategy.on_quote, None, None) == D("0.33")  # type: ignore[arg-type, comparison-overlap]
    assert second(strategy.on_quote, None, None) == D("0.333333")  # type: ignore[arg-type, comparison-overlap]
    assert decimal.getcontext().prec == 28


def test_a_failing_load_leaves_the_context_as_it_was() -> None:
    def load() -> object:
        set_precision(2)
        raise RuntimeError("no strategy here")

    with contextlib.suppress(RuntimeError):
        load_apart(load)
    assert decimal.getcontext().prec == 28


def suspended() -> Iterator[D]:
    with decimal.localcontext() as mine:
        mine.prec = 2
        yield third()
        yield third()


def test_a_generator_suspended_inside_its_own_context_leaves_the_sessions_alone() -> None:
    mine = runner_for(Made())
    seen = [(one, third()) for one in each_of(mine, suspended())]
    assert seen == [(D("0.33"), D("0.3333333333333333333333333333"))] * 2


def test_one_that_is_never_finished_does_so_too_when_it_is_closed() -> None:
    """Given a generator left inside localcontext, when its consumer gives up, then ours is still in force."""
    ours = decimal.getcontext()
    steps = each_of(runner_for(Made()), suspended())
    assert next(steps) == D("0.33")
    steps.close()
    assert decimal.getcontext() is ours


def test_every_kind_of_answer_is_gone_through() -> None:
    for said in ((1, 2), [1, 2], iter((1, 2)), {1: "a", 2: "b"}):
        assert list(each_of(call_directly, said)) == [1, 2]
    for nothing in (None, (), []):
        assert list(each_of(call_directly, nothing)) == []
