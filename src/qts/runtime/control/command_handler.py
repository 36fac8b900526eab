"""Executes operators' commands on a running session, from whatever source: a file, a signal or a program."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from qts.errors import InputError, StorageError
from qts.runtime.control.book_comparison import BookComparison
from qts.runtime.control.broker_commands import BrokerCommands, BrokerQuestion, asked_and_executed
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
from qts.runtime.control.releases import ReleaseQuestion
from qts.runtime.control.stops import StopProgress
from qts.runtime.kernel import Kernel
from qts.runtime.steps.contracts import BREAK
from qts.state.contracts import ManualOverride, OperatingState, TransitionResult
from qts.state.reasons import sentence


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
        self._asking = BrokerCommands(kernel.background)
        self._last: tuple[Command, Callable[[], Progress | None]] | None = None
        """The command executed last that goes on behind its answer, and what reports its progress."""

    async def execute(self, command: Command) -> Answer:
        """Execute ``command`` and return its answer; ``done`` False is a refusal by the rules.

        It waits where a broker has to be asked; :meth:`step` does not. Raises InputError when it names something
        that this session does not have, ContractError when no rule allows it in any session, BrokerUnavailable when
        a broker has to be asked and does not answer, StorageError when the store has failed.
        """
        question = self._question(command)
        return await (self._execute(command) if question is None else asked_and_executed(command, question))

    async def step(self, command: Command) -> Answer | None:
        """Execute ``command`` like :meth:`execute` as far as it goes without waiting for a broker.

        None: the broker is being asked, for it or for an earlier command. Call it again with the same object
        until there is an answer; other commands can be executed meanwhile.
        """
        if command not in self._asking:
            question = self._question(command)
            if question is None:
                return await self._execute(command)
            self._asking.add(command, question)
        return await self._asking.step(command)

    def is_waiting(self, command: Command) -> bool:
        """Return whether this very object was given to :meth:`step` and is not answered."""
        return command in self._asking

    def _question(self, command: Command) -> BrokerQuestion | None:
        """Return what has to be asked of the broker before ``command`` is executed; None: nothing."""
        self._kernel.shared.steps.take(BREAK, "an_operator's_command")
        match command:
            case Reconcile():
                return BookComparison(self._kernel, command)
            case Release():
                return ReleaseQuestion(self._kernel, command)
            case Adopt() | Deposit() | Withdraw():
                return self._capital.question(command)
            case _:
                return None

    async def _execute(self, command: Command) -> Answer:
        """Execute a command for which nothing has to be asked."""
        match command:
            case Stop():
                return await self._stop(command)
            case Flatten():
                answer, flattening = await self._kernel.components.flattens.execute(command)
                self._last = command, flattening.report
                return answer
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
            case _:
                raise TypeError(f"{command!r} asks the broker")

    def begin(self, command: Stop) -> None:
        """Send a stop ahead of all other events, without waiting; :meth:`execute` of the same object completes it.

        Raises InputError for a scope that this session does not have, ContractError for more than one scope.
        """
        self._kernel.shared.steps.take(BREAK, "an_operator's_command")
        self._begun[id(command)] = command, self._kernel.stops.begin(command)

    def progress_of(self, command: Command) -> Callable[[], Progress | None] | None:
        """Return a callable that reports the progress of ``command``, which was executed last.

        None for a command without progress. The callable returns None after a stop was released.
        """
        return self._last[1] if self._last is not None and self._last[0] is command else None

    def progress_again(self, answer: Answer) -> Callable[[], Progress | None] | None:
        """Return a callable that reports the progress of a command that an earlier process answered.

        None for an answer without progress, or whose command is over; of a stop the new process knows no progress.
        """
        last = answer.flatten
        if last is None or last.complete:
            return None
        try:
            return self._kernel.components.flattens.follow_again(last).report
        except ArithmeticError:  # no session has written these quantities
            return None

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

    def _override(self, command: Override) -> Answer:
        shared = self._kernel.shared
        self._kernel.on_command()
        if not shared.config.state.enabled:
            return Answer(
                done=False, answer="the operating state rules nothing in this run (state.enabled is false)"
            )
        return _answer_of(shared.state.apply_override(_override_of(command, shared.clock.now())))


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
