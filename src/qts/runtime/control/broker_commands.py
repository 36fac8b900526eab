"""Executes the commands that have to ask the broker first; nothing waits for the broker meanwhile.

The question is asked in the background. When it is answered, the command is executed in one step between two
handlers, on the books as they are then; what has changed since it was asked has it asked again.
"""

from __future__ import annotations

from typing import Final, Protocol

from qts.errors import HalfDoneError, InputError, QtsError
from qts.runtime.background_work import BackgroundWork
from qts.runtime.control.commands import Answer, Command, name_of

ANSWER_WITHIN_S: Final = 60.0
"""Real time that a broker has for all that one command asks of it at a time."""
MOST_TIMES: Final = 3
"""How often a command asks while the books change; then it is refused."""
_MOST_WAITING: Final = 32
_KIND: Final = "command"


class BrokerQuestion(Protocol):
    """A question that one command has for the broker, and its execution with the answer."""

    async def ask(self) -> None:
        """Ask the broker and keep its answer; nothing is changed. Raises QtsError for a refusal."""
        ...

    async def execute(self) -> Answer | None:
        """Execute the command with the answer; None: something has changed since, so it has to be asked again.

        It waits for no broker. Raises QtsError for a refusal, with nothing done.
        """
        ...


async def asked_and_executed(command: Command, question: BrokerQuestion) -> Answer:
    """Ask and execute at once, for a caller that nothing waits for. Raises QtsError for a refusal."""
    for _ in range(MOST_TIMES):
        await question.ask()
        if (answer := await question.execute()) is not None:
            return answer
    raise _changing(command)


class BrokerCommands:
    """Commands that ask the broker, one after the other, oldest first. For the session's thread alone."""

    def __init__(self, background: BackgroundWork) -> None:
        self._background = background
        self._waiting: dict[int, _Asked] = {}
        """Commands that are not answered, oldest first, by the identity of their object."""

    def __contains__(self, command: Command) -> bool:
        """Return whether this very object was added and is not answered."""
        return id(command) in self._waiting

    def add(self, command: Command, question: BrokerQuestion) -> None:
        """Let ``command`` have its turn. Raises InputError when too many wait."""
        if len(self._waiting) >= _MOST_WAITING:
            raise InputError(
                f"{_MOST_WAITING} commands wait for the broker already; give it again when they are over"
            )
        self._waiting[id(command)] = _Asked(command, question)

    async def step(self, command: Command) -> Answer | None:
        """Execute an added ``command`` as far as it goes without waiting for the broker, and return its answer.

        None: the broker is being asked, for it or for an earlier one; call it again. Raises QtsError for a refusal.
        """
        one = next(iter(self._waiting.values()))
        if one.command is not command or self._background.is_running(_KIND):
            return None  # the end of a task is noted a turn of the loop after its answer
        if not one.times:
            self._begin(one)
        if not one.is_answered:
            return None
        del self._waiting[id(command)]
        if one.refusal is not None:
            raise one.refusal
        answer = await one.question.execute()
        if answer is None:
            if one.times >= MOST_TIMES:
                raise _changing(command)
            self._waiting = {id(command): one, **self._waiting}
            self._begin(one)
        return answer

    def _begin(self, one: _Asked) -> None:
        one.times += 1
        one.is_answered = False
        self._background.start(_KIND, one.ask())


class _Asked:
    """A command with its question, and how far that has come; ``refusal``: what the question has raised."""

    def __init__(self, command: Command, question: BrokerQuestion) -> None:
        self.command = command
        self.question = question
        self.times = 0
        self.is_answered = False
        self.refusal: QtsError | None = None

    async def ask(self) -> None:
        """Ask the question; what refuses the command is kept for the step that answers it."""
        try:
            await self.question.ask()
        except HalfDoneError:
            raise  # the session ends with it
        except QtsError as error:
            self.refusal = error
        self.is_answered = True


def _changing(command: Command) -> InputError:
    return InputError(
        f"the books changed each of the {MOST_TIMES} times while the broker was asked: {name_of(command)} is not "
        "carried out; give it again when less is traded"
    )
