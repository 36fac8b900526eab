"""A paper session and its journal: what a restart takes up, and what the exchange sends again by itself."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from qts.cli.main import main
from qts.errors import InputError, StateError
from qts.event.codec import pack_event, unpack_event
from qts.event.contracts import Event, EventType, create_event
from qts.event.journal import Journal
from qts.event.journal_recovery import check_journal, read_journal
from qts.execution.contracts import EmergencyStop
from qts.runtime.control.command_files import write_command
from qts.runtime.control.commands import Stop
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.result import SessionResult
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import SessionPlan
from tests.event.support import fill
from tests.sim.sessions import spike_plan


def paper(
    data_dir: Path, *, resume: bool = False, overrides: dict[str, str] | None = None, speed: float = 1e4
) -> SessionPlan:
    plan = spike_plan(data_dir, resume=resume, overrides=overrides)
    options = msgspec.structs.replace(plan.options, speed=speed)
    return msgspec.structs.replace(plan, command="run", options=options, paced=True)


def run_a_while(plan: SessionPlan, turns: int) -> SessionResult:
    """Run until the driver has come round ``turns`` times, then ask it to stop."""
    stop, left = StopFlag(), [turns]

    def progress(share: float | None, moment_ns: int) -> None:
        left[0] -= 1
        if left[0] <= 0:
            stop.request()

    return run_session(plan, progress=progress, stop=stop)


def leave_behind(data_dir: Path, result: SessionResult, *events: Event) -> None:
    """Put events into the journal as a process does that is killed before it can handle them."""
    run_id = result.values.run_id
    with Journal(data_dir / "journal", run_id) as journal:
        for event in events:
            journal.append(event.event_id, pack_event(event))


def words(data_dir: Path) -> dict[str, str]:
    return {one.record.event_id: one.status_name for one in read_journal(data_dir / "journal").entries.values()}


def test_p0_of_a_paper_session_is_in_the_journal_and_marked_when_the_checkpoint_has_it(tmp_path: Path) -> None:
    asked = []

    def stop_once(share: float | None, moment_ns: int) -> None:
        if not asked:
            asked.append(write_command(tmp_path, Stop(operator="me", reason="enough")))

    run_session(paper(tmp_path, speed=1e6), progress=stop_once, stop=StopFlag())
    report = read_journal(tmp_path / "journal")
    assert report.problems == []
    assert {entry.status_name for entry in report.entries.values()} == {"applied"}
    (event,) = (unpack_event(entry.record.body) for entry in report.entries.values())
    assert event.event_type is EventType.EMERGENCY_STOP


def test_a_restart_obeys_an_unhandled_emergency_stop_and_withdraws_the_exchanges_own_news(
    tmp_path: Path,
) -> None:
    result = run_a_while(paper(tmp_path), turns=1)
    stop = create_event(
        EventType.EMERGENCY_STOP, "operator", EmergencyStop("me", "test", 1, True), event_id="operator-1"
    )
    told = create_event(EventType.FILL_CONFIRMED, "sim", fill(), event_id="sim-1")
    leave_behind(tmp_path, result, stop, told)
    run_a_while(paper(tmp_path, resume=True), turns=2)
    assert words(tmp_path)["operator-1"] == "applied"
    assert words(tmp_path)["sim-1"] == "withdrawn"
    with closing(sqlite3.connect(tmp_path / "qts.sqlite")) as connection:
        rows = connection.execute("SELECT to_state, code, actor FROM safety_history").fetchall()
    assert ("LOCKDOWN", "FS104", "me") in rows  # the operator who stopped it, not a rule
    assert check_journal(tmp_path / "journal") == []


def test_a_fill_that_an_operator_opens_again_is_handled_by_the_next_start(tmp_path: Path) -> None:
    result = run_a_while(paper(tmp_path), turns=1)
    leave_behind(tmp_path, result, create_event(EventType.FILL_CONFIRMED, "sim", fill(), event_id="sim-1"))
    run_a_while(paper(tmp_path, resume=True), turns=2)
    assert words(tmp_path)["sim-1"] == "withdrawn"
    assert main(["events", "journal", "replay", "sim-1", "--data-dir", str(tmp_path)]) == 0
    again = run_a_while(paper(tmp_path, resume=True), turns=2)
    assert words(tmp_path)["sim-1"] == "applied"
    assert again.values.queues["P0"]["handled"] == result.values.queues["P0"]["handled"] + 1
    assert check_journal(tmp_path / "journal") == []


def test_a_journal_of_another_run_is_refused(tmp_path: Path) -> None:
    Journal(tmp_path / "journal", "0123456789abcdef").close()
    with Journal(tmp_path / "journal", "0123456789abcdef") as journal:
        journal.append("e-1", b"")
    with pytest.raises(StateError, match="belongs to run 0123456789abcdef"):
        run_a_while(paper(tmp_path), turns=1)


def test_without_a_journal_a_paper_session_runs_as_before(tmp_path: Path) -> None:
    run_a_while(paper(tmp_path, overrides={"event.journal.enabled": "false"}), turns=1)
    assert not (tmp_path / "journal").exists()


def test_a_finished_run_starts_again_with_an_empty_journal(tmp_path: Path) -> None:
    first = run_session(paper(tmp_path, speed=1e7), progress=lambda share, moment: None, stop=StopFlag())
    assert first.values.finished
    run_a_while(paper(tmp_path), turns=1)
    assert check_journal(tmp_path / "journal") == []


def test_a_replay_keeps_no_journal(tmp_path: Path) -> None:
    run_a_while(spike_plan(tmp_path), turns=1)
    assert not (tmp_path / "journal").exists()


@pytest.mark.parametrize("name", ["lock", "operator", "qts.sqlite", "session.log.jsonl"])
def test_the_journal_cannot_have_the_name_of_another_file_of_the_run(tmp_path: Path, name: str) -> None:
    plan = paper(tmp_path, overrides={"event.journal.directory": name}, speed=1e6)

    with pytest.raises(InputError, match=f"event.journal.directory: '{name}' is the name of something else"):
        run_session(plan, progress=lambda share, moment: None, stop=StopFlag())
