"""The short form of the long trials: paper sessions killed beside a slow journal and a slow store."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_kills_beside_slow_disks_refuse_lose_double_and_change_nothing(tmp_path: Path) -> None:
    # In a process of its own, because it forks and test runners have threads.
    command = [sys.executable, "-m", "bench.soak", "paper-kills", "--short", "--json", "--directory", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)

    assert ended.stdout, ended.stderr
    result = json.loads(ended.stdout)["paper-kills"]
    assert result["failed"] == []
    assert [result[count] for count in ("refused", "lost", "doubled", "changed")] == [0, 0, 0, 0]
    assert result["kills"] > 0
    assert result["fills"] > 0, "there was nothing to lose"
