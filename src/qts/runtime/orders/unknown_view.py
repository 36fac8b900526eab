"""Defines what a session shows of an order whose fate is unknown, and the sentence about it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from qts.money import without_zeros
from qts.notes import Note
from qts.strategy.contracts import Side


class UnknownOrderView(msgspec.Struct, frozen=True):
    """An order whose fate is unknown: until it is known no other order of its symbol and side leaves.

    ``qty`` in shares or contracts, ``limit`` None: at the market. ``since_ns``: since when, ns since 1970 UTC.
    ``asked``: how often the broker was asked about it by this process; ``next_s``: seconds to the next question as
    of the view, 0 while one is under way. ``cash``: money of its pool that it holds back, in ``currency``;
    ``shares``: of the holding.
    """

    order_id: str
    strategy: str
    symbol: str
    side: str
    qty: Decimal
    filled: Decimal
    limit: Decimal | None
    since_ns: int
    asked: int
    next_s: float
    cash: Decimal
    shares: Decimal
    currency: str


def note_of(one: UnknownOrderView, *, ended: bool) -> Note:
    """Return the sentence about an order whose fate is unknown; ``ended``: the session asks no more."""
    is_buy = one.side == Side.BUY.value
    side = Note.of("side-buy") if is_buy else Note.of("side-sell")
    if is_buy:
        held = Note.of("held-back-cash", amount=f"{without_zeros(one.cash):,f}", currency=one.currency)
    else:
        held = Note.of("held-back-shares", qty=f"{without_zeros(one.shares):,f}", symbol=one.symbol)
    price = Note.of("at-market") if one.limit is None else Note.of("at-limit", limit=f"{one.limit:,f}")
    about = Note.of(
        "order-in-words",
        order=one.order_id,
        side=side,
        qty=f"{without_zeros(one.qty):,f}",
        symbol=one.symbol,
        price=price,
    )
    if ended:
        return Note.of(
            "order-unknown-at-end", about=about, count=one.asked, held=held, symbol=one.symbol, side=side
        )
    return Note.of(
        "order-unknown",
        about=about,
        count=one.asked,
        next=Note.of("question-now") if one.next_s <= 0 else Note.of("question-in", seconds=f"{one.next_s:g}"),
        held=held,
        symbol=one.symbol,
        side=side,
    )


def notes_on_unknown(shown: Sequence[UnknownOrderView], *, ended: bool) -> list[Note]:
    """Return one note for each of ``shown``."""
    return [note_of(one, ended=ended) for one in shown]
