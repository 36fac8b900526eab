"""An unexpected error ends a session with one sentence; its traceback is in the session's log."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qts.runtime.drivers import straight_rows
from qts.runtime.intake import Intake
from tests.cli.command_line import own_directory, run_qts, tape
from tests.sim.sessions import comparable

__all__ = ["own_directory", "tape"]
LOG = Path("run", "session.log.jsonl")


class Broken(Exception):
    """A defect of ours: no error that QTS raises on purpose."""


@pytest.fixture
def broken() -> Iterator[pytest.MonkeyPatch]:
    """The 400th value cannot be taken in, until it is undone."""
    with pytest.MonkeyPatch.context() as patch:
        breaks(patch, Broken("beyond \ud800 me"))
        yield patch


def breaks(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let whichever of the two ways of a value is gone raise ``error`` at the 400th."""
    taken: list[object] = []

    def breaking(take_in: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
        def break_at_400(one: Any, value: Any) -> bool:
            taken.append(value)
            if len(taken) == 400:
                raise error
            return take_in(one, value)

        return break_at_400

    monkeypatch.setattr(Intake, "accept", breaking(Intake.accept))
    monkeypatch.setattr(straight_rows, "quote_fits", breaking(straight_rows.quote_fits))


def logged() -> list[dict[str, str]]:
    return [row for row in map(json.loads, LOG.read_text("utf-8").splitlines()) if "traceback" in row]


def test_a_defect_is_told_in_a_sentence_and_the_run_goes_on_from_its_checkpoint(
    tape: Path, broken: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ("replay", str(tape), "--json", "--data-dir", "run")

    code, out, err = run_qts(capsys, *argv)

    assert (code, out) == (3, "")
    assert err.startswith("qts: an unexpected error in QTS ended the session (Broken: beyond ")
    assert f"continue the run with --resume; the traceback is in {LOG}" in err
    assert err.count("\n") == 1
    (row,) = logged()
    assert row["level"] == "ERROR"
    assert "break_at_400" in row["traceback"]
    assert row["traceback"].rstrip().endswith("beyond \\ud800 me")
    broken.undo()
    resumed = json.loads(run_qts(capsys, *argv, "--resume")[1])
    whole = json.loads(run_qts(capsys, "replay", str(tape), "--json", "--data-dir", "whole")[1])
    assert comparable(resumed) == comparable(whole)


@pytest.mark.parametrize("more", [("--verbose",), ()], ids=["verbose", "QTS_DEBUG"])
def test_who_asks_for_it_gets_the_traceback_too(
    more: tuple[str, ...], tape: Path, broken: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken.setenv("QTS_DEBUG", "0" if more else "1")

    code, out, err = run_qts(capsys, "replay", str(tape), "--json", "--data-dir", "run", *more)

    assert (code, out) == (3, "")
    assert err.startswith("Traceback (most recent call last)")
    assert "break_at_400" in err
    assert err.splitlines()[-1].startswith("qts: an unexpected error in QTS ended the session")


def test_in_real_time_it_is_the_same(
    tape: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    breaks(monkeypatch, Broken("no"))

    code, out, err = run_qts(capsys, "run", "--feed", str(tape), "--speed", "1e9", "--json", "--data-dir", "run")

    assert (code, out) == (3, "")
    assert "qts: an unexpected error in QTS ended the session (Broken: no)" in err
    assert "Traceback" not in err
    assert len(logged()) == 1


def test_a_full_disk_is_no_defect(
    tape: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    breaks(monkeypatch, OSError(errno.ENOSPC, "No space left on device", "somewhere"))

    code, _, err = run_qts(capsys, "replay", str(tape), "--data-dir", "run")

    assert (code, err) == (3, "qts: cannot write somewhere: No space left on device\n")
