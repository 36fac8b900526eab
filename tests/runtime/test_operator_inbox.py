"""No file in the directory of commands holds the session up, and a stop is read whatever else fails."""

from __future__ import annotations

import json
import os
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from qts.runtime.control.command_files import write_command
from qts.runtime.control.commands import Answer, Command, Stop, StopReport
from qts.runtime.control.operator_inbox import OperatorInbox
from qts.runtime.drivers.descriptors import SpareDescriptor
from qts.runtime.drivers.sync import run_to_completion


def command() -> Command:
    return Stop(operator="alice", reason="drill")


class FakeSession:
    """A session that executes every command and records the calls."""

    def __init__(self) -> None:
        self.executed: list[Command] = []
        self.answers: list[str] = []
        self.troubles: list[str] = []

    async def execute(self, command: Command) -> Answer:
        self.executed.append(command)
        return Answer(done=True, answer="done")

    def note(self, command: Command | None, answer: Answer) -> None:
        self.answers.append(answer.answer)


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
def inbox(tmp_path: Path, session: FakeSession) -> Iterator[OperatorInbox]:
    with closing(OperatorInbox(tmp_path, session.execute, session.note, session.troubles.append)) as inbox:
        yield inbox


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Every descriptor this process may have is in use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            os.open(os.devnull, os.O_RDONLY)
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def no_file_grows() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def as_fifo(path: Path) -> None:
    os.mkfifo(path)


def as_directory(path: Path) -> None:
    path.mkdir()


def as_link(path: Path) -> None:
    path.symlink_to(write_command(path.parent.parent, command()).with_suffix(".asked"))


def as_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(path.parent)  # the name of a socket may have 107 characters
        server.bind(path.name)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("name", ["a", "stop-a"])
def test_a_file_that_is_nested_without_end_is_refused_and_the_next_is_heard(
    opening: str, name: str, tmp_path: Path, inbox: OperatorInbox, session: FakeSession
) -> None:
    # Given a file deeper than anything can be read
    directory = tmp_path / "operator"
    directory.mkdir()
    (directory / f"{name}.asked").write_text(opening * 3_000, "utf-8")
    write_command(tmp_path, command())
    # when they are looked at, then the one is answered with why not, and the other executed out
    assert run_to_completion(inbox.poll()) == 2
    # (an interpreter with a deeper stack reads the 3,000 levels and finds no end)
    refusals = {"JSON is nested too deeply for a command", "Input data was truncated"}
    assert len(refusals.intersection(session.answers)) == 1
    assert session.executed == [command()]


@pytest.mark.parametrize(
    ("make", "kind"),
    [(as_fifo, "a FIFO"), (as_directory, "a directory"), (as_link, "a symbolic link"), (as_socket, "a socket")],
)
def test_what_is_no_regular_file_is_refused_by_its_kind_and_not_waited_for(
    make: Callable[[Path], None],
    kind: str,
    tmp_path: Path,
    inbox: OperatorInbox,
    session: FakeSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_command(tmp_path, command())
    make(tmp_path / "operator" / "z.asked")

    run_to_completion(inbox.poll())
    run_to_completion(inbox.poll())

    assert f"z.asked is {kind}; a command is a regular file" in session.answers
    assert set(session.executed) == {command()}, "and what is a command is executed out"
    answer = json.loads((tmp_path / "operator" / "z.answered").read_text("utf-8"))
    assert answer["done"] is False


def test_a_fifo_in_the_place_of_an_answer_s_draft_holds_nothing_up(
    tmp_path: Path, inbox: OperatorInbox, session: FakeSession
) -> None:
    answer = write_command(tmp_path, command())
    os.mkfifo(answer.with_suffix(".draft"))

    assert run_to_completion(inbox.poll()) == 1
    assert json.loads(answer.read_text("utf-8")) == {"done": True, "answer": "done"}


def test_a_stop_is_heard_and_answered_with_the_table_of_descriptors_full(
    tmp_path: Path, inbox: OperatorInbox, session: FakeSession
) -> None:
    answer = write_command(tmp_path, command())

    with no_descriptor_left():
        assert run_to_completion(inbox.poll()) == 1
        assert run_to_completion(inbox.poll()) == 0

    assert session.executed == [command()]
    assert json.loads(answer.read_text("utf-8"))["done"] is True
    assert len(session.troubles) == 1, "told once, not at every look"
    assert "no more files can be opened" in session.troubles[0]
    run_to_completion(inbox.poll())
    assert session.troubles[1:] == [""], "and that it is over"


def test_a_directory_that_cannot_be_read_is_told_once_and_when_it_is_over(
    tmp_path: Path, inbox: OperatorInbox, session: FakeSession
) -> None:
    # Given a file in the place of the directory: no command can be heard
    (tmp_path / "operator").touch()
    for _ in range(3):
        assert run_to_completion(inbox.poll()) == 0
    assert len(session.troubles) == 1
    assert "operator cannot be read (Not a directory): no command is read" in session.troubles[0]
    # when it is repaired
    (tmp_path / "operator").unlink()
    write_command(tmp_path, command())
    # then commands are executed out again, and that is told
    assert run_to_completion(inbox.poll()) == 1
    assert session.troubles[1:] == [""]


def test_a_command_is_found_in_a_directory_full_of_something_else_and_that_is_reported(
    tmp_path: Path, inbox: OperatorInbox, session: FakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qts.runtime.control.operator_inbox._MAX_ENTRIES", 3)
    write_command(tmp_path, command())
    run_to_completion(inbox.poll())
    assert session.troubles == []
    for number in range(3):
        (tmp_path / "operator" / f"{number}").touch()

    run_to_completion(inbox.poll())

    assert "more than 3 entries: not all of them are read" in session.troubles[0]


def test_the_spare_descriptor_is_lent_only_when_the_table_is_full() -> None:
    def one_file() -> str:
        os.close(os.open(os.devnull, os.O_RDONLY))
        return "opened"

    with closing(SpareDescriptor()) as spare:
        assert spare.run(one_file) == ("opened", False)
        with no_descriptor_left():
            assert spare.run(one_file) == ("opened", True)
            assert spare.is_held, "it is there for the next one"
            assert spare.run(one_file) == ("opened", True)
        with pytest.raises(FileNotFoundError):
            spare.run(lambda: os.open("/nowhere/at/all", os.O_RDONLY))
        assert spare.is_held


def test_a_stop_file_is_a_stop_each_time_it_is_put_there(
    tmp_path: Path, session: FakeSession, inbox: OperatorInbox
) -> None:
    directory = tmp_path / "operator"
    directory.mkdir()
    for _ in range(2):
        (directory / "stop-keep").touch()
        assert run_to_completion(inbox.poll()) == 1
        assert not (directory / "stop-keep").exists()
    stop = Stop(operator="file stop-keep", reason="put into operator/", liquidate=False)
    assert session.executed == [stop] * 2
    assert json.loads((directory / "stop-keep.answered").read_text("utf-8"))["done"] is True


def test_telling_how_a_stop_goes_on_takes_no_newer_stop_away(tmp_path: Path, session: FakeSession) -> None:
    # Given a stop by file whose sale goes on, so that its answer is written again by each poll
    left = iter(range(9, 0, -1))

    def report() -> StopReport:
        return StopReport(cancelled=0, working=1, sold={}, held={"005930": str(next(left))}, complete=False)

    directory = tmp_path / "operator"
    directory.mkdir()
    with closing(
        OperatorInbox(tmp_path, session.execute, session.note, progress_of=lambda command: report)
    ) as inbox:
        (directory / "stop-sell").touch()
        run_to_completion(inbox.poll())
        # when the same file is put there again
        (directory / "stop-sell").touch()
        # then that is a stop like the first
        assert run_to_completion(inbox.poll()) == 1
    assert len(session.executed) == 2


def test_a_stop_file_that_could_not_be_taken_away_is_carried_out_once_and_what_takes_its_place_as_well(
    tmp_path: Path, session: FakeSession, inbox: OperatorInbox
) -> None:
    # Given a directory with the name of a stop: it counts, and cannot be removed as a file is
    directory = tmp_path / "operator"
    (directory / "stop-keep").mkdir(parents=True)
    assert run_to_completion(inbox.poll()) == 1
    assert run_to_completion(inbox.poll()) == 0
    assert inbox.is_done("stop-keep")
    # when a file takes its place before the next look
    (directory / "stop-keep").rmdir()
    (directory / "stop-keep").touch()
    # then it is a new stop
    assert not inbox.is_done("stop-keep")
    assert run_to_completion(inbox.poll()) == 1
    assert len(session.executed) == 2
    assert not (directory / "stop-keep").exists()


def test_a_stop_on_a_full_disk_is_taken_away_and_answered_when_there_is_room(
    tmp_path: Path, session: FakeSession, inbox: OperatorInbox
) -> None:
    # Given a disk on which no file can grow
    directory = tmp_path / "operator"
    directory.mkdir()
    for _ in range(2):
        (directory / "stop-sell").touch()
        with no_file_grows():
            # when a stop comes, and another one of the same name
            assert run_to_completion(inbox.poll()) == 1
            assert run_to_completion(inbox.poll()) == 0
        # then both are executed out
        assert not (directory / "stop-sell").exists()
    assert len(session.executed) == 2
    # and answered as soon as there is room
    assert not (directory / "stop-sell.answered").exists()
    run_to_completion(inbox.poll())
    assert json.loads((directory / "stop-sell.answered").read_text("utf-8"))["done"] is True
