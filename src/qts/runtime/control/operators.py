"""Hears the operators of a running session, by signal and by file, and writes down who, why and what came of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from qts.errors import StorageError
from qts.event.payloads import LogWrite
from qts.runtime.control.command_files import DIRECTORY
from qts.runtime.control.command_handler import STOPPED_MEANWHILE, CommandHandler
from qts.runtime.control.commands import Answer, Command, Release, Stop, name_of
from qts.runtime.control.kill_switch import STOP_FILES, Press
from qts.runtime.control.operator_inbox import OperatorInbox
from qts.runtime.kernel import Kernel
from qts.runtime.persistence.session_log import SessionLog


class Operators:
    """Brings commands from signals and files to ``handler``, and keeps a record of each in ``log``.

    ``config_hash`` tells the configuration in force, which stands beside each record.
    """

    def __init__(
        self,
        kernel: Kernel,
        handler: CommandHandler,
        config_hash: Callable[[], str],
        log: SessionLog,
        data_dir: Path,
    ) -> None:
        self._kernel = kernel
        self._handler = handler
        self._config_hash = config_hash
        self._log = log
        self._kill = kernel.parts.kill
        self._clock = kernel.parts.clock
        self._box = data_dir / DIRECTORY
        self._inbox = OperatorInbox(
            data_dir, self._execute, self.note, self.on_trouble, handler.follow, handler.begin
        )
        self._pressed: deque[tuple[Press, Stop]] = deque()
        self._stops_seen = kernel.stops.begun
        with suppress(OSError):  # then it appears with the first command
            self._box.mkdir(mode=0o700, exist_ok=True)
        self._kill.watch(self._box, self._inbox.has_settled)

    def begin_stops(self) -> None:
        """Send every stop on its way that was asked for; waits for nothing, whatever :meth:`listen` waits for."""
        self._begin_pressed()
        self._inbox.begin_stops()

    async def run_commands(self) -> None:
        """Execute what was asked for by signal and by file. Raises StorageError when the store failed."""
        self._begin_pressed()
        while self._pressed:
            press, command = self._pressed.popleft()
            answer = await self._handler.execute(command)
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
        self._stops_seen = self._kernel.stops.begun

    def close(self) -> None:
        """Let go of what the inbox keeps open."""
        self._inbox.close()

    def note(self, command: Command | None, answer: Answer) -> None:
        """Record a command and its answer, refused ones too; ``command`` None: a file that was none."""
        outcome = "done" if answer.done else "refused"
        if command is None:
            what, fields = "a file that is no command", {}
        else:
            name = name_of(command)
            what = f"operator {command.operator}: {name} ({command.reason})"
            fields = {"command": name, "operator": command.operator, "reason": command.reason}
        fields |= {"outcome": outcome, "config_hash": self._config_hash()}
        # Straight into the file: the queue of the log may drop lines under load.
        message = f"{what}: {outcome}: {answer.answer}"
        self._log.record(LogWrite("WARNING", message, self._clock.time_ns(), fields))

    def on_trouble(self, trouble: str) -> None:
        """Raise FS062 when operators may not be heard, and write down when they are again (``trouble`` "")."""
        if trouble:
            self._kernel.on_code("FS062", trouble)
        else:
            self._log.record(LogWrite("WARNING", "operators are heard again", self._clock.time_ns(), {}))

    def _begin_pressed(self) -> None:
        for press in self._kill.take():
            command = Stop(operator=press.by, reason="sent to the process", liquidate=press.liquidate)
            self._pressed.append((press, command))
            self._handler.begin(command)

    async def _execute(self, command: Command) -> Answer:
        """Execute a command of a file; none is released that was stopped since its operator could look."""
        if isinstance(command, Release) and self._kernel.stops.begun != self._stops_seen:
            return Answer(done=False, answer=STOPPED_MEANWHILE)
        return await self._handler.execute(command)

    def _leave_for_the_resume(self, press: Press) -> None:
        """Leave a file for a signal, which leaves nothing itself: a full disk often has room for an empty one."""
        name = next(name for name, liquidate in STOP_FILES.items() if liquidate == press.liquidate)
        with suppress(OSError):
            self._box.mkdir(mode=0o700, exist_ok=True)
            (self._box / name).touch(mode=0o600)
