"""Executes operators' commands on a running session, wherever they come from: a file, a signal or a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from qts.errors import InputError, StorageError
from qts.runtime.control.commands import Answer, ClearOverride, Command, Override, Release, Reload, Stop, StopReport
from qts.runtime.control.config_reload import ConfigReloader
from qts.runtime.control.stops import StopProgress
from qts.runtime.kernel import Kernel
from qts.safety.contracts import SafetyState
from qts.safety.state import SafetyStateManager
from qts.state.contracts import ManualOverride, OperatingState, TransitionResult

STOPPED_MEANWHILE = "a stop came at the same time: nothing is released; look, and release again if you mean it"


class CommandHandler:
    """Executes one command at a time, between two handlers, on the thread of the session.

    ``reloader`` None: the session has no configuration files, and a reload is refused.
    """

    def __init__(self, kernel: Kernel, reloader: ConfigReloader | None = None) -> None:
        self._kernel = kernel
        self._reloader = reloader
        self._begun: dict[int, tuple[Stop, StopProgress]] = {}
        """Stops that are on their way and not yet written down, by the identity of their command."""
        self._last: tuple[Stop, StopProgress] | None = None

    async def execute(self, command: Command) -> Answer:
        """Execute ``command`` and say what came of it; ``done`` False is a refusal by the rules.

        Raises QtsError when it cannot be done: InputError for what this session does not have, ContractError for
        what no rules give, StorageError when the store has failed.
        """
        match command:
            case Stop():
                return await self._stop(command)
            case Release():
                return await self._release(command)
            case Override():
                return self._override(command)
            case ClearOverride():
                self._kernel.on_command()
                return _moved(self._kernel.parts.state.clear_override(command.operator, command.reason))
            case Reload():
                if self._reloader is None:
                    return Answer(done=False, answer="this session was given no configuration files to reload")
                return await self._reloader.reload(command)

    def begin(self, command: Stop) -> None:
        """Send a stop on its way at once; waits for nothing. :meth:`execute` of the same object completes it.

        Raises InputError for a part that this session does not have, ContractError for more than one.
        """
        self._begun[id(command)] = command, self._kernel.stops.begin(command)

    def follow(self, command: Command) -> Callable[[], StopReport | None] | None:
        """Return what tells how far ``command``, executed just now, has come; None when it is no stop.

        It tells None as soon as the stop is over.
        """
        if self._last is None or self._last[0] is not command:
            return None
        progress = self._last[1]
        return lambda: None if progress.is_over else progress.report()

    async def _stop(self, command: Stop) -> Answer:
        """Write down a stop that shuts the gate and sends the cancels; in force all the same when that fails."""
        if id(command) not in self._begun:
            self.begin(command)
        self._last = self._begun.pop(id(command))
        progress = self._last[1]
        unwritten = ""
        try:
            await self._kernel.parts.record.checkpoint()
        except StorageError as error:
            unwritten = f", but it could not be written down: {error}"
        return Answer(done=True, answer=f"{progress.text()}{unwritten}", stop=progress.report())

    async def _release(self, command: Release) -> Answer:
        """Release after a full look at the books of this moment; not when a stop came during that look."""
        kernel = self._kernel
        stops, now_ns = kernel.stops.begun, kernel.parts.clock.time_ns()
        await kernel.auditor.full(now_ns)
        if kernel.stops.begun != stops:
            return Answer(done=False, answer=STOPPED_MEANWHILE)
        kernel.on_command()
        if command.is_scoped:
            return kernel.stops.release(command)
        answer = release_safety(kernel.parts.safety, command, kernel.monitor.recovery_checks(now_ns))
        return kernel.stops.mentioned(answer)

    def _override(self, command: Override) -> Answer:
        parts = self._kernel.parts
        self._kernel.on_command()
        if not parts.config.state.enabled:
            return Answer(
                done=False, answer="the operating state rules nothing in this run (state.enabled is false)"
            )
        return _moved(parts.state.apply_override(_wanted(command, parts.clock.now())))


def release_safety(safety: SafetyStateManager, command: Release, checks: Mapping[str, bool | None]) -> Answer:
    """Ask safety to fall back to NORMAL; ``checks`` are the conditions (None: not known, so not met)."""
    change = safety.request_recovery(
        operator_approved=True, operator_id=command.operator, reason=command.reason, checks=checks
    )
    return Answer(
        done=change.to_state is SafetyState.NORMAL, answer=f"safety is {change.to_state.value}: {change.reason}"
    )


def _moved(result: TransitionResult) -> Answer:
    if not result.applied:
        return Answer(done=False, answer=f"{result.from_state.value} stays: {result.reason}")
    return Answer(done=True, answer=f"{result.to_state.value}: {result.reason}")


def _wanted(command: Override, now: datetime) -> ManualOverride:
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
