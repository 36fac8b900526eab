"""Carries out what operators want of a running session, and writes down who, why and what came of it.

Most commands are the kernel's; a reload begins with the configuration files.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from pathlib import Path

import msgspec

from qts.clock import Clock
from qts.config.manager import ConfigManager, ReloadResult
from qts.db.contracts import Store
from qts.errors import StorageError
from qts.event.payloads import LogWrite
from qts.runtime.configurations import change_text, next_row
from qts.runtime.kernel import Kernel
from qts.runtime.kill_switch import STOP_FILES, Press
from qts.runtime.operator import DIRECTORY, Answer, Command
from qts.runtime.operator_inbox import OperatorInbox, Report
from qts.runtime.session_log import SessionLog
from qts.runtime.stops import StopProgress

_STOPPED_MEANWHILE = "a stop came at the same time: nothing is released; look, and release again if you mean it"


class OperatorDesk:
    """What stands behind the operator's door."""

    def __init__(
        self, kernel: Kernel, manager: ConfigManager, store: Store, clock: Clock, log: SessionLog, data_dir: Path
    ) -> None:
        self._kernel = kernel
        self._kill = kernel.parts.kill
        self._box = data_dir / DIRECTORY
        self._inbox = OperatorInbox(data_dir, self.carry, self.note, self.on_trouble, self._follow, self._begin)
        self._pressed: deque[tuple[Press, Command]] = deque()
        self._begun: dict[int, tuple[Command, StopProgress]] = {}
        """Stops that are on their way and not yet written down, by the identity of their command."""
        self._progress: StopProgress | None = None
        self._stops_seen = kernel.stops.asked
        with suppress(OSError):  # then it appears with the first command
            self._box.mkdir(mode=0o700, exist_ok=True)
        self._kill.watch(self._box, self._inbox.has_settled)
        self._manager = manager
        self._store = store
        self._clock = clock
        self._log = log

    def hear(self) -> None:
        """Send every stop on its way that was asked for; waits for nothing, whatever :meth:`listen` waits for."""
        self._hear_presses()
        self._inbox.hear()

    def _hear_presses(self) -> None:
        for press in self._kill.take():
            command = Command(
                command="stop", operator=press.by, reason="sent to the process", liquidate=press.liquidate
            )
            self._pressed.append((press, command))
            self._begin(command)

    async def listen(self) -> None:
        """Carry out what was asked for by signal and by file. Raises StorageError when the store failed."""
        self._hear_presses()
        while self._pressed:
            press, command = self._pressed.popleft()
            answer = await self.carry(command)
            try:
                self.note(command, answer)
                self._kernel.parts.record.raise_failure()
            except StorageError:
                for each, _ in ((press, command), *self._pressed):
                    self._leave_for_the_resume(each)
                raise
        handled = -1
        try:
            handled = await self._inbox.poll()
        finally:
            if handled:
                self._kill.look_anew()
        self._stops_seen = self._kernel.stops.asked

    def close(self) -> None:
        """Let go of what the inbox keeps open."""
        self._inbox.close()

    def _leave_for_the_resume(self, press: Press) -> None:
        """A signal leaves nothing behind: an empty file, for which a full disk often has room, does."""
        name = next(name for name, liquidate in STOP_FILES.items() if liquidate == press.liquidate)
        with suppress(OSError):
            self._box.mkdir(mode=0o700, exist_ok=True)
            (self._box / name).touch(mode=0o600)

    def _follow(self, command: Command) -> Report | None:
        progress = self._progress
        if command.command != "stop" or progress is None:
            return None
        return lambda: None if progress.is_over else progress.report()

    def _begin(self, command: Command) -> None:
        """Send a stop on its way. Raises QtsError when it is refused."""
        self._begun[id(command)] = command, self._kernel.stops.command(command)[1]

    async def _stop(self, command: Command) -> Answer:
        """Write down a stop that shuts the gate and sends the cancels; in force all the same when that fails."""
        if id(command) not in self._begun:
            self._begin(command)
        _, progress = self._begun.pop(id(command))
        unwritten = ""
        try:
            await self._kernel.parts.record.checkpoint()
        except StorageError as error:
            unwritten = f", but it could not be written down: {error}"
        answer = Answer(done=True, answer=f"{progress.text()}{unwritten}")
        self._progress = progress
        return msgspec.structs.replace(answer, stop=progress.report())

    async def carry(self, command: Command) -> Answer:
        """Carry out ``command``. Raises QtsError when it cannot be done."""
        if command.command == "stop":
            return await self._stop(command)
        if command.command == "release":  # with a clean look at the books of this moment (spec 09, 13)
            now_ns = self._clock.time_ns()
            await self._kernel.auditor.full(now_ns)
            if self._kernel.stops.asked != self._stops_seen:
                return Answer(done=False, answer=_STOPPED_MEANWHILE)
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
