from __future__ import annotations

import asyncio
import io
import socket
from typing import Any

import pytest

from qts.errors import ContractError
from qts.event import worker
from qts.event.codec import decode_event, encode_event
from qts.event.contracts import Event, EventType, create_event
from qts.event.handlers import EventHandler
from qts.event.worker import answer, frame, handler_at, read_frame, resolve, serve, target_of, write_frame
from tests.event import work

WORK = "tests.event.work"


def answers_of(target: str, *batches: list[Event]) -> list[Any]:
    """What a worker for ``target`` answers to these batches, without a process."""
    requests, answers = io.BytesIO(), io.BytesIO()
    write_frame(requests, [target, 0])
    for batch in batches:
        write_frame(requests, [encode_event(event) for event in batch])
    requests.seek(0)
    serve(requests, answers)
    answers.seek(0)
    decoded = []
    while (value := read_frame(answers)) is not None:
        decoded.append(value)
    return decoded


def logs(*numbers: int) -> list[Event]:
    return [create_event(EventType.LOG_WRITE, payload={"n": n}) for n in numbers]


def test_a_worker_greets_and_answers_with_the_events_the_handler_returned() -> None:
    greeting, first, second = answers_of(f"{WORK}:pid_of_worker", logs(1), logs(2))
    assert greeting == [True, []]
    assert [decode_event(answer[1][0]).payload["n"] for answer in (first, second)] == [1, 2]


def test_an_async_handler_a_class_and_a_ready_handler_all_work() -> None:
    for name in ("waiting", "Counting", "READY"):
        assert answers_of(f"{WORK}:{name}", logs(1))[1][0] is True


def test_a_batch_goes_to_the_batch_method() -> None:
    answers = answers_of(f"{WORK}:Batching", logs(1, 2, 3))
    assert decode_event(answers[1][1][0]).payload["n"] == 3


def test_a_failure_is_an_answer_and_the_worker_goes_on() -> None:
    _, first, second = answers_of(f"{WORK}:failing", logs(1), logs(2))
    assert first == [False, "ValueError: no 1"]
    assert second == [False, "ValueError: no 2"]


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("no.such.module:x", "No module named"),
        (f"{WORK}:missing", "has no attribute 'missing'"),
        (f"{WORK}:NOT_CALLABLE", "must be callable, got 5"),
        (":", "no handler at ':'"),
    ],
)
def test_a_target_that_does_not_exist_is_told_in_the_greeting(target: str, reason: str) -> None:
    ((accepted, text),) = answers_of(target, logs(1))
    assert accepted is False
    assert reason in text


def test_a_parent_that_says_nothing_ends_the_worker() -> None:
    assert serve(io.BytesIO(), io.BytesIO()) == 0


def test_a_target_is_only_given_for_what_another_process_finds() -> None:
    assert target_of(work.pid_of_worker) == f"{WORK}:pid_of_worker"
    assert target_of(work.Counting) == f"{WORK}:Counting"
    assert resolve(f"{WORK}:Counting.handle") is work.Counting.handle

    def inner(event: Event) -> None: ...

    hidden = type("Hidden", (), {"__module__": "__main__", "__qualname__": "Hidden"})
    renamed = type("Renamed", (), {"__module__": WORK, "__qualname__": "pid_of_worker"})
    for wrong in (inner, work.Counting(), work.Counting().handle, hidden, renamed, 5):
        with pytest.raises(ContractError, match="cannot run in another process"):
            target_of(wrong)


def test_a_handler_is_made_from_its_target() -> None:
    assert isinstance(handler_at(f"{WORK}:Counting"), work.Counting)
    assert handler_at(f"{WORK}:READY") is work.READY
    assert isinstance(handler_at(f"{WORK}:failing"), EventHandler)


def test_messages_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "MAX_FRAME", 10)
    with pytest.raises(ContractError, match="may have 10 bytes at most, this one has 16"):
        frame("x" * 15)
    assert frame("x")[4:] == b"\xa1x"


def test_a_request_that_is_no_event_is_answered() -> None:
    with asyncio.Runner() as runner:
        accepted, text = answer(handler_at(f"{WORK}:failing"), [["NO_SUCH", 1, "", None, 1, 1, "r", []]], runner)
    assert accepted is False
    assert "NO_SUCH" in text


def test_main_serves_over_the_socket_it_inherits() -> None:
    parent, child = socket.socketpair()
    with parent:
        requests, answers = parent.makefile("wb"), parent.makefile("rb")
        write_frame(requests, [f"{WORK}:noisy", 0])
        write_frame(requests, [encode_event(event) for event in logs(7)])
        parent.shutdown(socket.SHUT_WR)
        assert worker.main([str(child.detach())]) == 0
        assert read_frame(answers) == [True, []]
        accepted, events = read_frame(answers)
        assert accepted is True
        assert decode_event(events[0]).payload["n"] == 7
        requests.close()
        answers.close()
