"""The plan of a websocket session: who needs which values, and which of them have a place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from qts.broker.kis import layouts as at
from qts.broker.kis.control import Registration
from qts.broker.kis.stream_config import Venue

TRADES: Final[Mapping[Venue, str]] = {
    "KRX": at.TRADES_KRX,
    "NXT": at.TRADES_NXT,
    "unified": at.TRADES_UNIFIED,
}
BOOKS: Final[Mapping[Venue, str]] = {"KRX": at.BOOK_KRX, "NXT": at.BOOK_NXT, "unified": at.BOOK_UNIFIED}


class Needs(NamedTuple):
    """The symbols that are needed: ``at_stake`` are held or have an open order, strategies want ``wanted``."""

    at_stake: Sequence[str] = ()
    wanted: Sequence[str] = ()


def planned(needs: Needs, venue: Venue, notices: Registration | None) -> list[Registration]:
    """Return all registrations that are needed, the most important first; the session has room for the first ones.

    Notices of fills come first, then everything of what is at stake, then trades, books and status of the others:
    a strategy that sees the trades of all its symbols can do more than one that sees all of a few.
    """
    trades, books = TRADES[venue], BOOKS[venue]
    plan = [] if notices is None else [notices]
    for symbol in needs.at_stake:
        plan += [Registration(trades, symbol), Registration(books, symbol), Registration(at.STATUS_KRX, symbol)]
    for name in (trades, books, at.STATUS_KRX):
        plan += [Registration(name, symbol) for symbol in needs.wanted]
    return list(dict.fromkeys(plan))


def polled(plan: Iterable[Registration], left_out: Iterable[Registration], venue: Venue) -> list[str]:
    """Return the symbols whose trades or books have no place, in the order of the plan: they are asked for."""
    names = (TRADES[venue], BOOKS[venue])
    without = {one for one in left_out if one.name in names}
    return list(dict.fromkeys(one.key for one in plan if one in without))
