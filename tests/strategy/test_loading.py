"""``--strategy FILE.py:Class``: what loads, and what a person is told when it does not."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from qts.capital.contracts import Pool
from qts.errors import ContractError, InputError
from qts.strategy.contracts import Strategy
from qts.strategy.loading import (
    EXAMPLE,
    StrategySpec,
    check_strategy,
    fingerprint_of,
    load_strategies,
    load_strategy,
)
from qts.strategy.portfolio import Portfolio
from qts.strategy.scalp import Scalp
from qts.strategy.swing import Swing
from qts.strategy.two_ema import TwoEma

GOOD = """
from qts.capital.contracts import Pool

class Mine:
    name = "mine"
    pool = Pool.SWING
    symbols = ("005930",)

    def on_start(self, ctx): ...
    def on_quote(self, ctx, quote): return ()
    def on_bar(self, ctx, bar): return ()
    def on_fill(self, ctx, fill): ...
"""


def written(tmp_path: Path, text: str, name: str = "mine.py") -> str:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def told(tmp_path: Path, text: str, kind: type[InputError] = InputError) -> str:
    """The message for a file with ``text`` that is asked for the class Mine."""
    with pytest.raises(kind) as caught:
        load_strategy(written(tmp_path, text) + ":Mine")
    assert type(caught.value) is kind
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_class_in_a_file_becomes_a_strategy(tmp_path: Path) -> None:
    made = load_strategy(written(tmp_path, GOOD) + ":Mine")
    assert isinstance(made, Strategy)
    assert (made.name, made.pool, made.symbols) == ("mine", Pool.SWING, ("005930",))


def test_the_example_of_the_message_is_a_strategy() -> None:
    with pytest.raises(InputError, match=re.escape(EXAMPLE)):
        load_strategy("no-colon")
    assert load_strategy(f"{Path(__file__).parents[2]}/{EXAMPLE}").name == "three-in-a-row"


def test_a_strategy_may_import_its_neighbours(tmp_path: Path) -> None:
    written(tmp_path, "SYMBOL = '000660'", "neighbour_of_mine.py")
    before = list(sys.path)
    made = load_strategy(
        written(tmp_path, "from neighbour_of_mine import SYMBOL\n" + GOOD.replace('"005930"', "SYMBOL")) + ":Mine"
    )
    assert made.symbols == ("000660",)
    assert sys.path == before


def test_a_file_whose_name_is_no_text_is_loaded(tmp_path: Path) -> None:
    """Given a name in EUC-KR on a system of UTF-8 names."""
    assert load_strategy(written(tmp_path, GOOD, os.fsdecode(b"\xb0\xa1.py")) + ":Mine").name == "mine"


def test_dataclasses_are_strategies_too(tmp_path: Path) -> None:
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\n" + GOOD.replace(
        "class Mine:", "@dataclass\nclass Mine:\n    window: int = 3"
    )
    made = load_strategy(written(tmp_path, text) + ":Mine")
    assert isinstance(made, Strategy)
    assert (made.name, made.window) == ("mine", 3)  # type: ignore[attr-defined]


def test_a_class_whose_signature_cannot_be_read_is_simply_made(tmp_path: Path) -> None:
    assert (
        load_strategy(written(tmp_path, GOOD.replace("class Mine:", "class Mine(dict):")) + ":Mine").name == "mine"
    )


@pytest.mark.parametrize("made", [TwoEma(), Scalp(), Swing(), Portfolio()])
def test_the_shipped_ones_pass_the_same_check(made: Strategy) -> None:
    assert check_strategy(made, "shipped") is made


@pytest.mark.parametrize("spec", ["mine.py", "mine.py:", ":Mine", "", "mine.py:not a name"])
def test_a_spec_of_another_form_is_explained(spec: str) -> None:
    with pytest.raises(InputError, match=r"FILE\.py:Class"):
        load_strategy(spec)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no strategy file .*nowhere\.py"):
        load_strategy(f"{tmp_path}/nowhere.py:Mine")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends in \.py"):
        load_strategy(written(tmp_path, GOOD, "mine.txt") + ":Mine")


def test_a_missing_class_is_told_with_what_there_is(tmp_path: Path) -> None:
    assert "no class 'Mine'; its classes are Yours" in told(tmp_path, GOOD.replace("class Mine", "class Yours"))
    assert "it defines no class" in told(tmp_path, "Mine = 3")


def test_an_error_in_the_file_is_told_with_its_line(tmp_path: Path) -> None:
    message = told(tmp_path, "x = 1\ny = x / 0\n")
    assert "mine.py:2 raised ZeroDivisionError" in message
    assert "mine.py:1 raised SyntaxError" in told(tmp_path, "def (:\n")
    assert not [name for name in sys.modules if name.startswith("qts_strategy_mine") and str(tmp_path) in name]


def test_a_file_that_ends_the_program_is_told_with_its_line(tmp_path: Path) -> None:
    assert "mine.py:2 raised SystemExit: 0" in told(tmp_path, "import sys\nsys.exit(0)\n")
    text = GOOD + "\n    def __init__(self):\n        raise SystemExit('bye')"
    assert f"mine.py:{len(text.splitlines())}: SystemExit: bye" in told(tmp_path, text)


def test_a_constructor_that_wants_arguments_is_told_which(tmp_path: Path) -> None:
    text = GOOD + "\n    def __init__(self, fast, *rest, slow, every=1, **more): ..."
    assert "needs the arguments fast, slow" in told(tmp_path, text)


def test_a_constructor_that_fails_is_told_with_its_line(tmp_path: Path) -> None:
    text = GOOD + "\n    def __init__(self):\n        raise ValueError('no luck')"
    message = told(tmp_path, text)
    assert f"mine.py:{len(text.splitlines())}: ValueError: no luck" in message


@pytest.mark.parametrize("method", ["on_start", "on_quote", "on_bar", "on_fill"])
def test_each_missing_method_is_named(tmp_path: Path, method: str) -> None:
    message = told(tmp_path, GOOD.replace(f"def {method}(", f"def x_{method}("), ContractError)
    assert f"the method {method}(self, ctx" in message
    assert message.count("is missing") == 1


@pytest.mark.parametrize(
    ("line", "instead", "says"),
    [
        ('name = "mine"', "", "name must be a non-empty text, got None"),
        ('name = "mine"', 'name = " "', "name must be a non-empty text"),
        ('name = "mine"', 'name = "a\\nb"', "name must be a non-empty text"),
        ("pool = Pool.SWING", 'pool = "SWING"', "pool must be one of Pool.SCALP, Pool.SWING, Pool.PORTFOLIO"),
        ("pool = Pool.SWING", "", "pool must be one of"),
        ('symbols = ("005930",)', 'symbols = "005930"', "symbols must be a list or tuple"),
        ('symbols = ("005930",)', "symbols = {1, 2}", "symbols must be a list or tuple"),
        ('symbols = ("005930",)', "", "symbols must be a list or tuple"),
        ('symbols = ("005930",)', "symbols = (5930,)", "symbols must be texts"),
        ('symbols = ("005930",)', 'symbols = ("",)', "symbols must be texts"),
        ("def on_bar(self, ctx, bar)", "def on_bar(self, bar)", "on_bar must accept on_bar(self, ctx, bar)"),
        ("def on_bar(self, ctx, bar)", "async def on_bar(self, ctx, bar)", "must be a plain method, not async"),
        ("def on_bar(self, ctx, bar): return ()", "on_bar = 3", "the method on_bar(self, ctx, bar) is missing"),
        (
            "def on_start(self, ctx): ...",
            "def on_start(self, ctx): yield",
            "on_start(self, ctx) returns no intents",
        ),
        (
            "def on_fill(self, ctx, fill): ...",
            "def on_fill(self, ctx, fill): yield",
            "on_fill(self, ctx, fill) returns",
        ),
        ("pool = Pool.SWING", 'pool = Pool.SWING; data = "trades"', 'write data = ("trades",)'),
    ],
)
def test_each_breach_of_the_contract_is_named(tmp_path: Path, line: str, instead: str, says: str) -> None:
    assert line in GOOD
    assert says in told(tmp_path, GOOD.replace(line, instead), ContractError)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("def on_bras(self, ctx, bars): return ()", "on_bras is never called; is on_bars(self, ctx, bars) meant?"),
        ("def onTrade(self, ctx, tick): return ()", "onTrade is never called; is on_trade(self, ctx, tick) meant?"),
        ("def on_orders(self, ctx, news): ...", "on_orders is never called; is on_order(self, ctx, news) meant?"),
        ("def on_trade(self, ctx, tick): return ()", 'is not called without data = ("trades",) in the class'),
        ("def on_bars(self, ctx, bars): return ()", "is not called without bars in the class"),
        ("def on_order(self, news): ...", "on_order must accept on_order(self, ctx, news), it is on_order(news)"),
        ("def on_order(self, ctx, news): yield", "on_order(self, ctx, news) returns no intents"),
    ],
)
def test_a_method_that_would_never_run_is_named(tmp_path: Path, more: str, says: str) -> None:
    assert says in told(tmp_path, f"{GOOD}\n    {more}\n", ContractError)


@pytest.mark.parametrize("name", ["on_bar_closed", "on_signal", "once", "_on_bras", "on_stop", "is_on_bar"])
def test_methods_of_a_strategy_s_own_may_have_other_names(tmp_path: Path, name: str) -> None:
    made = load_strategy(written(tmp_path, f"{GOOD}\n    def {name}(self): return 7\n") + ":Mine")
    assert getattr(made, name)() == 7


def test_all_breaches_are_told_at_once(tmp_path: Path) -> None:
    message = told(tmp_path, "class Mine: ...", ContractError)
    for word in ("name", "pool", "symbols", "on_start", "on_quote", "on_bar", "on_fill"):
        assert word in message


def test_two_strategies_need_two_names(tmp_path: Path) -> None:
    spec = written(tmp_path, GOOD + GOOD.replace("class Mine", "class Other")) + ":"
    assert [s.name for s in load_strategies([StrategySpec(spec + "Mine")])] == ["mine"]
    with pytest.raises(ContractError, match=r"named 'mine' \(Mine and Other\)"):
        load_strategies([StrategySpec(spec + "Mine"), StrategySpec(spec + "Other")])


def test_a_print_tells_class_and_content_apart_and_not_the_place(tmp_path: Path) -> None:
    here, there = written(tmp_path, GOOD), written(tmp_path, GOOD, "copy.py")
    assert fingerprint_of(f"{here}:Mine") == fingerprint_of(f"{there}:Mine")
    assert fingerprint_of(f"{here}:Mine").startswith("Mine:")
    assert fingerprint_of(f"{here}:Other") != fingerprint_of(f"{here}:Mine")
    assert fingerprint_of(written(tmp_path, GOOD + "#", "copy.py") + ":Mine") != fingerprint_of(f"{here}:Mine")
    with pytest.raises(InputError, match="there is no strategy file"):
        fingerprint_of(f"{tmp_path / 'gone.py'}:Mine")
