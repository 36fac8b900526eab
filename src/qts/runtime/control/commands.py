"""Commands to a running session as values: one struct for each command, and the answer.

The JSON of a command names it in the field ``command``, whatever its source: a file in the session's directory
(:mod:`qts.runtime.control.command_files`), a signal, or a program.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec

from qts.safety.scoped_stops import Scope, scope_of

MAX_CHARACTERS: Final = 500
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_CHARACTERS)]
Name = Annotated[str, msgspec.Meta(max_length=200)]
Id = Annotated[str, msgspec.Meta(min_length=8, max_length=100)]


class _Attributed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="command"):
    """The fields of every command: the operator who gives it, and the reason."""

    operator: Text
    reason: Text


class _Scoped(_Attributed, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A command for a part of the account: at most one of the three fields is set, none means everything."""

    strategy: Name = ""
    symbol: Name = ""
    pool: Name = ""

    @property
    def scope(self) -> Scope | None:
        """Return the part of the account, None for everything. Raises ContractError when more than one is named."""
        return scope_of(strategy=self.strategy, symbol=self.symbol, pool=self.pool)

    @property
    def is_scoped(self) -> bool:
        """Return whether the command concerns one part of the account only."""
        return bool(self.strategy or self.symbol or self.pool)


class Stop(_Scoped, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="stop"):
    """A stop of trading: every order is cancelled, and holdings are sold, or kept with ``liquidate`` False."""

    liquidate: bool = True


class Release(_Scoped, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="release"):
    """A release of the lockdown, or of the stop of exactly the part that is named."""


class Flatten(_Attributed, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="flatten"):
    """A sale of what the strategies hold of a symbol, or in a pool; nothing is stopped, and no entry is cancelled.

    ``symbol`` or ``pool`` names it, or ``name``, which is either of them.
    """

    name: Name = ""
    symbol: Name = ""
    pool: Name = ""


class Reconcile(_Attributed, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="reconcile"):
    """A comparison of the broker's books with ours, now; what they show and ours lack is booked."""


class Override(_Attributed, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="override"):
    """An override of the operating state: ``state`` is its name, ``days`` how long it lasts, at most 7."""

    state: Name
    days: Annotated[float, msgspec.Meta(gt=0, le=7)] = 1.0


class ClearOverride(_Attributed, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="clear_override"):
    """The end of the override of the operating state."""


class Reload(_Attributed, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="reload"):
    """A reload of the configuration files: what may change while the session runs is put in force.

    ``confirm``: what the answer to an earlier reload asked for, so that limits may let more pass; "" for none.
    """

    confirm: Name = ""


class _Capital(_Attributed, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A command that moves capital. ``id`` identifies it: however often it comes, it is booked once."""

    id: Id


class Adopt(_Capital, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="adopt"):
    """A transfer of ``qty`` shares of ``symbol`` (None: all) from EXTERNAL to a strategy, at their cost."""

    symbol: Text
    strategy: Text
    qty: Decimal | None = None


class Deposit(_Capital, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="deposit"):
    """Money, in the account's currency, that the pools get."""

    amount: Decimal


class Withdraw(_Capital, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="withdraw"):
    """Money, in the account's currency, that leaves the pools."""

    amount: Decimal


Command = Stop | Release | Flatten | Reconcile | Override | ClearOverride | Reload | Adopt | Deposit | Withdraw

_FIELD_DEFAULTS: Final[dict[str, Any]] = {
    "liquidate": True,
    "state": "",
    "days": 1.0,
    "strategy": "",
    "symbol": "",
    "pool": "",
}
"""Default values of the fields of all commands: earlier versions wrote every field into every command."""


def name_of(command: Command) -> str:
    """Return the name of a command as in its JSON, such as "stop"."""
    return str(command.__struct_config__.tag)


def command_from(data: bytes) -> Command:
    """Decode a command from its JSON. Raises msgspec.DecodeError with the reason when ``data`` is no command.

    A field of another command is ignored when it has its default value, so that files of earlier versions can be
    read.
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
    default = _FIELD_DEFAULTS.get(key)
    return default is not None and type(value) is type(default) and value == default


class StopReport(msgspec.Struct, frozen=True):
    """The progress of a stop: orders cancelled and still working, quantities sold and still held by symbol.

    Quantities are shares or contracts, as text. ``complete``: no order works any more, and, when holdings are to be
    sold, nothing is held.
    """

    cancelled: int
    working: int
    sold: dict[str, str]
    held: dict[str, str]
    complete: bool


class FlattenedHolding(msgspec.Struct, frozen=True):
    """The progress of one holding: quantities in shares or contracts, as text.

    ``asked``: what was held when the command was executed, ``sold`` what has been sold of it since, ``left`` what
    is still to be sold. ``held``: what is held now, with what was bought since. ``why``: what it waits for, in
    words; "" for nothing.
    """

    strategy: str
    pool: str
    symbol: str
    asked: str
    sold: str
    left: str
    held: str
    why: str


class FlattenReport(msgspec.Struct, frozen=True):
    """The progress of a flattening. ``complete``: nothing more is sold by it."""

    holdings: tuple[FlattenedHolding, ...]
    complete: bool

    @property
    def is_flat(self) -> bool:
        """Return whether everything was sold that it asked for."""
        return all(one.left == "0" for one in self.holdings)


class ReconcileReport(msgspec.Struct, frozen=True):
    """The outcome of a comparison of the broker's books with ours, as sentences.

    ``compared``: what was looked at; ``booked``: what was found at the broker and taken over here; ``differs``:
    what differs at the end; ``problem``: why the books could not be compared, "" when they were.
    """

    compared: tuple[str, ...] = ()
    booked: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()
    problem: str = ""


Progress = StopReport | FlattenReport
"""What a command is doing that goes on behind its first answer."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to a command: ``done`` False is a refusal, ``answer`` a sentence for people.

    ``stop``, ``flatten``: the progress of a command of that kind, ``reconcile`` the outcome of one; None for all
    others.
    """

    done: bool
    answer: str
    stop: StopReport | None = None
    flatten: FlattenReport | None = None
    reconcile: ReconcileReport | None = None

    @property
    def progress(self) -> Progress | None:
        """Return the progress of its command; None for a command that has none."""
        return self.stop or self.flatten

    def with_progress(self, now: Progress) -> Answer:
        """Return the answer with the progress as it is now."""
        if isinstance(now, StopReport):
            return msgspec.structs.replace(self, stop=now)
        return msgspec.structs.replace(self, flatten=now)
