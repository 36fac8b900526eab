"""What a strategy's host and the worker process that runs the strategy tell each other.

Plain structs that travel as msgpack: amounts as text, never as floats. A strategy's memory travels as bytes: the
loop only keeps it and need not spend time on what is inside.
"""

from __future__ import annotations

import os
import traceback
from decimal import Decimal
from typing import Final

import msgspec

from qts.state.contracts import OperatingState
from qts.strategy.contracts import FillView, Intent

TRACE_LIMIT: Final = 8_000
ERRORS_BEFORE_HALT: Final = 3
"""A strategy that fails this often in a row is halted: its exits are then the runtime's."""


def fault_text(error: BaseException) -> str:
    """Return what a strategy has raised, as a text that every file can hold; its own ``__str__`` may fail too."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - edge: the exception is the user's own
        text = f"{type(error).__name__}, which says nothing"
    return text.encode("utf-8", "replace").decode()


def trace_of(error: BaseException) -> str:
    """Return the traceback of what a strategy has raised, its last :data:`TRACE_LIMIT` characters."""
    try:
        text = "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - edge: the exception is the user's own
        return ""
    return text[-TRACE_LIMIT:].encode("utf-8", "replace").decode()


class Origin(msgspec.Struct, frozen=True):
    """Where a worker finds the class of a strategy.

    ``place`` is FILE.py:Class with the ``print`` of its files as the session has read them, or module:Class
    with "".
    ``name`` is FILE.py:Class as the system has it, when that is no text that can travel; else b"".
    """

    place: str
    print: str = ""
    name: bytes = b""

    @classmethod
    def of_file(cls, spec: str, print: str) -> Origin:
        """The class that ``spec`` names."""
        name = os.fsencode(spec)
        place = name.decode("utf-8", "replace")
        return cls(place, print, b"" if place == spec else name)

    @property
    def spec(self) -> str:
        """FILE.py:Class as it was given."""
        return os.fsdecode(self.name) if self.name else self.place


class Brief(msgspec.Struct, frozen=True):
    """The strategy's view of the account when a batch is sent, and what it has not been told yet.

    ``holdings`` gives quantity and average cost (None when flat) by symbol, ``working`` the symbols with an open
    order, ``errors`` the failures in a row so far.
    """

    now_ns: int
    state: OperatingState
    budget: Decimal
    holdings: dict[str, tuple[Decimal, Decimal | None]]
    working: tuple[str, ...]
    errors: int
    fills: tuple[FillView, ...] = ()


class Start(msgspec.Struct, frozen=True):
    """What a worker begins with.

    ``made``: the attributes the session has given to a strategy that comes from no file. ``memory``: the strategy's
    memory when it has been started before. Both as ``qts.strategy.snapshot.save`` writes them, in msgpack.
    ``most_intents``: how many it may ask for in one call.
    """

    origin: Origin
    brief: Brief
    made: bytes | None = None
    memory: bytes | None = None
    most_intents: int = 1_000


class Started(msgspec.Struct, frozen=True):
    """A worker is ready. ``fault`` is what ``on_start`` raised, "" when nothing.

    ``trace`` is the traceback of that. ``memory`` None: what the strategy remembers cannot be kept, and ``unsaved``
    says why.
    """

    pid: int
    symbols: tuple[str, ...]
    memory: bytes | None
    fault: str = ""
    unsaved: str = ""
    trace: str = ""


class Fault(msgspec.Struct, frozen=True, tag=True):
    """The strategy raised ``text`` in ``callback``, the ``in_row``-th time in a row.

    ``trace`` is the traceback of a callback's first failure in this process, "" for later ones.
    """

    text: str
    in_row: int
    callback: str
    trace: str = ""


class Note(msgspec.Struct, frozen=True):
    """A batch is done: what the strategy said, in order, how many of the brief's fills it was told, its memory.

    ``memory`` None: it cannot be kept, and ``unsaved`` says why.
    """

    said: list[Intent | Fault]
    told: int
    errors: int
    memory: bytes | None
    unsaved: str = ""
