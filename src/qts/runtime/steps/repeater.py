"""Repeats the steps of a record: each is done when it is its turn, at its time."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from qts.broker.gateway.arrivals import ANSWER, ANSWERED, CUT_OFF
from qts.clock import NS_PER_S, HeldClock, PacedClock, from_ns, stopwatch_ns
from qts.errors import DataError
from qts.runtime.due_work import DueWork
from qts.runtime.steps.contracts import (
    BREAK,
    DUE,
    END,
    GAP,
    GO_ON,
    INFO,
    LINE,
    NOT_SETTLED,
    REPORT,
    STOP,
    TASK,
    TASKS,
    VALUE,
)
from qts.runtime.steps.lines import Step

_LONGEST_NS: Final = 60 * NS_PER_S
DRIVER: Final = frozenset({VALUE, GAP, INFO, LINE, TASKS, STOP})
"""Kinds of steps that a driver begins."""
_GOES_ON: Final = frozenset({GO_ON, TASK, ANSWER, ANSWERED, CUT_OFF, REPORT})
"""Kinds of steps behind which something goes on by itself, within a few rounds of the loop."""
_SPINS: Final = 8
"""Rounds of the loop after which nothing goes on by itself any more."""
_MOST_SPINS: Final = 100
_PAUSE_NS: Final = 500_000
"""Real time between two looks after those."""


class RepetitionFailed(DataError):
    """A record cannot be repeated any further.

    ``taken``: how many steps were done. ``next``: the step that the record has next, None: there is none.
    ``instead``: what the session does instead, "" for nothing.
    """

    def __init__(self, text: str, taken: int, next: Step | None = None, instead: str = "") -> None:
        super().__init__(text)
        self.taken = taken
        self.next = next
        self.instead = instead


class RecordOver(DataError):
    """A record ends before its process has: at the end of the day that was asked for, or where it was killed.

    ``taken``: how many steps were done. ``ts_ns``: the time of the last one (ns since 1970, UTC).
    """

    def __init__(self, taken: int, ts_ns: int) -> None:
        super().__init__(f"the record ends after {taken} steps")
        self.taken = taken
        self.ts_ns = ts_ns


class Hands(Protocol):
    """Does what no one in the session does by itself."""

    @property
    def has_stored(self) -> bool:
        """Return whether all rows of the book are stored."""
        ...

    def do(self, step: Step) -> None:
        """Begin ``step``; nothing happens where it cannot begin yet."""
        ...


class StepRepeater:
    """The :class:`~qts.runtime.steps.contracts.Steps` of a session that repeats those of another.

    ``clock`` is the session's; it shows the times of the record. :meth:`run` lets one step after the other be done;
    what the session does by itself must be the step that comes next.
    """

    is_repeated = True

    def __init__(self, clock: HeldClock, steps: Iterable[Step]) -> None:
        self._clock = clock
        self._steps = iter(steps)
        self._waiting: defaultdict[tuple[str, str], deque[asyncio.Future[None]]] = defaultdict(deque)
        self._is_called = False
        """Whether one that has waited was called, and has not begun its step."""
        self._driver: asyncio.Future[None] | None = None
        self._looks = 0
        self.taken = 0
        """How many steps were done."""
        self.failure: DataError | None = None
        """Why it cannot go on; None: nothing is wrong."""
        self.has_ended = False
        """Whether the end of the process was done, and not only that of its record."""
        self.next: Step | None = next(self._steps, None)
        """The next step; None: there is none."""
        self._after: Step | None = next(self._steps, None)

    def take(self, kind: str, key: str = "", content: object = None) -> Any:
        """Do the next step, which must be this one."""
        step = self.next
        if self.failure is not None:
            raise self.failure
        if kind == BREAK:
            raise self._fail(_cannot(key))
        if step is None or (step.kind, step.key) != (kind, key):
            instead = f"{kind} {key or '-'}"
            raise self._fail(f"it has {step} next, and the session does {instead}", instead)
        if kind in (VALUE, TASKS, STOP):
            self._looks = 0
        self._clock.hold(step.ts_ns)
        self.taken += 1
        self._is_called = False
        self.has_ended = self.has_ended or kind == END
        self.next, self._after = self._after, next(self._steps, None)
        return content if step.content is None else step.content

    async def turn(self, kind: str, key: str = "", content: object = None) -> Any:
        """Wait until this step is the next one, and do it."""
        if self.failure is not None:
            raise self.failure
        own = kind, key
        is_now = self._is_next(own) and not self._has_to_be_stored()
        if self._is_called or self._waiting[own] or not is_now:
            called = asyncio.get_running_loop().create_future()
            self._waiting[own].append(called)
            try:
                await called
            except asyncio.CancelledError:
                if called in self._waiting[own]:
                    self._waiting[own].remove(called)
                raise
        return self.take(kind, key, content)

    def next_key(self, kind: str) -> str:
        """Return the key of the next step, if it is of ``kind``."""
        return self.next.key if self.next is not None and self.next.kind == kind else ""

    async def next_of_driver(self) -> Step:
        """Wait until the next step is one that a driver begins, and return it. Raises what ends the repetition."""
        self._driver = asyncio.get_running_loop().create_future()
        await self._driver
        if self.failure is not None:
            raise self.failure
        assert self.next is not None  # it is called for one
        return self.next

    def is_due(self, due: DueWork) -> bool:
        """Return whether the record has due work here, and request what was requested then."""
        self._looks += 1
        if not self._is_next((DUE, str(self._looks))):
            return False
        due.request(self.take(DUE, str(self._looks), ()))
        return True

    async def run(self, hands: Hands, is_stopped: Callable[[], bool]) -> None:
        """Do all steps to the end of the process.

        Raises DataError when ``is_stopped``, and when the session does not do what is next, RecordOver when the
        record ends before.
        """
        try:
            while (step := self.next) is not None and not self.has_ended:
                if is_stopped():
                    raise self._fail("it was stopped")
                if step.kind == BREAK:
                    raise self._fail(_cannot(step.key))
                await self._do(step, hands)
                if step.kind in _GOES_ON:
                    for _ in range(_SPINS):  # until what follows by itself is done
                        await asyncio.sleep(0)
            if not self.has_ended:
                raise self._over()
        finally:
            self._call_driver()
            if self.failure is not None:
                self._fail_all(self.failure)

    async def _do(self, step: Step, hands: Hands) -> None:
        real = PacedClock(from_ns(0))
        at, spins, until_ns = self.taken, 0, stopwatch_ns() + _LONGEST_NS
        while self.taken == at:
            if self.failure is not None:
                raise self.failure
            waiting = self._waiting[(step.kind, step.key)]
            if self._has_to_be_stored() and not hands.has_stored:
                pass  # the rows are under way: the disk was quicker when the steps were recorded
            elif waiting and not self._is_called:
                self._is_called = True
                waiting.popleft().set_result(None)
            elif step.kind in DRIVER:
                self._call_driver()
            elif spins >= _SPINS and not self._is_called:
                hands.do(step)
            spins += 1
            if spins < _MOST_SPINS:
                await asyncio.sleep(0)
            else:
                await real.sleep_until_ns(real.time_ns() + _PAUSE_NS)
            if stopwatch_ns() > until_ns:
                raise self._fail(f"it has {step} next, and the session does not come to it")

    def _has_to_be_stored(self) -> bool:
        """Return whether right behind the next step it is seen that no row of the book waits to be stored."""
        after = self._after
        return after is not None and after.kind == NOT_SETTLED and after.content is False

    def _fail_all(self, failure: DataError) -> None:
        """Let nothing wait any more that will never have its turn."""
        waiting = [one for some in self._waiting.values() for one in some]
        self._waiting.clear()
        for one in waiting:
            if not one.done():
                one.set_exception(failure)

    def _over(self) -> DataError:
        self.failure = RecordOver(self.taken, self._clock.time_ns())
        return self.failure

    def _call_driver(self) -> None:
        driver, self._driver = self._driver, None
        if driver is not None and not driver.done():
            driver.set_result(None)

    def _is_next(self, own: tuple[str, str]) -> bool:
        return self.next is not None and (self.next.kind, self.next.key) == own

    def _fail(self, why: str, instead: str = "") -> DataError:
        if self.failure is None:
            text = f"the record cannot be repeated after {self.taken} steps: {why}"
            self.failure = RepetitionFailed(text, self.taken, self.next, instead)
        return self.failure


def _cannot(key: str) -> str:
    return f"what comes now cannot be repeated: {key.replace('_', ' ')}"
