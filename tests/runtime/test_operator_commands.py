"""Operators' commands to a running paper session: what they get for an answer, and what is written down of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qts.safety.contracts import SafetyState
from tests.runtime.paper import TIGHTER, answers, answers_after, files_in, paper
from tests.runtime.rig import Rig, command, kst


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return files_in(tmp_path / "etc")


def noted(data_dir: Path) -> list[dict[str, Any]]:
    """The lines of the log that are about operators' commands."""
    lines = [json.loads(line) for line in (data_dir / "session.log.jsonl").read_text("utf-8").splitlines()]
    return [line for line in lines if "operator" in line]


def test_a_reload_names_who_why_and_what_has_changed(tmp_path: Path, files: Path) -> None:
    plan = paper(tmp_path / "run", files)
    (answered,) = answers_after(plan, files, TIGHTER)

    assert answered == {"done": True, "answer": "risk.symbol_weight_limit: 0.15 -> 0.05"}
    (line,) = noted(tmp_path / "run")
    assert line["message"] == "operator kim: reload (drill): done: risk.symbol_weight_limit: 0.15 -> 0.05"
    assert (line["operator"], line["reason"], line["outcome"]) == ("kim", "drill", "done")
    assert len(line["config_hash"]) == 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("symbol_weight_limit: 7\n", "the configuration in force stays: 1 problem"),
        ("symbol_weight_limit: [0.1\n", "the configuration in force stays: 1 problem"),
        ("symbol_weight_limit: 0.05", "does not end with a newline"),
        (None, "risk.yaml is gone"),
    ],
)
def test_a_refused_reload_is_a_refusal_and_is_written_down(
    text: str | None, expected: str, tmp_path: Path, files: Path
) -> None:
    (answered,) = answers_after(paper(tmp_path / "run", files), files, text)

    assert answered["done"] is False
    assert expected in answered["answer"]
    (line,) = noted(tmp_path / "run")
    assert line["message"].startswith("operator kim: reload (drill): refused: the configuration in force stays")
    assert line["outcome"] == "refused"


def test_a_reload_that_brings_only_what_needs_a_restart_is_refused(tmp_path: Path, files: Path) -> None:
    (files / "runtime.yaml").write_text("equity_start: 100000000\n", "utf-8")
    plan = paper(tmp_path / "run", files)

    (answered,) = answers_after(plan, files, "equity_start: 200000000\n", name="runtime.yaml")

    assert answered == {"done": False, "answer": "runtime.equity_start needs a restart"}


def test_a_reloaded_log_level_is_in_force_and_drops_no_command(tmp_path: Path, files: Path) -> None:
    (files / "runtime.yaml").write_text("log_level: INFO\n", "utf-8")
    plan = paper(tmp_path / "run", files)

    answers_after(plan, files, "log_level: ERROR\n", name="runtime.yaml")

    text = (tmp_path / "run" / "session.log.jsonl").read_text("utf-8")
    assert "is in force" not in text  # a warning of the kernel
    assert [line["outcome"] for line in noted(tmp_path / "run")] == ["done"]


def test_a_reload_of_the_same_files_is_done(tmp_path: Path, files: Path) -> None:
    (answered,) = answers(paper(tmp_path / "run", files), command("reload"))

    assert answered == {"done": True, "answer": "nothing has changed"}


def test_commands_about_the_states_are_refused_and_written_down_likewise(tmp_path: Path, files: Path) -> None:
    """No override may be given in LOCKDOWN, none can be cleared that is not there, none leads to nowhere."""
    plan = paper(tmp_path / "run", files, **{"runtime.log_level": "ERROR"})

    told = answers(
        plan,
        command("clear_override"),
        command("override", state="BOLD"),
        command("override", state="DEFENSIVE"),
        command("stop", liquidate=False),
        command("override", state="BALANCED"),
        command("release"),
    )

    outcomes = [True if one["done"] else one["answer"] for one in told]
    assert outcomes[0] == "BALANCED stays: no override is in force"
    assert outcomes[1].startswith("there is no operating state 'BOLD'")
    assert outcomes[2:4] == [True, True]
    assert outcomes[4].startswith("DEFENSIVE stays: ")
    assert outcomes[5] is True
    lines = noted(tmp_path / "run")
    assert [line["command"] for line in lines] == [
        "clear_override",
        "override",
        "override",
        "stop",
        "override",
        "release",
    ]
    assert [line["outcome"] == "done" for line in lines] == [one["done"] for one in told]
    assert {line["operator"] for line in lines} == {"kim"}


def test_a_release_wants_the_broker_s_books_of_this_moment(rig_of: Callable[..., Rig]) -> None:
    """Ten minutes without a line: that the books agreed after the stop, and before it dropped, is not enough."""
    # Given a lockdown, books that were compared in it, and a line that has dropped since
    rig = rig_of(settings={"broker.sim.disconnect_ms": "600000"})
    now = rig.quotes(kst(10), 3)
    rig.stop()
    rig.drain()
    assert rig.invariant(25)["ok"] is True
    now = rig.quotes(now + 1_000_000_000, 1)
    rig.exchange.disconnect(now, "cable")
    rig.quote(now + 1_000_000_000)
    # when it is to be released
    refused = rig.command(command("release"))
    # then it is not, until the broker can be asked
    assert not refused.done
    assert "failing or unknown: the books agree with the broker's" in refused.answer
    assert rig.shared.safety.current_state is SafetyState.LOCKDOWN
    rig.quote(now + 601_000_000_000)
    rig.quote(now + 661_000_000_000)
    assert rig.command(command("release")).done
