"""Records of the past at the exchange: answers to orders and the fills of the session day, both bounded.

Each record is packed once, when it is made, because the exchange's state is exported at every fill.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

import msgspec

from qts.execution.contracts import AckStatus, Fill, OrderAck, VenueRef
from qts.strategy.contracts import Side

_pack = msgspec.msgpack.Encoder().encode


class Answer(NamedTuple):
    """The first answer to an order, and the approval it came with."""

    ack: OrderAck
    approval_id: str
    expires_ns: int


class Answers:
    """First answers by client order id; approvals by id. Both make an order single-use.

    At most ``keep`` answers of orders that are closed and whose approval has expired are kept: an approval that
    could still be sent again is never forgotten.
    """

    __slots__ = ("_by_order", "_keep", "_order_of_approval", "_packed")

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._by_order: dict[str, Answer] = {}
        self._packed: dict[str, bytes] = {}
        self._order_of_approval: dict[str, str] = {}

    def get(self, client_order_id: str) -> OrderAck | None:
        """Return the first answer to an order; None when it is not known."""
        answer = self._by_order.get(client_order_id)
        return None if answer is None else answer.ack

    def used_by(self, approval_id: str) -> str | None:
        """Return the order that an approval was used for; None when it was not used."""
        return self._order_of_approval.get(approval_id)

    def remember(
        self, ack: OrderAck, approval_id: str, expires_ns: int, now_ns: int, is_open: Callable[[str], bool]
    ) -> None:
        """Keep the first answer to an order; that of an ended order, approval expired, may make room."""
        self._put(ack, approval_id, expires_ns)
        if len(self._by_order) > self._keep:
            self._forget_one(now_ns, is_open)

    def _put(self, ack: OrderAck, approval_id: str, expires_ns: int) -> None:
        key = ack.client_order_id
        self._packed[key] = _pack((ack.status, key, ack.ref, ack.reason, approval_id, expires_ns))
        self._by_order[key] = Answer(ack, approval_id, expires_ns)
        self._order_of_approval.setdefault(approval_id, key)

    def _forget_one(self, now_ns: int, is_open: Callable[[str], bool]) -> None:
        for client_order_id, answer in self._by_order.items():
            if answer.expires_ns < now_ns and not is_open(client_order_id):
                del self._by_order[client_order_id], self._packed[client_order_id]
                if self._order_of_approval.get(answer.approval_id) == client_order_id:
                    del self._order_of_approval[answer.approval_id]
                return

    def export_state(self) -> list[bytes]:
        """Return the answers, packed."""
        return list(self._packed.values())

    def import_state(self, state: Sequence[bytes]) -> None:
        """Restore what :meth:`export_state` returned."""
        self._by_order.clear()
        self._packed.clear()
        self._order_of_approval.clear()
        for packed in state:
            status, client_order_id, ref, reason, approval_id, expires_ns = _unpack_answer(packed)
            self._put(OrderAck(status, client_order_id, ref, reason), approval_id, expires_ns)


class KeptFills:
    """The newest fills, at most ``keep`` and not older than the present session day."""

    __slots__ = ("_fills", "_packed")

    def __init__(self, keep: int) -> None:
        self._fills: deque[tuple[Fill, date]] = deque(maxlen=keep)
        self._packed: deque[bytes] = deque(maxlen=keep)

    def add(self, fill: Fill, day: date) -> None:
        """Keep a fill of the session day ``day``; the oldest makes room."""
        self._fills.append((fill, day))
        self._packed.append(pack_fill(fill, day))

    def since(self, ts_ns: int) -> list[Fill]:
        """Return fills at or after ``ts_ns``, oldest first."""
        return [fill for fill, _ in self._fills if fill.ts_ns >= ts_ns]

    def drop_before(self, day: date) -> None:
        """Drop the fills of days before ``day``."""
        while self._fills and self._fills[0][1] < day:
            self._fills.popleft()
            self._packed.popleft()

    def export_state(self) -> list[bytes]:
        """Return the fills, packed."""
        return list(self._packed)

    def import_state(self, state: Sequence[bytes]) -> None:
        """Restore what :meth:`export_state` returned."""
        self._fills.clear()
        self._packed.clear()
        for packed in state:
            self.add(*unpack_fill(packed))


def pack_fill(fill: Fill, day: date) -> bytes:
    """Return a fill of an exchange, which infers none, and its session day as bytes."""
    return _pack((*msgspec.structs.astuple(fill)[:11], day))


def unpack_fill(packed: bytes) -> tuple[Fill, date]:
    """Return the fill and the session day of :func:`pack_fill`."""
    record = _unpack_fill(packed)
    return Fill(*record[:11]), record[11]


_unpack_answer = msgspec.msgpack.Decoder(tuple[AckStatus, str, VenueRef | None, str, str, int]).decode
_unpack_fill = msgspec.msgpack.Decoder(
    tuple[str, str, str, str, Side, Decimal, Decimal, Decimal, Decimal, int, bool, date]
).decode
