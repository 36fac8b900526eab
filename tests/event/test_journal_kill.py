"""Real processes, really killed: nothing acknowledged is lost, nothing is done twice (`crash-before-sync`,
`crash-before-commit`, `crash-while-rotating`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.effort import EVERY_KILL

ROOT = Path(__file__).resolve().parents[2]


def test_many_kills_lose_nothing_and_do_nothing_twice(tmp_path: Path) -> None:
    kills = 50 if EVERY_KILL else 20
    # In a process of its own, because it forks and test runners have threads.
    command = [sys.executable, "-m", "bench.journal_kill", "--kills", str(kills)]
    command += ["--events", str(600 * kills), "--seed", "7"]
    ended = subprocess.run(
        [*command, "--directory", str(tmp_path), "--json"],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    result = json.loads(ended.stdout)
    assert (result["kills"], result["lost"], result["twice"], result["out_of_order"]) == (kills, 0, 0, 0)
    assert result["problems"] == []
    assert result["taken_up"] > 0  # the kills did hit events that were accepted and not handled
