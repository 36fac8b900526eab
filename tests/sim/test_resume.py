"""What a data directory may hold, and what --resume does with it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from qts.errors import StateError, UnfinishedRunError
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.persistence.session_log import FILE_NAME
from qts.runtime.session.result import SessionResult
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import SessionPlan
from tests.sim.conftest import Whole
from tests.sim.sessions import book_of, comparable, run, spike_feed, spike_plan


class StopAfter:
    """A progress listener that never asks; a feed wrapper stops the session after ``rows`` values."""

    def __init__(self, plan: SessionPlan, rows: int) -> None:
        self.stop = StopFlag()
        self.plan = msgspec.structs.replace(plan, open_feed=self._open)
        self._rows = rows
        self._inner = plan.open_feed

    def _open(self):  # type: ignore[no-untyped-def]
        feed = self._inner()
        values, stop, rows = feed.values, self.stop, self._rows

        def counted():  # type: ignore[no-untyped-def]
            for number, value in enumerate(values(), 1):
                if number == rows:
                    stop.request()
                yield value

        feed.values = counted
        return feed

    def run(self) -> SessionResult:
        return run_session(self.plan, progress=lambda share, moment: None, stop=self.stop)


@pytest.mark.parametrize("rows", [1, 2, 700, 1_501, 3_028, 3_029])
def test_a_stopped_session_continues_to_the_same_end(rows: int, tmp_path: Path, whole: Whole) -> None:
    stopped = StopAfter(spike_plan(tmp_path), rows).run()
    resumed = run(spike_plan(tmp_path, resume=True))

    assert not stopped.finished
    assert stopped.values.rows == rows
    assert resumed.finished
    assert comparable(resumed.values) == whole.values
    assert book_of(tmp_path) == whole.book
    assert (tmp_path / FILE_NAME).read_text("utf-8") == whole.log


def test_many_stops_change_nothing(tmp_path: Path, whole: Whole) -> None:
    for _ in range(4):
        assert not StopAfter(spike_plan(tmp_path, resume=True), 400).run().finished
    resumed = run(spike_plan(tmp_path, resume=True))

    assert comparable(resumed.values) == whole.values
    assert book_of(tmp_path) == whole.book
    assert (tmp_path / FILE_NAME).read_text("utf-8") == whole.log


def test_an_unfinished_run_is_not_started_again_by_accident(tmp_path: Path) -> None:
    StopAfter(spike_plan(tmp_path), 700).run()
    before = book_of(tmp_path)

    with pytest.raises(UnfinishedRunError, match="--resume") as error:
        run(spike_plan(tmp_path))

    assert error.value.exit_code == 2
    assert str(tmp_path) in str(error.value)
    assert book_of(tmp_path) == before


@pytest.mark.parametrize(
    ("seed", "overrides", "named"),
    [
        (8, {}, "seed was 7, now 8"),
        (7, {"risk.order_rate_per_second": "14"}, "config_hash was"),
    ],
)
@pytest.mark.parametrize("resume", [True, False])
def test_another_run_is_refused_by_name(
    seed: int, overrides: dict[str, str], named: str, resume: bool, tmp_path: Path
) -> None:
    StopAfter(spike_plan(tmp_path), 700).run()

    with pytest.raises(StateError, match=named) as error:
        run(spike_plan(tmp_path, seed=seed, overrides=overrides, resume=resume))

    assert error.value.exit_code == 2


def test_another_input_is_refused_by_name(tmp_path: Path) -> None:
    StopAfter(spike_plan(tmp_path), 700).run()
    plan = spike_plan(tmp_path, resume=True)
    other = msgspec.structs.replace(plan, open_feed=lambda: spike_feed(7, events_per_day=700))

    with pytest.raises(StateError, match="source_id was demo/"):
        run(other)


def test_resuming_an_empty_directory_starts_afresh(tmp_path: Path, whole: Whole) -> None:
    resumed = run(spike_plan(tmp_path / "empty", resume=True))

    assert comparable(resumed.values) == whole.values


def test_resuming_a_finished_run_shows_its_result_again(tmp_path: Path) -> None:
    first = run(spike_plan(tmp_path))

    again = run(spike_plan(tmp_path, resume=True))

    assert again.values == first.values  # even the measured times: nothing ran


def test_a_finished_run_runs_again_without_resume(tmp_path: Path) -> None:
    first = run(spike_plan(tmp_path))
    book = book_of(tmp_path)

    again = run(spike_plan(tmp_path))

    assert comparable(again.values) == comparable(first.values)
    assert again.values.started_at != first.values.started_at
    assert book_of(tmp_path) == book
