"""Every example runs as a person would run it, and says what its first line promises."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from qts.cli.main import main
from qts.market.contracts import Quote
from qts.market.sample import sample_csv
from qts.strategy.contracts import Side
from qts.strategy.loading import load_strategy
from qts.strategy.snapshot import restore, save
from tests.strategy.scripted_context import ScriptedContext

EXAMPLES = Path(__file__).parents[2] / "examples"
STRATEGY = EXAMPLES / "my_first_strategy.py"
WITH_KEYS = EXAMPLES / "ask_kis.py"
"""Needs keys of KIS: the tests of its probes run it against their double."""


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the sample's bars, in which the examples run."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "005930.csv").write_text(sample_csv(), encoding="utf-8")
    with contextlib.chdir(folder):
        yield folder


def output_of(name: str) -> str:
    """Return what an example prints; it warns of nothing."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)], capture_output=True, text=True, env=env, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("path", sorted({*EXAMPLES.glob("*.py")} - {WITH_KEYS}), ids=lambda path: path.stem)
def test_every_example_runs_and_opens_with_what_it_shows(path: Path) -> None:
    output_of(path.name)
    assert path.read_text(encoding="utf-8").startswith('"""')


def test_the_dispatcher_alone_handles_the_fill_first() -> None:
    said = output_of("dispatcher_alone.py")
    assert "handled: FILL_CONFIRMED → PRICE_TICK → LOG_WRITE" in said
    assert "P0_CRITICAL  accepted 1, handled 1, dropped 0" in said


def test_the_governor_alone_confirms_for_two_hours_and_turns_defensive() -> None:
    said = output_of("governor_alone.py").splitlines()
    assert [line.split()[0] for line in said[:3]] == ["00:00", "01:00", "02:00"]
    assert "confirmation_pending" in said[0]
    assert "vix 37.3 > 30" in said[2]
    assert said[3] == "now DEFENSIVE: entries refused,"


def test_safety_alone_locks_and_is_released_by_a_person() -> None:
    said = output_of("safety_alone.py").splitlines()
    ends = [line.split("→")[1].split()[0] for line in said[:6]]
    assert ends == ["WARNING", "FAIL", "FAIL", "LOCKDOWN", "LOCKDOWN", "NORMAL"]
    assert said[6] == "entries allowed: True"


def test_the_risk_gate_alone_sizes_approves_and_refuses() -> None:
    said = output_of("risk_gate_alone.py")
    # 20 % of the pool's 50,000,000 is 10,000,000: 65 shares at 152,000 with their fee, 66 are 10,032,000
    assert "sized: 65 shares at 152000" in said
    assert "as sized             approved as approval-1" in said
    for reason in ("SYMBOL_WEIGHT_LIMIT", "OFF_TICK_GRID", "PRICE_STALE", "SAFETY_BLOCKS_ENTRIES"):
        assert said.count(reason) == 1


def test_a_backtest_in_python_has_ten_lines_and_does_what_the_command_does(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (EXAMPLES / "backtest_in_python.py").read_text(encoding="utf-8").split('"""')[2]
    lines = [line for line in text.splitlines() if line.strip() and "import " not in line]
    assert len(lines) == 10
    # When it runs, it shows the figures that the command has of the same two means, and writes the report
    said = output_of("backtest_in_python.py")
    assert (folder / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    strategy = f"{EXAMPLES / 'sma_cross.py'}:SmaCross"
    assert main(["backtest", "005930.csv", "--strategy", strategy, "--benchmark", "hold", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert f"{Decimal(result['equity_end']):,} KRW" in said
    assert result["fills"] == 22


def test_a_strategy_by_hand_buys_the_rise_and_leaves_in_the_fall() -> None:
    sides = [line.split(": ")[1].split(",")[0] for line in output_of("strategy_by_hand.py").splitlines()]
    assert sides == ["BUY", "SELL"]


class TestMyFirstStrategy:
    def test_has_less_than_thirty_lines_of_code(self) -> None:
        text = STRATEGY.read_text(encoding="utf-8").split('"""')[2]
        assert len([line for line in text.splitlines() if line.strip()]) < 30

    def test_buys_after_three_falls_and_sells_after_three_rises(self) -> None:
        context, strategy = ScriptedContext(), load_strategy(f"{STRATEGY}:ThreeInARow")
        assert context.quotes(strategy, [100, 99, 98]) == []
        (bought,) = context.quotes(strategy, [97])
        assert (bought.side, bought.confidence) == (Side.BUY, 0.8)
        context.fill(strategy, "A", Side.BUY, 97)
        assert context.quotes(strategy, [98, 98, 99]) == [], "an unchanged price neither counts nor interrupts"
        (sold,) = context.quotes(strategy, [100])
        assert sold.side is Side.SELL

    def test_a_turn_starts_the_count_again(self) -> None:
        context, strategy = ScriptedContext(), load_strategy(f"{STRATEGY}:ThreeInARow")
        assert context.quotes(strategy, [100, 99, 98, 99, 98, 97]) == []
        assert list(strategy.on_quote(context, Quote("A", context.ns + 1))) == []
        assert len(context.quotes(strategy, [96])) == 1

    def test_its_memory_survives_a_checkpoint(self) -> None:
        context, strategy = ScriptedContext(), load_strategy(f"{STRATEGY}:ThreeInARow")
        context.quotes(strategy, [100, 99, 98])
        twin = load_strategy(f"{STRATEGY}:ThreeInARow")
        restore(twin, save(strategy))
        assert len(context.quotes(twin, [Decimal(97)])) == 1  # type: ignore[list-item]
