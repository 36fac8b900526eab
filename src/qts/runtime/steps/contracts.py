"""The port through which a session takes its steps, one after the other, each at one moment of its clock.

The kinds of what comes from the gateway are in :mod:`qts.broker.gateway.arrivals`.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from qts.runtime.due_work import DueWork

VALUE: Final = "v"
"""A market value is taken; its content is the value."""
GAP: Final = "g"
"""A gap of the feed is taken; its content is the gap."""
INFO: Final = "i"
"""The feed has told of an instrument; its content is the :class:`~qts.market.session_info.SessionInfo`."""
TASKS: Final = "t"
"""What has come due by the clock is done while no value came."""
LINE: Final = "n"
"""The feed is connected from now on ("1"), or no longer ("0")."""
DUE: Final = "d"
"""Due work is done; its key counts the looks at it since the last value, its content names what was requested."""
HANDLER: Final = "e"
"""A handler is called; its key is the type of its event. Handlers of P3 decide nothing and are no steps."""
WAITS: Final = "w"
"""An event was taken that waits behind another of its handler; its key is its type."""
TASK: Final = "b"
"""Work in the background begins; its key is its kind."""
GO_ON: Final = "c"
"""What has waited for a disk goes on, or work in the background ends; its key says what."""
NOT_SETTLED: Final = "j"
"""It is looked whether rows of the book wait to be stored; its content is the answer."""
PRESSURE: Final = "o"
"""Filling queues pause or resume priorities; its key is the lowest one that they leave running."""
REPORT: Final = "p"
"""The broker has reported; its content is the report."""
CLOCK: Final = "l"
"""Our clock is compared with the broker's; its content is the code and the text that follow, () for none."""
END: Final = "z"
"""The process has ended the session or stopped it in order."""
STOP: Final = "s"
"""The driver takes no more values: "over", the feed has ended; "stop", it was asked to."""
BREAK: Final = "x"
"""Something that cannot be repeated; its key says what."""


class Steps(Protocol):
    """The steps of a session: everything that does not follow from what came before. For the session's thread.

    A session that is recorded moves its clock and writes each of them down; one that repeats a record does each
    when the record says so. What happens between two steps follows from the first, at its moment.
    """

    @property
    def is_repeated(self) -> bool:
        """Return whether these are the steps of another session, done again. Constant."""
        ...

    def take(self, kind: str, key: str = "", content: object = None) -> Any:
        """Begin a step now; return its ``content``, which is that of the record where one is repeated.

        ``key`` has no blanks. Raises DataError when the record has another step here.
        """
        ...

    async def turn(self, kind: str, key: str = "", content: object = None) -> Any:
        """Begin a step as :meth:`take` does, once it is its turn: at once, but where a record is repeated."""
        ...

    def next_key(self, kind: str) -> str:
        """Return the key of what comes next in a record that is repeated, if it is of ``kind``; else ""."""
        ...

    def is_due(self, due: DueWork) -> bool:
        """Return whether due work is done now, and begin its step where it is."""
        ...


class NotRecorded:
    """The steps of a session that is not recorded. The clock moves by itself."""

    is_repeated = False

    def take(self, kind: str, key: str = "", content: object = None) -> Any:
        """Return ``content``."""
        return content

    async def turn(self, kind: str, key: str = "", content: object = None) -> Any:
        """Return ``content``."""
        return content

    def next_key(self, kind: str) -> str:
        """Return ""."""
        return ""

    def is_due(self, due: DueWork) -> bool:
        """Return whether any work is due."""
        return due.pending


NOT_RECORDED: Final = NotRecorded()
