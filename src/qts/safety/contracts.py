"""Values and ports of safety, which decides whether the session may trade at all: the four states, what changed and
why, what is known about each cause, and the port through which state and history survive a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Protocol, TypeAlias

import msgspec


class SafetyState(str, Enum):
    """The safety state: may the session trade at all? Rises freely, falls only by rule (`safety-falls-by-rule`)."""

    NORMAL = "NORMAL"
    WARNING = "WARNING"
    FAIL = "FAIL"
    LOCKDOWN = "LOCKDOWN"

    @property
    def severity(self) -> int:
        """Return the rank of the state: 0 for NORMAL, 1 for WARNING, 2 for FAIL, 3 for LOCKDOWN."""
        return _ORDER.index(self)

    @property
    def allows_entries(self) -> bool:
        """Return whether entries are allowed: in NORMAL and WARNING, not in FAIL and LOCKDOWN."""
        return self in (SafetyState.NORMAL, SafetyState.WARNING)

    @classmethod
    def of(cls, value: object) -> SafetyState:
        """Return ``value`` as a state; anything but one of the four names is FAIL (`unknown-is-unsafe`)."""
        try:
            return cls(value)
        except ValueError:
            return cls.FAIL


_ORDER = (SafetyState.NORMAL, SafetyState.WARNING, SafetyState.FAIL, SafetyState.LOCKDOWN)


class CodeKind(str, Enum):
    """The three families of codes; by their prefix (AN, GR, FS)."""

    ANOMALY = "ANOMALY"
    GUARDRAIL = "GUARDRAIL"
    FAIL_SAFE = "FAIL_SAFE"


class SafetyCause(str, Enum):
    """The causes that the safety table answers, one column each."""

    WARN = "WARN"  # an anomaly, a guardrail, a fail-safe whose catalogue target is WARNING
    FAIL_SAFE = "FAIL_SAFE"  # a fail-safe that is not standing yet
    FAIL_SAFE_REPEATED = "FAIL_SAFE_REPEATED"  # the fail-safe that already stands, again
    HALT = "HALT"  # kill switch, third broker failure, any code whose target is LOCKDOWN
    CLEARED = "CLEARED"  # the clear time passed without any cause
    RECOVERY = "RECOVERY"  # asked for; the conditions were checked and hold
    RECOVERY_APPROVED = "RECOVERY_APPROVED"  # asked for by a named operator with a reason
    RECOVERY_UNFIT = "RECOVERY_UNFIT"  # asked for; a condition fails or is unknown


class SafetyChange(msgspec.Struct, frozen=True):
    """The result of a call: the state before, the state after, the cause and the reason.

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
        """Return whether the state moved."""
        return self.from_state is not self.to_state


class StandingCause(msgspec.Struct, frozen=True):
    """A code seen since the state was last NORMAL: its count, first and last time (ns since the epoch).

    ``fatal``: it led to FAIL or LOCKDOWN.
    """

    code: str
    fatal: bool
    count: int
    first_ns: int
    last_ns: int
    detail: str = ""


class SafetySnapshot(msgspec.Struct, frozen=True):
    """The safety state with its causes, complete for a screen or a log. Times are ns since the epoch.

    ``clears_at_ns``: when WARNING ends if no cause returns (None in the other states).
    ``last_change`` is None before the first change.
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
    """The result of :func:`~qts.safety.audit.audit_history`: ``checks`` changes, ``problem`` "" when ``ok``."""

    ok: bool
    checks: int
    problem: str = ""


class SafetyStore(Protocol):
    """A store of one snapshot and an append-only history of records; both survive kill -9.

    The manager calls it on its own thread, one call at a time.
    """

    def load(self) -> dict[str, Any] | None:
        """Return the newest saved snapshot with the newest records under ``"history"``; None before the first save.

        The manager calls it once, before the first cause. Raises StorageError when it cannot be read.
        """
        ...

    def save(self, snapshot: Mapping[str, Any], record: Mapping[str, Any] | None = None) -> None:
        """Save ``snapshot``, and append ``record`` to the history; None: there is no new record.

        The manager calls it after every change, with plain values. Returns when both are on disk; raises
        StorageError when that cannot be done.
        """
        ...


SafetyListener: TypeAlias = Callable[[SafetyChange], None]
"""A callback for every change of state, called on the manager's thread; see ``add_listener`` for what it may raise.
"""
