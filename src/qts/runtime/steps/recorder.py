"""Writes down the steps of a session: what came from outside, in the order in which it was taken, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from qts.clock import HeldClock
from qts.market.contracts import BookUpdate
from qts.market.day_record import DayRecord
from qts.runtime.due_work import DueWork
from qts.runtime.steps.contracts import DUE, STOP, TASKS, VALUE
from qts.runtime.steps.lines import FORMAT, VERSION, BrokerFacts, Entry, StepsHead


class StepRecorder:
    """The :class:`~qts.runtime.steps.contracts.Steps` of a session that is recorded.

    ``clock`` is the session's: it moves with each step. A step that the record has no room for leaves a hole in the
    numbers of its lines.
    """

    is_repeated = False

    def __init__(self, clock: HeldClock, record: DayRecord[Entry]) -> None:
        self._clock = clock
        self._record = record
        self._number = self._looks = 0

    def take(self, kind: str, key: str = "", content: object = None) -> Any:
        """Move the clock, and write the step down."""
        self._number += 1
        if kind in _LOOKS_AGAIN:
            self._looks = 0
        kept = content
        if content.__class__ is BookUpdate:  # its levels may be read on this thread alone
            kept = msgspec.Raw(_encode(content))
        self._record.add(self._clock.look(), kind, (self._number, key, kept))
        return content

    async def turn(self, kind: str, key: str = "", content: object = None) -> Any:
        """Take the step at once."""
        return self.take(kind, key, content)

    def next_key(self, kind: str) -> str:
        """Return "": nothing is repeated."""
        return ""

    def is_due(self, due: DueWork) -> bool:
        """Return whether any work is due."""
        self._looks += 1
        if not due.pending:
            return False
        self.take(DUE, str(self._looks), due.requested())
        return True


_encode = msgspec.json.Encoder(enc_hook=list).encode
_LOOKS_AGAIN = frozenset({VALUE, TASKS, STOP})


def head_of(
    run_id: str, source_id: str, started_ns: int, broker: BrokerFacts | None = None
) -> Callable[[str], bytes]:
    """Return what makes the first line of a file of a day, for a process that began at ``started_ns``."""

    def head(day: str) -> bytes:
        """Return the first line of the file of ``day``."""
        return msgspec.json.encode(StepsHead(FORMAT, VERSION, day, run_id, source_id, started_ns, broker))

    return head
