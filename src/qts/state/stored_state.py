"""The stored form of the operating-state manager: what it needs to go on after a restart."""

from __future__ import annotations

import msgspec

from qts.safety.contracts import SafetyState
from qts.state.contracts import (
    ManualOverride,
    OperatingState,
    PendingConfirmation,
    TransitionMetrics,
    TransitionRecord,
)


class StoredState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One moment of the manager, as it is stored. Times in nanoseconds since the epoch."""

    state: OperatingState
    previous: OperatingState | None
    entered_ns: int
    last_transition_ns: int | None
    pending: PendingConfirmation | None
    override: ManualOverride | None
    safety: SafetyState
    halted: bool
    metrics: TransitionMetrics | None
    seq: int
    transitions: int
    forced: int
    time_in_ns: dict[OperatingState, int]
    history: tuple[TransitionRecord, ...] = ()
    as_of_ns: int = 0
    """Time of the export, for readers of the file; not part of the state."""
