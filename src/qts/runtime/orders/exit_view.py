"""Defines what a session shows of an exit that is required, and the sentence about it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from qts.money import without_zeros
from qts.notes import Note


class ExitView(msgspec.Struct, frozen=True):
    """An exit of a holding that is not over. ``origin``: who requires it; of several the one that leads.

    ``qty``: what is left of it, in shares or contracts, at least 0; ``held``: the holding, signed. ``order_id``:
    the order by which it leaves; "" while none is open. ``waits``: what keeps it from sending one, in words; "" for
    nothing. ``required``: how many require it.
    """

    strategy: str
    symbol: str
    origin: str
    reason: str
    qty: Decimal
    held: Decimal
    order_id: str
    waits: str
    required: int


def exit_text(one: ExitView) -> str:
    """Return the sentence about an exit."""
    what = f"{without_zeros(one.qty):f} {one.symbol}" if one.qty else f"nothing of {one.symbol} any more"
    does = f"order {one.order_id} takes it out" if one.order_id else one.waits
    more = f", {does}" if does else ""
    return f"{one.strategy} leaves {what}{more} ({one.origin}): {one.reason}"


def notes_on_exits(shown: Sequence[ExitView]) -> list[Note]:
    """Return one note for each exit of ``shown`` that the end of a session has interrupted."""
    return [
        Note.of(
            "exit-open-at-end",
            qty=f"{without_zeros(one.qty):,f}",
            symbol=one.symbol,
            strategy=one.strategy,
            reason=one.reason,
        )
        for one in shown
        if one.qty
    ]
