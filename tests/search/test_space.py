"""What may be tried: ranges, steps, lists, conditions, and what is refused with its reason."""

from __future__ import annotations

import pytest

from qts.errors import InputError
from qts.kit import Strategy, param
from qts.search.condition import Condition
from qts.search.space import space_of
from qts.strategy.params import settable_of


class Declared(Strategy):
    fast = param(10, 3, 60)
    slow = param(50, 20, 250, step=10)
    share = param(0.5, 0.1, 10.0)
    spread = param(1.0, 0.1, 10.0, log=True)
    mode = param("a", choices=("a", "b", "c"))
    both = param(True)


SETTABLE = settable_of(Declared)


def values(text: str) -> tuple[str, ...]:
    (axis,) = space_of([text], "Declared", SETTABLE).axes
    return axis.values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fast=3..6", ("3", "4", "5", "6")),
        ("fast=5..20:5", ("5", "10", "15", "20")),
        ("fast=5..19:5", ("5", "10", "15")),
        ("fast=10", ("10",)),
        ("fast=4,8,16", ("4", "8", "16")),
        ("slow=20..50", ("20", "30", "40", "50")),  # its declared step
        ("share=0.1..0.4:0.1", ("0.1", "0.2", "0.3", "0.4")),  # and not 0.30000000000000004
        ("mode=a,c", ("a", "c")),
        ("both=true,false", ("True", "False")),
        ("fast=7..7", ("7",)),
    ],
)
def test_the_values_of_a_parameter(text: str, expected: tuple[str, ...]) -> None:
    assert values(text) == expected


def test_a_range_without_step_has_eleven_values_also_in_the_logarithm() -> None:
    assert values("share=1..2") == ("1.0", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6", "1.7", "1.8", "1.9", "2.0")
    assert values("spread=0.1..10")[::5] == ("0.1", "1.0", "10.0")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("quick=3..6", "fast, slow"),
        ("fast", "NAME=LOW..HIGH"),
        ("fast=", "NAME=LOW..HIGH"),
        ("fast=9..6", "no value"),
        ("fast=1..6", "from 3 to 60"),
        ("fast=3.5", "a whole number"),
        ("fast=3..6:0", "above 0"),
        ("fast=3..6:x", "not a number"),
        ("fast=3,3", "given twice"),
        ("mode=a,z", "one of a, b, c"),
        ("share=0.1..10:0.000001", "at most 100,000"),
    ],
)
def test_what_is_no_space_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(InputError, match=named) as refused:
        values(text)
    assert f"--param {text}" in str(refused.value)


def test_a_parameter_given_twice_is_refused() -> None:
    with pytest.raises(InputError, match="given twice"):
        space_of(["fast=3..4", "fast=5"], "Declared", SETTABLE)


def test_all_combinations_once_and_their_neighbours() -> None:
    space = space_of(["fast=3..5", "mode=a,b"], "Declared", SETTABLE)
    assert [tuple(one.values()) for one in space.all()] == [(f, m) for f in "345" for m in "ab"]
    # A step in a number is a neighbour, another mode is not
    assert [one["fast"] for one in space.neighbours({"fast": "4", "mode": "b"})] == ["3", "5"]
    assert [one["fast"] for one in space.neighbours({"fast": "3", "mode": "b"})] == ["4"]


class Plain:
    def __init__(self, length: int = 20, *, label: str = "x", other: object = None) -> None:
        """Take keywords with simple defaults, and one that is none."""


def test_keywords_of_a_constructor_may_be_tried_too() -> None:
    settable = settable_of(Plain)
    assert list(settable) == ["length", "label"]
    assert space_of(["length=1..3"], "Plain", settable).axes[0].values == ("1", "2", "3")


@pytest.mark.parametrize(
    ("text", "params", "met"),
    [
        ("fast < slow", {"fast": "9", "slow": "10"}, True),  # as numbers, not as texts
        ("fast < slow", {"fast": "10", "slow": "9"}, False),
        ("slow - fast >= 5 and mode != 'b'", {"fast": "5", "slow": "10", "mode": "a"}, True),
        ("not (fast * 2 > slow)", {"fast": "5", "slow": "10"}, True),
        ("3 < fast <= 5", {"fast": "5"}, True),
        ("share / 3 == 0.1", {"share": "0.3"}, True),  # exact
    ],
)
def test_a_condition_compares_parameters(text: str, params: dict[str, str], met: bool) -> None:
    assert Condition([text], list(params)).holds(params) is met


@pytest.mark.parametrize(
    "text",
    [
        "fast <",
        "__import__('os').system('x')",
        "fast.real < 3",
        "(lambda: 1)() < 3",
        "fast ** 99 ** 99 < 1",
        "x" * 501,
    ],
)
def test_a_condition_is_never_run_as_a_program(text: str) -> None:
    with pytest.raises(InputError, match="--where"):
        Condition([text], ["fast", "x" * 501])


def test_a_condition_names_what_it_does_not_know() -> None:
    with pytest.raises(InputError, match="no parameter 'quick' in the search; it has fast"):
        Condition(["quick < 3"], ["fast"])
    with pytest.raises(InputError, match="cannot be told for mode=a"):
        Condition(["mode < 3"], ["mode"]).holds({"mode": "a"})
    with pytest.raises(InputError, match="cannot be told for fast=0"):
        Condition(["1 / fast < 3"], ["fast"]).holds({"fast": "0"})
