"""The names of orders at KIS, and what a cancel has to say of each.

KIS gives a number to every message: an order, each change of it and each cancel. A number is of the account's day,
and that is the whole name here: exchange and branch are told in other ways in answers, notices and lists, so they
are no part of it. What a cancel needs of them is remembered beside the name.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import date
from typing import Final

import msgspec

from qts.broker.kis.answers import order_number
from qts.broker.kis.config import Exchange
from qts.execution.contracts import VenueRef

VENUE: Final = "KIS"
_MOST: Final = 20_000
"""Numbers that are remembered; more than an account can send in a day."""


class Terms(msgspec.Struct, frozen=True):
    """The words of a cancel beside the number: exchange, branch and type (``ORD_DVSN``) of the order."""

    exchange: Exchange
    branch: str
    division: str


class KnownOrders:
    """The terms of the orders of the account, by their numbers. On one event loop."""

    def __init__(self) -> None:
        self._terms: OrderedDict[VenueRef, Terms] = OrderedDict()
        self.branch = ""
        """The branch that was told last; all orders of the interface come from one."""

    def learn(self, ref: VenueRef, terms: Terms) -> None:
        """Remember what a cancel of ``ref`` has to say."""
        self._terms[ref] = terms
        self._terms.move_to_end(ref)
        self.branch = terms.branch or self.branch
        if len(self._terms) > _MOST:
            self._terms.popitem(last=False)

    def learn_exchange(self, ref: VenueRef, exchange: Exchange) -> None:
        """Remember on which exchange an order is, as a notice tells it."""
        terms = self._terms.get(ref)
        if terms is not None:
            self._terms[ref] = msgspec.structs.replace(terms, exchange=exchange)

    def terms(self, ref: VenueRef) -> Terms | None:
        """Return what a cancel of ``ref`` has to say; None where that is not known."""
        return self._terms.get(ref)


def ref_of(day: date, number: str) -> VenueRef:
    """Return the name of the message ``number`` of ``day``, in answers, notices and lists alike."""
    return VenueRef(day, order_number(number), VENUE)
