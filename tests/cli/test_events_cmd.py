"""``qts events``: what is shown of the journal and the dead letters, and how they are tried again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qts.cli.main import main
from qts.event.contracts import Event, EventType, create_event
from qts.event.dispatcher import EventDispatcher
from qts.event.journal import Journal
from qts.event.journal_segments import Mark, segment_paths
from tests.event.support import P0, P1, Recorder, inline_dispatcher

RUN_ID = "0123456789abcdef"


def fill_event(n: int, order: str) -> Event:
    payload = {"n": n, "order_id": order}
    return create_event(EventType.FILL_PARTIAL, "broker", payload, event_id=f"fill-{n}")


def life(data_dir: Path, seen: Recorder, *events: Event) -> EventDispatcher:
    """One process that handles ``events`` and ends."""
    with Journal(data_dir / "journal", RUN_ID) as journal:
        dispatcher = inline_dispatcher(journal=journal)
        dispatcher.register_handler(P0, seen)
        dispatcher.register_handler(P1, Recorder(failures=4))
        for event in events:
            dispatcher.dispatch_nowait(event)
            dispatcher.run_inline()
        dispatcher.run_inline()
        return dispatcher


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """fill-1 of order o-1 is parked, fill-2 waits behind it, fill-3 of another order is applied; a tick failed."""
    tick = create_event(EventType.PRICE_TICK, payload={"symbol": "005930"}, event_id="tick-1")
    life(tmp_path, Recorder(failures=4), fill_event(1, "o-1"), fill_event(2, "o-1"), fill_event(3, "o-2"), tick)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str, expect: int = 0) -> str:
    capsys.readouterr()
    assert main(["events", *words]) == expect
    told = capsys.readouterr()
    return told.err if expect in (2, 3) else told.out


def objects(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    return json.loads(run(capsys, *words, "--json"))


def test_list_tells_counts_and_the_newest_events(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = objects(capsys, "journal", "list", "--data-dir", str(data_dir))
    assert (told["run_id"], told["events"], told["problems"], told["torn"]) == (RUN_ID, 3, [], None)
    assert (told["parked"], told["accepted"], told["applied"]) == (1, 1, 1)
    assert [(row["sequence"], row["event_id"], row["about"], row["status"]) for row in told["shown"]] == [
        (1, "fill-1", "o-1", "parked"),
        (2, "fill-2", "o-1", "accepted"),
        (3, "fill-3", "o-2", "applied"),
    ]
    text = run(capsys, "journal", "list", "--data-dir", str(data_dir))
    assert f"run {RUN_ID}: 3 events in 1 file (1 accepted, 1 applied, 1 parked)" in text
    assert "fill-2" in text


def test_list_can_be_narrowed(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last = objects(capsys, "journal", "list", "--data-dir", str(data_dir), "--last", "1")
    assert [row["event_id"] for row in last["shown"]] == ["fill-3"]
    parked = objects(capsys, "journal", "list", "--data-dir", str(data_dir), "--status", "parked", "--last", "0")
    assert [row["event_id"] for row in parked["shown"]] == ["fill-1"]


@pytest.mark.parametrize("which", ["1", "fill-1"])
def test_show_tells_all_an_event_carries(data_dir: Path, capsys: pytest.CaptureFixture[str], which: str) -> None:
    told = objects(capsys, "journal", "show", which, "--data-dir", str(data_dir))
    assert told["event"]["payload"] == {"n": 1, "order_id": "o-1"}
    assert told["offset"] == 0
    text = run(capsys, "journal", "show", which, "--data-dir", str(data_dir))
    assert "status:    parked" in text
    assert '"order_id": "o-1"' in text


def test_an_unknown_event_is_an_error_that_says_what_there_is(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = run(capsys, "journal", "show", "99", "--data-dir", str(data_dir), expect=2)
    assert "holds no event '99'; its numbers go from 1 to 3" in told


def test_a_replayed_event_is_handled_by_the_next_start(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert objects(capsys, "journal", "replay", "3", "--data-dir", str(data_dir)) == {"reopened": ["fill-3"]}
    listed = objects(capsys, "journal", "list", "--data-dir", str(data_dir), "--status", "reopened")
    assert [row["event_id"] for row in listed["shown"]] == ["fill-3"]
    seen = Recorder()
    life(data_dir, seen)
    assert seen.numbers == [3]


def test_what_waits_anyway_is_not_opened_again(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = run(capsys, "journal", "replay", "2", "--data-dir", str(data_dir), expect=2)
    assert "event 2 (fill-2) is accepted: the next start handles it anyway" in told


def test_a_running_process_keeps_its_journal_to_itself(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Journal(data_dir / "journal", RUN_ID):
        told = run(capsys, "journal", "replay", "3", "--data-dir", str(data_dir), expect=2)
        assert "another process writes this journal" in told
        assert objects(capsys, "journal", "list", "--data-dir", str(data_dir))["events"] == 3  # looking is free


def test_dead_letters_are_listed_with_their_error(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = objects(capsys, "dead-letter", "list", "--data-dir", str(data_dir))
    assert [(row["event_id"], row["attempts"], row["error"]) for row in told] == [
        ("fill-1", 4, "ValueError: told to fail"),
        ("tick-1", 4, "ValueError: told to fail"),
    ]
    assert "2 dead letters" in run(capsys, "dead-letter", "list", "--data-dir", str(data_dir))
    shown = objects(capsys, "dead-letter", "show", "fill-1", "--data-dir", str(data_dir))
    assert shown["event"]["payload"] == {"n": 1, "order_id": "o-1"}


def test_a_replayed_dead_letter_is_tried_by_the_next_start_with_what_waited_behind_it(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = run(capsys, "dead-letter", "replay", "fill-1", "--data-dir", str(data_dir))
    assert "the next start with --resume handles 1 event again: fill-1" in told
    assert "is reopened" in run(capsys, "dead-letter", "replay", "fill-1", "--data-dir", str(data_dir), expect=2)
    seen = Recorder()
    life(data_dir, seen)
    assert seen.numbers == [1, 2]
    assert [row["event_id"] for row in objects(capsys, "dead-letter", "list", "--data-dir", str(data_dir))] == [
        "tick-1"
    ]


class Other(Recorder):
    """A handler of another name: dead letters go by it."""


def two_handlers(data_dir: Path, first: Recorder, second: Other, *events: Event) -> EventDispatcher:
    with Journal(data_dir / "journal", RUN_ID) as journal:
        dispatcher = inline_dispatcher(journal=journal)
        dispatcher.register_handler(P0, first)
        dispatcher.register_handler(P0, second)
        for event in events:
            dispatcher.dispatch_nowait(event)
        dispatcher.run_inline()
        return dispatcher


def status(capsys: pytest.CaptureFixture[str], data_dir: Path) -> str:
    (row,) = objects(capsys, "journal", "list", "--data-dir", str(data_dir))["shown"]
    return str(row["status"])


def test_replaying_concerns_every_letter_of_an_event(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_handlers(tmp_path, Recorder(failures=4), Other(failures=4), fill_event(1, "o-1"))
    told = objects(capsys, "dead-letter", "replay", "fill-1", "fill-1", "--data-dir", str(tmp_path))
    assert told == {"reopened": ["fill-1"]}
    first, second = Recorder(), Other()
    two_handlers(tmp_path, first, second)
    assert (first.numbers, second.numbers) == ([1], [1])
    assert objects(capsys, "dead-letter", "list", "--data-dir", str(tmp_path)) == []
    assert status(capsys, tmp_path) == "applied"


@pytest.mark.parametrize("failures", [(0, 4), (4, 0)])
def test_a_letter_that_fails_again_stays_and_can_be_replayed_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], failures: tuple[int, int]
) -> None:
    two_handlers(tmp_path, Recorder(failures=4), Other(failures=4), fill_event(1, "o-1"))
    run(capsys, "dead-letter", "replay", "fill-1", "--data-dir", str(tmp_path))
    two_handlers(tmp_path, Recorder(failures=failures[0]), Other(failures=failures[1]))
    assert status(capsys, tmp_path) == "parked"
    run(capsys, "dead-letter", "replay", "fill-1", "--data-dir", str(tmp_path))
    seen = (Recorder(), Other())
    two_handlers(tmp_path, *seen)
    assert [one.numbers for one in seen] == [[1] if count else [] for count in failures], "who failed, no other"
    assert status(capsys, tmp_path) == "applied"
    assert objects(capsys, "journal", "list", "--data-dir", str(tmp_path))["problems"] == []


def test_a_letter_of_an_event_that_counts_as_applied_is_tried_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two_handlers(tmp_path, Recorder(failures=4), Other(), fill_event(1, "o-1"))
    with Journal(tmp_path / "journal", RUN_ID) as journal:
        journal.mark_done(1, Mark.REOPENED)
        journal.mark_done(1, Mark.APPLIED)
    assert status(capsys, tmp_path) == "applied"
    run(capsys, "dead-letter", "replay", "fill-1", "--data-dir", str(tmp_path))
    first, second = Recorder(), Other()
    two_handlers(tmp_path, first, second)
    assert (first.numbers, second.numbers) == ([1], [])
    assert objects(capsys, "dead-letter", "list", "--data-dir", str(tmp_path)) == []


def test_a_dead_letter_below_p0_is_not_in_the_journal(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = run(capsys, "dead-letter", "replay", "tick-1", "--data-dir", str(data_dir), expect=2)
    assert "tick-1 (P1_HIGH) is not in the journal, which holds P0 alone" in told


def test_an_unknown_dead_letter_is_an_error_that_says_what_there_is(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = run(capsys, "dead-letter", "show", "nothing", "--data-dir", str(data_dir), expect=2)
    assert "no dead letter of event 'nothing'; there are: fill-1, tick-1" in told


def test_a_directory_without_a_journal_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds no journal" in run(capsys, "journal", "list", "--data-dir", str(tmp_path), expect=2)
    assert run(capsys, "dead-letter", "list", "--data-dir", str(tmp_path)) == "no dead letters\n"
    missing = str(tmp_path / "missing")
    assert "is not a directory" in run(capsys, "dead-letter", "list", "--data-dir", missing, expect=2)


def test_damage_is_told_with_file_and_offset(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ((_, path),) = segment_paths(data_dir / "journal")
    data = bytearray(path.read_bytes())
    data[30] ^= 1
    path.write_bytes(data)
    told = run(capsys, "journal", "list", "--data-dir", str(data_dir), expect=3)
    assert f"{path}, offset 0: the journal is damaged in the middle" in told


def test_a_torn_end_and_a_contradiction_are_told(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Journal(data_dir / "journal", RUN_ID) as journal:
        journal.append("fill-1", b"\xc1")
    ((_, path),) = segment_paths(data_dir / "journal")
    path.write_bytes(path.read_bytes() + b"half")
    told = run(capsys, "journal", "list", "--data-dir", str(data_dir), expect=4)
    assert "ends with an incomplete record, 4 bytes from offset" in " ".join(told.split())
    assert "PROBLEM: event id fill-1 names two events: 1 and 4" in told
    shown = objects(capsys, "journal", "show", "4", "--data-dir", str(data_dir))
    assert (shown["type"], shown["event"]) == ("not readable", None)


@pytest.mark.parametrize("words", [[], ["journal"], ["dead-letter"]])
def test_without_a_command_the_usage_is_shown(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert main(["events", *words]) == 2
    assert "usage: qts events" in capsys.readouterr().out
