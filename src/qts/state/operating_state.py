"""The operating-state manager: applies the rules with hysteresis, keeps the history and persists it.

One evaluation = apply safety, find the rule, confirm it, check the shortest stay and the cooldown, move. The
manager trades nothing and reads time only from its clock, so a replay gives the same transitions. Authority:
safety, then the override, then the rules. Moving to DEFENSIVE skips stay and cooldown but never confirmation; what
safety forces skips all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from qts.clock import Clock, SystemClock, from_ns, to_ns
from qts.errors import StorageError
from qts.safety.contracts import SafetyState
from qts.safety.listeners import Listeners
from qts.state.config import StateConfig
from qts.state.contracts import (
    UNKNOWN_METRICS,
    ManualOverride,
    OperatingState,
    OperatingStateSnapshot,
    PendingConfirmation,
    RuleForecast,
    StateListener,
    StateProperties,
    StateStatistics,
    StateStore,
    TransitionKind,
    TransitionMetrics,
    TransitionRecord,
    TransitionResult,
)
from qts.state.hysteresis import (
    DAY_NS,
    HOUR_NS,
    OVERRIDE_ACTIVE,
    held_back_by,
    next_confirmation,
    quiet_until_ns,
)
from qts.state.override import check_override, override_refusal
from qts.state.stored_state import StoredState
from qts.state.transition import TransitionRule, find_applicable_rule, rules_of

NO_TRANSITION: Final = "no_transition_needed"

_DEFENSIVE: Final = OperatingState.DEFENSIVE


class OperatingStateManager:
    """The governor: holds the operating state and decides its transitions.

    Works with nothing given: BALANCED, the system clock, nothing stored. Every method belongs to one thread.

    The first argument is a :class:`StateConfig`, or an :class:`OperatingState` to start in. With a ``store``
    it continues where the last process ended (state, entry time, open confirmation, override, history);
    ``initial_state`` counts only for the very first start. Raises :class:`~qts.errors.StorageError` when the
    stored state cannot be read or a change cannot be stored.
    """

    def __init__(
        self,
        config: StateConfig | OperatingState | None = None,
        clock: Clock | None = None,
        store: StateStore | None = None,
        *,
        initial_state: OperatingState | None = None,
    ) -> None:
        if isinstance(config, OperatingState):
            config, initial_state = None, config
        self._config = config if config is not None else StateConfig()
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._store = store
        self._listeners: Listeners[TransitionRecord] = Listeners()
        self._rules = rules_of(self._config)
        self._table = self._config.table
        self._state = initial_state if initial_state is not None else self._config.default_state
        self._previous: OperatingState | None = None
        self._entered_ns = self._clock.time_ns()
        self._last_transition_ns: int | None = None
        self._pending: PendingConfirmation | None = None
        self._override: ManualOverride | None = None
        self._override_ends_ns = 0
        self._safety = SafetyState.NORMAL
        self._halted = False
        self._metrics: TransitionMetrics | None = None
        self._seq = 0
        self._transitions = 0
        self._forced = 0
        self._time_in_ns = dict.fromkeys(OperatingState, 0)
        self._history: deque[TransitionRecord] = deque(maxlen=self._config.history_limit)
        self._stored: StoredState | None = None
        if store is not None and (saved := store.load()) is not None:
            self.restore_state(saved)
        else:
            self._persist(None)  # the entry time counts from here, also after a restart

    # queries

    @property
    def current_state(self) -> OperatingState:
        """Return the state in force; an override that has expired by now is ended first."""
        if self._override is not None:
            self._expire_override(self._clock.time_ns())
        return self._state

    @property
    def previous_state(self) -> OperatingState | None:
        """Return the state before the present one; None before the first transition."""
        self._expire_override(self._clock.time_ns())
        return self._previous

    @property
    def properties(self) -> StateProperties:
        """Return what the present state allows."""
        return self._table[self.current_state]

    @property
    def has_override(self) -> bool:
        """Return whether an operator's override is in force."""
        self._expire_override(self._clock.time_ns())
        return self._override is not None

    @property
    def is_halted(self) -> bool:
        """Return True from a LOCKDOWN until its release: nothing is evaluated meanwhile."""
        return self._halted

    @property
    def state_duration_days(self) -> float:
        """Return the elapsed 24-hour days in the present state; calendar time, not reset by a restart."""
        now = self._clock.time_ns()
        self._expire_override(now)
        return self._held_days(now)

    @property
    def quiet_until_ns(self) -> int:
        """Return the time (ns) before which an evaluation on the same metrics and safety state changes nothing.

        0: it may change something at once. Confirmation, shortest stay, cooldown and override are in it. Such an
        evaluation would be counted by an open confirmation, but that has enough of them. A command or a new
        configuration may end the quiet; in FAIL and LOCKDOWN there is none.
        """
        if self._metrics is None or not self._safety.allows_entries:
            return 0
        until = quiet_until_ns(
            [rule for rule in self._rules if rule.from_state is self._state],
            self._config,
            self._metrics,
            self._safety,
            pending=self._pending,
            entered_ns=self._entered_ns,
            last_transition_ns=self._last_transition_ns,
        )
        return until if self._override is None else min(until, self._override_ends_ns)

    @property
    def history(self) -> tuple[TransitionRecord, ...]:
        """Return the recorded transitions and overrides, oldest first (the newest ``history_limit`` of them)."""
        return tuple(self._history)

    @property
    def config(self) -> StateConfig:
        """Return the configuration in force; :meth:`reconfigure` replaces it."""
        return self._config

    @property
    def listener_failures(self) -> int:
        """Return how often a listener raised; the others were called all the same."""
        return self._listeners.failures

    def get_snapshot(self) -> OperatingStateSnapshot:
        """Return everything about the state at this moment."""
        now = self._clock.time_ns()
        self._expire_override(now)
        last = self._last_transition_ns
        return OperatingStateSnapshot(
            state=self._state,
            previous_state=self._previous,
            properties=self._table[self._state],
            entered_at=from_ns(self._entered_ns),
            as_of=from_ns(now),
            state_duration_days=self._held_days(now),
            safety_state=self._safety,
            halted=self._halted,
            has_override=self._override is not None,
            override=self._override,
            pending=self._pending,
            hold_until=from_ns(self._entered_ns + round(self._config.hold_days(self._state) * DAY_NS)),
            cooldown_until=None if last is None else from_ns(last + round(self._config.cooldown_hours * HOUR_NS)),
            transitions_total=self._transitions,
            last_record=self._history[-1] if self._history else None,
        )

    def statistics(self) -> StateStatistics:
        """Return the statistics: days in each state, transitions in 30 days, mean stay, forced, the last ten."""
        now = self._clock.time_ns()
        self._expire_override(now)
        time_in = dict(self._time_in_ns)
        finished = sum(time_in.values())
        time_in[self._state] += max(0, now - self._entered_ns)
        moves = [record for record in self._history if record.is_transition]
        return StateStatistics(
            days_in_state={state.value: ns / DAY_NS for state, ns in time_in.items()},
            transitions_30d=sum(1 for record in moves if now - record.ts_ns <= 30 * DAY_NS),
            transitions_total=self._transitions,
            forced_total=self._forced,
            average_duration_days=finished / self._transitions / DAY_NS if self._transitions else None,
            last=tuple(moves[-10:]),
        )

    def forecast(
        self, metrics: TransitionMetrics | None = None, safety_state: SafetyState | None = None
    ) -> tuple[RuleForecast, ...]:
        """Return for each rule out of the present state: the conditions, their distances, what holds it back.

        ``metrics`` and ``safety_state`` None: those of the last evaluation (before the first one nothing is known).
        """
        now = self._clock.time_ns()
        self._expire_override(now)
        latest = metrics if metrics is not None else self._metrics if self._metrics is not None else UNKNOWN_METRICS
        safety = self._safety if safety_state is None else SafetyState.of(safety_state)
        days = self._held_days(now)
        return tuple(
            RuleForecast(
                rule=rule.name,
                from_state=rule.from_state,
                to_state=rule.to_state,
                mode=rule.mode,
                met=rule.evaluate(latest, safety, days),
                clauses=rule.forecast(latest, safety, days),
                held_back_by=self._held_back_by(rule, now),
            )
            for rule in self._rules
            if rule.from_state is self._state
        )

    # commands

    def evaluate_transition(
        self, metrics: TransitionMetrics, safety_state: SafetyState = SafetyState.NORMAL
    ) -> TransitionResult:
        """Evaluate the rules once, and move when a condition is met and nothing holds the rule back.

        An unknown ``safety_state`` counts as FAIL. The result carries its evidence in ``meta``. Raises StorageError
        when the outcome cannot be stored.
        """
        now = self._clock.time_ns()
        self._expire_override(now)
        self._metrics = metrics
        forced = self._apply_safety(SafetyState.of(safety_state), now)
        if forced is not None:
            return forced
        days = self._held_days(now)
        rule = find_applicable_rule(self._state, metrics, self._safety, days, self._rules)
        self._pending = next_confirmation(self._pending, rule, now)
        meta = self._evidence(metrics, days, rule)
        if rule is None:
            self._persist(None)
            return TransitionResult(self._state, self._state, False, self._idle_reason(), meta)
        held_back = self._held_back_by(rule, now)
        if held_back:
            self._persist(None)
            return TransitionResult(
                self._state, rule.to_state, False, held_back[0], {**meta, "held_back_by": list(held_back)}
            )
        reason = rule.reason(metrics, self._safety, days)
        return self._move(rule.to_state, TransitionKind.RULE, reason, now, meta=meta)

    def apply_safety_override(self, safety_state: SafetyState) -> TransitionResult:
        """Apply the safety state between evaluations: FAIL forces DEFENSIVE at once, LOCKDOWN keeps the state and
        halts.

        An unknown ``safety_state`` counts as FAIL. Raises StorageError when the outcome cannot be stored.
        """
        now = self._clock.time_ns()
        self._expire_override(now)
        forced = self._apply_safety(SafetyState.of(safety_state), now)
        if forced is not None:
            return forced
        self._persist(None)
        return TransitionResult(self._state, self._state, False, NO_TRANSITION, self._safety_meta())

    def on_lockdown_release(self) -> TransitionResult:
        """Resume after a release of LOCKDOWN: AGGRESSIVE becomes BALANCED, the other states stay."""
        now = self._clock.time_ns()
        self._expire_override(now)
        self._safety = SafetyState.NORMAL
        return self._release(now)

    def apply_override(self, override: ManualOverride) -> TransitionResult:
        """Put an operator's override in force (at most 7 days); it is always recorded.

        Raises :class:`~qts.errors.ContractError` for an override that is too long, already over, without
        operator or reason, or with naive times. The result has ``applied`` False when safety forbids it: any in
        FAIL or LOCKDOWN, a bolder state in WARNING.
        """
        now = self._clock.time_ns()
        self._expire_override(now)
        check_override(override, now, self._config.override_max_duration_days)
        refusal = override_refusal(override, self._state, self._safety)
        if refusal:
            return TransitionResult(self._state, override.override_state, False, refusal, self._safety_meta())
        self._override = override
        self._override_ends_ns = to_ns(override.expiry_time)
        return self._move(
            override.override_state,
            TransitionKind.OVERRIDE,
            f"manual_override: {override.override_reason}",
            now,
            actor=override.operator_id,
            meta={"override": msgspec.to_builtins(override)},
        )

    def clear_override(self, operator_id: str = "operator", reason: str = "") -> TransitionResult:
        """End the override now. The state stays, and the rules apply from here on.

        The result has ``applied`` False and the reason ``no_override`` when none is in force.
        """
        now = self._clock.time_ns()
        self._expire_override(now)
        if self._override is None:
            return TransitionResult(self._state, self._state, False, "no_override")
        self._override = None
        recorded = f"override_cleared: {reason}" if reason else "override_cleared"
        return self._move(self._state, TransitionKind.OVERRIDE_CLEARED, recorded, now, actor=operator_id)

    def reconfigure(self, config: StateConfig) -> None:
        """Apply new thresholds and properties from now on; state, time in it and open confirmation stay."""
        self._config = config
        self._rules = rules_of(config)
        self._table = config.table
        self._history = deque(self._history, maxlen=config.history_limit)

    def add_listener(self, listener: StateListener) -> Callable[[], None]:
        """Call ``listener`` with every history record, on this thread; the returned function removes it.

        A listener that raises never stops the others: it is counted (:attr:`listener_failures`), and a
        :class:`~qts.errors.QtsError` (its store failed) is raised after all of them were called.
        """
        return self._listeners.add(listener)

    # persistence

    def export_state(self) -> dict[str, Any]:
        """Return everything that must survive a restart, as plain values (texts, numbers, lists, dictionaries)."""
        plain: dict[str, Any] = msgspec.to_builtins(self._to_store(tuple(self._history)))
        plain["as_of_ns"] = self._clock.time_ns()
        return plain

    def continue_after(self, seq: int) -> None:
        """Count later records from ``seq`` on if that is newer: rows that a checkpoint does not know stay."""
        self._seq = max(self._seq, seq)

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`export_state`. Raises StorageError when ``state`` is not such a dictionary."""
        try:
            saved = msgspec.convert(dict(state), StoredState)
            ends_ns = 0 if saved.override is None else to_ns(saved.override.expiry_time)
        except (msgspec.ValidationError, TypeError, ValueError) as error:
            raise StorageError(f"the stored operating state cannot be read: {error}; restore a backup") from None
        self._state = saved.state
        self._previous = saved.previous
        self._entered_ns = saved.entered_ns
        self._last_transition_ns = saved.last_transition_ns
        self._pending = saved.pending
        self._override = saved.override
        self._override_ends_ns = ends_ns
        self._safety = saved.safety
        self._halted = saved.halted
        self._metrics = saved.metrics
        self._seq = saved.seq
        self._transitions = saved.transitions
        self._forced = saved.forced
        self._time_in_ns = {state: saved.time_in_ns.get(state, 0) for state in OperatingState}
        self._history = deque(saved.history, maxlen=self._config.history_limit)

    # safety

    def _apply_safety(self, safety: SafetyState, now: int) -> TransitionResult | None:
        """Note the safety state; return the result of what it forces, or None when the rules may be evaluated."""
        was_halted = self._halted
        self._safety = safety
        if safety is SafetyState.LOCKDOWN:
            return self._halt(now)
        if was_halted:
            released = self._release(now)
            if released.applied and safety is not SafetyState.FAIL:
                return released
        if safety is SafetyState.FAIL:
            return self._force_defensive(now)
        return None

    def _halt(self, now: int) -> TransitionResult:
        self._halted = True
        self._pending = None
        self._end_override_for_safety(now)
        self._persist(None)
        return TransitionResult(self._state, self._state, False, NO_TRANSITION, self._safety_meta())

    def _release(self, now: int) -> TransitionResult:
        self._halted = False
        if self._state is OperatingState.AGGRESSIVE:
            return self._move(OperatingState.BALANCED, TransitionKind.LOCKDOWN_RELEASE, "lockdown_released", now)
        self._persist(None)
        return TransitionResult(self._state, self._state, False, NO_TRANSITION, self._safety_meta())

    def _force_defensive(self, now: int) -> TransitionResult | None:
        self._end_override_for_safety(now)
        if self._state is _DEFENSIVE:
            return None
        return self._move(_DEFENSIVE, TransitionKind.SAFETY, "safety_forced: FAIL", now, actor="safety")

    def _end_override_for_safety(self, now: int) -> None:
        if self._override is None:
            return
        self._override = None
        reason = f"override ended: safety is {self._safety.value}"
        self._move(self._state, TransitionKind.OVERRIDE_BEATEN, reason, now, actor="safety")

    # hysteresis

    def _held_back_by(self, rule: TransitionRule, now: int) -> tuple[str, ...]:
        return held_back_by(
            rule,
            self._config,
            now,
            pending=self._pending,
            entered_ns=self._entered_ns,
            last_transition_ns=self._last_transition_ns,
            has_override=self._override is not None,
        )

    def _held_days(self, now: int) -> float:
        return max(0, now - self._entered_ns) / DAY_NS

    def _idle_reason(self) -> str:
        return OVERRIDE_ACTIVE if self._override is not None else NO_TRANSITION

    # transitions and history

    def _expire_override(self, now: int) -> None:
        """End an override whose time is over, as of its own expiry time; every query and command does so first."""
        override = self._override
        if override is None or now < self._override_ends_ns:
            return
        self._override = None
        revert = override.auto_revert_state if override.auto_revert_state is not None else self._state
        reason = "override_expired"
        if revert.boldness > self._state.boldness and self._safety is not SafetyState.NORMAL:
            reason = f"override_expired: safety {self._safety.value} keeps {self._state.value}, not {revert.value}"
            revert = self._state
        ended_ns = self._override_ends_ns
        self._move(revert, TransitionKind.OVERRIDE_EXPIRED, reason, ended_ns, actor=override.operator_id)

    def _move(
        self,
        to_state: OperatingState,
        kind: TransitionKind,
        reason: str,
        at_ns: int,
        *,
        actor: str = "rule",
        meta: dict[str, Any] | None = None,
    ) -> TransitionResult:
        self._seq += 1
        record = TransitionRecord(
            seq=self._seq,
            ts_ns=at_ns,
            from_state=self._state,
            to_state=to_state,
            kind=kind,
            reason=reason,
            actor=actor,
            meta=meta if meta is not None else self._safety_meta(),
        )
        if record.is_transition:
            self._enter(record)
        self._history.append(record)
        self._persist(record)
        self._listeners.notify(record)
        return TransitionResult(record.from_state, to_state, True, reason, record.meta)

    def _enter(self, record: TransitionRecord) -> None:
        self._time_in_ns[self._state] += max(0, record.ts_ns - self._entered_ns)
        self._previous, self._state = self._state, record.to_state
        self._entered_ns = record.ts_ns
        self._last_transition_ns = record.ts_ns
        self._pending = None
        self._transitions += 1
        self._forced += record.forced

    def _evidence(self, metrics: TransitionMetrics, days: float, rule: TransitionRule | None) -> dict[str, Any]:
        meta = {
            "metrics": msgspec.structs.asdict(metrics),
            "safety_state": self._safety.value,
            "state_duration_days": days,
        }
        if rule is not None:
            meta["rule"] = rule.name
            meta["condition"] = rule.reason(metrics, self._safety, days)
        if self._pending is not None:
            meta["confirmation_opened"] = from_ns(self._pending.opened_ns).isoformat()
            meta["confirmation_evaluations"] = self._pending.evaluations
        return meta

    def _safety_meta(self) -> dict[str, Any]:
        return {"safety_state": self._safety.value, "halted": self._halted}

    def _persist(self, record: TransitionRecord | None) -> None:
        if self._store is None:
            return
        saved = self._to_store(())
        if record is None and saved == self._stored:
            return
        snapshot = msgspec.to_builtins(saved)
        del snapshot["history"]
        snapshot["as_of_ns"] = self._clock.time_ns()
        self._store.save(snapshot, None if record is None else msgspec.to_builtins(record))
        self._stored = saved

    def _to_store(self, history: tuple[TransitionRecord, ...]) -> StoredState:
        return StoredState(
            state=self._state,
            previous=self._previous,
            entered_ns=self._entered_ns,
            last_transition_ns=self._last_transition_ns,
            pending=self._pending,
            override=self._override,
            safety=self._safety,
            halted=self._halted,
            metrics=self._metrics,
            seq=self._seq,
            transitions=self._transitions,
            forced=self._forced,
            time_in_ns=dict(self._time_in_ns),
            history=history,
        )
