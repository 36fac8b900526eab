"""What an operator may want of a running session, as values: one struct for each command, and the answer.

A command's JSON names it in the field ``command``. It is the same wherever it comes from: a file in the session's
directory (:mod:`qts.runtime.control.command_files`), a signal, or a program.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from qts.safety.scoped_stops import Scope, scope_of

MOST_CHARACTERS: Final = 500
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_CHARACTERS)]
Name = Annotated[str, msgspec.Meta(max_length=200)]


class _Given(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="command"):
    """Carries what every command names: who wants it, and why."""

    operator: Text
    reason: Text


class _Scoped(_Given, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Adds a part of the account: at most one of the three is given, none means everything."""

    strategy: Name = ""
    symbol: Name = ""
    pool: Name = ""

    @property
    def scope(self) -> Scope | None:
        """Return the part; None is everything. Raises ContractError when more than one is named."""
        return scope_of(strategy=self.strategy, symbol=self.symbol, pool=self.pool)

    @property
    def is_scoped(self) -> bool:
        """Tell whether it is about one part of the account only."""
        return bool(self.strategy or self.symbol or self.pool)


class Stop(_Scoped, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="stop"):
    """Stops trading: cancels every order, and sells what is held or keeps it (``liquidate`` False)."""

    liquidate: bool = True


class Release(_Scoped, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="release"):
    """Ends a lockdown, or the stop of exactly the part that is named."""


class Override(_Given, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="override"):
    """Decides the operating state for a while: ``state`` is its name, ``days`` how long, at most 7."""

    state: Name
    days: Annotated[float, msgspec.Meta(gt=0, le=7)] = 1.0


class ClearOverride(_Given, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="clear_override"):
    """Ends the override of the operating state."""


class Reload(_Given, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="reload"):
    """Reads the configuration files again and puts in force what may change while the session runs."""


Command = Stop | Release | Override | ClearOverride | Reload

_NO_NEWS: Final[dict[str, Any]] = {
    "liquidate": True,
    "state": "",
    "days": 1.0,
    "strategy": "",
    "symbol": "",
    "pool": "",
}
"""Fields of all commands at their default. Earlier versions wrote every one of them into every command."""


def name_of(command: Command) -> str:
    """Return the name of a command, as its JSON has it."""
    return str(command.__struct_config__.tag)


def command_from(data: bytes) -> Command:
    """Read a command from its JSON. Raises msgspec.DecodeError, saying why, for anything else.

    A field at its default says nothing, whichever command it belongs to, and is dropped: commands that an earlier
    version has left are read as they were meant.
    """
    try:
        fields = msgspec.json.decode(data)
    except RecursionError:
        raise msgspec.DecodeError("JSON is nested too deeply for a command") from None
    if isinstance(fields, dict):
        fields = {key: value for key, value in fields.items() if not _is_default(key, value)}
    command: Command = msgspec.convert(fields, Command)
    return command


def _is_default(key: str, value: object) -> bool:
    default = _NO_NEWS.get(key)
    return default is not None and type(value) is type(default) and value == default


class StopReport(msgspec.Struct, frozen=True):
    """Tells how far a stop has come: orders ended by it and still open, quantities sold and still held by symbol.

    ``complete``: no order is open any more, and with a sale nothing is held.
    """

    cancelled: int
    working: int
    sold: dict[str, str]
    held: dict[str, str]
    complete: bool


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Says what came of a command: ``done`` False is a refusal; ``answer`` is for people; ``stop`` after a Stop."""

    done: bool
    answer: str
    stop: StopReport | None = None
