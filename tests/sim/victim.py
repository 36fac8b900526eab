"""Kills sessions and resumes them, as a process of its own (forking inside the test runner would not be safe).

    python -m tests.sim.victim DIRECTORY STORIES

``STORIES`` is a JSON list; each story is ``[settings, deaths]``, and each death ``[k, side]``: the process kills
itself with SIGKILL at its k-th commit, ``side`` "before" or "after" it. A session is begun, dies, is resumed, dies
again … and is at last resumed to its end. Prints one JSON line per story: how each life ended, how many commits the
last one made, the final result and the final book. A story without deaths is the undisturbed session.
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


class DoomedStore(SqliteStore):
    """Kills its process at the ``dies_at``-th commit; storing the result is the last commit of all."""

    dies_at = NEVER
    side = "before"
    commits = 0

    def commit(self, records: Sequence[Record], checkpoint: bytes | None = None, inbox: Sequence[str] = ()) -> int:
        _count_and_die("before")
        seq = super().commit(records, checkpoint, inbox)
        _die_if_due("after")
        return seq

    def finish_run(self, result: str) -> None:
        _count_and_die("before")
        super().finish_run(result)
        _die_if_due("after")


def _count_and_die(side: str) -> None:
    DoomedStore.commits += 1
    _die_if_due(side)


def _die_if_due(side: str) -> None:
    if DoomedStore.commits == DoomedStore.dies_at and DoomedStore.side == side:
        os.kill(os.getpid(), signal.SIGKILL)


def life(
    directory: Path, settings: Mapping[str, str], dies_at: int, side: str, plan_of: PlanOf = spike_plan
) -> str:
    """One life in a child process: "killed", "finished" or "failed"."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        DoomedStore.commits, DoomedStore.dies_at, DoomedStore.side = 0, dies_at, side
        try:
            run(plan_of(directory, resume=True, overrides=dict(settings)))
        except BaseException as error:  # noqa: BLE001 - the edge of the process: whatever it is, say it and end
            print(f"life {dies_at} {side}: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return "killed"
    return "finished" if status == 0 else "failed"


def story(
    directory: Path,
    settings: Mapping[str, str],
    deaths: Sequence[tuple[int, str]],
    plan_of: PlanOf = spike_plan,
) -> dict[str, object]:
    """Begin, die as planned, resume to the end."""
    lives = [life(directory, settings, dies_at, side, plan_of) for dies_at, side in deaths]
    DoomedStore.commits, DoomedStore.dies_at = 0, NEVER
    result = run(plan_of(directory, resume=True, overrides=dict(settings)))
    return {
        "lives": lives,
        "commits": DoomedStore.commits,
        "values": comparable(result.values),
        "book": book_of(directory),
    }


def main(directory: str, stories: str) -> None:
    """Every story in a directory of its own, one JSON line each."""
    stores.SqliteStore = DoomedStore  # type: ignore[misc]
    for number, (settings, deaths) in enumerate(json.loads(stories)):
        told = story(Path(directory) / str(number), settings, [(k, side) for k, side in deaths])
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
