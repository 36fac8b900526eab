"""A command file goes in, an answer comes out, none is carried out twice."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qts.errors import InputError, StateError, StorageError
from qts.runtime.control.command_files import write_command
from qts.runtime.control.commands import Answer, Command, Override, Release, Stop, command_from
from qts.runtime.control.operator_inbox import OperatorInbox
from qts.runtime.control.releases import release_safety
from qts.runtime.drivers.sync import run_to_completion
from qts.safety.contracts import SafetyState
from qts.state.contracts import OperatingState
from qts.strategy.contracts import Side
from tests.runtime.rig import Rig, ScriptedStrategy, kst
from tests.runtime.rig import command as given

MakeRig = Callable[..., Rig]


def command(name: str = "stop", **more: Any) -> Command:
    return given(name, operator="alice", **more)


def not_noted(command: Command | None, answer: Answer) -> None:
    """For tests about the box alone."""


async def refuse_call(command: Command) -> Answer:
    raise AssertionError("nothing was asked")


def done(answer: str = "") -> Answer:
    return Answer(done=True, answer=answer)


def answer_to(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return told


def test_a_command_is_carried_out_once_and_answered(tmp_path: Path) -> None:
    carried: list[Command] = []

    async def carry(wanted: Command) -> Answer:
        carried.append(wanted)
        return done("done")

    answer = write_command(tmp_path, command())
    inbox = OperatorInbox(tmp_path, carry, not_noted)

    assert (run_to_completion(inbox.poll()), run_to_completion(inbox.poll())) == (1, 0)
    assert carried == [command()]
    assert answer_to(answer) == {"done": True, "answer": "done"}


def test_a_refusal_is_an_answer(tmp_path: Path) -> None:
    async def carry(wanted: Command) -> Answer:
        raise StateError("not now")

    answer = write_command(tmp_path, command())
    run_to_completion(OperatorInbox(tmp_path, carry, not_noted).poll())

    assert answer_to(answer) == {"done": False, "answer": "not now"}


def test_a_store_that_fails_is_an_answer_and_the_end(tmp_path: Path) -> None:
    async def carry(wanted: Command) -> Answer:
        raise StorageError("disk full")

    answer = write_command(tmp_path, command("reload"))

    with pytest.raises(StorageError, match="disk full"):
        run_to_completion(OperatorInbox(tmp_path, carry, not_noted).poll())
    assert answer_to(answer) == {"done": False, "answer": "disk full"}


@pytest.mark.parametrize(
    "text",
    [b"", b"stop!", b'{"command": "dance", "operator": "a", "reason": "b"}', b'{"command": "stop"}', b"\xff" * 99],
)
def test_what_is_no_command_is_answered_and_not_carried_out(text: bytes, tmp_path: Path) -> None:
    box = tmp_path / "operator"
    box.mkdir()
    (box / "x.asked").write_bytes(text)
    carried: list[Command] = []

    async def carry(wanted: Command) -> Answer:
        carried.append(wanted)
        return done()

    run_to_completion(OperatorInbox(tmp_path, carry, not_noted).poll())

    assert carried == []
    assert answer_to(box / "x.answered")["done"] is False
    assert not (box / "x.asked").exists()


def test_the_oldest_come_first_and_at_most_32_at_once(tmp_path: Path) -> None:
    for number in range(40):
        write_command(tmp_path, command("override", state="DEFENSIVE", days=1 + number / 10))
    carried: list[float] = []

    async def carry(wanted: Command) -> Answer:
        assert isinstance(wanted, Override)
        carried.append(wanted.days)
        return done()

    inbox = OperatorInbox(tmp_path, carry, not_noted)

    assert run_to_completion(inbox.poll()) == 32
    assert carried == sorted(carried)
    assert run_to_completion(inbox.poll()) == 8


def test_the_box_is_its_owner_s_alone(tmp_path: Path) -> None:
    write_command(tmp_path, command())

    assert stat.S_IMODE((tmp_path / "operator").stat().st_mode) == 0o700


def test_no_box_is_no_command(tmp_path: Path) -> None:
    assert run_to_completion(OperatorInbox(tmp_path, refuse_call, not_noted).poll()) == 0


def written(name: str, **given: Any) -> bytes:
    """A command as every version before the commands had structs of their own has written it: all fields of all."""
    fields = {"liquidate": True, "state": "", "days": 1.0, "strategy": "", "symbol": "", "pool": ""}
    return json.dumps({"command": name, "operator": "alice", "reason": "drill", **fields, **given}).encode()


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("stop", {"liquidate": False}),
        ("stop", {"strategy": "one"}),
        ("release", {"pool": "SWING"}),
        ("release", {}),
        ("override", {"state": "DEFENSIVE", "days": 2.5}),
        ("override", {"state": "BALANCED"}),
        ("clear_override", {}),
        ("reload", {}),
    ],
)
def test_a_command_that_an_earlier_version_has_left_is_read_as_it_was_meant(
    name: str, given: dict[str, Any]
) -> None:
    assert command_from(written(name, **given)) == command(name, **given)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("reload", {"strategy": "one"}, "unknown field `strategy`"),
        ("release", {"liquidate": False}, "unknown field `liquidate`"),
        ("override", {}, "missing required field `state`"),
        ("override", {"state": "DEFENSIVE", "days": 8.0}, "<= 7"),
        ("stop", {"operator": ""}, "length >= 1"),
    ],
)
def test_what_another_command_would_mean_is_refused_and_not_passed_over(
    name: str, given: dict[str, Any], expected: str
) -> None:
    with pytest.raises(msgspec.ValidationError, match=expected):
        command_from(written(name, **given))


@pytest.mark.parametrize("wrong", [{"days": 8.0}, {"days": 0.0}])
def test_values_that_are_not_allowed_never_leave(wrong: dict[str, float], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be given"):
        write_command(tmp_path, command("override", state="DEFENSIVE", **wrong))
    with pytest.raises(InputError, match="not the data directory"):
        write_command(tmp_path / "nowhere", command())
    with pytest.raises(InputError, match="--operator: 0 characters; allowed are 1 to 500"):
        write_command(tmp_path, Stop(operator="", reason="x"))


# -- what they do ------------------------------------------------------------------------------------------------


def test_stop_ends_flat_and_release_needs_the_checks(rig_of: MakeRig) -> None:
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    scripted.wants(Side.BUY, qty=10)
    now = rig.quotes(kst(10), 3)

    assert "is accepted; check 'qts safety show'" in rig.command(command("stop")).answer
    now = rig.quotes(now + 1_000_000_000, 60)
    assert rig.held() == 0
    assert rig.shared.safety.current_state is SafetyState.LOCKDOWN

    assert "NORMAL" in rig.command(command("release")).answer
    assert rig.shared.safety.history[-1].actor == "alice"


def test_an_override_holds_and_ends_by_command(rig_of: MakeRig) -> None:
    rig = rig_of()
    rig.quote(kst(10))

    assert "AGGRESSIVE" in rig.command(command("override", state="AGGRESSIVE", days=2.0)).answer
    assert rig.shared.state.has_override
    rig.command(command("clear_override"))

    assert not rig.shared.state.has_override
    assert rig.shared.state.current_state is OperatingState.AGGRESSIVE
    assert [record.actor for record in rig.shared.state.history] == ["alice", "alice"]


def test_a_release_that_a_check_forbids_is_a_refusal(rig_of: MakeRig) -> None:
    rig = rig_of()
    rig.quote(kst(10))
    rig.command(command("stop"))
    rig.quote(kst(10, 0, 1))
    checks = {"equity above zero": False}

    release = Release(operator="alice", reason="drill")
    assert not release_safety(rig.shared.safety, release, checks).done
    assert rig.shared.safety.current_state is SafetyState.LOCKDOWN
    assert release_safety(rig.shared.safety, release, {"equity above zero": True}).done


def test_every_command_is_noted_with_its_answer_before_it_is_given(tmp_path: Path) -> None:
    noted: list[tuple[Command | None, Answer, bool]] = []
    answer = write_command(tmp_path, command())

    async def carry(wanted: Command) -> Answer:
        raise StateError("not now")

    inbox = OperatorInbox(tmp_path, carry, lambda wanted, told: noted.append((wanted, told, answer.exists())))
    run_to_completion(inbox.poll())
    (tmp_path / "operator" / "x.asked").write_bytes(b"stop!")
    run_to_completion(inbox.poll())

    assert noted[0] == (command(), Answer(done=False, answer="not now"), False)
    assert noted[1][0] is None


def test_a_command_that_cannot_be_noted_is_answered_and_not_executed_again(tmp_path: Path) -> None:
    # Given a log that cannot be written
    executed: list[Command] = []

    async def execute(wanted: Command) -> Answer:
        executed.append(wanted)
        return done("done")

    def note(wanted: Command | None, answer: Answer) -> None:
        raise StorageError("the log cannot be written")

    answer = write_command(tmp_path, command())
    # when a command is executed, and the session ends because of its log
    with pytest.raises(StorageError, match="the log cannot be written"):
        run_to_completion(OperatorInbox(tmp_path, execute, note).poll())
    # then it is answered, and the resumed session does not execute it again
    assert b'"done"' in answer.read_bytes()
    run_to_completion(OperatorInbox(tmp_path, execute, lambda wanted, answer: None).poll())
    assert executed == [command()]


def test_an_override_to_nowhere_names_the_states(rig_of: MakeRig) -> None:
    rig = rig_of()

    with pytest.raises(InputError, match=r"BOLD.*AGGRESSIVE, BALANCED, DEFENSIVE"):
        rig.command(command("override", state="BOLD"))


def test_an_override_is_in_the_next_checkpoint(rig_of: MakeRig) -> None:
    rig = rig_of()
    rig.quote(kst(10))
    rig.command(command("override", state="BALANCED", days=2.0))
    rig.drain()

    from qts.runtime.persistence.checkpoint import decode

    stored = rig.store.checkpoint()
    assert stored is not None
    assert decode(stored)["parts"]["state"]["override"]["operator_id"] == "alice"


def test_a_command_whose_answer_cannot_be_left_is_not_carried_out_again(tmp_path: Path) -> None:
    # Given a command whose answer finds its place taken by a directory, so that its file stays too
    carried: list[Command] = []
    noted: list[str] = []

    async def carry(wanted: Command) -> Answer:
        carried.append(wanted)
        return done("done")

    answer = write_command(tmp_path, command())
    answer.mkdir()
    (answer / "full").touch()
    inbox = OperatorInbox(tmp_path, carry, lambda wanted, told: noted.append(told.answer))
    # when the session looks twice
    assert (run_to_completion(inbox.poll()), run_to_completion(inbox.poll())) == (1, 0)
    # then it was done once, and the log says that the answer is missing
    assert len(carried) == 1
    assert noted[0] == "done"
    assert noted[1].startswith("its answer could not be left: ")


def test_only_the_newest_hundred_answers_stay(tmp_path: Path) -> None:
    async def carry(wanted: Command) -> Answer:
        return done()

    inbox = OperatorInbox(tmp_path, carry, not_noted)
    for _ in range(4):
        for _ in range(32):
            newest = write_command(tmp_path, command())
        run_to_completion(inbox.poll())

    answers = list((tmp_path / "operator").glob("*.answered"))
    assert len(answers) == 100
    assert newest in answers


def test_a_command_that_cannot_be_left_says_why(tmp_path: Path) -> None:
    (tmp_path / "operator").touch()  # a file where the box should be

    with pytest.raises(InputError, match=r"operator: cannot leave the command there \(File exists\); it was not"):
        write_command(tmp_path, command())


@pytest.mark.parametrize("field", ["operator", "reason"])
def test_words_that_no_file_can_keep_are_refused_before_anything_is_left(field: str, tmp_path: Path) -> None:
    """Given bytes that are not UTF-8, as a terminal of another encoding sends them (in Python \\udcxx)."""
    asked = Stop(**{"operator": "kim", "reason": "drill", field: "\udcb0\udca1"})

    with pytest.raises(InputError, match="'\\\\udcb0\\\\udca1' is not UTF-8"):
        write_command(tmp_path, asked)

    assert list(tmp_path.iterdir()) == []
