"""Releases a lockdown, or the stop of one part, after a whole audit that compares the books with the broker's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from qts.runtime.control.commands import Answer, Release
from qts.runtime.kernel import Kernel
from qts.safety.contracts import SafetyState
from qts.safety.state import SafetyStateManager

STOPPED_MEANWHILE: Final = (
    "a stop came at the same time: nothing is released; look, and release again if you mean it"
)


class ReleaseQuestion:
    """The audit before ``command`` is executed, and the release by what it has found."""

    def __init__(self, kernel: Kernel, command: Release) -> None:
        self._kernel = kernel
        self._command = command
        self._stops = kernel.stops.begun_count
        self._asked_ns = 0
        self._is_audited = False

    async def ask(self) -> None:
        """Run the audit. Raises StorageError when the store has failed."""
        self._asked_ns = self._kernel.shared.clock.time_ns()
        self._is_audited = await self._kernel.auditor.run_whole_audit(self._asked_ns)

    async def execute(self) -> Answer | None:
        """Release, or refuse when a stop has begun meanwhile; None when the books have changed.

        The stop of one part is released all the same: it does not depend on what the audit finds.
        """
        kernel, command = self._kernel, self._command
        if kernel.stops.begun_count != self._stops:
            return Answer(done=False, answer=STOPPED_MEANWHILE)
        if not command.is_scoped and (not self._is_audited or kernel.auditor.is_overtaken):
            return None
        kernel.on_command()
        if command.is_scoped:
            return kernel.stops.release(command)
        checks = kernel.monitor.recovery_checks(self._asked_ns)  # only what that audit compared counts
        return kernel.stops.with_scoped_stops(release_safety(kernel.shared.safety, command, checks))


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
