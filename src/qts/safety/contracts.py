"""Safety: may we trade at all? (spec 02)

The values that pass between the safety manager and everybody else: the four states, what changed and why,
what is known about each cause, and the port through which state and history survive a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Protocol, TypeAlias

import msgspec


class SafetyState(str, Enum):
    """May we trade at all? Rises freely, falls only by rule (spec 02)."""

    NORMAL = "NORMAL"
    WARNING = "WARNING"
    FAIL = "FAIL"
    LOCKDOWN = "LOCKDOWN"

    @property
    def severity(self) -> int:
        """0 for NORMAL … 3 for LOCKDOWN."""
        return _ORDER.index(self)

    @property
    def allows_entries(self) -> bool:
        """NORMAL and WARNING trade; FAIL and LOCKDOWN only cancel and liquidate."""
        return self in (SafetyState.NORMAL, SafetyState.WARNING)

    @classmethod
    def of(cls, value: object) -> SafetyState:
        """``value`` as a state; whatever is not one of the four names is FAIL: unknown never means fine."""
        try:
            return cls(value)
        except ValueError:
            return cls.FAIL


_ORDER = (SafetyState.NORMAL, SafetyState.WARNING, SafetyState.FAIL, SafetyState.LOCKDOWN)


class CodeKind(str, Enum):
    """The three families of codes; the prefix says which (AN, GR, FS)."""

    ANOMALY = "ANOMALY"
    GUARDRAIL = "GUARDRAIL"
    FAIL_SAFE = "FAIL_SAFE"


class SafetyCause(str, Enum):
    """What can happen to the safety state: the columns of its table."""

    WARN = "WARN"  # an anomaly, a guardrail, a fail-safe whose catalogue target is WARNING
    FAIL_SAFE = "FAIL_SAFE"  # a fail-safe that is not standing yet
    FAIL_SAFE_REPEATED = "FAIL_SAFE_REPEATED"  # the fail-safe that already stands, once more
    HALT = "HALT"  # kill switch, third broker failure, any code whose target is LOCKDOWN
    CLEARED = "CLEARED"  # the clear time passed without any cause
    RECOVERY = "RECOVERY"  # asked for; the conditions were checked and hold
    RECOVERY_APPROVED = "RECOVERY_APPROVED"  # asked for by a named operator with a reason
    RECOVERY_UNFIT = "RECOVERY_UNFIT"  # asked for; a condition fails or is unknown


class SafetyChange(msgspec.Struct, frozen=True):
    """The answer to every call: where safety was, where it is, why.

    ``seq`` counts the recorded changes from 1; it is 0 when the state stayed and nothing was recorded.
    ``count`` is how often ``code`` was seen since the state was last NORMAL (0 for clearing and recovery).
    ``ts_ns`` is nanoseconds since the epoch. ``actor`` is "rule" or the operator's id.
    """

    from_state: SafetyState
    to_state: SafetyState
    cause: SafetyCause
    code: str
    reason: str
    ts_ns: int
    actor: str = "rule"
    count: int = 0
    seq: int = 0

    @property
    def changed(self) -> bool:
        """Whether the state moved."""
        return self.from_state is not self.to_state


class StandingCause(msgspec.Struct, frozen=True):
    """A code seen since the state was last NORMAL: how often, since when, last when (ns since the epoch)."""

    code: str
    fatal: bool
    count: int
    first_ns: int
    last_ns: int
    detail: str = ""


class SafetySnapshot(msgspec.Struct, frozen=True):
    """Everything a screen or a log needs to say why safety is what it is.

    ``clears_at_ns``: when WARNING ends if no cause returns (None in the other states).
    ``broker_failures_in_row``: FS040 and FS042 since the last broker success.
    """

    state: SafetyState
    since_ns: int
    as_of_ns: int
    is_trading_allowed: bool
    is_lockdown: bool
    causes: tuple[StandingCause, ...]
    clears_at_ns: int | None
    broker_failures_in_row: int
    broker_failures_in_window: int
    next_step: str
    last_change: SafetyChange | None
    counters: dict[str, int]


class SafetyAudit(msgspec.Struct, frozen=True):
    """Invariant 13 of spec 09 over the recorded history: ``checks`` changes looked at, ``problem`` "" when ok."""

    ok: bool
    checks: int
    problem: str = ""


class SafetyStore(Protocol):
    """Keeps one snapshot and an append-only history of records; both survive kill -9.

    ``load`` gives the newest saved snapshot with the newest records under ``"history"``, or None before the
    first save. ``save`` returns when the data is on disk. Both raise StorageError when that cannot be had.
    """

    def load(self) -> dict[str, Any] | None:
        """Return what was saved last. Called once, before anything is judged."""
        ...

    def save(self, snapshot: Mapping[str, Any], record: Mapping[str, Any] | None = None) -> None:
        """Save ``snapshot``, and ``record`` as the newest of the history; None: nothing new happened."""
        ...


SafetyListener: TypeAlias = Callable[[SafetyChange], None]
