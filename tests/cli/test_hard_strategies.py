"""Strategies that raise what ends programs, and what the session makes of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command_line import own_directory, run_qts, tape
from tests.strategy.test_loading import GOOD

__all__ = ["own_directory", "tape"]


def mine(line: str) -> tuple[str, str]:
    Path("mine.py").write_text(GOOD.replace("quote): return ()", f"quote):\n        {line}"))
    return ("--strategy", "mine.py:Mine")


@pytest.mark.parametrize("line", ["raise KeyboardInterrupt", "raise SystemExit(0)", "self.on_quote(ctx, quote)"])
def test_what_a_strategy_raises_halts_it_and_ends_nothing_else(
    line: str, tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run_qts(capsys, "replay", str(tape), *mine(line), "--data-dir", "run", "--json")

    values = json.loads(out)
    assert code == 5  # it was halted
    assert values["finished"] is True
    assert values["halted_strategies"] == ["mine"]


def test_a_process_that_a_strategy_has_ended_leaves_an_unfinished_run(
    tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing can be caught or printed there: what is seen is that no result came, and the run goes on."""
    words = ("replay", str(tape), *mine("import os; os._exit(0)"), "--data-dir", "run", "--json")

    done = subprocess.run(
        [sys.executable, "-m", "qts.cli.main", *words], capture_output=True, text=True, timeout=60
    )

    assert done.stdout == ""
    code, _, err = run_qts(capsys, *words)
    assert code == 2
    assert "holds an unfinished run" in err
