"""Executes operators' commands by signal and by file, and logs operator, reason and outcome of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from qts.errors import StorageError
from qts.event.payloads import LogWrite
from qts.runtime.control.command_files import DIRECTORY
from qts.runtime.control.command_handler import CommandHandler
from qts.runtime.control.commands import Answer, Command, Release, Stop, name_of
from qts.runtime.control.kill_switch import STOP_FILES, Press
from qts.runtime.control.operator_inbox import OperatorInbox
from qts.runtime.control.releases import STOPPED_MEANWHILE
from qts.runtime.kernel import Kernel
from qts.runtime.persistence.session_log import SessionLog


class Operators:
    """A relay that passes commands from signals and files to ``handler``, and logs each in ``log``.

    For the session's thread alone. ``config_hash`` returns the hash of the configuration in force, which each entry
    of the log names.
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
        self._kill = kernel.shared.kill
        self._clock = kernel.shared.clock
        self._directory = data_dir / DIRECTORY
        self._inbox = OperatorInbox(
            data_dir, self._execute, self.note, self.on_trouble, handler.progress_of, handler.begin
        )
        self._pressed: deque[tuple[Press, Stop]] = deque()
        self._stops_seen = kernel.stops.begun_count
        with suppress(OSError):  # then it is created with the first command
            self._directory.mkdir(mode=0o700, exist_ok=True)
        self._inbox.follow_again(handler.progress_again)
        self._kill.watch(self._directory, self._inbox.is_done)

    def begin_stops(self) -> None:
        """Begin every stop that was requested; never waits, also while :meth:`run_commands` waits."""
        self._begin_pressed()
        self._inbox.begin_stops()

    async def run_commands(self) -> None:
        """Execute the commands that came by signal and by file. Raises StorageError when the store has failed."""
        self._begin_pressed()
        while self._pressed:
            press, command = self._pressed.popleft()
            answer = await self._handler.execute(command)
            try:
                self.note(command, answer)
                self._kernel.shared.record.raise_failure()
            except StorageError:
                for each, _ in ((press, command), *self._pressed):
                    self._save_for_resume(each)
                raise
        handled = -1
        try:
            handled = await self._inbox.poll()
        finally:
            if handled:
                self._kill.rescan()
        self._stops_seen = self._kernel.stops.begun_count

    def close(self) -> None:
        """Log the stops by signal that began just before the session ended, and close the inbox.

        After a failure of the disk they are left as files for the resumed session.
        """
        while self._pressed:
            press, command = self._pressed.popleft()
            if self._kernel.shared.record.has_failed:
                self._save_for_resume(press)
            with suppress(StorageError):
                self.note(command, Answer(done=True, answer="it began as the session ended"))
        self._inbox.close()

    def note(self, command: Command | None, answer: Answer) -> None:
        """Log a command and its answer, refused ones too; ``command`` None: the file was no command.

        Raises StorageError when the log cannot be written.
        """
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
        """Raise FS062 when commands may not be read; log that they are read again when ``trouble`` is ""."""
        if trouble:
            self._kernel.on_code("FS062", trouble)
        else:
            self._log.record(LogWrite("WARNING", "operators' commands are read again", self._clock.time_ns(), {}))

    def _begin_pressed(self) -> None:
        for press in self._kill.take():
            command = Stop(operator=press.by, reason="sent to the process", liquidate=press.liquidate)
            self._pressed.append((press, command))
            self._handler.begin(command)

    async def _execute(self, command: Command) -> Answer | None:
        """Execute a command of a file; refuse a release when a stop arrived that its operator could not see.

        None: it waits for the broker.
        """
        is_new = isinstance(command, Release) and not self._handler.is_waiting(command)
        if is_new and self._kernel.stops.begun_count != self._stops_seen:
            return Answer(done=False, answer=STOPPED_MEANWHILE)
        return await self._handler.step(command)

    def _save_for_resume(self, press: Press) -> None:
        """Create the stop file that equals a signal, for the resumed session; a full disk often has room for it."""
        name = next(name for name, liquidate in STOP_FILES.items() if liquidate == press.liquidate)
        with suppress(OSError):
            self._directory.mkdir(mode=0o700, exist_ok=True)
            (self._directory / name).touch(mode=0o600)
