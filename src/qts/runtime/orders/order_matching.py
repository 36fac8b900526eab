"""Finds out which of our orders an order in the broker's books is. Pure functions.

Where the broker keeps no ids of its clients, an order is known by its number, and one whose answer is missing, so
that we have no number, by what was asked for: symbol, side, quantity, limit and time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from qts.broker.contracts import BrokerOrder, BrokerOrderState
from qts.clock import NEVER_NS
from qts.execution.contracts import Fill, Order, OrderState, VenueRef
from qts.execution.fit import CLOCKS_APART_NS
from qts.execution.working import WorkingOrders
from qts.money import plus


def is_same(theirs: BrokerOrder, ours: Order) -> bool:
    """Return whether ``theirs`` is ``ours``: by client order id, or by venue reference where there is no id."""
    if theirs.client_order_id is None:
        return any(ref in ours.venue_refs for ref in (theirs.ref, *theirs.earlier))
    return theirs.client_order_id == ours.client_order_id


def is_known(theirs: BrokerOrder, orders: WorkingOrders) -> bool:
    """Return whether ``theirs`` is one of ours, open or ended; the last that have ended are remembered."""
    return known(theirs, orders, orders.by_ref()) is not None


def known(theirs: BrokerOrder, orders: WorkingOrders, by_ref: Mapping[VenueRef, Order]) -> Order | None:
    """Return the remembered order that ``theirs`` is; None for none. ``by_ref``: all of them by their numbers."""
    if theirs.client_order_id is not None:
        return orders.get(theirs.client_order_id)
    return next((by_ref[ref] for ref in (theirs.ref, *theirs.earlier) if ref in by_ref), None)


def claimable(order: Order, foreign: Iterable[BrokerOrder], lag_ns: int = 0) -> list[BrokerOrder]:
    """Return the orders at the broker without a name that ``order``, whose number is not known, may be.

    ``foreign``: those that are known to be none of ours are not among them. The quantity does not decide: a list
    may show it wrong. ``lag_ns``: time for which a broker may not show what it has taken; one that it took later
    than that after ours was given up is not ours.
    """
    first_ns = order.ts_intent_ns - CLOCKS_APART_NS
    is_given_up = order.state is OrderState.UNKNOWN
    last_ns = order.ts_update_ns + CLOCKS_APART_NS + lag_ns if is_given_up else NEVER_NS
    return [
        one
        for one in foreign
        if one.client_order_id is None
        and (one.symbol, one.side) == (order.symbol, order.side)
        and (not one.ts_ns or first_ns <= one.ts_ns <= last_ns)
    ]


def of_executions(fills: Iterable[Fill], rows: Iterable[BrokerOrder]) -> list[BrokerOrder]:
    """Return the orders of executions that are listed by the broker's number alone, and are in no row.

    They have ended: a broker that numbers executions need not show an order any more that is filled. What each was
    asked for is not told but by what was executed.
    """
    shown = {ref for row in rows for ref in (row.ref, *row.earlier)}
    found: dict[VenueRef, BrokerOrder] = {}
    for fill in fills:
        if fill.client_order_id or fill.ref is None or fill.ref in shown:
            continue
        before = found.get(fill.ref)
        qty = fill.qty if before is None else plus(before.qty, fill.qty)
        ts_ns = fill.ts_ns if before is None else min(before.ts_ns, fill.ts_ns)
        filled = BrokerOrderState.FILLED
        found[fill.ref] = BrokerOrder(None, fill.ref, fill.symbol, fill.side, qty, qty, filled, ts_ns=ts_ns)
    return list(found.values())


def is_alike(theirs: BrokerOrder, ours: Order) -> bool:
    """Return whether ``theirs`` is just what ``ours`` asked for, as far as it is told."""
    return theirs.qty == ours.qty and (theirs.limit is None or theirs.limit == ours.limit)


def sole_match(order: Order, may_be: Sequence[BrokerOrder], others: Iterable[Order]) -> BrokerOrder | None:
    """Return the only one of ``may_be`` that is like ``order``; None where there are more, or none.

    None as well where another of ``others``, our open orders, has no number either and may be it.
    """
    alike = [one for one in may_be if is_alike(one, order)]
    if len(alike) != 1:
        return None
    (match,) = alike
    has_rival = any(
        one is not order and not one.venue_refs and is_alike(match, one) and claimable(one, alike) for one in others
    )
    return None if has_rival else match
