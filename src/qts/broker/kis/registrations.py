"""The registrations of one websocket session: what is wanted, asked for, confirmed and refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from qts.broker.kis.control import (
    ALREADY_SUBSCRIBED,
    INTERNAL,
    NOT_SUBSCRIBED,
    SEND_FAILED,
    SUBSCRIBE,
    SUBSCRIBED,
    TOO_MANY,
    UNSUBSCRIBE,
    UNSUBSCRIBED,
    Answer,
    Registration,
)
from qts.clock import NS_PER_S

ANSWER_NS: Final = 3 * NS_PER_S
"""Time that KIS has for the answer to a command; then it is sent again."""
_MOST_TRIES: Final = 3


class Command(NamedTuple):
    """A command that is to be sent: SUBSCRIBE or UNSUBSCRIBE, and what."""

    tr_type: str
    registration: Registration


class Registrations:
    """The registrations that a session has, and those that it should have. For one thread; no call waits.

    ``most``: how many KIS takes. :meth:`want` may be called at any time; :meth:`begin` with each connection, which
    has none of the former one's registrations.
    """

    def __init__(self, most: int) -> None:
        self.registered: dict[Registration, None] = {}
        """What KIS has confirmed on this connection, in that order."""
        self.refused: dict[Registration, str] = {}
        """What KIS refuses, and its words; it is not asked for again on this connection."""
        self._most = self._ceiling = most
        self._wanted: dict[Registration, None] = {}
        self._asked: dict[Registration, tuple[str, int]] = {}
        self._tries: dict[Registration, int] = {}

    def begin(self) -> None:
        """Begin a connection, which is registered for nothing."""
        self.registered.clear()
        self.refused.clear()
        self._asked.clear()
        self._tries.clear()
        self._ceiling = self._most

    def want(self, wanted: Iterable[Registration]) -> None:
        """Replace what is wanted; the first ones matter most."""
        self._wanted = dict.fromkeys(wanted)

    @property
    def wanted(self) -> Sequence[Registration]:
        """Return what is wanted, in the order of importance."""
        return list(self._wanted)

    def has_asked(self, registration: Registration) -> bool:
        """Return whether something was asked for on this connection, and not answered yet."""
        return registration in self._asked

    def is_left_out(self, registration: Registration) -> bool:
        """Return whether something has no place among the registrations, or is refused."""
        return registration in self.refused or registration not in self._room()

    def next(self, now_ns: int) -> Command | None:
        """Return the command that is to be sent now, which counts as sent; None when there is none."""
        for one, (tr_type, sent_ns) in list(self._asked.items()):
            if now_ns - sent_ns >= ANSWER_NS:
                del self._asked[one]
                if tr_type == UNSUBSCRIBE:
                    self.registered.pop(one, None)  # it counts as gone; a value of it is still taken
        room = self._room()
        for one in self.registered:
            if one not in room and one not in self._asked:
                return self._ask(UNSUBSCRIBE, one, now_ns)
        open_count = len(self.registered) + sum(one not in self.registered for one in self._asked)
        for one in room:
            if one in self.registered or one in self._asked or one in self.refused:
                continue
            if open_count >= self._ceiling:
                return None
            if self._tries.get(one, 0) >= _MOST_TRIES:
                self.refused[one] = "no answer"
                continue
            return self._ask(SUBSCRIBE, one, now_ns)
        return None

    def on_answer(self, answer: Answer) -> str:
        """Take an answer; return what KIS says where it refuses something, "" where it does not."""
        one = answer.registration
        self._asked.pop(one, None)
        if answer.code in (SUBSCRIBED, ALREADY_SUBSCRIBED):
            self.registered[one] = None
            self._tries.pop(one, None)
            return ""
        if answer.code in (UNSUBSCRIBED, NOT_SUBSCRIBED):
            self.registered.pop(one, None)
            return ""
        if answer.code == TOO_MANY:
            self._ceiling = max(len(self.registered), 1)
            return f"{answer.code} {answer.text}"
        if answer.code in (INTERNAL, SEND_FAILED) and self._tries.get(one, 0) < _MOST_TRIES:
            return ""
        self.refused[one] = f"{answer.code} {answer.text}"
        return self.refused[one]

    def _room(self) -> dict[Registration, None]:
        """Return the wanted ones that have a place, the most important first."""
        usable = [one for one in self._wanted if one not in self.refused]
        return dict.fromkeys(usable[: self._ceiling])

    def _ask(self, tr_type: str, one: Registration, now_ns: int) -> Command:
        self._asked[one] = (tr_type, now_ns)
        if tr_type == SUBSCRIBE:
            self._tries[one] = self._tries.get(one, 0) + 1
        return Command(tr_type, one)
