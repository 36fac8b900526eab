"""The safety manager: the one place that decides whether the session may trade, and why.

It classifies a code (code → cause), asks the table, records, persists, and calls its listeners. It does no trading
and reads time only from its clock. A rise waits for nothing; a fall is stored before it counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from qts.clock import NS_PER_S, Clock, SystemClock
from qts.errors import StorageError
from qts.safety.audit import audit_history
from qts.safety.codes import BROKER_FAILURES, CodeEntry, lookup
from qts.safety.config import SafetyConfig
from qts.safety.contracts import (
    CodeKind,
    SafetyAudit,
    SafetyCause,
    SafetyChange,
    SafetyListener,
    SafetySnapshot,
    SafetyState,
    SafetyStore,
    StandingCause,
)
from qts.safety.listeners import Listeners
from qts.safety.table import AnswerKind, answer

_MINUTE_NS: Final = 60 * NS_PER_S
_MAX_CAUSES: Final = 256
_REPEAT_SAVE_NS: Final = _MINUTE_NS
"""A repeated cause is only counted; its count and time reach the store at most once a minute."""

Checks: TypeAlias = bool | Mapping[str, bool | None]
"""Conditions of a recovery: one verdict, or named ones that must all be True. None and missing are not True."""

__all__ = ["Checks", "SafetyChange", "SafetySnapshot", "SafetyState", "SafetyStateManager"]


class SafetyStateManager:
    """The manager of the safety state. Every method belongs to one thread.

    Works with nothing given; then it forgets at exit and reads the system clock.

    With a ``store`` it continues where the last process ended: LOCKDOWN survives a restart. Raises
    :class:`~qts.errors.StorageError` when the stored state cannot be read, and from every change that cannot
    be stored (a rise is in force all the same, a fall is not).
    """

    def __init__(
        self,
        config: SafetyConfig | None = None,
        *,
        clock: Clock | None = None,
        store: SafetyStore | None = None,
    ) -> None:
        self._config = config if config is not None else SafetyConfig()
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._store = store
        self._listeners: Listeners[SafetyChange] = Listeners()
        self._state = SafetyState.NORMAL
        self._since_ns = self._clock.time_ns()
        self._causes: dict[str, StandingCause] = {}
        self._broker_row = 0
        self._broker_times: deque[int] = deque(maxlen=self._config.broker_failure_limit)
        self._seq = 0
        self._stored_ns = 0
        self._counters: dict[str, int] = {}
        self._history: deque[SafetyChange] = deque(maxlen=self._config.history_limit)
        if store is not None and (saved := store.load()) is not None:
            self.restore_state(saved)

    # queries

    @property
    def current_state(self) -> SafetyState:
        """Return the state in force."""
        return self._state

    @property
    def is_trading_allowed(self) -> bool:
        """Return whether entries are allowed: in NORMAL and WARNING; else only cancels and liquidations."""
        return self._state.allows_entries

    @property
    def is_lockdown(self) -> bool:
        """Return whether the state is LOCKDOWN."""
        return self._state is SafetyState.LOCKDOWN

    @property
    def history(self) -> tuple[SafetyChange, ...]:
        """Return the recorded changes, oldest first (the newest ``history_limit`` of them)."""
        return tuple(self._history)

    @property
    def counters(self) -> dict[str, int]:
        """Return counts by name: ``NORMAL>WARNING`` … changes, ``anomalies``, ``guardrails``, ``fail_safes``,
        ``recoveries_refused``, ``listener_failures``."""
        return {**self._counters, "listener_failures": self._listeners.failures}

    @property
    def config(self) -> SafetyConfig:
        """Return the configuration in force; :meth:`reconfigure` replaces it."""
        return self._config

    def snapshot(self) -> SafetySnapshot:
        """Return the state, its causes and the next step. Changes nothing; time takes effect in :meth:`tick`."""
        now = self._clock.time_ns()
        return SafetySnapshot(
            state=self._state,
            since_ns=self._since_ns,
            as_of_ns=now,
            is_trading_allowed=self.is_trading_allowed,
            is_lockdown=self.is_lockdown,
            causes=tuple(self._causes.values()),
            clears_at_ns=self._clears_at_ns() if self._state is SafetyState.WARNING else None,
            broker_failures_in_row=self._broker_row,
            broker_failures_in_window=self._broker_in_window(now),
            next_step=_NEXT_STEP[self._state],
            last_change=self._history[-1] if self._history else None,
            counters=self.counters,
        )

    def audit(self) -> SafetyAudit:
        """Check `safety-falls-by-rule` over the history in memory."""
        return audit_history(self.history, self._state)

    # commands

    def apply_anomaly(self, code: str, detail: str = "") -> SafetyChange:
        """Apply an anomaly, a sign that something is wrong (ANnnn). Unlisted codes are judged by their prefix.

        Raises ContractError for a text that is no code, StorageError when the change cannot be stored (it is in
        force all the same); so do the other ``apply_`` methods.
        """
        return self._apply(code, CodeKind.ANOMALY, detail)

    def apply_guardrail(self, code: str, detail: str = "") -> SafetyChange:
        """Apply a guardrail, a limit that was reached (GRnnn). Unlisted codes are judged by their prefix."""
        return self._apply(code, CodeKind.GUARDRAIL, detail)

    def apply_fail_safe(self, code: str, detail: str = "") -> SafetyChange:
        """Apply a fail-safe, a defect (FSnnn). By the catalogue a few only warn or lock down at once."""
        return self._apply(code, CodeKind.FAIL_SAFE, detail)

    def apply_code(self, code: str, detail: str = "", *, actor: str = "rule") -> SafetyChange:
        """Apply any code; the catalogue or its prefix gives the family. ``actor`` is an operator who raised it."""
        return self._apply(code, lookup(code).kind, detail, actor)

    def broker_succeeded(self) -> None:
        """Note that the broker answered: its failures are no longer in a row, though those in the window count."""
        if self._broker_row:
            self._broker_row = 0
            self._save(None)

    def tick(self) -> SafetyChange | None:
        """End WARNING once no cause has come for the clear time (≥, not >); None when nothing changed.

        Call it regularly. Raises StorageError when the change cannot be stored; then it did not happen.
        """
        if self._state is not SafetyState.WARNING or self._clock.time_ns() < self._clears_at_ns():
            return None
        reason = f"no cause for {self._config.warning_clear_minutes:g} minutes (was: {', '.join(self._causes)})"
        return self._answer(SafetyCause.CLEARED, "", reason)

    def request_recovery(
        self,
        *,
        operator_approved: bool = False,
        operator_id: str | None = None,
        reason: str | None = None,
        checks: Checks | Callable[[], Checks] | None = None,
    ) -> SafetyChange:
        """Ask for NORMAL; the result shows whether it was given and why. A refusal changes nothing.

        WARNING: only when the clear time has passed. FAIL: when ``checks`` hold, or, with no checks given, when
        an operator vouches with name and reason; unknown checks never count as passed. LOCKDOWN: only with
        ``operator_approved``, ``operator_id`` and ``reason``, and no failing check.
        """
        cleared = self.tick()
        if cleared is not None:
            return cleared
        named = operator_approved is True and bool((operator_id or "").strip()) and bool((reason or "").strip())
        verdict, missing = _verdict_of(checks() if callable(checks) else checks)
        actor = (operator_id or "").strip() or "rule"
        return self._answer(
            _recovery_cause(named, verdict),
            "",
            _recovery_reason(self._state, named, operator_approved, missing, reason),
            actor=actor,
        )

    def reconfigure(self, config: SafetyConfig) -> None:
        """Apply new settings from now on; state, causes and counts stay."""
        self._config = config
        self._broker_times = deque(self._broker_times, maxlen=config.broker_failure_limit)
        self._history = deque(self._history, maxlen=config.history_limit)

    def add_listener(self, listener: SafetyListener) -> Callable[[], None]:
        """Call ``listener`` after every change of state, on this thread; the returned function removes it.

        A listener that raises never stops safety or the others: it is counted (``listener_failures``), and a
        :class:`~qts.errors.QtsError` (its store failed) is raised after all of them were called.
        """
        return self._listeners.add(listener)

    # persistence

    def export_state(self) -> dict[str, Any]:
        """Return everything that must survive a restart, as plain values (texts, numbers, lists, dictionaries)."""
        plain: dict[str, Any] = msgspec.to_builtins(self._to_store(tuple(self._history)))
        plain["as_of_ns"] = self._clock.time_ns()
        return plain

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`export_state`. Raises StorageError when ``state`` is not such a dictionary."""
        try:
            saved = msgspec.convert(dict(state), _StoredSafety)
        except (msgspec.ValidationError, TypeError, ValueError) as error:
            raise StorageError(
                f"the stored safety state cannot be read: {error}; restore it from a backup"
            ) from None
        self._state = saved.state
        self._since_ns = saved.since_ns
        self._causes = {cause.code: cause for cause in saved.causes}
        self._broker_row = saved.broker_row
        self._broker_times = deque(saved.broker_times, maxlen=self._config.broker_failure_limit)
        self._seq = saved.seq
        self._counters = dict(saved.counters)
        self._history = deque(saved.history, maxlen=self._config.history_limit)

    @property
    def seq(self) -> int:
        """Return the number of the newest row of the history; 0 for none."""
        return self._seq

    def continue_after(self, seq: int) -> None:
        """Count later records from ``seq`` on if that is newer: rows that a checkpoint does not know stay."""
        self._seq = max(self._seq, seq)

    # decisions

    def _apply(self, code: str, reported: CodeKind, detail: str, actor: str = "rule") -> SafetyChange:
        entry = lookup(code)
        self.tick()
        now = self._clock.time_ns()
        self._count(_COUNTER[reported])
        cause = self._classify(entry, reported, now)
        repeated = cause is SafetyCause.FAIL_SAFE and self._stands(code)
        if repeated:
            cause = SafetyCause.FAIL_SAFE_REPEATED
        fatal = cause in (SafetyCause.FAIL_SAFE, SafetyCause.FAIL_SAFE_REPEATED, SafetyCause.HALT)
        standing = self._note_cause(code, fatal, detail, now)
        described = f"{code} {entry.meaning}" + (f": {detail}" if detail else "")
        return self._answer(cause, code, described, actor=actor, count=standing.count)

    def _classify(self, entry: CodeEntry, reported: CodeKind, now: int) -> SafetyCause:
        if entry.code in BROKER_FAILURES:
            return self._broker_failure(now)
        if entry.target is SafetyState.LOCKDOWN:
            return SafetyCause.HALT
        reported_worse = reported is CodeKind.FAIL_SAFE and entry.kind is not CodeKind.FAIL_SAFE
        if entry.target is SafetyState.FAIL or reported_worse:
            return SafetyCause.FAIL_SAFE
        return SafetyCause.WARN

    def _broker_failure(self, now: int) -> SafetyCause:
        self._broker_row += 1
        self._broker_times.append(now)
        limit = self._config.broker_failure_limit
        too_many = self._broker_row >= limit or self._broker_in_window(now) >= limit
        return SafetyCause.HALT if too_many else SafetyCause.WARN

    def _broker_in_window(self, now: int) -> int:
        window = round(self._config.broker_failure_window_minutes * _MINUTE_NS)
        return sum(1 for ts in self._broker_times if now - ts <= window)

    def _stands(self, code: str) -> bool:
        cause = self._causes.get(code)
        return cause is not None and cause.fatal

    def _note_cause(self, code: str, fatal: bool, detail: str, now: int) -> StandingCause:
        old = self._causes.get(code)
        if old is None and len(self._causes) >= _MAX_CAUSES:
            del self._causes[min(self._causes.values(), key=_drop_order).code]
        standing = StandingCause(
            code=code,
            fatal=fatal or (old is not None and old.fatal),
            count=1 if old is None else old.count + 1,
            first_ns=now if old is None else old.first_ns,
            last_ns=now,
            detail=detail[:200],
        )
        self._causes[code] = standing
        return standing

    def _clears_at_ns(self) -> int:
        newest = max((cause.last_ns for cause in self._causes.values()), default=self._since_ns)
        return newest + round(self._config.warning_clear_minutes * _MINUTE_NS)

    def _answer(
        self, cause: SafetyCause, code: str, detail: str, *, actor: str = "rule", count: int = 0
    ) -> SafetyChange:
        found = answer(self._state, cause)
        change = SafetyChange(
            from_state=self._state,
            to_state=found.to_state,
            cause=cause,
            code=code,
            reason=f"{found.why}: {detail}" if detail else found.why,
            ts_ns=self._clock.time_ns(),
            actor=actor,
            count=count,
        )
        if found.kind is AnswerKind.REFUSE:
            self._count("recoveries_refused")
        if found.kind is AnswerKind.MOVE:
            return self._move(change)
        if code in BROKER_FAILURES or change.ts_ns - self._stored_ns >= _REPEAT_SAVE_NS:
            self._save(None)
        return change

    def _move(self, change: SafetyChange) -> SafetyChange:
        before = self.export_state() if change.to_state.severity < change.from_state.severity else None
        self._seq += 1
        recorded = msgspec.structs.replace(change, seq=self._seq)
        self._state = recorded.to_state
        self._since_ns = recorded.ts_ns
        self._history.append(recorded)
        self._count(f"{recorded.from_state.value}>{recorded.to_state.value}")
        if recorded.to_state is SafetyState.NORMAL:
            self._clear_causes(recorded.from_state)
        try:
            self._save(recorded)
        except StorageError:
            if before is not None:
                self.restore_state(before)  # a fall that is not on disk did not happen
            else:
                self._listeners.notify(recorded)  # a rise is in force even when the disk is not
            raise
        self._listeners.notify(recorded)
        return recorded

    def _clear_causes(self, fallen_from: SafetyState) -> None:
        self._causes.clear()
        if fallen_from is not SafetyState.WARNING:
            self._broker_row = 0
            self._broker_times.clear()

    def _count(self, name: str) -> None:
        self._counters[name] = self._counters.get(name, 0) + 1

    def _save(self, record: SafetyChange | None) -> None:
        self._stored_ns = self._clock.time_ns()
        if self._store is None:
            return
        snapshot = msgspec.to_builtins(self._to_store(()))
        del snapshot["history"]
        snapshot["as_of_ns"] = self._stored_ns
        self._store.save(snapshot, msgspec.to_builtins(record))

    def _to_store(self, history: tuple[SafetyChange, ...]) -> _StoredSafety:
        return _StoredSafety(
            state=self._state,
            since_ns=self._since_ns,
            causes=tuple(self._causes.values()),
            broker_row=self._broker_row,
            broker_times=tuple(self._broker_times),
            seq=self._seq,
            counters=dict(self._counters),
            history=history,
        )


class _StoredSafety(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The stored form of the manager: what a restart needs."""

    state: SafetyState
    since_ns: int
    causes: tuple[StandingCause, ...]
    broker_row: int
    broker_times: tuple[int, ...]
    seq: int
    counters: dict[str, int]
    history: tuple[SafetyChange, ...] = ()
    as_of_ns: int = 0
    """Time of the export, for readers of the file; not part of the state."""


_COUNTER: Final = {
    CodeKind.ANOMALY: "anomalies",
    CodeKind.GUARDRAIL: "guardrails",
    CodeKind.FAIL_SAFE: "fail_safes",
}

_NEXT_STEP: Final = {
    SafetyState.NORMAL: "nothing to do",
    SafetyState.WARNING: "nothing to do: it ends once no cause comes back for the clear time",
    SafetyState.FAIL: (
        "remove the cause, let the books agree, then run qts safety release; another fail-safe locks down"
    ),
    SafetyState.LOCKDOWN: "find and remove the cause, check the account at the broker, then run qts safety release",
}


def _drop_order(cause: StandingCause) -> tuple[bool, int]:
    """Return the order of dropping: warnings before fail-safes, the one not seen for longest first."""
    return cause.fatal, cause.last_ns


def _verdict_of(checks: Checks | None) -> tuple[bool | None, str]:
    """Return the verdict (None when nothing was checked) and the names of what is missing."""
    if checks is None:
        return None, "no checks were given"
    if isinstance(checks, bool):
        return checks, "" if checks else "the checks failed"
    if not checks:
        return None, "no checks were given"
    failing = [name for name, ok in checks.items() if ok is not True]
    return not failing, f"failing or unknown: {', '.join(failing)}" if failing else ""


def _recovery_cause(named: bool, verdict: bool | None) -> SafetyCause:
    if verdict is False:
        return SafetyCause.RECOVERY_UNFIT
    if named:
        return SafetyCause.RECOVERY_APPROVED
    if verdict is True:
        return SafetyCause.RECOVERY
    return SafetyCause.RECOVERY_UNFIT


def _recovery_reason(state: SafetyState, named: bool, approved: bool, missing: str, reason: str | None) -> str:
    parts = [(reason or "").strip()]
    if state in (SafetyState.FAIL, SafetyState.LOCKDOWN):
        if approved and not named:
            parts.append("an approval needs operator_id and reason")
        if missing and not (named and missing.startswith("no checks")):
            parts.append(missing)
    return "; ".join(part for part in parts if part)
