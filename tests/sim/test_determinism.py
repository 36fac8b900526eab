"""Same input, seed and configuration: the same events, orders and ledger, byte for byte (`same-input-same-run`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.sim.sessions import book_of, comparable, run, spike_plan

ROOT = Path(__file__).parents[2]

SESSION = """
import json, sys
from pathlib import Path
from tests.sim.sessions import book_of, run, spike_plan
directory = Path(sys.argv[1])
print(run(spike_plan(directory)).to_json())
print(json.dumps(book_of(directory)))
"""


def in_a_process_with_hash_seed(hash_seed: str, directory: Path) -> tuple[dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, "-c", SESSION, str(directory)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    result, book = done.stdout.splitlines()
    return json.loads(result), book


def test_two_runs_in_one_process_are_equal(tmp_path: Path) -> None:
    first, second = run(spike_plan(tmp_path / "a")), run(spike_plan(tmp_path / "b"))

    assert comparable(first.values) == comparable(second.values)
    assert book_of(tmp_path / "a") == book_of(tmp_path / "b")


def test_the_hash_seed_of_the_process_changes_nothing(tmp_path: Path) -> None:
    one, one_book = in_a_process_with_hash_seed("1", tmp_path / "one")
    two, two_book = in_a_process_with_hash_seed("4242", tmp_path / "two")

    assert comparable(one) == comparable(two)
    assert one_book == two_book


def test_what_may_differ_is_named_and_nothing_else_is_left_out(tmp_path: Path) -> None:
    values = run(spike_plan(tmp_path)).values

    left_out = set(values.__struct_fields__) - set(comparable(values))

    assert left_out == {
        "wall_s",
        "events_per_s",
        "started_at",
        "finished_at",
        "report",
        "p0_latency_us",
        "latency_us_by_priority",
        "latency_overstays",
    }


def test_another_seed_is_another_session(tmp_path: Path) -> None:
    seven, eight = run(spike_plan(tmp_path / "7")), run(spike_plan(tmp_path / "8", seed=8))

    assert seven.values.run_id != eight.values.run_id
    assert book_of(tmp_path / "7")["t_ledger"] != book_of(tmp_path / "8")["t_ledger"]


def test_another_setting_is_another_run(tmp_path: Path) -> None:
    plain = run(spike_plan(tmp_path / "a"))
    other = run(spike_plan(tmp_path / "b", overrides={"risk.order_rate_per_second": "14"}))

    assert plain.values.config_hash != other.values.config_hash
    assert plain.values.run_id != other.values.run_id
