"""Executes operators' commands on a running session, from whatever source: a file, a signal or a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from qts.errors import InputError, StorageError
from qts.runtime.control.book_comparison import BookComparison
from qts.runtime.control.capital_commands import CapitalCommands
from qts.runtime.control.commands import (
    Adopt,
    Answer,
    ClearOverride,
    Command,
    Deposit,
    Flatten,
    Override,
    Progress,
    Reconcile,
    Release,
    Reload,
    Stop,
    Withdraw,
)
from qts.runtime.control.config_reload import ConfigReloader
from qts.runtime.control.stops import StopProgress
from qts.runtime.kernel import Kernel
from qts.safety.contracts import SafetyState
from qts.safety.state import SafetyStateManager
from qts.state.contracts import ManualOverride, OperatingState, TransitionResult
from qts.state.reasons import sentence

STOPPED_MEANWHILE = "a stop came at the same time: nothing is released; look, and release again if you mean it"


class CommandHandler:
    """An executor of one command at a time, between two handlers, on the session's thread.

    ``reloader`` None: the session has no configuration files, and a reload is refused.
    """

    def __init__(self, kernel: Kernel, reloader: ConfigReloader | None = None) -> None:
        self._kernel = kernel
        self._reloader = reloader
        self._capital = CapitalCommands(kernel)
        self._begun: dict[int, tuple[Stop, StopProgress]] = {}
        """Stops that were sent and not yet executed, by the identity of their command object."""
        self._comparison = BookComparison(kernel)
        self._last: tuple[Command, Callable[[], Progress | None]] | None = None
        """The command executed last that goes on behind its answer, and what reports its progress."""

    async def execute(self, command: Command) -> Answer:
        """Execute ``command`` and return its answer; ``done`` False is a refusal by the rules.

        Raises InputError when it names something that this session does not have, ContractError when no rule allows
        it in any session, BrokerUnavailable when a broker has to be asked and does not answer, StorageError when
        the store has failed.
        """
        match command:
            case Stop():
                return await self._stop(command)
            case Release():
                return await self._release(command)
            case Flatten():
                answer, flattening = await self._kernel.components.flattens.execute(command)
                self._last = command, flattening.report
                return answer
            case Reconcile():
                comparing = await self._comparison.begin(command)
                self._last = command, comparing.report
                return comparing.answer()
            case Override():
                return self._override(command)
            case ClearOverride():
                self._kernel.on_command()
                return _answer_of(self._kernel.shared.state.clear_override(command.operator, command.reason))
            case Reload():
                if self._reloader is None:
                    return Answer(done=False, answer="this session was given no configuration files to reload")
                return await self._reloader.reload(command)
            case Adopt() | Deposit() | Withdraw():
                return await self._capital.execute(command)

    def begin(self, command: Stop) -> None:
        """Send a stop ahead of all other events, without waiting; :meth:`execute` of the same object completes it.

        Raises InputError for a scope that this session does not have, ContractError for more than one scope.
        """
        self._begun[id(command)] = command, self._kernel.stops.begin(command)

    def progress_of(self, command: Command) -> Callable[[], Progress | None] | None:
        """Return a callable that reports the progress of ``command``, which was executed last.

        None for a command without progress. The callable returns None after a stop was released.
        """
        return self._last[1] if self._last is not None and self._last[0] is command else None

    async def _stop(self, command: Stop) -> Answer:
        """Send a stop if that is not done yet, and store a checkpoint; it stays in force when the store fails."""
        if id(command) not in self._begun:
            self.begin(command)
        progress = self._begun.pop(id(command))[1]
        self._last = command, lambda: None if progress.is_over else progress.report()
        unwritten = ""
        try:
            await self._kernel.shared.record.checkpoint()
        except StorageError as error:
            unwritten = f", but it could not be written down: {error}"
        return Answer(done=True, answer=f"{progress.text()}{unwritten}", stop=progress.report())

    async def _release(self, command: Release) -> Answer:
        """Release after a full audit of the books; refuse when a stop arrived during that audit."""
        kernel = self._kernel
        stops, now_ns = kernel.stops.begun_count, kernel.shared.clock.time_ns()
        await kernel.auditor.run_whole_audit(now_ns)
        if kernel.stops.begun_count != stops:
            return Answer(done=False, answer=STOPPED_MEANWHILE)
        kernel.on_command()
        if command.is_scoped:
            return kernel.stops.release(command)
        answer = release_safety(kernel.shared.safety, command, kernel.monitor.recovery_checks(now_ns))
        return kernel.stops.with_scoped_stops(answer)

    def _override(self, command: Override) -> Answer:
        shared = self._kernel.shared
        self._kernel.on_command()
        if not shared.config.state.enabled:
            return Answer(
                done=False, answer="the operating state rules nothing in this run (state.enabled is false)"
            )
        return _answer_of(shared.state.apply_override(_override_of(command, shared.clock.now())))


def release_safety(safety: SafetyStateManager, command: Release, checks: Mapping[str, bool | None]) -> Answer:
    """Request that safety returns to NORMAL; ``checks`` are the conditions by name, None: unknown, so not met."""
    if safety.current_state is SafetyState.NORMAL:
        return Answer(done=True, answer="safety is NORMAL: there is nothing to release")
    change = safety.request_recovery(
        operator_approved=True, operator_id=command.operator, reason=command.reason, checks=checks
    )
    return Answer(
        done=change.to_state is SafetyState.NORMAL, answer=f"safety is {change.to_state.value}: {change.reason}"
    )


def _answer_of(result: TransitionResult) -> Answer:
    if not result.applied:
        return Answer(done=False, answer=f"{result.from_state.value} stays: {sentence(result.reason)}")
    return Answer(done=True, answer=f"{result.to_state.value}: {sentence(result.reason)}")


def _override_of(command: Override, now: datetime) -> ManualOverride:
    try:
        wanted = OperatingState(command.state)
    except ValueError:
        allowed = ", ".join(state.value for state in OperatingState)
        raise InputError(f"there is no operating state {command.state!r}; allowed: {allowed}") from None
    return ManualOverride(
        override_state=wanted,
        override_reason=command.reason,
        operator_id=command.operator,
        override_time=now,
        expiry_time=now + timedelta(days=command.days),
    )
