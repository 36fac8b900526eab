"""Kills sessions and resumes them, as a process of its own (forking inside the test runner would not be safe).

    python -m tests.sim.killed_session DIRECTORY SCENARIOS

``SCENARIOS`` is a JSON list; each scenario is ``[settings, kills]``, and each kill ``[k, side]``: the process kills
itself with SIGKILL at its k-th commit, ``side`` "before" or "after" it. A session is started, killed, resumed,
killed again … and finally resumed to its end. Prints one JSON line per scenario: how each attempt ended, how many
commits the last one made, the final result and the final book. A scenario without kills is the undisturbed session.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from qts.db.contracts import Record
from qts.db.sqlite import SqliteStore
from qts.runtime.session.session_plan import SessionPlan
from qts.runtime.wiring import stores
from tests.sim.sessions import book_of, comparable, run, spike_plan

NEVER = 1 << 30
PlanOf = Callable[..., SessionPlan]


class KillingStore(SqliteStore):
    """A store that kills its process at the ``kill_at``-th commit; storing the result is the last commit."""

    kill_at = NEVER
    side = "before"
    commits = 0

    def commit(self, records: Sequence[Record], checkpoint: bytes | None = None, inbox: Sequence[str] = ()) -> int:
        _count_and_kill("before")
        seq = super().commit(records, checkpoint, inbox)
        _kill_if_due("after")
        return seq

    def finish_run(self, result: str) -> None:
        _count_and_kill("before")
        super().finish_run(result)
        _kill_if_due("after")


def _count_and_kill(side: str) -> None:
    KillingStore.commits += 1
    _kill_if_due(side)


def _kill_if_due(side: str) -> None:
    if KillingStore.commits == KillingStore.kill_at and KillingStore.side == side:
        os.kill(os.getpid(), signal.SIGKILL)


def attempt(
    directory: Path, settings: Mapping[str, str], kill_at: int, side: str, plan_of: PlanOf = spike_plan
) -> str:
    """Run a session in a child process; return "killed", "finished" or "failed"."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        KillingStore.commits, KillingStore.kill_at, KillingStore.side = 0, kill_at, side
        try:
            run(plan_of(directory, resume=True, overrides=dict(settings)))
        except BaseException as error:  # noqa: BLE001 - the edge of the process: whatever it is, say it and end
            print(f"attempt {kill_at} {side}: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return "killed"
    return "finished" if status == 0 else "failed"


def scenario(
    directory: Path,
    settings: Mapping[str, str],
    kills: Sequence[tuple[int, str]],
    plan_of: PlanOf = spike_plan,
) -> dict[str, object]:
    """Start a session, kill it as planned, resume it to its end; return what came of it."""
    attempts = [attempt(directory, settings, kill_at, side, plan_of) for kill_at, side in kills]
    KillingStore.commits, KillingStore.kill_at = 0, NEVER
    result = run(plan_of(directory, resume=True, overrides=dict(settings)))
    return {
        "attempts": attempts,
        "commits": KillingStore.commits,
        "values": comparable(result.values),
        "book": book_of(directory),
    }


def main(directory: str, scenarios: str) -> None:
    """Run every scenario in a directory of its own, and print one JSON line for each."""
    stores.SqliteStore = KillingStore  # type: ignore[misc]
    for number, (settings, kills) in enumerate(json.loads(scenarios)):
        outcome = scenario(Path(directory) / str(number), settings, [(k, side) for k, side in kills])
        print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
