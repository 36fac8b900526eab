"""The life of an execution as one total table: every state and every update has an answer.

An execution is the work on one approved quantity, by one order or by many. The answer is the next state, or a
:class:`Barred` that says why the update cannot be true; the execution then keeps its state. How long a state may
last, and what follows when that is over, is in :data:`LIMITS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, TypeAlias

import msgspec


class ExecutionState(str, Enum):
    """The stations of an execution.

    ESCAPING: everything open is being cancelled and what was bought is being sold, until the broker confirms that
    nothing works and nothing of ours is held. COMPLETE, ESCAPED and FAILED are final: no order of it works. FAILED:
    nothing of it ever left.
    """

    INIT = "INIT"
    PRECHECK = "PRECHECK"
    SPLITTING = "SPLITTING"
    SENDING = "SENDING"
    MONITORING = "MONITORING"
    ADJUSTING = "ADJUSTING"
    ESCAPING = "ESCAPING"
    COMPLETE = "COMPLETE"
    ESCAPED = "ESCAPED"
    FAILED = "FAILED"


class ExecutionUpdate(Enum):
    """Anything that moves an execution or may do so.

    BEGUN: it was asked for. PASSED, REFUSED: PreCheck's answer. PLANNED, UNPLANNED: the quantity was split, or
    cannot be. SENT: a part was given to the gateway. SKIPPED: it could not be, and its turn comes again.
    ALL_FAILED: no part could be sent and none ever was. NEXT_PART: the next part is due. SLOW: what works does not
    fill in time. ADJUSTED: what slowed was changed, or is to be waited for. DONE: all is filled, or the rest was
    given up, and nothing works. ESCAPE: get out. FLAT:
    the broker confirms that nothing works and nothing is held. LATE_FILL: an execution of an order that had ended.
    """

    BEGUN = "BEGUN"
    PASSED = "PASSED"
    REFUSED = "REFUSED"
    PLANNED = "PLANNED"
    UNPLANNED = "UNPLANNED"
    SENT = "SENT"
    SKIPPED = "SKIPPED"
    ALL_FAILED = "ALL_FAILED"
    NEXT_PART = "NEXT_PART"
    SLOW = "SLOW"
    ADJUSTED = "ADJUSTED"
    DONE = "DONE"
    ESCAPE = "ESCAPE"
    FLAT = "FLAT"
    LATE_FILL = "LATE_FILL"


class Barred(msgspec.Struct, frozen=True):
    """An update that contradicts what is known; the execution keeps its state."""

    reason: str


ExecutionStep: TypeAlias = ExecutionState | Barred

_S, _U = ExecutionState, ExecutionUpdate
_ORDER: Final = Barred("the stages come in their order, and this one is not next")
_LEFT: Final = Barred("parts of it may be at the broker; it cannot end as if nothing had left")
_NOT_ESCAPING: Final = Barred("only an execution that escapes ends flat")
_OPEN: Final = Barred("nothing of it has been sent, so nothing can have been executed")
_ESCAPES: Final = Barred("it escapes; from there it ends flat only")
_OVER: Final = Barred("it has ended")

FINAL: Final = frozenset({_S.COMPLETE, _S.ESCAPED, _S.FAILED})
"""The states that nothing leaves."""


def _row(default: Barred, answers: Mapping[ExecutionUpdate, ExecutionStep]) -> dict[ExecutionUpdate, ExecutionStep]:
    return {update: answers.get(update, default) for update in ExecutionUpdate}


EXECUTION_TABLE: Final[Mapping[ExecutionState, Mapping[ExecutionUpdate, ExecutionStep]]] = {
    _S.INIT: _row(
        _ORDER, {_U.BEGUN: _S.PRECHECK, _U.ESCAPE: _S.ESCAPING, _U.FLAT: _NOT_ESCAPING, _U.LATE_FILL: _OPEN}
    ),
    _S.PRECHECK: _row(
        _ORDER,
        {
            _U.PASSED: _S.SPLITTING,
            _U.REFUSED: _S.FAILED,
            _U.ESCAPE: _S.ESCAPING,
            _U.FLAT: _NOT_ESCAPING,
            _U.LATE_FILL: _OPEN,
        },
    ),
    _S.SPLITTING: _row(
        _ORDER,
        {
            _U.PLANNED: _S.SENDING,
            _U.UNPLANNED: _S.FAILED,
            _U.ESCAPE: _S.ESCAPING,
            _U.FLAT: _NOT_ESCAPING,
            _U.LATE_FILL: _OPEN,
        },
    ),
    _S.SENDING: _row(
        _ORDER,
        {
            _U.SENT: _S.MONITORING,
            _U.SKIPPED: _S.MONITORING,
            _U.ALL_FAILED: _S.FAILED,
            _U.DONE: _S.COMPLETE,
            _U.ESCAPE: _S.ESCAPING,
            _U.FLAT: _NOT_ESCAPING,
            _U.LATE_FILL: _S.SENDING,
        },
    ),
    _S.MONITORING: _row(
        _ORDER,
        {
            _U.NEXT_PART: _S.SENDING,
            _U.SLOW: _S.ADJUSTING,
            _U.DONE: _S.COMPLETE,
            _U.ALL_FAILED: _LEFT,
            _U.ESCAPE: _S.ESCAPING,
            _U.FLAT: _NOT_ESCAPING,
            _U.LATE_FILL: _S.MONITORING,
        },
    ),
    _S.ADJUSTING: _row(
        _ORDER,
        {
            _U.ADJUSTED: _S.MONITORING,
            _U.DONE: _S.COMPLETE,
            _U.ALL_FAILED: _LEFT,
            _U.ESCAPE: _S.ESCAPING,
            _U.FLAT: _NOT_ESCAPING,
            _U.LATE_FILL: _S.ADJUSTING,
        },
    ),
    _S.ESCAPING: _row(_ESCAPES, {_U.ESCAPE: _S.ESCAPING, _U.FLAT: _S.ESCAPED, _U.LATE_FILL: _S.ESCAPING}),
    # What executes after the end is booked; shares of an execution that has escaped are sold by the manager of
    # protective orders, under a request of its own.
    _S.COMPLETE: _row(_OVER, {_U.LATE_FILL: _S.COMPLETE}),
    _S.ESCAPED: _row(_OVER, {_U.LATE_FILL: _S.ESCAPED}),
    _S.FAILED: _row(_OVER, {_U.LATE_FILL: _S.FAILED}),
}


class StageLimit(msgspec.Struct, frozen=True):
    """The consequence when a state lasts longer than the setting ``name`` of ``execution.limits`` allows.

    ``update`` is applied; ``code`` is raised, "" for none.
    """

    name: str
    update: ExecutionUpdate
    code: str


LIMITS: Final[Mapping[ExecutionState, StageLimit]] = {
    _S.PRECHECK: StageLimit("precheck_ms", _U.REFUSED, ""),
    _S.SPLITTING: StageLimit("split_ms", _U.UNPLANNED, ""),
    _S.SENDING: StageLimit("send_ms", _U.ESCAPE, "FS090"),
    _S.MONITORING: StageLimit("monitor_ms", _U.SLOW, "GR064"),
    _S.ADJUSTING: StageLimit("adjust_ms", _U.ESCAPE, "FS093"),
    _S.ESCAPING: StageLimit("escape_ms", _U.ESCAPE, "FS092"),
}
"""The limit of each state that has one, by state."""


def next_execution_state(state: ExecutionState, update: ExecutionUpdate) -> ExecutionStep:
    """Return the answer of the table."""
    return EXECUTION_TABLE[state][update]
