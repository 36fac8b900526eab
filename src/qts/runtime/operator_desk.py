"""Carries out what operators want of a running session, and writes down who, why and what came of it.

Most commands are the kernel's; a reload begins with the configuration files.
"""

from __future__ import annotations

from qts.clock import Clock
from qts.config.manager import ConfigManager, ReloadResult
from qts.db.contracts import Store
from qts.event.payloads import LogWrite
from qts.runtime.configurations import change_text, next_row
from qts.runtime.kernel import Kernel
from qts.runtime.operator import Answer, Command
from qts.runtime.session_log import SessionLog


class OperatorDesk:
    """What stands behind the operator's door."""

    def __init__(self, kernel: Kernel, manager: ConfigManager, store: Store, clock: Clock, log: SessionLog) -> None:
        self._kernel = kernel
        self._manager = manager
        self._store = store
        self._clock = clock
        self._log = log

    async def carry(self, command: Command) -> Answer:
        """Carry out ``command``. Raises QtsError when it cannot be done."""
        if command.command == "release":  # with a clean look at the books of this moment (spec 09, 13)
            now_ns = self._clock.time_ns()
            await self._kernel.auditor.full(now_ns)
            return self._kernel.command(command, now_ns)
        if command.command != "reload":
            return self._kernel.command(command)
        result = self._manager.reload(actor=command.operator, reason=command.reason)
        if result.changed:
            # On disk before it is in force: a killed session may be resumed under what it has accepted.
            rows = await self._store.configs()
            now_ns = self._clock.time_ns()
            await self._store.accept_config(
                next_row(rows, result.current, now_ns, command.operator, command.reason)
            )
            self._kernel.reconfigure(result.current.tree, result.current.hash)
            self._log.set_level(result.current.tree.runtime.log_level)
        return _answer_of(result)

    def note(self, command: Command | None, answer: Answer) -> None:
        """Record a command and its answer, refused ones too; ``command`` None: a file that was none."""
        outcome = "done" if answer.done else "refused"
        if command is None:
            what, fields = "a file that is no command", {}
        else:
            what = f"operator {command.operator}: {command.command} ({command.reason})"
            fields = {"command": command.command, "operator": command.operator, "reason": command.reason}
        fields |= {"outcome": outcome, "config_hash": self._manager.current.hash}
        # Straight into the file: the queue of the log may drop lines under load.
        message = f"{what}: {outcome}: {answer.answer}"
        self._log.record(LogWrite("WARNING", message, self._clock.time_ns(), fields))

    def on_trouble(self, trouble: str) -> None:
        """Raise FS062 when operators may not be heard, and write down when they are again (``trouble`` "")."""
        if trouble:
            self._kernel.on_code("FS062", trouble)
        else:
            self._log.record(LogWrite("WARNING", "operators are heard again", self._clock.time_ns(), {}))


def _answer_of(result: ReloadResult) -> Answer:
    """What a reload did, for people. It is refused when nothing that was wanted is in force."""
    texts = [change_text(change) for change in result.applied]
    texts += [f"{change.path} needs a restart" for change in result.needs_restart]
    refused = bool(result.warnings) or bool(result.needs_restart and not result.applied)
    return Answer(done=not refused, answer="; ".join([*texts, *result.warnings]) or "nothing has changed")
