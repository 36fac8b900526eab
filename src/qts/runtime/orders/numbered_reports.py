"""Finds the orders of reports that name them by the broker's number alone, and keeps those of unknown numbers.

Such a report may be faster than the answer to its order, which tells us the number, or be about an order of someone
else. It waits until a number that we have learned is its own. When no order of ours can be meant any more, which a
comparison with the broker's books that began after it came has to show, it is another's.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from msgspec.structs import replace

from qts.execution.contracts import ExecutionReport, Fill, Order, OrderState, VenueRef
from qts.execution.working import WorkingOrders

MOST_WAITING: Final = 1_000
"""Reports that wait at most; the broker's books tell what others have told."""
OnFull: TypeAlias = Callable[[ExecutionReport, str], None]


class Question(NamedTuple):
    """A question about all orders of the broker's books, begun as the ``number``-th at ``asked_ns``."""

    number: int
    asked_ns: int


NO_QUESTION: Final = Question(0, 0)


class _Waiting(NamedTuple):
    """A report that waits since ``since_ns``, of the session's clock, when ``questions`` had been begun."""

    report: ExecutionReport
    since_ns: int
    questions: int


class NumberedReports:
    """The reports that wait until their order is known; part of the checkpoint. For the session's thread.

    ``on_waiting`` is called for each that waits for no answer under way, ``on_full`` with one that finds no room
    and why. ``lag_ns``: time for which the broker's books may not show what has happened.
    """

    def __init__(
        self, orders: WorkingOrders, *, lag_ns: int, on_waiting: Callable[[], None], on_full: OnFull
    ) -> None:
        self._orders = orders
        self._lag_ns = lag_ns
        self._on_waiting = on_waiting
        self._on_full = on_full
        self._waiting: list[_Waiting] = []
        self._questions = 0
        self._stored_ids: dict[VenueRef, str] = {}
        """Ids of orders that were looked up in the store."""

    def __len__(self) -> int:
        return len(self._waiting)

    def named(self, report: ExecutionReport, now_ns: int) -> ExecutionReport | None:
        """Return ``report`` with our id of its order; None: none of ours has its number, and it waits from now on.

        Raises StorageError when it cannot be known whether an order of ours has it.
        """
        if report.client_order_id or report.ref is None:
            return report
        order = self._orders.recall_numbered(report.ref)
        if order is not None:
            return replace(report, client_order_id=order.client_order_id)
        if self.holds(report):
            return None
        if len(self._waiting) >= MOST_WAITING:
            self._on_full(report, f"{MOST_WAITING} reports wait already until their order is known")
            return None
        self._waiting.append(_Waiting(report, now_ns, self._questions))
        if not any(order.state is OrderState.PENDING_NEW and _may_be(report)(order) for order in self._orders):
            self._on_waiting()
        return None

    def begin_question(self, now_ns: int) -> Question:
        """Note that the broker is asked for all orders now."""
        self._questions += 1
        return Question(self._questions, now_ns)

    def take(
        self, answered: Question = NO_QUESTION, foreign: Container[VenueRef] = ()
    ) -> Iterator[ExecutionReport]:
        """Yield those that need not wait any more, oldest first, each with an id; it waits no more from then on.

        Those of orders whose numbers are known now have our id, those of numbers in ``foreign``, which are known to
        be none of ours, that of a foreign order. ``answered``: the newest question whose whole answer is known
        here: a report from before it that no open order can be about is foreign as well.
        """
        for one in tuple(self._waiting):
            report, ref = one.report, one.report.ref
            assert ref is not None  # it waits because of it
            order = self._orders.numbered(ref)
            if order is not None:
                key = order.client_order_id
            elif ref in foreign or (
                one.questions < answered.number
                and one.since_ns + self._lag_ns <= answered.asked_ns
                and not any(map(_may_be(report), self._orders))
            ):
                key = foreign_id(ref)
            else:
                continue
            self._waiting.remove(one)
            yield replace(report, client_order_id=key)

    def listed(self, fill: Fill) -> Fill:
        """Return an execution of the broker's list with the id under which it is booked, or would be now.

        Raises StorageError like :meth:`named`.
        """
        if fill.client_order_id or fill.ref is None:
            return fill
        order = self._orders.numbered(fill.ref)
        key = self._stored_id(fill.ref) if order is None else order.client_order_id
        return replace(fill, client_order_id=key)

    def is_ours(self, ref: VenueRef) -> bool:
        """Return whether an order of ours, remembered or stored, has the number ``ref``.

        Raises StorageError like :meth:`named`.
        """
        return self._orders.numbered(ref) is not None or self._stored_id(ref) != foreign_id(ref)

    def _stored_id(self, ref: VenueRef) -> str:
        """Return the id of an order that is not in memory; that of a foreign order for one that is not stored."""
        if ref not in self._stored_ids:
            order = self._orders.recall_numbered(ref)
            self._stored_ids[ref] = foreign_id(ref) if order is None else order.client_order_id
            if len(self._stored_ids) > MOST_WAITING:
                del self._stored_ids[next(iter(self._stored_ids))]
        return self._stored_ids[ref]

    def holds(self, report: ExecutionReport) -> bool:
        """Return whether the same execution waits already."""
        return isinstance(report, Fill) and any(
            isinstance(one.report, Fill)
            and report.execution_id != ""
            and (one.report.ref, one.report.execution_id) == (report.ref, report.execution_id)
            for one in self._waiting
        )

    def has_news_of(self, order: Order) -> bool:
        """Return whether a report waits that may be about ``order``."""
        return any(_may_be(one.report)(order) for one in self._waiting)

    def export_state(self) -> dict[str, Any]:
        """Return what waits, for a checkpoint; {} for nothing."""
        return {"waiting": [[one.report, one.since_ns] for one in self._waiting]} if self._waiting else {}

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Restore what :meth:`export_state` returned."""
        self._waiting = [
            _Waiting(msgspec.convert(report, ExecutionReport, strict=False), since_ns, 0)
            for report, since_ns in saved.get("waiting", ())
        ]


def foreign_id(ref: VenueRef) -> str:
    """Return the id under which an order that is not ours is booked: its number, and the day that it belongs to."""
    return f"{ref.day.isoformat()}/{ref.number}"


def _may_be(report: ExecutionReport) -> Callable[[Order], bool]:
    """Return what tells whether an open order may be that of ``report``: it has left, and has no number yet."""

    def may_be(order: Order) -> bool:
        return (
            order.symbol == report.symbol
            and not order.venue_refs
            and order.state is not OrderState.INTENT
            and (not isinstance(report, Fill) or report.side is order.side)
        )

    return may_be
