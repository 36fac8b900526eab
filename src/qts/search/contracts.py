"""The values of a search, as they travel between its process and its workers and lie in the study.

They are encoded by msgpack (:func:`encode`, :func:`decoder`), never pickled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import msgspec

from qts.errors import ContractError
from qts.runtime.session.session_plan import Options

MOST_ANSWER_BYTES: Final = 64 * 1024
"""The longest answer of a trial."""

_T = TypeVar("_T")


class Window(msgspec.Struct, frozen=True, array_like=True):
    """A span of days of the market, both included."""

    first: date
    last: date


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """The common part of all trials: the input, the strategy, and the options of a session.

    ``source_id`` names the input, so that a worker that finds another one says so. ``memory_bytes`` is the most
    that a worker may take; 0 for no limit.
    """

    files: tuple[Path, ...]
    format: str | None
    strategy: str
    options: Options
    source_id: str
    memory_bytes: int = 0


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One trial: the parameters and the days of one backtest; ``key`` is its identity.

    Several ``windows`` are traded one after the other, each from the opening cash, as one series of daily returns.
    """

    number: int
    key: str
    params: Mapping[str, str]
    windows: tuple[Window, ...]
    seed: int


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a job. ``failed`` says why there is no result; "": it was traded to its end.

    ``days`` are the sessions (days since 0001-01-01, as ``date.toordinal``) and ``returns`` their returns.
    ``trips`` counts the completed round trips, ``won`` those with a profit, ``days_a_year`` the sessions of a year.
    """

    key: str
    failed: str = ""
    days: tuple[int, ...] = ()
    returns: tuple[float, ...] = ()
    trips: int = 0
    won: int = 0
    fills: int = 0
    days_a_year: int = 0


class Pool(Protocol):
    """A place where trials are run; the answers do not depend on it.

    Numbers come back as they were given, each once, in any order. What cannot be run, because its process ended,
    hung or took too much memory, comes back as the text that says so.
    """

    def run(self, jobs: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes | str]]:
        """Run encoded :class:`Job` values and yield encoded :class:`Answer` values; ``jobs`` is read as needed.

        Raises StorageError when no process can be started.
        """
        ...

    def close(self) -> None:
        """End all processes at once; what they were running is lost. May be called twice."""
        ...


def encode(value: msgspec.Struct) -> bytes:
    """Return the bytes of a value of this module."""
    return _ENCODER.encode(value)


def decode(data: bytes, kind: type[_T]) -> _T:
    """Return the value that ``data`` holds. Raises ContractError for bytes that are none of that kind."""
    try:
        return msgspec.msgpack.decode(data, type=kind, dec_hook=_from_text)
    except msgspec.MsgspecError as error:
        raise ContractError(f"not a {kind.__name__} of a search: {error}") from None


def _to_text(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value).__name__)


def _from_text(kind: type, value: Any) -> Any:
    if issubclass(kind, Path):
        return kind(value)
    raise NotImplementedError(kind.__name__)


_ENCODER: Final = msgspec.msgpack.Encoder(enc_hook=_to_text)
