"""Kills sessions and resumes them, as a process of its own (forking inside the test runner would not be safe).

    python -m tests.sim.killed_session DIRECTORY SCENARIOS [PLAN]

``SCENARIOS`` is a JSON list; each scenario is ``[settings, kills]``, and each kill ``[k, where]``: the process
kills itself with SIGKILL when it comes to ``where`` for the k-th time, see :data:`PLACES`. A session is started,
killed, resumed, killed again … and finally resumed to its end. Prints one JSON line per scenario: how each attempt
ended, how often the last one came to each place, the final result, the final book and the log. A scenario without
kills is the undisturbed session.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import msgspec

from qts.db.contracts import Record
from qts.db.sqlite import SqliteStore
from qts.market.contracts import Feed, MarketValue
from qts.runtime.persistence.session_log import FILE_NAME
from qts.runtime.persistence.store_writer import InlineWriter
from qts.runtime.session.session_plan import SessionPlan
from qts.runtime.wiring import shared_components, stores
from tests.sim.bars_session import bars_plan, stored_windows, warm_plan
from tests.sim.sessions import book_of, comparable, run, spike_plan
from tests.sim.split_session import split_plan

PLACES = ("row", "record", "before", "inside", "after")
"""A row of the input leaves the feed; a record is given to the writer; a transaction of the store is about to
begin, has written its rows and is about to commit, has committed. Storing the result is the last transaction."""
APART = {"bars", "outbox", "followers"}
"""Tables that are no part of what a session ends with: bars are compared as windows, others are of servers."""
PlanOf = Callable[..., SessionPlan]


class Death:
    """Where and when this process kills itself; ``kill_at`` None: never."""

    kill_at: int | None = None
    where = ""
    passed: ClassVar[Counter[str]] = Counter()

    @classmethod
    def planned(cls, kill_at: int | None, where: str) -> None:
        """Count from 0 again, up to this death."""
        cls.kill_at, cls.where, cls.passed = kill_at, where, Counter()

    @classmethod
    def passes(cls, place: str) -> None:
        """Count one more time at this place, and die when it is the one."""
        cls.passed[place] += 1
        if place == cls.where and cls.passed[place] == cls.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


class KillingStore(SqliteStore):
    """A store that may kill its process around a transaction and inside of it."""

    def commit(self, records: Sequence[Record], checkpoint: bytes | None = None, inbox: Sequence[str] = ()) -> int:
        Death.passes("before")
        seq = super().commit(records, checkpoint, inbox)
        Death.passes("after")
        return seq

    def _write(self, records: Sequence[Record], *, keep_images: bool) -> None:
        super()._write(records, keep_images=keep_images)
        Death.passes("inside")

    def finish_run(self, result: str) -> None:
        Death.passes("before")
        super().finish_run(result)
        Death.passes("after")


class KillingWriter(InlineWriter):
    """A writer that may kill its process at a record, which is then in no transaction."""

    def write_later(self, record: Record) -> None:
        Death.passes("record")
        super().write_later(record)


def with_killing_feed(plan: SessionPlan) -> SessionPlan:
    """Return ``plan`` with a feed that may kill the process at a row."""

    def open_feed() -> Feed:
        feed = plan.open_feed()
        values = feed.values

        def counted() -> Iterator[MarketValue]:
            for value in values():
                Death.passes("row")
                yield value

        feed.values = counted  # type: ignore[method-assign]
        return feed

    return msgspec.structs.replace(plan, open_feed=open_feed)


def killable_plan(data_dir: Path, *, resume: bool, overrides: dict[str, str]) -> SessionPlan:
    return with_killing_feed(spike_plan(data_dir, resume=resume, overrides=overrides))


def killable_split_plan(data_dir: Path, *, resume: bool, overrides: dict[str, str]) -> SessionPlan:
    return with_killing_feed(split_plan(data_dir, resume=resume, overrides=overrides))


def attempt(
    directory: Path, settings: Mapping[str, str], kill_at: int, where: str, plan_of: PlanOf = killable_plan
) -> str:
    """Run a session in a child process; return "killed", "finished" or "failed"."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        Death.planned(kill_at, where)
        try:
            run(plan_of(directory, resume=True, overrides=dict(settings)))
        except BaseException as error:  # noqa: BLE001 - the edge of the process: whatever it is, say it and end
            print(f"attempt {kill_at} {where}: {error!r}", file=sys.stderr, flush=True)
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
    plan_of: PlanOf = killable_plan,
) -> dict[str, object]:
    """Start a session, kill it as planned, resume it to its end; return what came of it."""
    attempts = [attempt(directory, settings, kill_at, where, plan_of) for kill_at, where in kills]
    Death.planned(None, "")
    result = run(plan_of(directory, resume=True, overrides=dict(settings)))
    return {
        "attempts": attempts,
        "passed": dict(Death.passed),
        "values": comparable(result.values),
        "book": {name: rows for name, rows in book_of(directory).items() if name not in APART},
        "windows": stored_windows(directory),
        "log": (directory / FILE_NAME).read_text("utf-8"),
    }


PLANS: Mapping[str, PlanOf] = {
    "spike": killable_plan,
    "split": killable_split_plan,
    "bars": lambda *given, **named: with_killing_feed(bars_plan(*given, **named)),
    "warm": lambda *given, **named: with_killing_feed(warm_plan(*given, **named)),
}


def main(directory: str, scenarios: str, plan: str = "spike") -> None:
    """Run every scenario in a directory of its own, and print one JSON line for each."""
    stores.SqliteStore, shared_components.InlineWriter = KillingStore, KillingWriter  # type: ignore[misc]
    for number, (settings, kills) in enumerate(json.loads(scenarios)):
        outcome = scenario(Path(directory) / str(number), settings, [(k, where) for k, where in kills], PLANS[plan])
        print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
