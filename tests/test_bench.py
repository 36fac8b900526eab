"""The measurements run on the package as it is; what they measure is not looked at."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from bench import indicators, replay, stages
from bench.figures import interpreter_build
from bench.replay_cases import CASES, SECOND, measure

from qts.indicators import INDICATORS

PREPARED_CASES = [name for name, case in CASES.items() if case.step_ns is not None]


@pytest.mark.parametrize("stage", stages.STAGES)
def test_every_stage_that_is_timed_exists(stage: str) -> None:
    owner, method = stages.STAGES[stage]
    assert callable(getattr(owner, method))


@pytest.mark.parametrize("name", PREPARED_CASES)
def test_a_case_of_a_replay_is_replayed_whole(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # measure() sets it for its own process

    done = measure(CASES[name]._replace(rows=120), tmp_path)

    assert (done["rows"], done["breached"], done["refusals"]) == (120, [], {})
    assert done["orders"] == (2 if CASES[name].order_every == 50 else 0)
    assert done["rows_per_s"] > 0


def test_a_ratio_is_the_median_of_neighbouring_runs() -> None:
    """By the clock 2, 1 and 4 times as fast; by CPU time 3 each."""
    ours = [{"rows_per_s": rate, "rows_per_cpu_s": 300} for rate in (200, 100, 400)]
    theirs = [{"rows_per_s": 100, "rows_per_cpu_s": 100}] * 3

    assert replay.ratio(ours, theirs) == {"wall": 2.0, "cpu": 3.0}


@pytest.mark.parametrize(("cpu", "met"), [(2.8, True), (2.79, False)])
def test_a_bar_is_judged_by_cpu_time(cpu: float, met: bool) -> None:
    cases: dict[str, Any] = {SECOND: {"rows_per_s": 1, "ratios": {replay.BEFORE: {"wall": 9.0, "cpu": cpu}}}}
    [target] = [one for one in replay.judge(cases) if one["what"] == f"{SECOND}, x before, CPU"]

    assert (target["bar"], target["met"]) == (2.8, met)


def test_what_was_not_measured_meets_no_bar_and_misses_none() -> None:
    assert {one["met"] for one in replay.judge({})} == {None}


@pytest.mark.parametrize(
    ("arguments", "flag", "told"),
    [
        ("'--prefix=/usr' '--enable-optimizations'", "-fprofile-use", "with PGO"),
        ("'--prefix=/usr'", "", "with PGO"),
        ("'--prefix=/usr'", "-fprofile-use", "without PGO"),
        (None, None, "PGO not told"),
    ],
)
def test_the_build_of_the_interpreter_is_what_it_tells(
    arguments: str | None, flag: str | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"CONFIG_ARGS": arguments, "PGO_PROF_USE_FLAG": flag}
    monkeypatch.setattr("bench.figures.sysconfig.get_config_var", known.get)

    assert interpreter_build() == told


def test_a_cache_is_timed_beside_the_least_that_could_do_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("redis", reason="needs the extra redis: pip install 'qts-runtime[redis]'")
    from bench import cache, cache_clients
    from bench.suite import measure_parts

    from tests.servers.process import ServerUnavailable
    from tests.servers.valkey import find

    try:
        find()
    except ServerUnavailable as reason:
        pytest.skip(str(reason))
    for name in ("QUICK_SAMPLES", "QUICK_READS", "QUICK_CALLS"):
        monkeypatch.setattr(cache_clients, name, 2)

    parts = {name: cache.PARTS[name] for name in ("memory", "read", "many")}
    report = measure_parts(parts, quick=True)

    assert [one["bar"] for one in report["targets"]] == [25, 1.3, 1.3, 1.3]
    assert all(one["value"] > 0 for one in report["targets"])
    assert "bare HGETALL" in cache.show(report)


def test_every_indicator_is_timed_and_a_missing_peer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indicators, "VALUES", 60)
    monkeypatch.setitem(sys.modules, "talipp", None)

    report = indicators.measure(quick=True)

    assert set(report["ns"]) == {kind.__name__ for kind in INDICATORS}
    assert "talipp" in report["missing"]
    assert {one["met"] for one in report["targets"]} == {None}
    assert "Bollinger" in indicators.show(report)
