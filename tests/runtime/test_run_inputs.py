"""Parameters on the command line find the strategy that they are for."""

from __future__ import annotations

import pytest

from qts.errors import InputError
from qts.runtime.session.run_inputs import with_params

ONE, TWO = ("a.py:Cross",), ("a.py:Cross", "b.py:Pair")


def test_parameters_go_to_the_only_strategy_or_to_the_class_that_is_named() -> None:
    (only,) = with_params(ONE, ("fast=10", "label=a=b"))
    assert only.params == {"fast": "10", "label": "a=b"}
    first, second = with_params(TWO, ("Cross.fast=10", "Pair.window=5"))
    assert (first.params, second.params) == ({"fast": "10"}, {"window": "5"})


@pytest.mark.parametrize(
    ("places", "given", "message"),
    [
        ((), ("fast=10",), "needs a strategy: name it by --strategy"),
        (ONE, ("fast",), "wants NAME=VALUE"),
        (ONE, ("=10",), "wants NAME=VALUE"),
        (ONE, ("fast=10", "fast=11"), "fast is given twice: '10' and '11'"),
        (TWO, ("fast=10",), r"several strategies trade, so write Cross\.fast=VALUE"),
        (TWO, ("Other.fast=10",), "no strategy is of the class Other; there are Cross, Pair"),
        (("a.py:Cross", "b.py:Cross"), ("Cross.fast=10",), "several strategies are of the class Cross"),
    ],
)
def test_a_parameter_without_its_strategy_is_refused(
    places: tuple[str, ...], given: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        with_params(places, given)
