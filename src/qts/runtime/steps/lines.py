"""The lines of a record of steps: ``TIME KIND NUMBER KEY JSON``, and how they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from qts.broker.contracts import Capabilities
from qts.broker.gateway.arrivals import ANSWER, ANSWER_FIRST, ANSWERED, CUT_OFF, SENT, TAKEN_BACK
from qts.broker.gateway.limits.messages import SentMessages
from qts.broker.gateway.questions import decode_answered
from qts.errors import DataError
from qts.execution.contracts import BrokerDisconnect, Fill, FillReversed, OrderAck, OrderCancelled, OrderRejected
from qts.market.contracts import Bar, BookUpdate, FeedGap, IndexLevel, Quote, Tick, VolatilityLevel
from qts.market.day_record import days_of, files_of, lines_in
from qts.market.session_info import SessionInfo
from qts.runtime.steps.contracts import (
    CLOCK,
    DUE,
    GAP,
    INFO,
    NOT_SETTLED,
    REPORT,
    VALUE,
)

FORMAT: Final = "qts-steps"
VERSION: Final = 2
Entry: TypeAlias = tuple[int, str, object]
"""Number, key and content of a step."""
_NONE: Final = "-"
_CONTENTS: Final[Mapping[str, msgspec.json.Decoder[Any]]] = {
    VALUE: msgspec.json.Decoder(Quote | Tick | BookUpdate | Bar | IndexLevel | VolatilityLevel),
    GAP: msgspec.json.Decoder(FeedGap),
    INFO: msgspec.json.Decoder(SessionInfo),
    DUE: msgspec.json.Decoder(tuple[str, ...]),
    ANSWER: msgspec.json.Decoder(OrderAck),
    ANSWER_FIRST: msgspec.json.Decoder(OrderAck),
    TAKEN_BACK: msgspec.json.Decoder(bool),
    SENT: msgspec.json.Decoder(SentMessages),
    CUT_OFF: msgspec.json.Decoder(tuple[str, ...]),
    REPORT: msgspec.json.Decoder(Fill | OrderCancelled | OrderRejected | FillReversed | BrokerDisconnect),
    CLOCK: msgspec.json.Decoder(tuple[str, ...]),
    NOT_SETTLED: msgspec.json.Decoder(bool),
}


class BrokerFacts(msgspec.Struct, frozen=True):
    """The broker of a session that is not simulated: what it is called and can do, and how the session is named."""

    name: str
    capabilities: Capabilities
    account: str
    mode: str


class StepsHead(msgspec.Struct, frozen=True):
    """The first line of a file: whose steps these are.

    ``day`` (ISO) of the market; ``source_id``: what its run id was made of; ``started_ns``: the session's time when
    its process began, which every file of that process has.
    """

    format: str
    version: int
    day: str
    run_id: str
    source_id: str
    started_ns: int
    broker: BrokerFacts | None = None
    """None: its fills are simulated."""


class Step(msgspec.Struct, frozen=True):
    """One step of a record; ``ts_ns`` is the session's time at it (ns since 1970, UTC)."""

    ts_ns: int
    kind: str
    key: str
    content: Any = None

    def __str__(self) -> str:
        return f"{self.kind} {self.key or _NONE} at {self.ts_ns}"


def text_of(entry: Entry) -> str:
    """Return the text of a line behind its time and its kind."""
    number, key, content = entry
    told = "" if content is None else f" {msgspec.json.encode(content).decode()}"
    return f"{number} {key or _NONE}{told}"


def is_step_record(directory: Path) -> bool:
    """Return whether ``directory`` holds a record of steps."""
    return bool(days_of(directory))


class RecordedSteps:
    """The steps of one process of a session, as ``directory`` has them, up to the end of ``last`` (ISO day).

    ``process`` counts from 0, which has begun the session. ``last`` "": all. Raises DataError where there are none;
    iterating does where a line is missing or cannot be read.
    """

    def __init__(self, directory: Path, last: str = "", process: int = 0) -> None:
        of_all = processes_of(directory, last)
        if not of_all:
            raise DataError(
                f"{directory} has no record of the steps of a session{f' until {last}' if last else ''}"
            )
        self._files = of_all[process]
        self.head = _head(self._files[0])
        """The first line of the first file."""

    def __iter__(self) -> Iterator[Step]:
        expected = 0
        for path in self._files:
            lines = lines_in(path)
            next(lines, None)
            for line in lines:
                number, step = _step(path, line)
                expected += 1
                if number != expected:
                    raise DataError(f"{path} lacks steps from the {expected}. on: its disk was too slow")
                yield step


def processes_of(directory: Path, last: str = "") -> Sequence[Sequence[Path]]:
    """Return the files of each process, oldest first, up to the end of ``last`` (ISO day; "": all).

    Raises DataError for a file that is none.
    """
    found: dict[int, list[Path]] = {}
    for day in days_of(directory):
        if not last or day <= last:
            for path in files_of(directory, day):
                found.setdefault(_head(path).started_ns, []).append(path)
    return list(found.values())


def _head(path: Path) -> StepsHead:
    try:
        head = msgspec.json.decode(next(lines_in(path), b""), type=StepsHead)
    except msgspec.DecodeError:
        raise DataError(f"{path} is no record of the steps of a session") from None
    if head.format != FORMAT or head.version != VERSION:
        raise DataError(f"{path} was written by another version of QTS")
    return head


def _content(kind: str, key: str, told: str) -> Any:
    return decode_answered(key, told) if kind == ANSWERED else _CONTENTS[kind].decode(told)


def _step(path: Path, line: bytes) -> tuple[int, Step]:
    try:
        time, kind, number, key, *rest = line[:-1].decode().split(" ", 4)
        content = _content(kind, key, rest[0]) if rest else None
        return int(number), Step(int(time), kind, "" if key == _NONE else key, content)
    except (KeyError, ValueError, msgspec.DecodeError):
        raise DataError(f"{path} has a line that is no step: {line[:80]!a}") from None
