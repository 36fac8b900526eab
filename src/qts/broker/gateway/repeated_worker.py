"""Stands in the place of the gateway's thread where a record is repeated: nothing leaves, the record answers."""

from __future__ import annotations

from collections import defaultdict, deque

from qts.broker.gateway.lanes import Lane
from qts.broker.gateway.requests import Cancel, Place, Question, Request
from qts.errors import DataError
from qts.execution.contracts import AckStatus, OrderAck


class RepeatedWorker:
    """The requests of a session that is repeated, until the record has their answers. For the session's thread."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, deque[Place | Cancel]] = defaultdict(deque)
        self._unknown: dict[str, Place] = {}
        """The orders that were told to be UNKNOWN: an answer may follow."""
        self.is_connecting = False
        """Set by the gateway, and of no effect."""
        self.exits_wait = False
        """Set by the gateway, and of no effect."""

    def put(self, request: Request, lane: Lane) -> None:
        """Note a request that would leave."""
        if not isinstance(request, Question):
            self._waiting[request.name].append(request)

    def answered(self, name: str, ack: OrderAck) -> Place | Cancel:
        """Return the request ``name`` that is answered now. Raises DataError when there is none."""
        requests = self._waiting.get(name)
        if not requests:
            late = self._unknown.pop(name, None)
            if late is None:
                raise DataError(f"the record has an answer to {name}, which the session has not sent")
            return late
        request = requests.popleft()
        if not requests:
            del self._waiting[name]
        if isinstance(request, Place) and ack.status is AckStatus.UNKNOWN:
            self._unknown[name] = request
        return request

    def take_back(self, request: Place | Question) -> bool:
        """Return False: the record says whether it had not left."""
        return False

    def take_orders(self) -> list[Place | Cancel]:
        """Return every order and cancel that is not answered."""
        return [one for requests in self._waiting.values() for one in requests]

    def cut_off(self) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing: there is no thread."""

    def join(self, timeout_s: float) -> None:
        """Do nothing: there is no thread."""

    def view(self) -> None:
        """Return None: no lane is shown."""
