from __future__ import annotations

from pathlib import Path

import pytest

from qts.errors import StorageError
from qts.event.config import EventConfig
from qts.event.contracts import Event, EventPriority, EventType, create_event
from qts.event.dead_letter import DeadLetter, DeadLetterQueue
from qts.event.dispatcher import EventDispatcher
from tests.event.support import P0, P1, event_of, fill


def letter(priority: EventPriority, n: int, handler: str = "h") -> DeadLetter:
    return DeadLetter(event_of(priority, n=n), handler, "ValueError: x", 4, 1_000)


def numbers(letters: DeadLetterQueue) -> list[int]:
    return [one.event.payload["n"] for one in letters]


def test_the_oldest_that_is_not_p0_goes_first_then_the_oldest() -> None:
    letters = DeadLetterQueue(2)
    for priority, n in ((P0, 0), (P1, 1), (P0, 2), (P0, 3)):
        letters.append(letter(priority, n))
    assert numbers(letters) == [2, 3]
    assert letters.evicted_count == 2
    assert len(letters) == 2
    assert letters[0].event.payload["n"] == 2


def test_a_letter_is_found_by_event_and_handler_and_removed() -> None:
    letters = DeadLetterQueue(5)
    event = event_of(P1, n=1)
    for handler in ("a", "b"):
        letters.append(DeadLetter(event, handler, "e", 1, 1))
    found = letters.find(event.event_id, "b")
    assert found is not None
    assert found.handler == "b"
    assert letters.find("other") is None
    letters.remove(found)
    assert [one.handler for one in letters] == ["a"]


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "letters.jsonl"
    letters = DeadLetterQueue(1, path)
    letters.append(letter(P0, 1))
    assert path.stat().st_mode & 0o777 == 0o600
    letters.append(letter(P0, 2))  # one has to go: the file is written again
    assert path.stat().st_mode & 0o777 == 0o600


def test_letters_survive_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "letters.jsonl"
    first = DeadLetterQueue(2, path)
    typed = DeadLetter(create_event(EventType.FILL_PARTIAL, payload=fill()), "h", "error", 4, 7)
    first.append(letter(P1, 1))
    first.append(typed)
    again = DeadLetterQueue(2, path)
    assert list(again) == list(first)
    assert again[1].event.payload == fill()
    first.append(letter(P0, 3))
    assert [one.event.event_id for one in DeadLetterQueue(2, path)] == [one.event.event_id for one in first]
    first.remove(typed)
    assert len(DeadLetterQueue(2, path)) == 1


def test_more_letters_on_disk_than_fit_are_evicted_in_the_same_order(tmp_path: Path) -> None:
    path = tmp_path / "letters.jsonl"
    first = DeadLetterQueue(5, path)
    for n in range(5):
        first.append(letter(P1, n))
    assert numbers(DeadLetterQueue(2, path)) == [3, 4]


def test_a_damaged_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "letters.jsonl"
    first = DeadLetterQueue(5, path)
    first.append(letter(P1, 1))
    with path.open("ab") as file:
        file.write(b'["half a lett\n')
    with pytest.raises(StorageError, match="line 2: not a dead letter"):
        DeadLetterQueue(5, path)


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write dead letters"):
        DeadLetterQueue(5, tmp_path / "no" / "such").append(letter(P1, 1))


def test_an_export_goes_into_another_queue() -> None:
    first, second = DeadLetterQueue(1), DeadLetterQueue(1)
    for n in range(2):
        first.append(letter(P1, n))
    second.restore(first.export())
    assert list(second) == list(first)
    assert second.evicted_count == 1


def test_an_error_with_half_a_character_in_it_is_kept_in_a_form_that_a_file_can_hold(tmp_path: Path) -> None:
    dispatcher = EventDispatcher(EventConfig(retries=0), inline=True, dead_letter_path=tmp_path / "letters")

    def fails(event: Event) -> None:
        raise ValueError("odd \ud83d text")

    dispatcher.register_handler(P1, fails)
    dispatcher.dispatch_nowait(event_of(P1, n=1))
    dispatcher.run_inline()

    (letter,) = DeadLetterQueue(10, tmp_path / "letters")
    assert letter.error == r"ValueError: odd \ud83d text"


def test_a_payload_with_half_a_character_in_it_comes_back_from_the_file_as_it_was(tmp_path: Path) -> None:
    event = create_event(EventType.LOG_WRITE, payload={"path": "odd \udc80 name"})
    first = DeadLetterQueue(5, tmp_path / "letters")
    first.append(DeadLetter(event, "h", "error", 1, 7))
    first.append(letter(P1, 1))
    (odd, plain) = DeadLetterQueue(5, tmp_path / "letters")
    assert odd.event.payload == {"path": "odd \udc80 name"}
    assert plain.event.payload["n"] == 1
