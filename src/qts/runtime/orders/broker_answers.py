"""Sorts an answer of the broker's books: what is new of executions, which orders are ours, which are of others."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import NamedTuple

from qts.broker.contracts import BrokerOrder
from qts.execution.contracts import Fill, VenueRef
from qts.execution.fit import unreadable
from qts.execution.working import WorkingOrders
from qts.ledger.account import Account
from qts.runtime.orders.numbered_reports import NumberedReports
from qts.runtime.orders.order_matching import claimable, known, of_executions


class BrokerAnswer(NamedTuple):
    """An answer of the broker: executions that are not booked, our orders by id, and all others.

    ``asked_ns``: when it was requested. ``executed``: the orders that have executions there. ``is_settled``: no
    report waited to be handled when it came.
    """

    asked_ns: int
    fills: Sequence[Fill]
    executed: Container[str]
    ours: Mapping[str, BrokerOrder]
    others: Sequence[BrokerOrder]
    is_settled: bool


class AnswerReader:
    """Makes :class:`BrokerAnswer` of lists; knows which executions were given on. For the session's thread.

    ``is_settled``: whether no report waits to be handled. ``lag_ns``: the visibility lag of the broker.
    """

    def __init__(
        self,
        account: Account,
        orders: WorkingOrders,
        numbers: NumberedReports,
        *,
        is_settled: Callable[[], bool],
        lag_ns: int,
    ) -> None:
        self._account = account
        self._orders = orders
        self._numbers = numbers
        self._is_settled = is_settled
        self._lag_ns = lag_ns
        self._told: set[str] = set()
        """Fills that were found in the broker's books and given on, and were not booked when it was asked last."""

    def read(self, fills: Sequence[Fill], theirs: Sequence[BrokerOrder], asked_ns: int) -> BrokerAnswer:
        """Return the lists ``fills`` and ``theirs``, requested at ``asked_ns``, sorted.

        Raises StorageError when it cannot be known whether an order of an earlier day is ours.
        """
        fills = [self._named(fill) for fill in fills]
        by_ref = self._orders.by_ref()
        ours: dict[str, BrokerOrder] = {}
        others = []
        for one in theirs:
            order = known(one, self._orders, by_ref)
            if order is None:
                others.append(one)
            else:
                ours[order.client_order_id] = one
        others += of_executions(fills, theirs)
        executed = {fill.client_order_id for fill in fills}
        return BrokerAnswer(asked_ns, self._untold(fills), executed, ours, others, self._is_settled())

    def foreign(self, answer: BrokerAnswer) -> set[VenueRef]:
        """Return the numbers of orders in ``answer`` that none of ours can be."""
        nameless = [order for order in self._orders if not order.venue_refs]
        return {
            ref
            for one in answer.others
            if not any(claimable(order, [one], self._lag_ns) for order in nameless)
            for ref in (*one.earlier, one.ref)
        }

    def _named(self, fill: Fill) -> Fill:
        """Return a listed execution with our id of its order; without one while it may be that of any."""
        named = self._numbers.listed(fill)
        is_ours = self._orders.get(named.client_order_id) is not None
        return named if is_ours or self._account.has_booked(named) else fill

    def _untold(self, fills: Sequence[Fill]) -> list[Fill]:
        """Return the fills that are not booked and were not given on before; those that were may still wait."""
        unbooked = {
            repr(fill): fill for fill in fills if is_new(fill, self._account) and not self._numbers.holds(fill)
        }
        self._told.intersection_update(unbooked)
        return [fill for key, fill in unbooked.items() if key not in self._told]

    def note_told(self, fill: Fill) -> None:
        """Note that a fill of an answer was given on: until then each answer has it again."""
        self._told.add(repr(fill))


def is_new(fill: Fill, account: Account) -> bool:
    """Return whether ``fill`` has to be applied; an unreadable one is, because applying it quarantines it."""
    return bool(unreadable(fill)) or not account.has_booked(fill)
