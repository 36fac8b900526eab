"""What operators may want of a running session, and how they say it: small command files in its data directory.

``qts safety stop`` and ``release``, ``qts state override`` and ``clear-override`` and ``qts config reload`` write
one file each into ``<data-dir>/operator``; the session carries it out between two handlers, and leaves the answer
beside it (:mod:`qts.runtime.operator_inbox`). Who may write into the directory may command: it is made for its
owner alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from qts.errors import InputError, StateError
from qts.files import own
from qts.ids import random_prefix
from qts.runtime.parts import Parts
from qts.safety.contracts import SafetyState
from qts.state.contracts import ManualOverride, OperatingState, TransitionResult

DIRECTORY: Final = "operator"
ASKED: Final = ".asked"
ANSWERED: Final = ".answered"

MOST_CHARACTERS: Final = 500
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_CHARACTERS)]
Name = Annotated[str, msgspec.Meta(max_length=200)]


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an operator wants: who, why, and what it needs to know.

    ``liquidate`` belongs to stop, ``state`` (an operating state) and ``days`` (at most 7) to override.
    ``strategy``, ``symbol`` and ``pool`` belong to stop and release; at most one is given, none means everything.
    """

    command: Literal["stop", "release", "override", "clear_override", "reload"]
    operator: Text
    reason: Text
    liquidate: bool = True
    state: str = ""
    days: Annotated[float, msgspec.Meta(gt=0, le=7)] = 1.0
    strategy: Name = ""
    symbol: Name = ""
    pool: Name = ""

    @property
    def is_scoped(self) -> bool:
        """Whether it is about one part of the account only."""
        return bool(self.strategy or self.symbol or self.pool)


class StopReport(msgspec.Struct, frozen=True):
    """How far a stop has come: orders ended by it and still open, quantities sold and still held by symbol.

    ``complete``: no order is open any more, and with a sale nothing is held.
    """

    cancelled: int
    working: int
    sold: dict[str, str]
    held: dict[str, str]
    complete: bool


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of a command: ``done`` False is a refusal; ``answer`` is for people; ``stop`` belongs to stop."""

    done: bool
    answer: str
    stop: StopReport | None = None


def leave_command(data_dir: Path, command: Command) -> Path:
    """Write ``command`` for the session in ``data_dir``; returns the file in which the answer will stand.

    Raises InputError when the values are not allowed, there is no such directory or it cannot be written to.
    """
    if not data_dir.is_dir():
        raise InputError(f"{data_dir} is not the data directory of a session")
    for name in ("operator", "reason"):
        length = len(getattr(command, name))
        if not 1 <= length <= MOST_CHARACTERS:
            raise InputError(f"--{name}: {length} characters; allowed are 1 to {MOST_CHARACTERS}")
    try:
        said = msgspec.json.encode(command)
        msgspec.json.decode(said, type=Command)
    except UnicodeEncodeError as error:
        raise InputError(
            f"the command {command.command!r} cannot be given: {error.object!r} is not UTF-8; type it on a "
            "terminal that is, or in ASCII"
        ) from None
    except msgspec.ValidationError as error:
        raise InputError(f"the command {command.command!r} cannot be given: {error}") from None
    box = data_dir / DIRECTORY
    name = f"{command.command}-{random_prefix()}"
    draft = box / f".{name}"
    try:
        box.mkdir(mode=0o700, exist_ok=True)
        with open(draft, "xb", opener=own) as file:
            file.write(said)
        os.replace(draft, box / f"{name}{ASKED}")
    except OSError as error:
        raise InputError(f"{box}: cannot leave the command there ({error.strerror}); it was not given") from error
    return box / f"{name}{ANSWERED}"


def carry_out(command: Command, parts: Parts, checks: Mapping[str, bool | None]) -> Answer:
    """Override, release and their end, on both states.

    ``checks`` are the conditions of a release. Raises InputError for a state that does not exist, ContractError
    for an override the rules do not give, StateError for a command that is not about states.
    """
    if command.command == "release":
        change = parts.safety.request_recovery(
            operator_approved=True, operator_id=command.operator, reason=command.reason, checks=checks
        )
        return Answer(
            done=change.to_state is SafetyState.NORMAL, answer=f"safety is {change.to_state.value}: {change.reason}"
        )
    if command.command == "override":
        if not parts.config.state.enabled:
            return Answer(
                done=False, answer="the operating state rules nothing in this run (state.enabled is false)"
            )
        return _moved(parts.state.apply_override(_override(command, parts.clock.now())))
    if command.command == "clear_override":
        return _moved(parts.state.clear_override(command.operator, command.reason))
    raise StateError(f"{command.command!r} is not a command about states")


def _moved(result: TransitionResult) -> Answer:
    if not result.applied:
        return Answer(done=False, answer=f"{result.from_state.value} stays: {result.reason}")
    return Answer(done=True, answer=f"{result.to_state.value}: {result.reason}")


def _override(command: Command, now: datetime) -> ManualOverride:
    try:
        wanted = OperatingState(command.state)
    except ValueError:
        allowed = ", ".join(state.value for state in OperatingState)
        raise InputError(f"there is no operating state {command.state!r}; allowed: {allowed}") from None
    return ManualOverride(
        override_state=wanted,
        override_reason=command.reason,
        operator_id=command.operator,
        override_time=now,
        expiry_time=now + timedelta(days=command.days),
    )
