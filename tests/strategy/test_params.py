"""Parameters of strategies: declared once, set by keyword or by text, refused outside their bounds."""

from __future__ import annotations

import inspect
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.errors import InputError
from qts.kit import Bar, Strategy, param
from qts.strategy.base_class import has_hook
from qts.strategy.loading import StrategySpec, load_strategy, make_strategy
from qts.strategy.params import params_of, values_of
from qts.strategy.snapshot import restore, save


class Cross(Strategy):
    fast = param(20, 5, 60)
    slow = param(60, 20, 250, step=10)
    loss = param(0.08, 0.02, 0.20)
    unit = param(Decimal("0.1"), Decimal("0.01"))
    side = param("long", choices=("long", "flat"))
    exact = param(False)


def test_a_parameter_is_an_attribute_of_class_and_object_and_an_argument_of_the_constructor() -> None:
    # Given a class with parameters and no constructor of its own
    # Then the class shows the defaults, and an object the values it was made with
    assert (Cross.fast, Cross.loss) == (20, 0.08)
    made = Cross(fast=10, loss=0.1)
    assert (made.fast, made.slow, made.loss) == (10, 60, 0.1)
    assert values_of(made) == {
        "fast": 10,
        "slow": 60,
        "loss": 0.1,
        "unit": Decimal("0.1"),
        "side": "long",
        "exact": False,
    }
    # And its signature names them all, so that an editor and help() show them
    assert str(inspect.signature(Cross)).startswith("(*, fast=20, slow=60, loss=0.08")


def test_parameters_are_set_before_an_own_constructor_which_need_not_take_them() -> None:
    # Given a constructor that knows nothing of parameters but uses one
    class Own(Cross):
        def __init__(self, label: str = "x") -> None:
            self.window = [0] * self.fast
            self.label = label

    # When objects are made with and without them
    made, given_label = Own(fast=7, slow=30), Own("y", fast=6)
    # Then the values were there when it ran
    assert (len(made.window), made.slow, made.label) == (7, 30, "x")
    assert (len(given_label.window), given_label.label) == (6, "y")
    assert str(inspect.signature(Own)).startswith("(label: 'str' = 'x', *, fast=20")


def test_a_constructor_that_passes_keywords_on_gets_all_of_them() -> None:
    class Passing(Cross):
        def __init__(self, **params: Any) -> None:
            super().__init__(**params)
            self.seen = params

    assert Passing(fast=9).seen == {"fast": 9}
    assert Passing(fast=9).fast == 9


def test_a_subclass_inherits_parameters_and_may_fix_one() -> None:
    class Fixed(Cross):
        fast = 5

    assert list(params_of(Fixed)) == ["slow", "loss", "unit", "side", "exact"]
    assert Fixed(slow=40).fast == 5


def test_an_unknown_keyword_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(TypeError, match=r"Cross has no parameter 'fats'; it has fast, slow, loss"):
        Cross(fats=1)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("fast", 4, "from 5 to 60, got 4"),
        ("fast", 61, "from 5 to 60, got 61"),
        ("fast", 10.0, r"a whole number from 5 to 60, got 10\.0"),
        ("fast", True, "a whole number from 5 to 60, got True"),
        ("loss", float("nan"), "a number from 0.02 to 0.2, got nan"),
        ("unit", Decimal("0.001"), "a number from 0.01 up, got 0.001"),
        ("unit", 0.1, "a number from 0.01 up"),
        ("side", "short", "one of long, flat, got short"),
        ("exact", 1, "true or false"),
    ],
)
def test_a_value_outside_what_is_declared_is_refused(name: str, value: object, why: str) -> None:
    with pytest.raises(InputError, match=why):
        Cross(**{name: value})


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("fast", " 10 ", 10),
        ("loss", "0.1", 0.1),
        ("loss", "1e-1", 0.1),
        ("unit", "0.10", Decimal("0.10")),
        ("side", "flat", "flat"),
        ("exact", "yes", True),
        ("exact", "OFF", False),
    ],
)
def test_texts_are_read_by_the_type_of_the_default(name: str, text: str, value: object) -> None:
    parsed = params_of(Cross)[name].parse(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(("name", "text"), [("fast", "10.5"), ("fast", ""), ("loss", "inf"), ("unit", "abc")])
def test_texts_that_are_no_such_value_are_refused_with_what_is_allowed(name: str, text: str) -> None:
    with pytest.raises(InputError, match="must be a"):
        params_of(Cross)[name].parse(text)


@given(st.integers(-1000, 1000))
def test_a_bounded_parameter_takes_exactly_its_range(value: int) -> None:
    one = params_of(Cross)["fast"]
    if 5 <= value <= 60:
        assert one.parse(str(value)) == value
    else:
        with pytest.raises(InputError):
            one.parse(str(value))


@pytest.mark.parametrize(
    ("declare", "told"),
    [
        (lambda: param(20, 30, 60), "must be a whole number from 30 to 60, got 20"),
        (lambda: param(20, 60, 5), "low 60 is above high 5"),
        (lambda: param(20, 5.5, 60), "low must be of the default's type int, got 5.5"),
        (lambda: param(20, step=0), "step must be above 0, got 0"),
        (lambda: param(20, log=True), "log needs low and high, both above 0"),
        (lambda: param(20, 0, 60, log=True), "log needs low and high, both above 0"),
        (lambda: param("a", "a", "b"), "bounds, step and log are for numbers, the default is 'a'"),
        (lambda: param("a", choices=("b",)), "must be one of b, got a"),
        (lambda: param(1, choices=(1, 2.0)), "choices must be of the default's type, got 2.0"),
        (lambda: param([1]), "the default must be an int, float, Decimal, str or bool"),  # type: ignore[type-var]
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(declare: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        declare()


def test_values_survive_a_checkpoint() -> None:
    made, twin = Cross(fast=10), Cross()
    restore(twin, save(made))
    assert values_of(twin) == values_of(made)


def test_the_base_class_gives_a_name_and_hooks_that_are_not_called() -> None:
    # Given a strategy that writes on_bar alone
    class OnlyBars(Strategy):
        def on_bar(self, ctx: Any, bar: Bar) -> tuple[()]:
            return ()

    made = make_strategy(OnlyBars, "here")
    # Then it keeps the contract, under the name of its class
    assert (made.name, made.pool.value, made.symbols) == ("OnlyBars", "SWING", ())
    assert not has_hook(made, "on_quote")
    assert has_hook(made, "on_bar")


FILE = """
from qts.kit import Strategy, param
class Mine(Strategy):
    fast = param(20, 5, 60)
"""


def test_a_file_is_loaded_with_the_parameters_that_are_given(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FILE)
    assert values_of(load_strategy(f"{file}:Mine", {"fast": "10"})) == {"fast": 10}
    assert values_of(load_strategy(f"{file}:Mine")) == {"fast": 20}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"fast": "4"}, r"--param fast=4: Mine.fast must be a whole number from 5 to 60, got 4"),
        ({"slow": "4"}, r"--param slow=4: Mine has no parameter 'slow'; it has fast"),
    ],
)
def test_a_wrong_parameter_of_a_file_is_refused_in_one_line(
    tmp_path: Path, params: dict[str, str], message: str
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FILE)
    with pytest.raises(InputError, match=message):
        load_strategy(f"{file}:Mine", params)


def test_a_class_that_declares_but_does_not_take_a_parameter_says_so(tmp_path: Path) -> None:
    # Given a class of the plain protocol, whose constructor takes nothing
    file = tmp_path / "mine.py"
    file.write_text(FILE.replace("(Strategy)", "").replace("Strategy, ", ""))
    # Then the value cannot be passed, and the message says what to do
    with pytest.raises(InputError, match=r"derive the class from qts\.kit\.Strategy, or accept keywords"):
        load_strategy(f"{file}:Mine", {"fast": "10"})


def test_parameters_belong_to_the_identity_of_a_strategy(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FILE)
    plain = StrategySpec(f"{file}:Mine")
    assert plain.identity != StrategySpec(f"{file}:Mine", {"fast": "10"}).identity
    assert plain.identity == StrategySpec(f"{file}:Mine", {}).identity
