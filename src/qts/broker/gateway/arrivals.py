"""The order in which the session takes what comes from the gateway's thread: as it comes, or as a record has it."""

from __future__ import annotations

from typing import Any, Final, Protocol

ANSWER: Final = "a"
"""An answer is passed on; its key names the request, its content is the answer."""
ANSWER_FIRST: Final = "f"
"""An answer is passed on ahead of a report; like ANSWER."""
ANSWERED: Final = "q"
"""A question is answered; its key names it, its content is an :class:`~qts.broker.gateway.questions.Answered`."""
TAKEN_BACK: Final = "k"
"""An order was to be taken back; its key is its id, its content whether it had not left."""
SENT: Final = "m"
"""The messages that have left are counted; its content is the count."""
CUT_OFF: Final = "u"
"""The gateway is closed; its content are the keys of the requests that have not left."""


class Arrivals(Protocol):
    """The order in which the session takes what comes from the gateway's thread. For the session's thread."""

    @property
    def is_repeated(self) -> bool:
        """Return whether what another session has taken is taken again; then nothing is sent to a broker.

        Constant.
        """
        ...

    def take(self, kind: str, key: str = "", content: object = None) -> Any:
        """Return ``content``, which is that of the record where one is repeated. ``key`` has no blanks."""
        ...

    async def turn(self, kind: str, key: str = "", content: object = None) -> Any:
        """Return as :meth:`take` does, once it is its turn: at once, but where a record is repeated."""
        ...

    def next_key(self, kind: str) -> str:
        """Return the key of what comes next in a record that is repeated, if it is of ``kind``; else ""."""
        ...


class AsTheyCome:
    """The :class:`Arrivals` of a session that is not recorded."""

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


AS_THEY_COME: Final = AsTheyCome()
"""For every session that is not recorded."""
