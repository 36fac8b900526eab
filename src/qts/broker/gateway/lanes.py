"""The order in which requests leave for a broker: five lanes, strictly one before the other, and tokens."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Final, Generic, TypeVar

from qts.broker.gateway.tokens import Tokens


class Lane(IntEnum):
    """The lanes, first first.

    CANCEL: an order is taken out. EXIT: an order that can only reduce a holding. RESOLVE: the broker is asked what
    became of orders. ENTRY: any other order. BACKGROUND: the broker is asked for anything else.
    """

    CANCEL = 0
    EXIT = 1
    RESOLVE = 2
    ENTRY = 3
    BACKGROUND = 4


CAN_WAIT: Final = frozenset({Lane.ENTRY, Lane.BACKGROUND})
"""Lanes that leave the kept tokens to the others."""

T = TypeVar("T")


class Waiting(Generic[T]):
    """A request in its lane: what it is, its number in the order of arrival, and since when it waits, ns."""

    __slots__ = ("lane", "number", "request", "since_ns")

    def __init__(self, request: T, lane: Lane, number: int, since_ns: int) -> None:
        self.request = request
        self.lane = lane
        self.number = number
        self.since_ns = since_ns


class Lanes(Generic[T]):
    """Requests that wait for their turn. One thread at a time; times are ns of one clock that never goes back.

    ``waits_for_answer`` returns the number of the first exit that cannot leave before the broker was asked, taken
    from those that wait in the lane; a question of the lane RESOLVE then has the place of that exit. 0 stands for
    an exit that waits elsewhere: the question has its own place among the exits. None: no exit waits for one.
    """

    def __init__(
        self, tokens: Tokens, waits_for_answer: Callable[[Iterable[Waiting[T]]], int | None] = lambda exits: None
    ) -> None:
        self._tokens = tokens
        self._waits_for_answer = waits_for_answer
        self._lanes: dict[Lane, deque[Waiting[T]]] = {lane: deque() for lane in Lane}
        self._last = 0
        self.taken: dict[Lane, int] = dict.fromkeys(Lane, 0)
        """How many requests of each lane have left."""

    @property
    def newest(self) -> int:
        """Return the number of the newest request that was put into a lane; any thread."""
        return self._last

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def count(self, lane: Lane) -> int:
        """Return how many requests wait in ``lane``."""
        return len(self._lanes[lane])

    def put(self, request: T, lane: Lane, now_ns: int) -> Waiting[T]:
        """Add a request at the end of ``lane``; return its place."""
        self._last += 1
        waiting = Waiting(request, lane, self._last, now_ns)
        self._lanes[lane].append(waiting)
        return waiting

    def remove(self, waiting: Waiting[T]) -> bool:
        """Take a request out; return False when it has left already."""
        try:
            self._lanes[waiting.lane].remove(waiting)
        except ValueError:
            return False
        return True

    def take(self, now_ns: int, may_go: Callable[[T], bool] = lambda request: True) -> Waiting[T] | None:
        """Take out the request whose turn it is; None while there is none or no token for it.

        Those that may not go are left where they are, and do not hold back others. The token is used by
        :meth:`spend`.
        """
        if not any(self._lanes.values()):  # mostly: behind the request that has just been taken
            return None
        first = self._first(may_go)
        if first is None or self._tokens.earliest_ns(now_ns, can_wait=first.lane in CAN_WAIT) > now_ns:
            return None
        self._lanes[first.lane].remove(first)
        return first

    def spend(self, waiting: Waiting[T], now_ns: int) -> None:
        """Use a token for a request that was taken: it leaves at ``now_ns``."""
        self._tokens.use(now_ns)
        self.taken[waiting.lane] += 1

    def take_older(self, lane: Lane, before_ns: int) -> list[Waiting[T]]:
        """Take out the requests of ``lane`` that have waited since before ``before_ns``."""
        older = []
        waiting = self._lanes[lane]
        while waiting and waiting[0].since_ns < before_ns:
            older.append(waiting.popleft())
        return older

    def take_all(self) -> list[Waiting[T]]:
        """Take out everything, in the order of the lanes."""
        everything = [one for lane in Lane for one in self._lanes[lane]]
        for waiting in self._lanes.values():
            waiting.clear()
        return everything

    def delay_ns(self, lane: Lane, now_ns: int) -> int:
        """Return how long a request put into ``lane`` now would wait for its token if no other came, in ns.

        Requests that wait for the answer to another one are counted as if they did not.
        """
        tokens, at_ns = self._tokens.copy(), now_ns
        for ahead in Lane:
            if ahead > lane:
                break
            for _ in range(len(self._lanes[ahead])):
                at_ns = tokens.earliest_ns(at_ns, can_wait=ahead in CAN_WAIT)
                tokens.use(at_ns)
        return tokens.earliest_ns(at_ns, can_wait=lane in CAN_WAIT) - now_ns

    def _first(self, may_go: Callable[[T], bool]) -> Waiting[T] | None:
        """Return the request that is first in order among those that may go."""
        cancel = self._head(Lane.CANCEL, may_go)
        if cancel is not None:
            return cancel
        exit_, question = self._head(Lane.EXIT, may_go), self._head(Lane.RESOLVE, may_go)
        if question is not None:
            place = self._waits_for_answer(self._lanes[Lane.EXIT])
            if place is not None and (exit_ is None or (place or question.number) < exit_.number):
                return question
        return exit_ or question or self._head(Lane.ENTRY, may_go) or self._head(Lane.BACKGROUND, may_go)

    def _head(self, lane: Lane, may_go: Callable[[T], bool]) -> Waiting[T] | None:
        """Return the first request of ``lane`` that may go; None: none does."""
        for one in self._lanes[lane]:
            if may_go(one.request):
                return one
        return None
