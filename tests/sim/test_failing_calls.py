"""An exception at any call on the way of a fill, an order, a transfer or a checkpoint: the end stays the same.

Either what was raised changes nothing, or it ends the session, and resuming goes on from what was whole.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from qts.errors import StorageError
from qts.pipeline.act import Act
from qts.runtime.orders.decision_path import DecisionPath
from qts.runtime.orders.execution_reports import ExecutionReportHandler
from qts.runtime.orders.signals import Signals
from qts.runtime.persistence.store_writer import InlineWriter
from qts.runtime.session.capital_transfers import CapitalTransfers
from qts.runtime.session.session_plan import SessionPlan
from tests.effort import EVERY_CALL
from tests.runtime.live_rig import live
from tests.sim.failing import FailingPath
from tests.sim.sessions import book_of, run
from tests.sim.tiny import THURSDAY, day_of_values, strategies, tiny_plan

Book = dict[str, list[tuple[Any, ...]]]


class Way(NamedTuple):
    """A method, which of its calls in the session is the one that fails, and the first place where it does."""

    owner: type
    method: str
    going: int
    first: int = 1
    between: bool = False
    """Whether it is called between two effects, so that an error may end the session as it is."""


WAYS = {
    "signal": Way(
        Signals, "on_intent", 2, first=3
    ),  # what fails before it has begun is told as the strategy's fault
    "decision": Way(DecisionPath, "decide", 12),
    "order": Way(Act, "__call__", 2),
    "first fill": Way(ExecutionReportHandler, "on_event", 1),
    "last fill": Way(ExecutionReportHandler, "on_event", 4),
    "transfer": Way(CapitalTransfers, "rebalance", 1),
    "checkpoint": Way(InlineWriter, "checkpoint", 3, between=True),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Book:
    directory = tmp_path_factory.mktemp("whole")
    run(tiny_plan(directory))
    return book_of(directory)


def places(way: Way, calls: int) -> list[int]:
    """The first and last calls and a seeded choice of the others; QTS_EVERY_CALL=1 takes all of them."""
    everything = range(way.first, calls + 1)
    if EVERY_CALL:
        return list(everything)
    some = random.Random(way.method).sample(everything, min(6, len(everything)))
    return sorted({everything[0], everything[1], everything[-1], *some})


def counted(way: Way, plan: SessionPlan) -> int:
    """How many calls there are on the way in an undisturbed session."""
    with FailingPath(way.owner, way.method, going=way.going, error=RuntimeError).laid() as path:
        run(plan)
    assert path.calls > 2, "the session does not go this way"
    return path.calls


# What is raised while a generator is closed goes nowhere: the interpreter only reports it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", WAYS)
def test_what_is_raised_at_any_call_of_a_way_changes_nothing_in_the_end(
    name: str, tmp_path: Path, whole: Book
) -> None:
    way = WAYS[name]
    calls, ended = counted(way, tiny_plan(tmp_path / "counted")), 0

    for k in places(way, calls):
        directory, error = tmp_path / str(k), MemoryError if k % 2 else RuntimeError
        failing = FailingPath(way.owner, way.method, going=way.going, k=k, error=error)
        with failing.laid() as path, contextlib.suppress(StorageError, *([error] if way.between else ())):
            run(tiny_plan(directory))
        if not is_finished(directory):
            ended += 1
            run(tiny_plan(directory, resume=True))
        assert path.failed_in, f"call {k} of {calls} was not reached"
        assert book_of(directory) == whole, f"call {k} of {calls}, {path.failed_in}"
    assert ended > 1, "what is raised behind the first mark ends the session"


async def on_the_loop(directory: Path) -> None:
    """The first of the two days as a paper session has it: the store beside the loop, from where it stands on."""
    values = day_of_values(THURSDAY, 1)
    async with live(directory, strategies=strategies(), settings={}) as rig, rig.kernel.shared.record.running():
        await rig.drain()  # what was on its way belongs before the next value
        await rig.show(*values[rig.kernel.intake.rows :])
        await rig.kernel.shared.record.checkpoint()


def money_of(directory: Path) -> Book:
    """What does not depend on when the disk was slow."""
    book = book_of(directory, "rig.sqlite")
    return {name: book[name] for name in ("t_ledger", "orders", "positions", "capital_pools")}


@pytest.mark.parametrize("name", ["signal", "decision", "order", "first fill", "last fill"])
async def test_on_the_event_loop_an_effect_is_whole_or_the_work_of_the_next_process(
    name: str, tmp_path: Path
) -> None:
    way = WAYS[name]
    (tmp_path / "whole").mkdir()
    with FailingPath(way.owner, way.method, going=way.going, error=RuntimeError).laid() as counted:
        await on_the_loop(tmp_path / "whole")
    whole, ended = money_of(tmp_path / "whole"), 0
    assert len(whole["t_ledger"]) > 2

    for k in places(way, counted.calls):
        directory, error = tmp_path / str(k), MemoryError if k % 2 else RuntimeError
        directory.mkdir()
        with FailingPath(way.owner, way.method, going=way.going, k=k, error=error).laid() as failing:
            try:
                await on_the_loop(directory)
            except StorageError:
                ended += 1
                await on_the_loop(directory)
        assert money_of(directory) == whole, f"call {k} of {counted.calls}, {failing.failed_in}"
    assert ended > 1, "what is raised behind the first mark ends the session"


def is_finished(directory: Path) -> bool:
    with closing(sqlite3.connect(directory / "qts.sqlite")) as connection:
        (finished,) = connection.execute("SELECT finished FROM runs").fetchone()
        return bool(finished)
