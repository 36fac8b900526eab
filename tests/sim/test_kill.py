"""kill -9 at any row, record or transaction, then --resume: nothing lost, nothing twice, the same end.

The requirement is `same-input-same-run`. Many records wait for one transaction, so most kills take some away.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.effort import EVERY_KILL
from tests.sim.killed_session import PLACES
from tests.sim.once import Once, once

__all__ = ["once"]

ROOT = Path(__file__).parents[2]
QUIET: dict[str, str] = {}
FAULTY = {
    "broker.sim.duplicate_fill_probability": "0.3",
    "broker.sim.late_reject_probability": "0.2",
    "broker.sim.reject_probability": "0.1",
}
UNANSWERED = {"broker.sim.lost_order_probability": "0.02", "broker.sim.lost_answer_probability": "0.01"}
LOSING = {"risk.daily_loss_warning": "0.0005", "risk.daily_loss_limit": "0.001"}
"""Limits so tight that safety speaks up: WARNING, then FAIL and back, with forced moves to DEFENSIVE."""
SETTINGS = {"quiet": QUIET, "faulty": FAULTY, "unanswered": UNANSWERED, "losing": LOSING}
Kills = Sequence[tuple[int, str]]


def tell(
    directory: Path, settings: dict[str, str], scenarios: Sequence[Kills], session: str = "spike"
) -> list[dict[str, Any]]:
    """Run the scenarios in one process that forks the sessions, and return what came of each."""
    plan = json.dumps([[settings, kills] for kills in scenarios])
    done = subprocess.run(
        [sys.executable, "-m", "tests.sim.killed_session", str(directory), plan, session],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def undisturbed_of(once: Once, name: str) -> dict[str, Any]:
    """Return what came of the session with ``SETTINGS[name]`` that nothing kills."""
    told: dict[str, Any] = once(f"kill-{name}", lambda place: tell(place, SETTINGS[name], [[]])[0])
    return told


def assert_same_end(undisturbed: dict[str, Any], told: dict[str, Any], kills: Kills) -> None:
    for part in ("values", "book"):
        for name, expected in undisturbed[part].items():
            assert told[part][name] == expected, f"{part} {name} differs after {kills}"
    assert told["log"] == undisturbed["log"], f"a line is lost or there twice after {kills}"


def some_kills(passed: dict[str, int], seed: int) -> list[Kills]:
    """Choose a seeded record and row, the first transaction, and before, in and after a seeded one.

    The long form takes 200 records and rows, and before, in and after every transaction.
    """
    rng = random.Random(seed)
    count = 100 if EVERY_KILL else 1
    moments = [(k, place) for place in ("record", "row") for k in rng.sample(range(1, passed[place] + 1), count)]
    around = [(k, place) for place in ("before", "inside", "after") for k in range(1, passed[place] + 1)]
    moments += around if EVERY_KILL else [(1, "after"), rng.choice(around), (passed["after"], "before")]
    return [[moment] for moment in moments]


@pytest.mark.parametrize("name", SETTINGS)
def test_one_kill_at_any_record_row_or_transaction_changes_nothing(name: str, tmp_path: Path, once: Once) -> None:
    # Given a session, and how often it comes to each place at which it may be killed
    settings, undisturbed = SETTINGS[name], undisturbed_of(once, name)
    scenarios = some_kills(undisturbed["passed"], seed=list(SETTINGS).index(name))

    # When it is killed once and resumed, then result, book and log are those of the undisturbed session
    for first in range(0, len(scenarios), 50):
        some = scenarios[first : first + 50]
        for kills, one in zip(some, tell(tmp_path / str(first), settings, some), strict=True):
            assert one["attempts"] == ["killed"], kills
            assert_same_end(undisturbed, one, kills)


@pytest.mark.parametrize("seed", [1, 2])
def test_many_kills_in_a_row_change_nothing(seed: int, tmp_path: Path, once: Once) -> None:
    """Lives that get to the next checkpoint, and lives that do not."""
    rng = random.Random(seed)
    most = {"record": 150, "row": 300, "before": 2, "inside": 2, "after": 2}
    kills = [(rng.randint(1, most[place]), place) for place in rng.choices(PLACES, k=8)]

    (told,) = tell(tmp_path, QUIET, [kills])

    assert told["attempts"] == ["killed"] * 8
    assert_same_end(undisturbed_of(once, "quiet"), told, kills)


@pytest.mark.parametrize("settings", [QUIET, {**UNANSWERED, "runtime.adjust": "total"}], ids=["quiet", "adjusted"])
def test_a_kill_around_splits_and_dividends_changes_nothing(settings: dict[str, str], tmp_path: Path) -> None:
    (undisturbed,) = tell(tmp_path / "undisturbed", settings, [[]], "split")
    assert len(undisturbed["book"]["corporate_actions"]) == 4
    # A row of the dividend's day, and every second record: those of both ex-dates are among them
    kills: list[Kills] = [[(k, "record")] for k in range(1, undisturbed["passed"]["record"] + 1, 2)]
    kills = [[(95, "row")], *(kills if EVERY_KILL else kills[-12:]), *some_kills(undisturbed["passed"], seed=5)]
    for one, told in zip(kills, tell(tmp_path / "killed", settings, kills, "split"), strict=True):
        assert told["attempts"] == ["killed"], one
        assert_same_end(undisturbed, told, one)


@pytest.mark.parametrize("session", ["bars", "warm"])
def test_a_kill_leaves_windows_and_indicators_what_they_are_in_one_piece(session: str, tmp_path: Path) -> None:
    # Given a session that says what it sees of every bar, and how often it comes to each place
    (undisturbed,) = tell(tmp_path / "undisturbed", QUIET, [[]], session)
    assert undisturbed["log"].count("Bar(") > 100
    assert len(undisturbed["windows"]) == {"bars": 2 * (8 + 5 + 2 + 6), "warm": 3 + 4}[session]
    rng = random.Random(len(session))
    places = {place: count for place, count in undisturbed["passed"].items() if place in PLACES}
    moments = [
        (k, place) for place, count in places.items() for k in rng.sample(range(1, count + 1), min(40, count))
    ]
    # When it is killed once, or at several places in a row
    chosen = moments if EVERY_KILL else rng.sample(moments, 5)
    kills: list[Kills] = [[one] for one in chosen]
    kills += [
        [(rng.randint(1, 40), "row"), (1, "after"), (rng.randint(5, 60), "row")] for _ in range(1 + 19 * EVERY_KILL)
    ]
    # Then every line, and so every window, is that of the undisturbed session, and so are the rows of the store
    for first in range(0, len(kills), 50):
        some = kills[first : first + 50]
        for one, told in zip(some, tell(tmp_path / str(first), QUIET, some, session), strict=True):
            assert "killed" in told["attempts"], one
            assert "failed" not in told["attempts"], one
            assert_same_end(undisturbed, told, one)
            assert told["windows"] == undisturbed["windows"], one


def test_dying_at_the_first_transaction_of_every_life_still_gets_there(tmp_path: Path, once: Once) -> None:
    """After each resume the first transaction survives, so that every attempt brings the session forward."""
    kills = [(1, "after")] * 5

    (told,) = tell(tmp_path, QUIET, [kills])

    assert told["attempts"] == ["killed"] * 5
    assert_same_end(undisturbed_of(once, "quiet"), told, kills)


def test_the_session_that_is_killed_is_worth_killing(once: Once) -> None:
    """It has what can go wrong: fills, transfers, refusals, forced exits, expired orders, safety changes."""
    quiet, losing, unanswered = (undisturbed_of(once, name) for name in ("quiet", "losing", "unanswered"))

    assert quiet["passed"]["record"] > 10 * quiet["passed"]["before"], "many records share a transaction"
    assert quiet["values"]["fills"] > 100
    assert quiet["values"]["forced_exits"] > 0
    assert len(quiet["values"]["refusals"]) >= 4
    assert quiet["book"]["capital_transfers"]
    assert any("expired at the close" in str(row) for row in quiet["book"]["orders"])
    assert losing["book"]["safety_history"]
    assert any("absent" in str(row) for row in unanswered["book"]["orders"])
